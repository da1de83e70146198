//! The benchmark of the limiter; `docs/benchmarks.md` says what it measures and how, `scripts/bench limit` runs it.
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
#[allow(dead_code, reason = "shared with the benchmark of sessions, which uses all of it")]
#[path = "../validate/wire.rs"]
mod wire;

mod decide;
mod flood;
mod memory;
mod place;

use std::process::ExitCode;

use frame::{Options, Report};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "role") {
        flood::play(&arguments[1], &arguments[2..]);
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

async fn measure(options: &Options) -> Report {
    let mut report = Report::new("limit");
    if options.wants("decide") {
        decide::run(options, &mut report).await;
    }
    if options.wants("memory") {
        memory::run(options, &mut report).await;
    }
    if options.wants("flood") {
        flood::run(options, &mut report).await;
    }
    report
}
