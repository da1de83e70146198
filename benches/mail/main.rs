//! The mail benchmark; `docs/benchmarks.md` says what it measures and how, `scripts/bench mail` runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark reports by printing and fails by panicking"
)]
#![allow(clippy::cast_precision_loss, reason = "counts here are far below what a float can hold exactly")]

#[path = "../frame/mod.rs"]
mod frame;
#[path = "../../tests/support/mod.rs"]
mod support;

mod accept;
mod breakdown;
mod drain;
mod peer;
mod rig;
mod seed;
mod servers;
mod sink;
mod subject;
mod urgent;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use drain::Drain;
use frame::{Figure, Options, Report};
use servers::Servers;
use urgent::Urgent;

/// Connections to the sink, on both sides.
const CONNECTIONS: usize = 8;
/// Domains of recipients.
const DOMAINS: usize = 50;
/// How late the slow sink answers: a relay on the same continent.
const LATE: Duration = Duration::from_millis(20);

/// What one side tells after a run.
#[derive(Clone, Copy, Debug)]
struct Ran {
    seconds: f64,
    cpu: f64,
    peak_kib: f64,
}

impl Ran {
    fn read(answer: &Value) -> Self {
        let number = |name: &str| answer[name].as_f64().expect("a number");
        Self { seconds: number("seconds"), cpu: number("cpu"), peak_kib: number("peak_kib") }
    }
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "role") {
        play(&arguments[1], &arguments[2..]);
        return ExitCode::SUCCESS;
    }
    // Cargo says so when it measures; without it, it only wants to see whether this runs.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    arguments.retain(|argument| argument != "--bench");
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let report = runtime.block_on(measure(&options));
    let is_within = report.print();
    if options.check && !is_within { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn play(role: &str, arguments: &[String]) {
    match role {
        "sink" => sink::run(arguments),
        "peer" => peer::run(),
        "subject" => subject::run(arguments),
        "accept" => accept::run(arguments),
        other => panic!("no role {other}"),
    }
}

async fn measure(options: &Options) -> Report {
    let mut report = Report::new("mail");
    let mut servers = Servers::start().await;
    if options.wants("breakdown") {
        breakdown::run(&mut servers, &mut report).await;
    }
    if options.wants("enqueue") {
        enqueue(&mut servers, options, &mut report).await;
    }
    if options.wants("drain") {
        drains(&mut servers, options, &mut report).await;
    }
    if options.wants("urgent") {
        for urgent in situations(options) {
            urgent::run(urgent, &mut servers, options, &mut report).await;
        }
    }
    report
}

async fn drains(servers: &mut Servers, options: &Options, report: &mut Report) {
    let specimen = drain::specimen(servers, options).await;
    let mut peaks = Vec::new();
    for comparison in comparisons(options) {
        let peak = drain::run(comparison, servers, &specimen, options, report).await;
        if !comparison.on_sqlite && comparison.delay.is_zero() {
            peaks.push(peak);
        }
    }
    if let [small, large] = peaks[..] {
        let context = "peak memory with the long queue, over that with the short one";
        report.add(Figure::new("drain_memory_growth", "ratio", large / small).at_most(1.5).context(context));
    }
}

fn comparisons(options: &Options) -> Vec<Drain> {
    let quick = options.quick;
    let size = |full: usize, small: usize| if quick { small } else { full };
    let instant = Drain {
        name: "drain_instant_10k",
        mails: 10_000,
        rounds: size(3, 1),
        delay: Duration::ZERO,
        on_sqlite: false,
        limit: Some(0.60),
    };
    let late =
        Drain { name: "drain_late", mails: size(2_000, 160), rounds: 1, delay: LATE, limit: Some(0.95), ..instant };
    let sqlite = Drain { name: "drain_sqlite_10k", on_sqlite: true, limit: None, ..instant };
    let long = Drain { name: "drain_instant_100k", mails: 100_000, rounds: 1, ..instant };
    if quick { vec![instant, late, sqlite] } else { vec![instant, late, sqlite, long] }
}

fn situations(options: &Options) -> Vec<Urgent> {
    let (backlog, requests) = if options.quick { (20_000, 60) } else { (100_000, 200) };
    let instant = Urgent { name: "urgent_instant", backlog, requests, delay: Duration::ZERO, on_sqlite: false };
    let late = Urgent { name: "urgent_late", delay: LATE, ..instant };
    // A process queues ten thousand ids of a priority and leaves the others to its sweeper.
    let sqlite = Urgent { name: "urgent_sqlite", on_sqlite: true, backlog: 10_000, ..late };
    vec![instant, late, sqlite]
}

async fn enqueue(servers: &mut Servers, options: &Options, report: &mut Report) {
    let count = if options.quick { 500 } else { 2_000 };
    eprintln!("enqueue: {count} mails accepted, and {count} plain rows committed, by turns");
    let place = servers.postgres(9).await;
    let (plain, accepted) = accept::measure(&place, count);
    let micros =
        |samples: &frame::Samples| format!("p50 {:.0} us, p99 {:.0} us", samples.median(), samples.percentile(99.0));
    let context = format!("a mail accepted {}; a plain row {}", micros(&accepted), micros(&plain));
    let ratio = accepted.median() / plain.median();
    report.add(Figure::new("enqueue_median", "ratio", ratio).at_most(2.0).context(context));
    let ratio = accepted.percentile(99.0) / plain.percentile(99.0);
    report.add(Figure::new("enqueue_p99", "ratio", ratio));
}
