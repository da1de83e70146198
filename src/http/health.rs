//! Whether the server is up, ready, and fast: for load balancers and operators.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Site;
use super::error::{ApiError, Code};

/// `GET /health` and `GET /health/live`: the process answers.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /health/ready`: the database is reachable and migrated, and the server is not on its way down. Without Redis
/// the server is slower, not broken: that is `degraded`, and still 200.
pub(super) async fn ready(site: web::Data<Site>) -> Result<HttpResponse, ApiError> {
    if site.is_draining() {
        return Err(ApiError::new(Code::Unavailable, "The server is shutting down."));
    }
    if !site.database.is_migrated().await? {
        return Err(ApiError::new(Code::Unavailable, "The database lacks migrations: run `gatepost migrate`."));
    }
    let redis = match &site.redis {
        None => "none",
        Some(redis) if redis.available() => "up",
        Some(_) => "down",
    };
    let status = if redis == "down" { "degraded" } else { "ok" };
    Ok(HttpResponse::Ok().json(json!({
        "status": status,
        "checks": { "database": site.database.backend(), "redis": redis },
    })))
}

/// `GET /health/cache`
pub(super) async fn cache(site: web::Data<Site>) -> HttpResponse {
    let mut latency = None;
    if let Some(redis) = &site.redis {
        latency = redis.ping().await.ok();
    }
    let status = if site.redis.is_some() && latency.is_none() { "degraded" } else { "healthy" };
    HttpResponse::Ok().json(json!({
        "status": status,
        "backend": if latency.is_some() { "redis" } else { "memory" },
        "latency_ms": latency.map_or(0.0, |latency| latency.as_secs_f64() * 1000.0),
        "stats": site.cache.stats(),
    }))
}

/// `GET /metrics`
pub(super) async fn metrics(site: web::Data<Site>) -> Result<HttpResponse, ApiError> {
    let text = site.metrics.text().map_err(ApiError::internal)?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}
