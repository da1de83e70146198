//! The cache on the admins' page: its figures, and the button that has it forget.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin_mail::back;
use crate::cache::{KindStats, Scope};
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client, PageForm};

/// The form of the button.
#[derive(Deserialize)]
pub(crate) struct ForgetForm {
    prefix: Option<String>,
    return_to: Option<String>,
}

/// What the page shows of the cache. Asks nobody: figures of this process only.
pub(super) fn section(site: &Site) -> Value {
    let (stats, settings) = (site.cache.stats(), site.cache.settings());
    let kind = |name: &str, kind: &KindStats| {
        json!({
            "name": name, "reads": kind.hits() + kind.loads, "memory": kind.memory.hits, "redis": kind.redis.hits,
            "loads": kind.loads, "rate": kind.hit_rate_percent(), "load_ms": kind.average_load_micros / 1000,
            "entries": kind.entries, "kib": kind.weight_bytes / 1024,
        })
    };
    json!({
        "kinds": [kind("Sessions", &stats.sessions), kind("Users", &stats.users), kind("Answers", &stats.answers)],
        "rate": stats.hit_rate_percent,
        "reads": stats.hits + stats.misses,
        "errors": stats.errors,
        "memory": settings.memory,
        "max_mib": settings.memory_bytes / (1024 * 1024),
        "redis": match (settings.redis, site.redis.as_ref().map(crate::redis::Redis::available)) {
            (_, None) => "none",
            (false, Some(_)) => "off",
            (true, Some(true)) => "up",
            (true, Some(false)) => "down",
        },
    })
}

/// `POST /admin/cache/invalidate`
pub(crate) async fn invalidate(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    PageForm(form): PageForm<ForgetForm>,
) -> Result<HttpResponse, ApiError> {
    let notice = match form.prefix.as_deref().unwrap_or_default().parse::<Scope>() {
        Ok(scope) => {
            let swept = site.auth.invalidate_cache(Some(&who.user), &scope, &client.origin).await?;
            if swept.everywhere { "cache-forgotten" } else { "cache-forgotten-here" }
        }
        Err(_) => "cache-unknown",
    };
    Ok(back(form.return_to.as_deref(), notice))
}
