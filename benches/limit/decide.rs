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

/// What is decided: `policy` is such that after the first round nearly all of it ends so.
const OUTCOMES: [(&str, &str); 2] = [("allowed", "40/10s"), ("refused", "5/1d")];

pub(crate) async fn run(options: &Options, report: &mut Report) {
    for (outcome, policy) in OUTCOMES {
        run_one(outcome, policy, options, report).await;
    }
}

async fn run_one(outcome: &str, policy: &str, options: &Options, report: &mut Report) {
    eprintln!("decide: {outcome}, {SUBJECTS} subjects");
    let server = support::Redis::start().await;
    let (limiter, redis) = place::limiter(&server, &[("limits.otp_request_email", policy)]).await;
    if outcome == "refused" {
        use_up(&limiter).await;
    }
    let before = limiter.counters();
    let sides = [Side::Empty(redis.clone()), Side::Limiter(limiter.clone())];
    // Rather often than long: a shared machine is another one every few seconds.
    let (rounds, length) =
        if options.quick { (11, Duration::from_millis(250)) } else { (41, Duration::from_millis(300)) };
    let measured = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        redis.adopt_thread();
        CALLERS.map(|callers| runtime.block_on(compare(&sides, callers, rounds, length)))
    });
    for (callers, Compared { costs, tails, own, peer }) in CALLERS.into_iter().zip(measured.await.expect("no panic")) {
        let context = format!("{:.2}..{:.2}; {} of {} a second", costs.min(), costs.max(), own.spread(), peer.spread());
        let name = format!("decide_{outcome}_cost_c{callers}");
        report.add(Figure::new(name, "ratio", costs.median()).at_most(COST).context(context));
        let context = format!("{:.2}..{:.2}", tails.min(), tails.max());
        let name = format!("decide_{outcome}_p99_c{callers}");
        report.add(Figure::new(name, "ratio", tails.median()).at_most(COST).context(context));
    }
    let after = limiter.counters();
    assert_eq!(after.decided_locally, 0, "Redis has decided all");
    let (allowed, denied) = (after.allowed - before.allowed, after.denied - before.denied);
    let others = if outcome == "allowed" { denied } else { allowed };
    assert!(others * 20 < allowed + denied, "{allowed} were allowed and {denied} refused");
}

/// Leaves nothing to anybody.
async fn use_up(limiter: &Limiter) {
    const TOGETHER: usize = 100;
    for first in (0..SUBJECTS).step_by(TOGETHER) {
        let numbers = (first..first + TOGETHER).flat_map(|number| [number; 5]);
        let asked = numbers.map(|number| async move { drop(limiter.check(&[place::mailbox(number)]).await) });
        futures_util::future::join_all(asked).await;
    }
}
