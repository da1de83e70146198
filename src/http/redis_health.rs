//! `GET /api/health/redis`: how Redis and the session cache that stands on it do, with times.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Site;
use super::extract::Operator;
use super::openapi::values;
use crate::cache::{CacheStats, SESSION_TTL};
use crate::redis::{Examination, PoolState};

/// A server that takes longer for a `PING` is degraded.
const SLOW: Duration = Duration::from_millis(100);

/// How Redis does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RedisHealth {
    /// `degraded` when a ping took more than 100 ms, or Redis does not take or keep a write; `unhealthy` when it is
    /// configured and does not answer. Where none is configured there is nothing to fail: `healthy`.
    #[schema(schema_with = values::redis_status)]
    status: &'static str,
    /// When this was found out.
    timestamp: DateTime<Utc>,
    /// The server.
    redis: RedisServer,
    /// The cache of sessions.
    session_cache: SessionCache,
    /// How long it took to answer.
    performance: Performance,
    /// What went wrong, for people.
    errors: Vec<String>,
}

/// What the Redis server says about itself. All null but `connected` while it does not say anything.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RedisServer {
    /// Whether one is configured and answers.
    connected: bool,
    /// Its version.
    #[schema(required = true, example = "7.0.15")]
    version: Option<String>,
    /// For how many seconds it has been up.
    #[schema(required = true)]
    uptime: Option<u64>,
    /// Bytes of memory that it uses.
    #[schema(required = true)]
    used_memory: Option<u64>,
    /// Keys in its database, those of others included.
    #[schema(required = true)]
    total_keys: Option<u64>,
}

/// The cache of sessions, as this instance sees it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SessionCache {
    /// Whether sessions are cached, in process or in Redis.
    enabled: bool,
    /// Whether every tier that is on works.
    healthy: bool,
    /// Counts since the start of this instance.
    metrics: SessionMetrics,
    /// Connections to Redis.
    pool: ConnectionPool,
}

/// Reads of sessions since the start of this instance.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionMetrics {
    /// Reads that were answered without the database.
    hits: u64,
    /// Reads that went to the database.
    misses: u64,
    /// Calls of Redis and reads of the database that failed.
    errors: u64,
    /// All reads.
    total: u64,
    /// Hits in a hundred reads.
    hit_rate: f64,
    /// How many seconds a session may stay in Redis.
    ttl: u64,
}

/// Connections to Redis; zeros while it is away.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ConnectionPool {
    /// Open connections.
    size: u32,
    /// Those of them that are free.
    available: u32,
    /// Callers that wait for one.
    pending: u64,
}

/// Milliseconds, the way there and back included; null for what failed or was not asked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Performance {
    /// Of a `PING`.
    #[schema(required = true)]
    ping: Option<f64>,
    /// Of a write.
    #[schema(required = true)]
    set: Option<f64>,
    /// Of reading it back.
    #[schema(required = true)]
    get: Option<f64>,
}

/// `GET /api/health/redis`
#[utoipa::path(
    get,
    path = "/api/health/redis",
    tag = "Operators",
    operation_id = "redis_health",
    summary = "How Redis does",
    description = "Asks it for a ping, a write and its reading. `unhealthy` is answered with 503 and the same body, so \
        that a check of the status alone will do. No longer than Redis may take for an answer, even when it hangs. \
        Sign-ins and sessions go on without Redis: whether this server can work is for `/health/ready` to say. For the \
        networks in `server.operator_networks`.",
    responses(
        (status = 200, body = RedisHealth, description = "It does well, or is slow, or there is none."),
        (status = 403, description = "forbidden"),
        (status = 503, body = RedisHealth, description = "It is configured and does not answer."),
    ),
)]
pub(super) async fn redis(_: Operator, site: web::Data<Site>) -> HttpResponse {
    let (examination, pool) = match &site.redis {
        Some(redis) => (Some(redis.examine().await), redis.pool_state()),
        None => (None, PoolState::default()),
    };
    let status = status(examination.as_ref());
    let (connected, tiers) = (examination.as_ref().is_some_and(|found| found.ping.is_some()), site.cache.settings());
    let uses_redis = tiers.redis && examination.is_some();
    let enabled = tiers.memory || uses_redis;
    let examination = examination.unwrap_or_default();
    let health = RedisHealth {
        status,
        timestamp: site.clock.now(),
        performance: Performance::of(&examination),
        session_cache: SessionCache {
            enabled,
            healthy: enabled && (connected || !uses_redis),
            metrics: SessionMetrics::of(&site.cache.stats()),
            pool: ConnectionPool { size: pool.size, available: pool.available, pending: pool.pending },
        },
        errors: examination.errors.clone(),
        redis: RedisServer::of(connected, examination),
    };
    let mut answer = if status == "unhealthy" { HttpResponse::ServiceUnavailable() } else { HttpResponse::Ok() };
    answer.json(health)
}

fn status(found: Option<&Examination>) -> &'static str {
    let Some(found) = found else { return "healthy" };
    match found.ping {
        None => "unhealthy",
        Some(ping) if ping > SLOW || found.set.is_none() || found.get.is_none() => "degraded",
        Some(_) => "healthy",
    }
}

impl RedisServer {
    fn of(connected: bool, found: Examination) -> Self {
        let Some(info) = found.info else { return Self { connected, ..Self::default() } };
        Self {
            connected,
            version: Some(info.version),
            uptime: Some(info.uptime.as_secs()),
            used_memory: Some(info.used_memory),
            total_keys: Some(info.keys),
        }
    }
}

impl SessionMetrics {
    fn of(stats: &CacheStats) -> Self {
        let sessions = &stats.sessions;
        Self {
            hits: sessions.hits(),
            misses: sessions.loads,
            errors: sessions.redis.errors + sessions.load_errors,
            total: sessions.hits() + sessions.loads,
            hit_rate: sessions.hit_rate_percent(),
            ttl: SESSION_TTL.as_secs(),
        }
    }
}

impl Performance {
    fn of(found: &Examination) -> Self {
        let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1000.0);
        Self { ping: millis(found.ping), set: millis(found.set), get: millis(found.get) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_from_what_was_found() {
        let quick = Some(Duration::from_millis(1));
        let well = Examination { ping: quick, set: quick, get: quick, ..Examination::default() };
        let slow = Examination { ping: Some(SLOW + Duration::from_millis(1)), ..well.clone() };
        let full = Examination { set: None, ..well.clone() };
        assert_eq!(status(None), "healthy");
        assert_eq!(status(Some(&well)), "healthy", "that it tells nothing about itself is no harm");
        assert_eq!(status(Some(&Examination { ping: Some(SLOW), ..well })), "healthy");
        assert_eq!([status(Some(&slow)), status(Some(&full))], ["degraded"; 2]);
        assert_eq!(status(Some(&Examination::default())), "unhealthy");
    }
}
