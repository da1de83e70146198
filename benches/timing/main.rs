//! Whether the time of an answer tells what kind of address was asked about; `docs/benchmarks.md` says how it is measured,
//! `scripts/bench timing` runs it. The measuring is that of `tests/attack`, with more requests and a tighter limit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark reports by printing and fails by panicking"
)]

#[allow(dead_code, unused_macros, reason = "shared with tests/api, which uses all of it")]
#[path = "../../tests/api/app.rs"]
mod app;
#[allow(dead_code, reason = "shared with tests/api, which uses all of it")]
#[path = "../../tests/api/client.rs"]
mod client;
#[path = "../frame/mod.rs"]
mod frame;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../tests/attack/timing/mod.rs"]
mod timing;

use std::process::ExitCode;
use std::time::Duration;

use app::Setup;
use frame::{Figure, Options, Report};
use timing::auc::Random;
use timing::{Place, measure_all};

/// Requests of each class about each endpoint, unless another number is given.
const COUNT: usize = 5000;
const QUICK_COUNT: usize = 500;

/// How far from one half an AUC may be. With [`COUNT`] requests of each class the standard deviation is 0.006 where the time
/// tells nothing, so an AUC that is beyond this is beyond chance.
const LIMIT: f64 = 0.03;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says so when it measures; without it, it only wants to see whether this runs.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    arguments.retain(|argument| argument != "--bench");
    let given = arguments.iter().find_map(|argument| argument.parse::<usize>().ok());
    arguments.retain(|argument| argument.parse::<usize>().is_err());
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let count = given.unwrap_or(if options.quick { QUICK_COUNT } else { COUNT }).max(10);
    let report = run(&options, count);
    let is_within = report.print();
    if options.check && !is_within { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(options: &Options, count: usize) -> Report {
    let (mut report, mut random) = (Report::new("timing"), Random::from_system());
    for (database, setup) in [("sqlite", Setup::Embedded), ("postgres", Setup::Servers)] {
        for registration in ["approval", "closed"] {
            if !options.wants(database) && !options.wants(&format!("{database}:{registration}")) {
                continue;
            }
            let place = Place::start(setup, registration, timing::WARM_UP + count);
            measure_all(&place, count, Duration::MAX, &mut random, |finding| {
                for comparison in finding.comparisons {
                    let ([one, other], endpoint) = (comparison.classes, finding.endpoint.replace('/', "."));
                    let name = format!(
                        "{database}:{registration}:{}:{one}/{other}",
                        endpoint.trim_start_matches(".api.auth.")
                    );
                    let figure = Figure::new(name, "AUC-1/2", comparison.distance()).at_most(LIMIT);
                    report.add(figure.context(comparison.to_string()));
                }
            });
        }
    }
    report
}
