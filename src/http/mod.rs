//! HTTP: the only code that knows actix.
//!
//! What is asked most is answered by `front` at once, from what `hot` has ready; an address that floods is refused by
//! `shield` in the same way. Every other request passes `middleware` (request id, cross-site check, security headers, metrics), is routed by
//! `routes`, and reaches a handler that extracts (`extract`), calls one use case, and shapes the answer. A handler
//! that fails gives an `error::ApiError`; the middleware turns it into problem+json for programs and into a page for
//! people, and logs what must not be sent.

pub mod api;
mod cached;
mod captcha;
mod client_address;
mod connection;
mod cookies;
mod device_cookie;
mod error;
mod extract;
mod forward_auth;
mod front;
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
mod places;
mod proxy_protocol;
mod redis_health;
mod routes;
mod seldom;
mod shield;
mod views;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_http::{HttpService, KeepAlive};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, apply, fn_service, map_config};
use actix_web::dev::{AppConfig, Server};
use actix_web::{App, web};
use tokio::net::{TcpSocket, TcpStream};

use crate::auth::{Auth, Captcha};
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
    /// What has to be solved to be sent a mail; `None` where nothing has.
    pub captcha: Option<Captcha>,
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

/// How many connections the system keeps that have not been accepted yet, if it is not set to keep fewer.
const BACKLOG: u32 = 4096;
/// How long a connection that is being closed is read from, so that its last answer is not lost with it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Listens on `address`. Fails where that is taken or not this machine's.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again does not have to wait for the connections of the last one to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Serves `site` on `listener` until the server is stopped. Stopping it finishes the requests that are under way.
///
/// The parts are those that `actix_web::HttpServer` is made of, with `connection` in front of them.
pub fn serve(site: Arc<Site>, listener: TcpListener) -> std::io::Result<Server> {
    let (workers, connections) = (site.server.workers, site.server.connections);
    let patience = site.server.shutdown_timeout.as_secs();
    let site = web::Data::from(site);
    let common = Arc::new(headers::Common::new(&site));
    let (front, around) = (front::Front::new(&site, &common), middleware::Around::new(&site, &common));
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections.most.div_ceil(workers))
        .shutdown_timeout(patience)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let door = Arc::new(connection::Door::new(connections.most_per_client));
    // Called once by each HTTP thread.
    let server = builder.listen("http", listener, move || {
        if let Some(redis) = &site.redis {
            redis.adopt_thread();
        }
        let app = App::new()
            .app_data(site.clone())
            .app_data(web::PayloadConfig::new(site.server.max_body_bytes))
            .wrap(around.clone())
            .configure(|config| routes::configure(config, &site));
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let app = apply(front.clone(), map_config(app, |()| AppConfig::default()));
        let (accepting, stopping) = ((site.clone(), door.clone()), stopping.clone());
        let http = HttpService::build()
            // Connections close themselves when they are idle.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(connections.request_timeout)
            .client_disconnect_timeout(GOODBYE)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .finish(app);
        fn_service(move |stream: TcpStream| {
            let (site, door) = accepting.clone();
            async move { connection::accept(stream, &site, &door).await }
        })
        .and_then(http)
    })?;
    Ok(server.run())
}
