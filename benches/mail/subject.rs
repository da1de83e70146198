//! The product in a process of its own: sends what is queued, and takes requests meanwhile.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::Ran;
use crate::frame::{Role, answer, cpu_own, peak_memory_kib, serve, unix_nanos};
use crate::rig::{self, Place, Rig};
use crate::seed::Kind;

const ANSWER: Duration = Duration::from_mins(1);

/// The product as the bench sees it.
pub(crate) struct Subject(Role);

/// One request that was accepted while other mails were sent.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Accepted {
    pub(crate) recipient: String,
    /// When it was asked and when it was answered, in nanoseconds since 1970.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
}

impl Subject {
    /// Starts it at `place`, with everything connected and nothing sent yet.
    pub(crate) fn start(place: &Place, shows_log: bool) -> Self {
        let place = serde_json::to_string(place).expect("JSON");
        let mut role = Role::spawn("subject", &[place], shows_log);
        role.hear(ANSWER);
        Self(role)
    }

    /// Queues every mail of the outbox, in this process if there is no Redis.
    pub(crate) fn fill(&mut self, kind: Kind, ids: &[gatepost::domain::MailId]) {
        self.0.ask(&json!({ "fill": ids, "urgent": kind == Kind::SignIn }), ANSWER);
    }

    /// Sends until `mails` have come to an end.
    pub(crate) fn drain(&mut self, mails: usize, patience: Duration) -> Ran {
        Ran::read(&self.0.ask(&json!({ "drain": mails, "patience": patience.as_secs() }), patience + ANSWER))
    }

    /// Starts sending, and goes on with it.
    pub(crate) fn send(&mut self) {
        self.0.ask(&json!("send"), ANSWER);
    }

    /// Accepts `count` requests, one every `pause`.
    pub(crate) fn accept(&mut self, count: usize, pause: Duration) -> Vec<Accepted> {
        let request = json!({ "accept": count, "pause_ms": pause.as_millis() });
        serde_json::from_value(self.0.ask(&request, ANSWER + pause * 4 * u32::try_from(count).unwrap_or(1000)))
            .expect("what was accepted")
    }
}

/// Plays the role.
pub(crate) fn run(arguments: &[String]) {
    let place: Place = serde_json::from_str(&arguments[0]).expect("a place");
    rig::start_log(&place);
    let runtime = Runtime::new().expect("threads");
    let rig = runtime.block_on(Rig::open(&place));
    answer(&json!("ready"));
    let mut worker = None;
    serve(|request| {
        let reply = if let Some(mails) = request["drain"].as_u64() {
            let patience = Duration::from_secs(request["patience"].as_u64().expect("seconds"));
            runtime.block_on(drain(&rig, mails, patience))
        } else if let Some(count) = request["accept"].as_u64() {
            let pause = Duration::from_millis(request["pause_ms"].as_u64().expect("milliseconds"));
            json!(runtime.block_on(accept(&rig, count, pause)))
        } else if request == "send" {
            worker = Some(runtime.block_on(async { rig.worker() }));
            json!("sending")
        } else {
            let kind = if request["urgent"] == json!(true) { Kind::SignIn } else { Kind::Notice };
            let ids: Vec<_> = serde_json::from_value(request["fill"].clone()).expect("ids");
            runtime.block_on(rig.fill(&ids, kind.priority()));
            json!("filled")
        };
        answer(&reply);
    });
    drop(worker);
}

/// From the start of the worker until the database has been told the end of the last mail.
async fn drain(rig: &Rig, mails: u64, patience: Duration) -> Value {
    let cpu_before = cpu_own();
    let begun = Instant::now();
    let worker = rig.worker();
    while rig.ended() < mails && begun.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = cpu_own() - cpu_before;
    let peak_kib = peak_memory_kib();
    let counts = rig.counters.snapshot();
    worker.shutdown(Duration::from_secs(5)).await;
    json!({ "seconds": seconds, "cpu": cpu, "peak_kib": peak_kib, "sent": counts.sent })
}

async fn accept(rig: &Rig, count: u64, pause: Duration) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0..count {
        ticks.tick().await;
        let recipient = format!("urgent-{number}@d{}.example", number % 50);
        let asked = unix_nanos();
        rig.accept(&recipient).await;
        accepted.push(Accepted { recipient, asked, answered: unix_nanos() });
    }
    accepted
}
