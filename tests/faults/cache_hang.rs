//! Redis stops answering in the middle of traffic, with its connections open: nobody waits for it, nothing fails.

use std::time::{Duration, Instant};

use crate::person::Person;
use crate::server::ServerProcess;
use crate::setup::Setup;

/// More than are asked about at once of an instance that asks Redis alone ([`gatepost::redis::Portions`]): some wait for others.
const CLIENTS: usize = 12;
/// Each of: before, while Redis hangs, after.
const PHASE: Duration = Duration::from_secs(3);
/// The most that a request takes longer than before.
const NOTICED: Duration = Duration::from_millis(150);
/// For throughput over time.
const SLICE: Duration = Duration::from_secs(1);

/// A request: when it was sent, since the beginning, and how long it took.
type Sample = (Duration, Duration);

/// Validates until `until`; panics when an answer is not the right one.
async fn validates(person: &Person, server: &ServerProcess, begun: Instant, until: Duration) -> Vec<Sample> {
    let mut samples = Vec::new();
    while begun.elapsed() < until {
        let sent = begun.elapsed();
        assert!(person.is_known(server).await, "a request failed");
        samples.push((sent, begun.elapsed().saturating_sub(sent)));
    }
    samples
}

/// How long requests took that were sent in this phase, ordered.
fn of_phase(samples: &[Sample], phase: u32) -> Vec<Duration> {
    let (from, to) = (PHASE * phase, PHASE * (phase + 1));
    let sent_then = samples.iter().filter(|(sent, _)| (from..to).contains(sent));
    let mut took: Vec<Duration> = sent_then.map(|(_, took)| *took).collect();
    took.sort_unstable();
    took
}

fn percentile(ordered: &[Duration], percent: usize) -> Duration {
    ordered[(ordered.len() - 1) * percent / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_hangs_under_load_and_nobody_waits() {
    redis_hangs("on", Some(NOTICED)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_hangs_where_it_alone_is_asked_and_nobody_waits() {
    // Meanwhile each request asks the database, and how long that takes says how busy this machine is.
    redis_hangs("off", None).await;
}

/// With entries in memory, or without. `noticed` is the most that half of the requests take longer than before.
async fn redis_hangs(memory: &'static str, noticed: Option<Duration>) {
    let setup = Setup::on_servers().await.with(&[
        ("GATEPOST_RATE_LIMITS", "off"),
        ("GATEPOST_CACHE_MEMORY", memory),
        ("GATEPOST_WORKERS", "1"),
    ]);
    let server = setup.start().await;
    let mut people = Vec::new();
    for number in 0..CLIENTS {
        people.push(Person::signed_in(&setup, &server, &format!("p{number}@example.com")).await);
    }
    let begun = Instant::now();
    let clients = people.iter().map(|person| validates(person, &server, begun, PHASE * 3));
    let redis = &setup.servers().redis;
    let faults = async {
        tokio::time::sleep_until((begun + PHASE).into()).await;
        redis.pause();
        tokio::time::sleep_until((begun + PHASE * 2).into()).await;
        redis.resume();
    };
    let (samples, ()) = tokio::join!(futures_util::future::join_all(clients), faults);
    let samples = samples.concat();

    let phases = [0, 1, 2].map(|phase| of_phase(&samples, phase));
    for (name, took) in ["before", "while Redis hangs", "after"].iter().zip(&phases) {
        let (median, high, longest) = (percentile(took, 50), percentile(took, 99), percentile(took, 100));
        eprintln!("{name}: {} requests, p50 {median:?}, p99 {high:?}, longest {longest:?}", took.len());
    }
    let slices = (PHASE * 3).as_millis() / SLICE.as_millis();
    let in_slice = |at: u128| samples.iter().filter(|(sent, _)| sent.as_millis() / SLICE.as_millis() == at).count();
    eprintln!("requests in each {SLICE:?}: {:?}", (0..slices).map(in_slice).collect::<Vec<_>>());

    // Nobody waits for what hangs: not as long as one would for an answer of Redis, time and again. How long a request takes
    // at most depends on how busy this machine is, so that is printed.
    if let Some(noticed) = noticed {
        let most = percentile(&phases[0], 50) + noticed;
        for took in &phases[1..] {
            assert!(percentile(took, 50) < most, "half of the requests took {noticed:?} longer than before");
        }
    }
    for slice in 0..slices {
        assert!(in_slice(slice) > 0, "nothing was asked for {SLICE:?}, {slice} times that after the beginning");
    }
}
