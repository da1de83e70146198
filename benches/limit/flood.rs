//! A flood from one address, refused by the shield, beside a handler of the same web server that answers the same body.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::json;
use tokio::task::LocalSet;

use crate::frame::{Figure, Options, Report, Role, Samples, answer, cpu_of, serve};
use crate::place;
use crate::support;
use crate::wire::Connection;

/// At least so much of the bare handler's requests per second.
const SHARE: f64 = 0.60;
const PATH: &str = "/api/auth/me";
const REQUEST: &str = "GET /api/auth/me HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\r\n";
const START: Duration = Duration::from_mins(2);

/// A server in a process of its own.
struct Server {
    role: Role,
    address: SocketAddr,
}

impl Server {
    fn start(name: &str, arguments: &[String], shows_log: bool) -> Self {
        let mut role = Role::spawn(name, arguments, shows_log);
        let address = serde_json::from_value(role.hear(START)["address"].take()).expect("an address");
        Self { role, address }
    }
}

/// What one round found.
struct Round {
    per_second: f64,
    cpu_micros: f64,
}

/// Plays a role.
pub(crate) fn play(role: &str, arguments: &[String]) {
    match role {
        "bare" => serve_until_the_end(async { bare(&arguments[0]) }),
        "subject" => serve_until_the_end(subject(&arguments[0], &arguments[1])),
        other => panic!("no role {other}"),
    }
}

fn bare(body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, body) = (listener.local_addr().expect("a port"), Bytes::from(body.to_owned()));
    let server = HttpServer::new(move || {
        let body = body.clone();
        let handler = move || {
            let response = HttpResponse::TooManyRequests().content_type("application/problem+json").body(body.clone());
            std::future::ready(response)
        };
        App::new().route(PATH, web::get().to(handler))
    });
    tokio::spawn(server.workers(1).disable_signals().listen(listener).expect("a socket").run());
    address
}

async fn subject(redis: &str, data_dir: &str) -> SocketAddr {
    let settings = place::settings(&[
        ("server.bind", "127.0.0.1:0"),
        ("server.data_dir", data_dir),
        ("server.workers", "1"),
        ("redis.url", redis),
        ("limits.shield_address", "1/1d"),
        ("limits.shield_burst", "1"),
    ]);
    gatepost::telemetry::logging::start(&settings.log);
    let running = gatepost::app::App::start(settings).await.expect("the product starts");
    let address = running.address;
    // It ends with its process.
    std::mem::forget(running);
    address
}

fn serve_until_the_end(start: impl Future<Output = SocketAddr>) {
    let system = actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads")
    });
    system.block_on(async {
        answer(&json!({ "address": start.await }));
        std::thread::spawn(|| {
            serve(|_| {});
            std::process::exit(0);
        });
        std::future::pending::<()>().await;
    });
}

/// Floods `server` over so many connections, each of which sends the next request when the last is answered.
fn flood(server: &Server, connections: usize, length: Duration) -> Round {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(server.address).await);
        }
        let (begun, cpu) = (Instant::now(), cpu_of(server.role.process()));
        let tasks: Vec<_> = open
            .into_iter()
            .map(|mut connection| {
                tokio::task::spawn_local(async move {
                    let mut count = 0_u64;
                    while begun.elapsed() < length {
                        assert_eq!(connection.ask(REQUEST.as_bytes()).await.status, 429);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let mut count = 0;
        for task in tasks {
            count += task.await.expect("no panic");
        }
        let per_second = count as f64 / begun.elapsed().as_secs_f64();
        Round { per_second, cpu_micros: (cpu_of(server.role.process()) - cpu) * 1e6 / count as f64 }
    })
}

/// The body that the product refuses with, after the burst of one.
fn refusal(server: &Server) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = Connection::open(server.address).await;
        connection.ask(REQUEST.as_bytes()).await;
        let reply = connection.ask(REQUEST.as_bytes()).await;
        assert_eq!(reply.status, 429);
        String::from_utf8_lossy(reply.body).into_owned()
    })
}

pub(crate) async fn run(options: &Options, report: &mut Report) {
    eprintln!("flood: one address, refused by the shield");
    let (redis, files) = (support::Redis::start().await, tempfile::tempdir().expect("a directory"));
    let (url, data) = (redis.url(), files.path().join("data").to_string_lossy().into_owned());
    let shows_log = options.verbose;
    let (rounds, length) =
        if options.quick { (3, Duration::from_millis(500)) } else { (7, Duration::from_millis(1500)) };
    // A thread of its own: the load has a runtime to itself.
    let measured = std::thread::spawn(move || {
        let product = Server::start("subject", &[url, data], shows_log);
        let bare = Server::start("bare", &[refusal(&product)], shows_log);
        let mut found = Vec::new();
        for connections in [1, 64] {
            let (mut shares, mut cpus, mut own, mut peer) = <(Samples, Samples, Samples, Samples)>::default();
            for number in 0..=rounds {
                let (plain, refused) = (flood(&bare, connections, length), flood(&product, connections, length));
                // The first warms up.
                if number > 0 {
                    shares.push(refused.per_second / plain.per_second);
                    cpus.push(refused.cpu_micros / plain.cpu_micros);
                    own.push(refused.per_second);
                    peer.push(plain.per_second);
                }
            }
            let context =
                format!("{:.2}..{:.2}; {} of {} a second", shares.min(), shares.max(), own.spread(), peer.spread());
            found.push(
                Figure::new(format!("flood_share_c{connections}"), "ratio", shares.median())
                    .at_least(SHARE)
                    .context(context),
            );
            let context = format!("{:.2}..{:.2}", cpus.min(), cpus.max());
            found.push(Figure::new(format!("flood_cpu_c{connections}"), "ratio", cpus.median()).context(context));
        }
        found
    });
    let found = tokio::task::spawn_blocking(|| measured.join().expect("no panic")).await.expect("no panic");
    for figure in found {
        report.add(figure);
    }
}
