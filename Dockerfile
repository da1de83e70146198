# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS builder
WORKDIR /build
COPY . .
# The caches keep the downloads and the compiled dependencies between builds; the binary has to be copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked && \
    install -D target/release/gatepost /out/gatepost && \
    mkdir /out/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=builder /out/gatepost /usr/local/bin/gatepost
# A fresh volume takes the owner of the directory it is mounted on.
COPY --from=builder --chown=nonroot:nonroot /out/data /data
VOLUME /data
ENV GATEPOST_BIND=0.0.0.0:8080 \
    GATEPOST_DATA_DIR=/data
EXPOSE 8080
USER nonroot
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/gatepost", "health"]
ENTRYPOINT ["/usr/local/bin/gatepost"]
