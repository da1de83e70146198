//! The yardsticks: a handler of the same web server that answers with the same bytes and knows nothing of sessions, and one
//! that asks Redis once for what it answers.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer, web};
use redis::IntoConnectionInfo as _;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use serde::{Deserialize, Serialize};

use crate::frame::Role;
use crate::rounds::Server;
use crate::subject::serve_until_the_end;

/// Where the body lies in Redis.
const KEY: &str = "bench:validate:body";

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Constant {
    pub(crate) body: String,
    /// Beside those that the web server sets.
    pub(crate) headers: Vec<(String, String)>,
    /// Where the body is read from for every request.
    pub(crate) redis: Option<String>,
}

/// Starts it.
pub(crate) fn start(constant: &Constant, shows_log: bool) -> Server {
    let constant = serde_json::to_string(constant).expect("JSON");
    Server::hear(Role::spawn("bare", &[constant], shows_log), Duration::from_secs(10))
}

/// Plays the role.
pub(crate) fn run(arguments: &[String]) {
    let constant: Constant = serde_json::from_str(&arguments[0]).expect("what to answer");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port");
    serve_until_the_end(async move {
        match constant.redis.clone() {
            Some(url) => serve_from_redis(&constant, url, listener).await,
            None => serve_constant(&constant, listener),
        }
        address
    });
}

fn serve_constant(constant: &Constant, listener: TcpListener) {
    let body = Bytes::from(constant.body.clone());
    let headers: Vec<(HeaderName, HeaderValue)> = constant
        .headers
        .iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect();
    let server = HttpServer::new(move || {
        let (body, headers) = (body.clone(), headers.clone());
        let handler = move || {
            let mut response = HttpResponse::Ok();
            response.content_type("application/json");
            for header in &headers {
                response.insert_header(header.clone());
            }
            std::future::ready(response.body(body.clone()))
        };
        App::new().route("/api/auth/validate", web::get().to(handler))
    });
    tokio::spawn(server.workers(1).disable_signals().listen(listener).expect("a socket").run());
}

async fn serve_from_redis(constant: &Constant, url: String, listener: TcpListener) {
    let mut conn = connect(&url).await;
    redis::cmd("SET").arg(KEY).arg(&constant.body).exec_async(&mut conn).await.expect("it is stored");
    let server = HttpServer::new(move || {
        let url = url.clone();
        // One connection of the worker's own, opened on its thread.
        let connect = move || {
            let url = url.clone();
            async move { Ok::<_, std::convert::Infallible>(connect(&url).await) }
        };
        App::new().data_factory(connect).route("/api/auth/validate", web::get().to(from_redis))
    });
    tokio::spawn(server.workers(1).disable_signals().listen(listener).expect("a socket").run());
}

async fn connect(url: &str) -> MultiplexedConnection {
    let info = url.into_connection_info().expect("a URL").set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = redis::Client::open(info).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

async fn from_redis(conn: Data<MultiplexedConnection>) -> HttpResponse {
    let mut conn = MultiplexedConnection::clone(&conn);
    let body: Vec<u8> = redis::cmd("GET").arg(KEY).query_async(&mut conn).await.expect("Redis answers");
    HttpResponse::Ok().content_type("application/json").body(body)
}
