//! What admins see of the cache, and how they have it forget.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use crate::cache::{CacheStats, MAPPING_TTL, SESSION_TTL, Scope, ScopeError, USER_TTL};
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client, Json};
use crate::http::openapi::values;

/// The cache of users and sessions, as the instance sees it that answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CacheFigures {
    /// The tiers, in the order in which they are asked.
    tiers: CacheTiers,
    /// Counts since the start of the instance.
    #[schema(value_type = values::CacheStats)]
    stats: CacheStats,
}

/// The tiers of the cache.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CacheTiers {
    /// In process.
    memory: MemoryTier,
    /// In Redis.
    redis: RedisTier,
}

/// What is kept in process.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MemoryTier {
    /// Whether anything is.
    enabled: bool,
    /// Entries.
    entries: u64,
    /// The bytes that they take, about.
    weight_bytes: u64,
    /// The bytes that they may take.
    max_bytes: u64,
}

/// What is kept in Redis.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RedisTier {
    /// Whether anything is: Redis is configured, and the setting is on.
    enabled: bool,
    /// Whether Redis answers; requests do not wait for one that does not.
    available: bool,
    /// How long it took to answer, in milliseconds.
    #[schema(required = true)]
    latency_ms: Option<f64>,
    /// Bytes of memory that it uses for everything.
    #[schema(required = true)]
    used_memory: Option<u64>,
    /// Its keys, those that are not of the cache included.
    #[schema(required = true)]
    keys: Option<u64>,
    /// How many seconds a user stays at most.
    user_ttl: u64,
    /// How many seconds the id behind an address stays at most.
    address_ttl: u64,
    /// How many seconds a session stays at most.
    session_ttl: u64,
}

/// What to forget.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "prefix": "sessions" }))]
pub struct Invalidation {
    /// `all`, `users`, `sessions`, `stats`, or the beginning of a key: `user:…` or `session:…`.
    #[schema(required = true, value_type = String)]
    pub prefix: Option<String>,
}

/// What was forgotten.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct InvalidatedView {
    /// What was asked for.
    prefix: String,
    /// Keys that were deleted from Redis.
    removed: u64,
    /// Whether every instance has been told. If not, Redis is away: then only the one that answers has forgotten.
    everywhere: bool,
}

impl CacheFigures {
    /// The figures now.
    pub async fn of(site: &Site) -> Self {
        let (settings, stats) = (site.cache.settings(), site.cache.stats());
        let (mut latency, mut info) = (None, None);
        if let Some(redis) = site.redis.as_ref().filter(|_| settings.redis) {
            latency = redis.ping().await.ok();
            info = if latency.is_some() { redis.info().await.ok() } else { None };
        }
        Self {
            tiers: CacheTiers {
                memory: MemoryTier {
                    enabled: settings.memory,
                    entries: stats.memory_cache_size,
                    weight_bytes: stats.users.weight_bytes + stats.sessions.weight_bytes + stats.answers.weight_bytes,
                    max_bytes: settings.memory_bytes,
                },
                redis: RedisTier {
                    enabled: settings.redis && site.redis.is_some(),
                    available: latency.is_some(),
                    latency_ms: latency.map(|latency| latency.as_secs_f64() * 1000.0),
                    used_memory: info.as_ref().map(|info| info.used_memory),
                    keys: info.as_ref().map(|info| info.keys),
                    user_ttl: USER_TTL.as_secs(),
                    address_ttl: MAPPING_TTL.as_secs(),
                    session_ttl: SESSION_TTL.as_secs(),
                },
            },
            stats,
        }
    }
}

/// What a text names, or why it names nothing.
fn scope(prefix: Option<&str>) -> Result<Scope, ApiError> {
    let mut fields = Fields::default();
    let text = fields.required("prefix", prefix);
    let parsed = text.map(|text| text.parse::<Scope>());
    if let Some(Err(ScopeError)) = parsed {
        let known = "Use all, users, sessions, stats, or the beginning of a key: user:… or session:….";
        fields.wrong("prefix", "unknown_prefix", known);
    }
    fields.finish()?;
    parsed.and_then(Result::ok).ok_or_else(ApiError::not_found)
}

/// `GET /api/admin/cache`
#[utoipa::path(
    get,
    path = "/api/admin/cache",
    tag = "Admin",
    operation_id = "cache_figures",
    summary = "The cache in figures",
    description = "Of the instance that answers: each counts for itself.",
    security(("session_cookie" = []), ("bearer" = [])),
    responses((status = 200, body = CacheFigures, description = "The tiers, and what was counted.")),
)]
pub async fn show(site: web::Data<Site>, _admin: Admin) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(CacheFigures::of(&site).await))
}

/// `POST /api/admin/cache/invalidate`
#[utoipa::path(
    post,
    path = "/api/admin/cache/invalidate",
    tag = "Admin",
    operation_id = "invalidate_cache",
    summary = "Have the cache forget",
    description = "In Redis and on every instance; what is asked for next is read from the database. Changes need none \
        of this: it is for values that somebody does not trust.",
    security(("session_cookie" = []), ("bearer" = [])),
    request_body = Invalidation,
    responses(
        (status = 200, body = InvalidatedView, description = "It is forgotten."),
        (status = 400, description = "invalid_input"),
    ),
)]
pub async fn invalidate(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    Json(body): Json<Invalidation>,
) -> Result<HttpResponse, ApiError> {
    let scope = scope(body.prefix.as_deref())?;
    let swept = site.auth.invalidate_cache(Some(&who.user), &scope, &client.origin).await?;
    let view = InvalidatedView { prefix: scope.to_string(), removed: swept.removed, everywhere: swept.everywhere };
    Ok(HttpResponse::Ok().json(view))
}
