//! The script of the sliding window beside a model of three lines, on a clock that the test moves.
//!
//! The script asks Redis for the time in one place; here that place reads it from the arguments instead, and what is a short
//! limit is said anew, so that limits of some requests have logs of both kinds. All else is what the product sends.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::aio::MultiplexedConnection;

use super::support;

const SCRIPT: &str = include_str!("../../src/limit/scripts/sliding_window.lua");
const KEYS: [&str; 3] = ["rate:a", "rate:b", "rate:c"];
/// In microseconds since 1970.
const BEGIN: u64 = 4_000_000_000_000_000;
/// How long logs are kept, in milliseconds: by Redis's own clock, which shall not meddle here.
const KEPT: &str = "3600000";

/// What one key allows.
#[derive(Clone, Copy, Debug)]
struct Policy {
    limit: u64,
    window: u64,
}

/// One call.
#[derive(Clone, Debug)]
struct Step {
    /// Microseconds since the last one.
    gap: u64,
    /// Microseconds by which the clock was set back after that.
    back: u64,
    /// Which keys are asked about, for each request: a bit each.
    requests: Vec<usize>,
    /// Whether it only looks.
    looks: bool,
    /// Whether half of each limit is in force.
    lowered: bool,
    /// Requests that were let through elsewhere, and how long ago the last one was.
    owed: (u64, u64),
}

/// What is asked about one key.
#[derive(Clone, Copy, Debug)]
struct Asked {
    key: usize,
    policy: Policy,
    owed: (u64, u64),
}

/// The times of what was recorded, by key.
#[derive(Debug, Default)]
struct Model {
    logs: [Vec<u64>; 3],
    /// The longest limit whose log is a string: of which what is past goes when something is added.
    short: u64,
}

impl Model {
    fn decide(&mut self, now: u64, asked: &[Asked], records: bool) -> Vec<(u64, u64, u64)> {
        let (mut waits, mut pasts) = (Vec::new(), Vec::new());
        for Asked { key, policy: Policy { limit, window }, owed: (count, age) } in asked.iter().copied() {
            let log = &mut self.logs[key];
            let mut past = log.iter().take_while(|time| **time + window <= now).count();
            let more = count.min(limit.saturating_sub((log.len() - past) as u64));
            let settles = age < window && more > 0;
            if settles || limit > self.short {
                log.drain(..past);
                past = 0;
            }
            if settles {
                let at = log.last().map_or(now - age, |last| (now - age).max(*last));
                log.extend((0..more).map(|_| at));
            }
            let over = (log.len() - past).checked_sub(usize::try_from(limit).unwrap());
            waits.push(over.map_or(0, |over| log[past + over] + window - now));
            pasts.push(past);
        }
        let recorded = records && waits.iter().all(|wait| *wait == 0);
        let answer = asked.iter().zip(waits).zip(pasts).map(|((Asked { key, policy, .. }, wait), mut past)| {
            let log = &mut self.logs[*key];
            if recorded {
                log.drain(..past);
                past = 0;
                // A clock that was set back changes nothing about their order.
                log.push(log.last().map_or(now, |last| now.max(*last)));
            }
            let count = log.len() - past;
            let over = count.saturating_sub(usize::try_from(policy.limit).unwrap());
            let reset = log.get(past + over).map_or(0, |next| next + policy.window - now);
            (policy.limit.saturating_sub(count as u64), wait, reset)
        });
        answer.collect()
    }
}

async fn call(
    conn: &mut MultiplexedConnection,
    script: &str,
    now: u64,
    requests: &[Vec<Asked>],
    records: bool,
) -> Vec<(u64, u64, u64)> {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(requests.iter().map(Vec::len).sum::<usize>());
    let mut numbers = Vec::new();
    for asked in requests {
        for (position, Asked { key, policy, owed }) in asked.iter().enumerate() {
            command.arg(KEYS[*key]);
            numbers.extend(u32::try_from(policy.limit).unwrap().to_be_bytes());
            numbers.extend(policy.window.to_be_bytes());
            numbers.extend(u32::try_from(owed.0).unwrap().to_be_bytes());
            numbers.extend(owed.1.to_be_bytes());
            numbers.push(u8::try_from(asked.len() - position - 1).unwrap());
            numbers.push(u8::try_from(KEPT.len()).unwrap());
            numbers.extend(KEPT.as_bytes());
        }
    }
    command.arg(u8::from(records)).arg(numbers).arg(now / 1_000_000).arg(now % 1_000_000);
    let answer: Vec<u8> = command.query_async(conn).await.unwrap();
    let time = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let told = |told: &[u8]| {
        let left = u32::from_be_bytes(told[..4].try_into().unwrap());
        (u64::from(left), time(&told[4..12]), time(&told[12..]))
    };
    answer.chunks(20).map(told).collect()
}

/// What is recorded under `key`, in a log of either kind.
async fn recorded(conn: &mut MultiplexedConnection, key: &str) -> Vec<u64> {
    let kind: String = redis::cmd("TYPE").arg(key).query_async(conn).await.unwrap();
    if kind == "string" {
        let text: Vec<u8> = redis::cmd("GET").arg(key).query_async(conn).await.unwrap();
        text.chunks(8).map(|time| u64::from_be_bytes(time.try_into().unwrap())).collect()
    } else {
        redis::cmd("LRANGE").arg(key).arg(0).arg(-1).query_async(conn).await.unwrap()
    }
}

