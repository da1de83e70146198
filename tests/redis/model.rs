//! The script of the sliding window beside a model of three lines, on a clock that the test moves.
//!
//! The script asks Redis for the time in one place; here that place reads it from two more arguments, which come after the
//! debts, if there are any. The logs of short limits expire by the same clock, at a moment that is looked at and not waited for.
//! What is a short limit is said anew, so that limits of some requests have logs of both kinds. All else is what the product
//! sends.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::aio::MultiplexedConnection;

use super::support;

const SCRIPT: &str = include_str!("../../src/limit/scripts/sliding_window.lua");
const KEYS: [&str; 3] = ["rate:a", "rate:b", "rate:c"];
/// In microseconds since 1970.
const BEGIN: u64 = 4_000_000_000_000_000;
/// How long logs are kept, in seconds; lists by Redis's own clock, by which no case takes as long.
const KEPT: u64 = 7;

/// What one key allows.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// Requests under each key that were let through elsewhere, and how long ago the last one was.
    owed: [(u64, u64); 3],
}

/// What is asked about one key.
#[derive(Clone, Copy, Debug)]
struct Asked {
    key: usize,
    policy: Policy,
    owed: (u64, u64),
}

/// What was recorded under one key.
#[derive(Debug, Default)]
struct Log {
    times: Vec<u64>,
    /// Whether it was left in a list.
    is_list: bool,
    /// The second until which it is kept, at least, where it was left in a string.
    until: u64,
    /// What a call under way knows of it.
    call: Option<Opened>,
}

/// A log in a call.
#[derive(Debug)]
struct Opened {
    /// How many of its times, the first ones, have left the window.
    past: usize,
    /// How many others it had.
    rest: usize,
    added: bool,
    /// Whether it is written anew if it is written, which is when what is past goes.
    anew: bool,
    /// Whether it is written whatever is decided.
    settled: bool,
}

impl Log {
    /// Opens it for the call.
    fn open(&mut self, now: u64, window: u64, as_list: bool) {
        let mut past = self.times.iter().take_while(|time| **time + window <= now).count();
        if as_list {
            self.times.drain(..past);
            (past, self.is_list) = (0, true);
        }
        let anew = self.is_list && !as_list;
        self.call = Some(Opened { past, rest: self.times.len() - past, added: false, anew, settled: false });
    }

    fn close(&mut self, now: u64, window: u64, as_list: bool) {
        let Some(Opened { past, rest, added, anew, settled }) = self.call.take() else { return };
        if (added || settled) && !as_list {
            self.is_list = false;
            let newest = self.times.last().map_or(now, |last| now.max(*last));
            if anew || settled || past > rest || self.until * 1_000_000 < newest + window {
                self.times.drain(..past);
                self.until = now / 1_000_000 + KEPT - 1;
            }
        }
    }
}

/// Nothing but the times of what was recorded, by key.
#[derive(Debug, Default)]
struct Model {
    logs: [Log; 3],
    /// The longest limit whose log is a string.
    short: u64,
}

impl Model {
    /// One call.
    fn call(&mut self, now: u64, requests: &[Vec<Asked>], records: bool) -> Vec<Vec<(u64, u64, u64)>> {
        for asked in requests.iter().flatten() {
            self.open(now, *asked);
        }
        let answers = requests.iter().map(|asked| self.decide(now, asked, records)).collect();
        for Asked { key, policy, .. } in requests.iter().flatten() {
            self.logs[*key].close(now, policy.window, policy.limit > self.short);
        }
        answers
    }

    /// Opens the log that is asked about, where this call has not yet, with what was let through elsewhere.
    fn open(&mut self, now: u64, Asked { key, policy: Policy { limit, window }, owed: (count, age) }: Asked) {
        let log = &mut self.logs[key];
        if log.call.is_some() {
            return;
        }
        log.open(now, window, limit > self.short);
        let Log { times, call: Some(opened), .. } = log else { unreachable!("it is open") };
        let more = count.min(limit.saturating_sub((times.len() - opened.past) as u64));
        if age < window && more > 0 {
            let at = times.last().map_or(now - age, |last| (now - age).max(*last));
            times.extend((0..more).map(|_| at));
            opened.settled = true;
        }
    }

