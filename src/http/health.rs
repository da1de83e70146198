//! Whether the server is up, ready, and fast: for load balancers and operators.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::Site;
use super::error::{ApiError, Code};
use super::extract::Operator;
use super::openapi::values;
use crate::cache::CacheStats;
use crate::store::StoreError;

/// The process answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LiveView {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The server's version.
    version: &'static str,
}

/// Whether the server can take requests.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({ "status": "ok", "checks": { "database": "sqlite", "redis": "none" } }))]
pub(super) struct ReadyView {
    /// `degraded` where Redis is configured and away.
    #[schema(schema_with = values::ready_status)]
    status: &'static str,
    /// What was looked at.
    checks: ReadyChecks,
}

/// How long a readiness check waits for the database: a load balancer does not wait longer either.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What readiness depends on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ReadyChecks {
    /// The kind of database.
    #[schema(schema_with = values::database)]
    database: &'static str,
    /// How Redis is; `none` where it is not configured.
    #[schema(schema_with = values::redis)]
    redis: &'static str,
}

/// How the cache does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct CacheView {
    /// `degraded` where Redis is configured and away.
    #[schema(schema_with = values::cache_status)]
    status: &'static str,
    /// Where the cache is at the moment.
    #[schema(schema_with = values::cache_backend)]
    backend: &'static str,
    /// How long Redis took to answer a ping, in milliseconds; 0 without Redis.
    latency_ms: f64,
    /// Counts since the start of this instance.
    #[schema(value_type = values::CacheStats)]
    stats: CacheStats,
}

/// `GET /health` and `GET /health/live`: the process answers.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "Operators",
    operation_id = "live",
    summary = "Is the process up?",
    description = "Touches neither the database nor Redis.",
    responses((status = 200, body = LiveView, description = "It is.")),
)]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(LiveView { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// `GET /health/ready`: the database is reachable and migrated, and the server is not on its way down. Without Redis
/// the server is slower, not broken: that is `degraded`, and still 200.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "Operators",
    operation_id = "ready",
    summary = "Can the server take requests?",
    description = "Yes while the database is reachable and migrated and the server is not shutting down. Without \
        Redis it is slower, not broken: that is `degraded`, and still 200.",
    responses(
        (status = 200, body = ReadyView, description = "It can."),
        (status = 500, description = "internal"),
        (status = 503, description = "unavailable"),
    ),
)]
pub(super) async fn ready(site: web::Data<Site>) -> Result<HttpResponse, ApiError> {
    if site.is_draining() {
        return Err(ApiError::new(Code::Unavailable, "The server is shutting down."));
    }
    let migrated = tokio::time::timeout(READY_WITHIN, site.database.is_migrated()).await;
    let migrated =
        migrated.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer to the readiness check".to_owned())));
    if !migrated? {
        return Err(ApiError::new(Code::Unavailable, "The database lacks migrations: run `gatepost migrate`."));
    }
    let redis = match &site.redis {
        None => "none",
        Some(redis) if redis.available() => "up",
        Some(_) => "down",
    };
    let status = if redis == "down" { "degraded" } else { "ok" };
    let checks = ReadyChecks { database: site.database.backend(), redis };
    Ok(HttpResponse::Ok().json(ReadyView { status, checks }))
}

/// `GET /health/cache`
#[utoipa::path(
    get,
    path = "/health/cache",
    tag = "Operators",
    operation_id = "cache_health",
    summary = "How the cache does",
    description = "Counts since the start of this instance. For the networks in `server.operator_networks`.",
    responses(
        (status = 200, body = CacheView, description = "Status, latency and counts."),
        (status = 403, description = "forbidden"),
    ),
)]
pub(super) async fn cache(_: Operator, site: web::Data<Site>) -> HttpResponse {
    let mut latency = None;
    // Where the cache keeps nothing in Redis, that is no concern of its.
    let redis = site.redis.as_ref().filter(|_| site.cache.settings().redis);
    if let Some(redis) = redis {
        latency = redis.ping().await.ok();
    }
    let status = if redis.is_some() && latency.is_none() { "degraded" } else { "healthy" };
    HttpResponse::Ok().json(CacheView {
        status,
        backend: if latency.is_some() { "redis" } else { "memory" },
        latency_ms: latency.map_or(0.0, |latency| latency.as_secs_f64() * 1000.0),
        stats: site.cache.stats(),
    })
}

/// `GET /metrics`
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operators",
    operation_id = "metrics",
    summary = "Figures for Prometheus",
    description = "The names start with `gatepost_`. For the networks in `server.operator_networks`.",
    responses(
        (status = 200, body = String, content_type = "text/plain; version=0.0.4; charset=utf-8",
            description = "Prometheus text.",
            example = "gatepost_http_requests_in_flight 1\n"),
        (status = 403, description = "forbidden"),
        (status = 500, description = "internal"),
    ),
)]
pub(super) async fn metrics(_: Operator, site: web::Data<Site>) -> Result<HttpResponse, ApiError> {
    let text = site.metrics.text().map_err(ApiError::internal)?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}
