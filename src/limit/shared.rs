//! The limiter that all instances share: an exact sliding-window log in Redis, on its clock. All checks of a request are
//! one script, so they cost one round trip and are decided together; and what the requests of one thread ask at the same
//! moment goes out as one call, in which they are decided one after another.

use std::sync::Arc;
use std::time::Duration;

use super::debts::Owed;
use super::{Check, Inner, Verdict, browsers_of};
use crate::redis::{Gathering, Redis, RedisError, Script, answer, keys};
use crate::settings::{Limits, Policy};

static SLIDING_WINDOW: Script = Script::new(include_str!("scripts/sliding_window.lua"));

/// The most requests that one call decides: while it runs, which takes some ten microseconds each, Redis does nothing else.
const MOST: usize = 32;

/// Room for what the script is asked about one key: for windows of a week and less.
const ASKED: usize = 32;
/// The bytes in which it answers.
const TOLD: usize = 20;

/// How much longer than its window a log is kept at least, in seconds: Redis counts that time from when a call began, which
/// is before the script has read the clock, and a log that goes too early would let a request too many pass.
const SLACK: u64 = 2;

/// The most that a log is kept longer for not having to be written anew with every request, in seconds.
const MOST_AHEAD: u64 = 60;

thread_local! {
    static REQUESTS: Gathering<Inner, Request, Option<Vec<Verdict>>> = const { Gathering::new() };
}

/// What is to be decided together, and what Redis has yet to be told about it.
struct Request {
    checks: Vec<Check>,
    /// One for each check, or none at all.
    owed: Vec<Owed>,
}

impl Request {
    /// Adds what the script is to know.
    fn write(&self, limits: &Limits, to: &mut Vec<u8>) {
        let owed = self.owed.iter().copied().chain(std::iter::repeat(Owed::default()));
        for (position, (check, owed)) in self.checks.iter().zip(owed).enumerate() {
            let Policy { limit, window } = limits.of(check.policy);
            to.extend(limit.to_be_bytes());
            to.extend(micros(window).to_be_bytes());
            to.extend(owed.count.to_be_bytes());
            to.extend(micros(owed.age).to_be_bytes());
            // No request has more than a few.
            to.push(u8::try_from(self.checks.len() - position - 1).unwrap_or(u8::MAX));
            let seconds = window.as_secs();
            let kept = (seconds + seconds.min(MOST_AHEAD) + SLACK).to_string();
            to.push(u8::try_from(kept.len()).unwrap_or(u8::MAX));
            to.extend(kept.as_bytes());
        }
    }
}

/// Decides `checks`, no two of which are the same, and records the request if all allow it; this process follows, and Redis is
/// told what it has been owed. `None` where Redis could not decide them. What has begun is carried through, also if its
/// caller leaves.
pub(super) async fn decide(inner: &Arc<Inner>, redis: &Redis, checks: &[&Check]) -> Option<Vec<Verdict>> {
    let request = Request { owed: inner.local.owed(checks), checks: checks.iter().copied().cloned().collect() };
    let (deciding, redis) = (inner.clone(), redis.clone());
    let send = move |requests| async move { Ok(decide_all(&deciding, &redis, requests).await) };
    answer(REQUESTS.with(|gathering| gathering.add(inner, request, MOST, send))).await.ok().flatten()
}

async fn decide_all(inner: &Inner, redis: &Redis, requests: Vec<Request>) -> Vec<Option<Vec<Verdict>>> {
    match run(redis, &inner.limits, &requests, true).await {
        Ok(decided) => {
            for (Request { checks, .. }, verdicts) in requests.into_iter().zip(&decided) {
                inner.local.follow(checks, verdicts);
            }
            decided.into_iter().map(Some).collect()
        }
        Err(error) => {
            // Outages are logged once, where the breaker opens.
            if !error.is_outage() {
                log::error!("the limiter decides in process: {error}");
            }
            for Request { checks, owed } in &requests {
                inner.local.still_owed(checks, owed);
            }
            vec![None; requests.len()]
        }
    }
}

/// Where `check` stands, without recording anything; `None` where Redis cannot tell.
pub(super) async fn look(redis: &Redis, limits: &Limits, check: &Check) -> Option<Verdict> {
    let request = Request { checks: vec![check.clone()], owed: Vec::new() };
    run(redis, limits, &[request], false).await.ok()?.pop()?.pop()
}

/// The verdicts on each of `requests`.
async fn run(
    redis: &Redis,
    limits: &Limits,
    requests: &[Request],
    records: bool,
) -> Result<Vec<Vec<Verdict>>, RedisError> {
    let keys: Vec<String> = requests.iter().flat_map(|request| &request.checks).map(key).collect();
    let mut asked = Vec::with_capacity(keys.len() * ASKED);
    for request in requests {
        request.write(limits, &mut asked);
    }
    let flag: &[u8] = if records { b"1" } else { b"0" };
    let answer: Vec<u8> = redis.run_script(&SLIDING_WINDOW, &keys, &[flag, &asked]).await?;
    if answer.len() != keys.len() * TOLD {
        return Err(RedisError::Reply(::redis::RedisError::from((
            ::redis::ErrorKind::UnexpectedReturnType,
            "the sliding window answered for another number of keys",
        ))));
    }
    let mut told = answer.chunks_exact(TOLD);
    let verdicts = |request: &Request| told.by_ref().take(request.checks.len()).filter_map(verdict).collect();
    Ok(requests.iter().map(verdicts).collect())
}

/// Forgets what is recorded for `check`, and for the browsers known to it ([`browsers_of`]).
pub(super) async fn forget(redis: &Redis, check: &Check) -> Result<(), RedisError> {
    let mut keys = vec![key(check).into_bytes()];
    if let Some(subjects) = browsers_of(check) {
        let pattern = keys::rate(check.policy.as_str(), &format!("{subjects}*"));
        let mut cursor = 0_u64;
        loop {
            let (next, found) = redis.scan(cursor, &pattern, 1000).await?;
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    redis.del(&keys).await.map(drop)
}

fn key(check: &Check) -> String {
    keys::rate(check.policy.as_str(), &check.subject)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What the script says about one key, in [`TOLD`] bytes; `None` if there are fewer.
pub(super) fn verdict(told: &[u8]) -> Option<Verdict> {
    let (remaining, times) = told.split_first_chunk()?;
    let (wait, reset) = times.split_first_chunk()?;
    let time = |micros: &[u8; 8]| Duration::from_micros(u64::from_be_bytes(*micros));
    Some(Verdict { remaining: u32::from_be_bytes(*remaining), wait: time(wait), reset: time(reset.first_chunk()?) })
}
