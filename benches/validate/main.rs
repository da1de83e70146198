//! The benchmark of checking sessions; `docs/benchmarks.md` says what it measures and how, `scripts/bench validate` runs it.
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

mod aim;
mod bare;
mod enforcement;
mod growth;
mod hot;
mod load;
mod place;
mod rounds;
mod seed;
mod servers;
mod stall;
mod stall_load;
mod subject;
mod tiers;
mod wire;
mod zipf;
mod zipf_load;

use std::process::ExitCode;

use frame::{Options, Report};
use servers::Servers;

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
        "bare" => bare::run(arguments),
        "load" => load::run(),
        "stall" => stall_load::run(),
        "subject" => subject::run(arguments),
        "zipf" => zipf_load::run(arguments),
        other => panic!("no role {other}"),
    }
}

async fn measure(options: &Options) -> Report {
    let mut report = Report::new("validate");
    let mut servers = Servers::start().await;
    if options.wants("hot") {
        hot::run(&mut servers, options, &mut report).await;
    }
    if options.wants("steady") {
        hot::run_long(&mut servers, options, &mut report).await;
    }
    if options.wants("tiers") {
        tiers::run(&mut servers, options, &mut report).await;
    }
    if options.wants("growth") {
        growth::run(&mut servers, options, &mut report).await;
    }
    if options.wants("zipf") {
        zipf::run(&mut servers, options, &mut report).await;
    }
    if options.wants("stall") {
        stall::run(&mut servers, options, &mut report).await;
    }
    if options.wants("enforcement") {
        enforcement::run(&mut servers, options, &mut report).await;
    }
    report
}