/// The script on a clock that its last two arguments tell, with strings for limits up to `short` and lists for others.
fn script(short: u64) -> String {
    let (time, limit) = ("redis.call('TIME')", "local SHORT = 128");
    assert!(SCRIPT.contains(time) && SCRIPT.contains(limit), "the script says these two in another way");
    let told_the_time = SCRIPT.replace(time, "{ ARGV[#ARGV - 1], ARGV[#ARGV] }");
    told_the_time.replace(limit, &format!("local SHORT = {short}"))
}

fn a_policy() -> impl Strategy<Value = Policy> {
    (1_u64..12, 1_u64..5_000_000).prop_map(|(limit, window)| Policy { limit, window })
}

fn a_step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![Just(0_u64), 1_u64..1_000, 1_u64..3_000_000];
    let owed = prop_oneof![4 => Just((0_u64, 0_u64)), 1 => (1_u64..15, 0_u64..6_000_000)];
    let requests = prop::collection::vec(1_usize..8, 1..4);
    let back = prop_oneof![9 => Just(0_u64), 1 => 1_u64..3_000_000];
    (gap, back, requests, prop::bool::weighted(0.2), prop::bool::weighted(0.1), owed)
        .prop_map(|(gap, back, requests, looks, lowered, owed)| Step { gap, back, requests, looks, lowered, owed })
}

/// Fails unless no window of time saw more than the limit.
fn assert_within(policy: Policy, allowed: &[u64]) {
    let limit = usize::try_from(policy.limit).unwrap();
    for times in allowed.windows(limit + 1) {
        assert!(times[limit] - times[0] >= policy.window, "{policy:?}: {times:?}");
    }
}

async fn play(conn: &mut MultiplexedConnection, short: u64, policies: [Policy; 3], steps: &[Step]) {
    let script = &script(short);
    redis::cmd("FLUSHALL").exec_async(conn).await.unwrap();
    let (mut model, mut now, mut allowed) = (Model { short, ..Model::default() }, BEGIN, [const { Vec::new() }; 3]);
    // A clock that goes back by more than a window makes a log begin anew.
    let (least, mut latest) = (policies.iter().map(|policy| policy.window).min().unwrap(), now);
    for step in steps {
        now += step.gap;
        latest = latest.max(now);
        now = now.saturating_sub(step.back).max(latest - least);
        let asked = |key: usize| {
            let Policy { limit, window } = policies[key];
            let limit = if step.lowered { limit.div_ceil(2) } else { limit };
            Asked { key, policy: Policy { limit, window }, owed: step.owed }
        };
        let of_request = |keys: &usize| (0..KEYS.len()).filter(|key| keys & (1 << key) != 0).map(asked).collect();
        let requests: Vec<Vec<Asked>> = step.requests.iter().map(of_request).collect();
        let mut answer = call(conn, script, now, &requests, !step.looks).await.into_iter();
        for asked in &requests {
            let answer: Vec<_> = answer.by_ref().take(asked.len()).collect();
            assert_eq!(answer, model.decide(now, asked, !step.looks), "{step:?} at {}", now - BEGIN);
            if !step.looks && answer.iter().all(|(_, wait, _)| *wait == 0) {
                for asked in asked {
                    allowed[asked.key].extend(model.logs[asked.key].last());
                }
            }
        }
        for asked in requests.iter().flatten() {
            let log = recorded(conn, KEYS[asked.key]).await;
            assert_eq!(log, model.logs[asked.key]);
            assert!(log.len() as u64 <= policies[asked.key].limit, "a log is no longer than its limit");
        }
    }
    for (policy, allowed) in policies.iter().zip(&allowed) {
        assert_within(*policy, allowed);
    }
}

#[test]
fn the_script_decides_as_the_model_does_whatever_the_clock_the_limits_and_the_subjects() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(support::Redis::start());
    let conn = runtime.block_on(server.connection());
    let mut runner = TestRunner::new(Config { cases: 70, failure_persistence: None, ..Config::default() });
    let cases = (prop::array::uniform3(a_policy()), prop::collection::vec(a_step(), 1..60));
    let outcome = runner.run(&cases, |(policies, steps)| {
        // With the first, halving a limit takes some from one kind of log to the other.
        for short in [4, 128] {
            runtime.block_on(play(&mut conn.clone(), short, policies, &steps));
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_long_log_is_cleared_wherever_it_ends() {
    let script = script(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = support::Redis::start().await;
        let mut conn = server.connection().await;
        let policy = Policy { limit: 100, window: 1_000 };
        let asked = [vec![Asked { key: 0, policy, owed: (0, 0) }]];
        for past in 0..=100 {
            redis::cmd("DEL").arg(KEYS[0]).exec_async(&mut conn).await.unwrap();
            let mut model = Model::default();
            for number in 0..100 {
                let now = BEGIN + number;
                assert_eq!(call(&mut conn, &script, now, &asked, true).await, model.decide(now, &asked[0], true));
            }
            let now = BEGIN + 999 + past;
            assert_eq!(call(&mut conn, &script, now, &asked, true).await, model.decide(now, &asked[0], true), "{past}");
        }
    });
}
