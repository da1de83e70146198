//! A load over some connections that keeps the time of each answer apart by the moment at which it was asked for.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::LocalSet;

use crate::aim::Aim;
use crate::frame::{Role, answer, serve};
use crate::load::connect;
use crate::wire::Connection;

/// What is told apart.
pub(crate) const SLICE: Duration = Duration::from_millis(100);
/// How much later than asked for the load may be ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is to be sent, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) address: SocketAddr,
    pub(crate) aim: Aim,
    pub(crate) connections: usize,
    pub(crate) measured: Duration,
}

/// What was found, a tenth of a second after the other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// Answers with another status than 200.
    pub(crate) failed: u64,
    slices: Vec<Slice>,
}

/// The requests that were sent in one of them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Slice {
    requests: u64,
    longest_ms: f64,
}

/// How many fit into this time.
fn slices(time: Duration) -> usize {
    (time.as_millis() / SLICE.as_millis()) as usize
}

impl Timeline {
    fn note(&mut self, sent: Duration, took: Duration) {
        if let Some(slice) = self.slices.get_mut(slices(sent)) {
            slice.requests += 1;
            slice.longest_ms = slice.longest_ms.max(took.as_secs_f64() * 1e3);
        }
    }

    fn between(&self, from: Duration, to: Duration) -> &[Slice] {
        &self.slices[slices(from)..slices(to)]
    }

    /// The longest that a request took which was sent in this time, in milliseconds.
    pub(crate) fn longest_ms(&self, from: Duration, to: Duration) -> f64 {
        self.between(from, to).iter().map(|slice| slice.longest_ms).fold(0.0, f64::max)
    }

    pub(crate) fn per_second(&self, from: Duration, to: Duration) -> f64 {
        let requests: u64 = self.between(from, to).iter().map(|slice| slice.requests).sum();
        requests as f64 / to.saturating_sub(from).as_secs_f64()
    }
}

/// The process that makes the load.
pub(crate) struct StallLoad(Role);

impl StallLoad {
    pub(crate) fn start() -> Self {
        Self(Role::spawn("stall", &[], true))
    }

    /// Returns at the moment from which the time counts.
    pub(crate) fn begin(&mut self, order: &Order) {
        self.0.ask(&json!(order), PATIENCE);
    }

    pub(crate) fn end(&mut self, measured: Duration) -> Timeline {
        serde_json::from_value(self.0.hear(measured + PATIENCE)).expect("a timeline")
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

async fn fire(order: &Order) -> Timeline {
    let requests: Rc<[Box<[u8]>]> = order.aim.requests().into();
    let connections = connect(order.address, order.connections, &requests).await;
    let slices = vec![Slice::default(); slices(order.measured)];
    let timeline = Rc::new(RefCell::new(Timeline { failed: 0, slices }));
    answer(&json!("it begins"));
    let begun = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|connection| {
            let (requests, timeline) = (Rc::clone(&requests), Rc::clone(&timeline));
            tokio::task::spawn_local(repeat(connection, requests, begun, order.measured, timeline))
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    timeline.take()
}

async fn repeat(
    mut connection: Connection,
    requests: Rc<[Box<[u8]>]>,
    begun: Instant,
    measured: Duration,
    timeline: Rc<RefCell<Timeline>>,
) {
    loop {
        let sent = begun.elapsed();
        if sent >= measured {
            return;
        }
        let reply = connection.ask(&requests[rand::random_range(0..requests.len())]).await;
        let has_failed = reply.status != 200;
        let mut timeline = timeline.borrow_mut();
        timeline.failed += u64::from(has_failed);
        timeline.note(sent, begun.elapsed().saturating_sub(sent));
    }
}
