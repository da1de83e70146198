//! `health`: asks the server of these settings whether it is ready, for containers that hold no `curl`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Cli, Failure, say};
use crate::settings::Server;

const PATIENCE: Duration = Duration::from_secs(5);

/// What the server of these settings answered.
pub(super) struct Answer {
    /// The server.
    pub(super) from: SocketAddr,
    /// The status, such as `200`.
    pub(super) status: String,
    /// The body.
    pub(super) body: String,
}

/// Asks `/health/ready`.
pub(super) async fn ask(cli: &Cli) -> Result<(), Failure> {
    let Answer { from, status, body } = fetch(cli, "/health/ready").await?;
    let is_ready = status == "200";
    say(if cli.json || !is_ready { &body } else { "ready" })?;
    if is_ready { Ok(()) } else { Err(Failure::Failed(format!("{from} is not ready"))) }
}

/// Asks the server of these settings for `path`, which must be one of the small answers to operators.
pub(super) async fn fetch(cli: &Cli, path: &str) -> Result<Answer, Failure> {
    fetch_from(&cli.settings(false)?.server, path).await
}

/// Asks the server of these settings, as [`fetch`].
pub(super) async fn fetch_from(server: &Server, path: &str) -> Result<Answer, Failure> {
    let mut address = server.bind;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    // A connection within this machine comes from the address that it goes to.
    let announces = server.proxies.protocol && server.proxies.trusts(address.ip().to_canonical());
    let answer = tokio::time::timeout(PATIENCE, read(address, path, if announces { "PROXY UNKNOWN\r\n" } else { "" }))
        .await
        .map_err(|_| Failure::Failed(format!("no answer from {address} within {} s", PATIENCE.as_secs())))?
        .map_err(|error| Failure::Failed(format!("no answer from {address}: {error}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok(Answer { from: address, status: status.to_owned(), body: body.to_owned() })
}

async fn read(address: SocketAddr, path: &str, before: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("{before}GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    // An answer to operators is small; more is not one.
    stream.take(1024 * 1024).read_to_string(&mut answer).await?;
    Ok(answer)
}
