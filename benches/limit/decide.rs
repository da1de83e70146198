//! One decision of one policy beside a bare EVALSHA of an empty script: what an exact limiter costs on top of the round
//! trip that any shared limiter has. By turns, over the same handle on the same Redis, from a thread that is what the
//! product's threads of HTTP are: one runtime, and a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gatepost::limit::Limiter;
use gatepost::redis::{Redis, Script};

use crate::frame::{Figure, Options, Report, Samples};
use crate::place;
use crate::support;

/// A decision may take so many times the time of the empty script.
const COST: f64 = 1.3;
/// Subjects that ask, each as often as the others.
const SUBJECTS: usize = 50_000;
/// Callers at a time.
const CALLERS: [usize; 3] = [1, 16, 64];

static EMPTY: Script = Script::new("return 1");

/// One of the two that are measured.
#[derive(Clone)]
enum Side {
    Limiter(Limiter),
    Empty(Redis),
}

impl Side {
    async fn call(&self, number: usize) {
        let check = place::mailbox(number % SUBJECTS);
        match self {
            Self::Limiter(limiter) => drop(limiter.check(&[check]).await),
            Self::Empty(redis) => {
                let key = format!("rate:{}:{}", check.policy, check.subject);
                redis.run_script::<u64>(&EMPTY, &[key], &[5_u64]).await.expect("Redis answers");
            }
        }
    }
}

/// Calls per second, and the 99th percentile in microseconds.
async fn round(side: &Side, callers: usize, length: Duration) -> (f64, f64) {
    let (begun, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (side, next) = (side.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut took = Vec::new();
                while begun.elapsed() < length {
                    let asked = Instant::now();
                    side.call(next.fetch_add(7919, Ordering::Relaxed)).await;
                    took.push(asked.elapsed().as_secs_f64() * 1e6);
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("no panic"));
    }
    let per_second = took.len() as f64 / begun.elapsed().as_secs_f64();
    (per_second, took.into_iter().collect::<Samples>().percentile(99.0))
}

/// What the rounds found.
#[derive(Default)]
struct Compared {
    /// The limiter's time for a call, and its 99th percentile, as ratios to the empty script's.
    costs: Samples,
    tails: Samples,
    /// Calls per second.
    own: Samples,
    peer: Samples,
}

async fn compare(sides: &[Side; 2], callers: usize, rounds: usize, length: Duration) -> Compared {
    let mut found = Compared::default();
    for number in 0..=rounds {
        let [(empty, empty_p99), (decided, decided_p99)] =
            [round(&sides[0], callers, length).await, round(&sides[1], callers, length).await];
        // The first warms up.
        if number > 0 {
            found.costs.push(empty / decided);
            found.tails.push(decided_p99 / empty_p99);
            found.own.push(decided);
            found.peer.push(empty);
        }
    }
    found
}

pub(crate) async fn run(options: &Options, report: &mut Report) {
    eprintln!("decide: one policy, {SUBJECTS} subjects");
    let server = support::Redis::start().await;
    let (limiter, redis) = place::limiter(&server, &[]).await;
    let sides = [Side::Empty(redis.clone()), Side::Limiter(limiter.clone())];
    let (rounds, length) =
        if options.quick { (5, Duration::from_millis(500)) } else { (9, Duration::from_millis(1500)) };
    let measured = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        redis.adopt_thread();
        CALLERS.map(|callers| runtime.block_on(compare(&sides, callers, rounds, length)))
    });
    for (callers, Compared { costs, tails, own, peer }) in CALLERS.into_iter().zip(measured.await.expect("no panic")) {
        let context = format!("{:.2}..{:.2}; {} of {} a second", costs.min(), costs.max(), own.spread(), peer.spread());
        report.add(
            Figure::new(format!("decide_cost_c{callers}"), "ratio", costs.median()).at_most(COST).context(context),
        );
        let context = format!("{:.2}..{:.2}", tails.min(), tails.max());
        report
            .add(Figure::new(format!("decide_p99_c{callers}"), "ratio", tails.median()).at_most(COST).context(context));
    }
    assert_eq!(limiter.counters().decided_locally, 0, "Redis has decided all");
}