    fn decide(&mut self, now: u64, asked: &[Asked], records: bool) -> Vec<(u64, u64, u64)> {
        let mut waits = Vec::new();
        for Asked { key, policy: Policy { limit, window }, .. } in asked.iter().copied() {
            let Log { times, call: Some(opened), .. } = &self.logs[key] else { unreachable!("it is open") };
            let over = (times.len() - opened.past).checked_sub(usize::try_from(limit).unwrap());
            waits.push(over.map_or(0, |over| times[opened.past + over] + window - now));
        }
        let recorded = records && waits.iter().all(|wait| *wait == 0);
        let answer = asked.iter().zip(waits).map(|(Asked { key, policy, .. }, wait)| {
            let Log { times, call: Some(opened), .. } = &mut self.logs[*key] else { unreachable!("it is open") };
            if recorded {
                opened.added = true;
                // A clock that was set back changes nothing about their order.
                times.push(times.last().map_or(now, |last| now.max(*last)));
            }
            let count = times.len() - opened.past;
            let over = count.saturating_sub(usize::try_from(policy.limit).unwrap());
            let reset = times.get(opened.past + over).map_or(0, |next| next + policy.window - now);
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
    // Each key once, in the order in which they are asked about.
    let mut logs: Vec<Asked> = Vec::new();
    for asked in requests.iter().flatten() {
        if logs.iter().all(|log| log.key != asked.key) {
            logs.push(*asked);
        }
    }
    command.arg(script).arg(logs.len());
    // Keys may be under the same policy; the last key's comes first.
    let mut distinct: Vec<Policy> = Vec::new();
    for Asked { policy, .. } in logs.iter().rev() {
        if !distinct.contains(policy) {
            distinct.push(*policy);
        }
    }
    let mut policies = Vec::new();
    for Policy { limit, window } in &distinct {
        policies.extend(u32::try_from(*limit).unwrap().to_be_bytes());
        policies.extend(window.to_be_bytes());
        let kept = KEPT.to_string();
        policies.push(u8::try_from(kept.len()).unwrap());
        policies.extend(kept.as_bytes());
    }
    let (mut asked, mut owed) = (vec![u8::from(records)], Vec::new());
    for (place, Asked { key, policy, owed: (count, age) }) in logs.iter().enumerate() {
        command.arg(KEYS[*key]);
        // Every other debt is told in two parts.
        let parts = if place % 2 == 0 { vec![*count] } else { vec![count / 2, count - count / 2] };
        for part in parts.into_iter().filter(|_| *count > 0) {
            owed.extend(u16::try_from(place).unwrap().to_be_bytes());
            owed.extend(u32::try_from(part).unwrap().to_be_bytes());
            owed.extend(age.to_be_bytes());
        }
        let number = u8::try_from(distinct.iter().position(|other| other == policy).unwrap()).unwrap();
        let mut about = requests.iter().filter(|request| request.iter().any(|asked| asked.key == *key));
        let is_alone = about.next().is_some_and(|request| request.len() == 1) && about.next().is_none() && *count == 0;
        // The short way is not taken where it is not offered.
        asked.push(if is_alone && !now.is_multiple_of(3) { number | 1 << 7 } else { number });
    }
    for request in requests {
        for (position, Asked { key, .. }) in request.iter().enumerate() {
            let place = logs.iter().position(|log| log.key == *key).unwrap();
            let more = if position + 1 < request.len() { 1 << 15 } else { 0 };
            asked.extend((u16::try_from(place).unwrap() | more).to_be_bytes());
        }
    }
    command.arg(policies).arg(asked);
    if logs.iter().any(|log| log.owed.0 > 0) {
        command.arg(owed);
    }
    command.arg(now / 1_000_000).arg(now % 1_000_000);
    let answer: Vec<u8> = command.query_async(conn).await.unwrap();
    let time = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let told = |told: &[u8]| {
        let left = u32::from_be_bytes(told[..4].try_into().unwrap());
        (u64::from(left), time(&told[4..12]), time(&told[12..]))
    };
    answer.chunks(20).map(told).collect()
}

/// What is recorded under `key`, in a log of either kind, and until when a string is kept.
async fn recorded(conn: &mut MultiplexedConnection, key: &str) -> (Vec<u64>, Option<u64>) {
    let kind: String = redis::cmd("TYPE").arg(key).query_async(conn).await.unwrap();
    if kind == "string" {
        let text: Vec<u8> = redis::cmd("GET").arg(key).query_async(conn).await.unwrap();
        let (until, times) = text.split_first_chunk().unwrap();
        let times = times.chunks(8).map(|time| u64::from_be_bytes(time.try_into().unwrap())).collect();
        (times, Some(u64::from(u32::from_be_bytes(*until))))
    } else {
        (redis::cmd("LRANGE").arg(key).arg(0).arg(-1).query_async(conn).await.unwrap(), None)
    }
}

/// Removes what has expired at `now`, and says of which keys that was.
async fn expire(conn: &mut MultiplexedConnection, now: u64) -> Vec<usize> {
    let mut expired = Vec::new();
    for (key, name) in KEYS.iter().enumerate() {
        let at: i64 = redis::cmd("PEXPIRETIME").arg(name).query_async(conn).await.unwrap();
        let kind: String = redis::cmd("TYPE").arg(name).query_async(conn).await.unwrap();
        assert!(at != -1, "what is kept expires");
        if kind == "string" && u64::try_from(at).unwrap() <= now / 1_000 {
            redis::cmd("DEL").arg(name).exec_async(conn).await.unwrap();
            expired.push(key);
        }
    }
    expired
}

/// The script on a clock that its last two arguments tell, with strings for limits up to `short` and lists for others.
fn script(short: u64) -> String {
    let others = [
        ("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }".to_owned()),
        (
            "'EX', policy.kept)",
            "'PXAT', string.format('%.0f', math.floor(now / 1000) + policy.kept * 1000))".to_owned(),
        ),
        ("if ARGV[3] then", "if #ARGV == 5 then".to_owned()),
        ("local SHORT = 128", format!("local SHORT = {short}")),
    ];
    others.into_iter().fold(SCRIPT.to_owned(), |script, (part, other)| {
        assert!(script.contains(part), "the script says this in another way: {part}");
        script.replace(part, &other)
    })
}

fn a_policy() -> impl Strategy<Value = Policy> {
    (1_u64..12, 1_u64..5_000_000).prop_map(|(limit, window)| Policy { limit, window })
}

fn a_step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![Just(0_u64), 1_u64..1_000, 1_u64..3_000_000];
    let owed = prop_oneof![8 => Just((0_u64, 0_u64)), 1 => (1_u64..15, 0_u64..6_000_000)];
    let owed = prop::array::uniform3(owed);
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
    // The time that has passed, whatever the clock says.
    let mut passed = 0;
    for step in steps {
        now += step.gap;
        passed += step.gap;
        latest = latest.max(now);
        now = now.saturating_sub(step.back).max(latest - least);
        let asked = |key: usize| {
            let Policy { limit, window } = policies[key];
            let limit = if step.lowered { limit.div_ceil(2) } else { limit };
            Asked { key, policy: Policy { limit, window }, owed: step.owed[key] }
        };
        let of_request = |keys: &usize| (0..KEYS.len()).filter(|key| keys & (1 << key) != 0).map(asked).collect();
        let requests: Vec<Vec<Asked>> = step.requests.iter().map(of_request).collect();
        for key in expire(conn, now).await {
            let (log, window) = (&mut model.logs[key], policies[key].window);
            assert!(log.times.iter().all(|time| time + window <= now), "{log:?} is kept for too short");
            *log = Log::default();
        }
        let answer = call(conn, script, now, &requests, !step.looks).await;
        let expected = model.call(now, &requests, !step.looks);
        assert_eq!(answer, expected.concat(), "{step:?} at {}", now - BEGIN);
        for (asked, answer) in requests.iter().zip(expected) {
            if !step.looks && answer.iter().all(|(_, wait, _)| *wait == 0) {
                for asked in asked {
                    allowed[asked.key].push(passed);
                }
            }
        }
        for asked in requests.iter().flatten() {
            let ((times, until), log) = (recorded(conn, KEYS[asked.key]).await, &model.logs[asked.key]);
            assert_eq!(times, log.times);
            assert!(until.is_none_or(|until| until == log.until), "{until:?}, {log:?}");
            assert!(times.len() as u64 <= 2 * policies[asked.key].limit, "a log is no longer than its limit twice");
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
    let cases = (prop::array::uniform3(a_policy()), any::<bool>(), prop::collection::vec(a_step(), 1..60));
    let outcome = runner.run(&cases, |([a, b, c], share, steps)| {
        let policies = if share { [a, b, a] } else { [a, b, c] };
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
                assert_eq!(call(&mut conn, &script, now, &asked, true).await, model.call(now, &asked, true).concat());
            }
            let now = BEGIN + 999 + past;
            let expected = model.call(now, &asked, true).concat();
            assert_eq!(call(&mut conn, &script, now, &asked, true).await, expected, "{past}");
        }
    });
}
