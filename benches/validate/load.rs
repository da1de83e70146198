//! The load: some connections, each of which sends the next request when the last is answered. One thread.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::LocalSet;

use crate::aim::Aim;
use crate::frame::{Role, Samples, ThreadTimes, answer, cpu_own, peak_memory_kib_of, serve};
use crate::wire::Connection;

/// The first of the sessions, each of which is asked for once before the warm-up: others have been measured meanwhile.
const WARMED: usize = 1_000;

/// What is to be sent, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) address: SocketAddr,
    /// The server's.
    pub(crate) process: u32,
    pub(crate) aim: Aim,
    pub(crate) connections: usize,
    /// What is not measured yet.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    /// The server's processor time for one request.
    pub(crate) cpu_micros: f64,
    /// The most memory that the server has used since its start.
    pub(crate) peak_mib: f64,
    /// The part of its processor that the load itself used: near 1, and it is the load that is measured.
    pub(crate) load_cpu: f64,
}

/// The process that makes the load.
pub(crate) struct Load(Role);

impl Load {
    pub(crate) fn start() -> Self {
        Self(Role::spawn("load", &[], true))
    }

    pub(crate) fn round(&mut self, order: &Order) -> Round {
        let patience = (order.warm_up + order.measured) * 2 + Duration::from_mins(1);
        serde_json::from_value(self.0.ask(&json!(order), patience)).expect("a round")
    }
}

/// Plays the role.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    serve(|request| {
        let order: Order = serde_json::from_value(request).expect("an order");
        answer(&json!(LocalSet::new().block_on(&runtime, fire(&order))));
    });
}

async fn fire(order: &Order) -> Round {
    let requests: Rc<[Box<[u8]>]> = order.aim.requests().into();
    let connections = connect(order.address, order.connections, &requests).await;
    let start = Instant::now() + order.warm_up;
    let end = start + order.measured;
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| tokio::task::spawn_local(repeat(connection, Rc::clone(&requests), start, end)))
        .collect();
    tokio::time::sleep_until(start.into()).await;
    let (began, server, own) = (Instant::now(), ThreadTimes::of(order.process), cpu_own());
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("no panic"));
    }
    let (seconds, own) = (began.elapsed().as_secs_f64(), cpu_own() - own);
    let server = ThreadTimes::of(order.process).since(&server);
    let count = latencies.len() as f64;
    let latencies: Samples = latencies.into_iter().collect();
    Round {
        per_second: count / seconds,
        p50_micros: latencies.median(),
        p99_micros: latencies.percentile(99.0),
        cpu_micros: server * 1e6 / count,
        peak_mib: peak_memory_kib_of(order.process) as f64 / 1024.0,
        load_cpu: own / seconds,
    }
}

/// So many connections to a server that has met the first of `requests`.
pub(crate) async fn connect(address: SocketAddr, count: usize, requests: &[Box<[u8]>]) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Connection::open(address).await);
    }
    for request in requests.iter().take(WARMED) {
        connections[0].ask(request).await;
    }
    connections
}

/// Sends until `end`, and waits for what was sent by then; gives how long each answer took that came after `start`, in
/// microseconds.
async fn repeat(mut connection: Connection, requests: Rc<[Box<[u8]>]>, start: Instant, end: Instant) -> Vec<f64> {
    let mut latencies = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        let reply = connection.ask(&requests[rand::random_range(0..requests.len())]).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(reply.body));
        let answered = Instant::now();
        if answered >= start {
            latencies.push((answered - begun).as_secs_f64() * 1e6);
        }
        begun = answered;
    }
    latencies
}
