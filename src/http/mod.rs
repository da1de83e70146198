//! HTTP: the only code that knows actix.
//!
//! What is asked most is answered by `hot` at once, where that can be done without waiting for anything. Every other
//! request passes `middleware` (request id, cross-site check, security headers, metrics), is routed by
//! `routes`, and reaches a handler that extracts (`extract`), calls one use case, and shapes the answer. A handler
//! that fails gives an `error::ApiError`; the middleware turns it into problem+json for programs and into a page for
//! people, and logs what must not be sent.

pub mod api;
mod cached;
mod cookies;
mod error;
mod extract;
mod forward_auth;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod headers;
mod health;
mod hot;
mod mail_views;
mod middleware;
mod openapi;
mod pages;
mod redis_health;
mod routes;
mod views;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};

use crate::auth::Auth;
use crate::cache::Cache;
use crate::domain::Clock;
use crate::limit::Limiter;
use crate::mail::DevMailbox;
use crate::redis::Redis;
use crate::settings;
use crate::store::Database;
use crate::telemetry::Metrics;
use crate::templates::Templates;

/// What the handlers work with. One for the process, shared by all of its HTTP threads.
pub struct Site {
    /// The use cases.
    pub auth: Auth,
    /// For its health and statistics.
    pub cache: Cache,
    /// Guards the routes that strangers may use.
    pub limiter: Limiter,
    /// For its health.
    pub database: Database,
    /// For its health; `None` where Redis is not configured.
    pub redis: Option<Redis>,
    /// The pages' texts.
    pub templates: Templates,
    /// The address, the proxies, the cookies.
    pub server: settings::Server,
    /// How long a browser keeps its session cookie.
    pub sessions: settings::Sessions,
    /// The mails, where they are shown instead of sent.
    pub dev_mailbox: Option<DevMailbox>,
    /// Counts requests.
    pub metrics: Metrics,
    /// The database's time.
    pub clock: Clock,
    /// Whether the server is on its way down.
    pub draining: Arc<AtomicBool>,
}

impl Site {
    /// Whether the server takes no new work.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Serves `site` on `listener` until the server is stopped. Stopping it finishes the requests that are under way.
pub fn serve(site: Arc<Site>, listener: TcpListener) -> std::io::Result<Server> {
    let (workers, patience) = (site.server.workers, site.server.shutdown_timeout.as_secs());
    let site = web::Data::from(site);
    let around = middleware::Around::new(&site);
    // Called once by each HTTP thread.
    let server = HttpServer::new(move || {
        if let Some(redis) = &site.redis {
            redis.adopt_thread();
        }
        App::new()
            .app_data(site.clone())
            .app_data(web::PayloadConfig::new(site.server.max_body_bytes))
            .wrap(around.clone())
            .configure(|config| routes::configure(config, &site))
    });
    let server = server
        .workers(workers)
        .shutdown_timeout(patience)
        .disable_signals()
        .server_hostname(site_name())
        .listen(listener)?;
    Ok(server.run())
}

fn site_name() -> &'static str {
    "gatepost"
}
