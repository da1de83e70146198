//! The limiter that all instances share: an exact sliding-window log in Redis, on its clock. All checks of a request are
//! one script, so they cost one round trip and are decided together; and what the requests of one thread ask at the same
//! moment goes out as one call, in which they are decided one after another.

use std::sync::Arc;
use std::time::Duration;

use super::debts::Owed;
use super::{Check, Inner, Verdict, browsers_of};
use crate::redis::{Gathering, Redis, RedisError, Script, answer, keys};
use crate::settings::Limits;

static SLIDING_WINDOW: Script = Script::new(include_str!("scripts/sliding_window.lua"));

/// The most requests that one call decides: while it runs, which takes some ten microseconds each, Redis does nothing else.
const MOST: usize = 32;

thread_local! {
    static REQUESTS: Gathering<Inner, Request, Option<Vec<Verdict>>> = const { Gathering::new() };
}

/// What is to be decided together, and what Redis has yet to be told about it.
struct Request {
    checks: Vec<Check>,
    owed: Vec<Owed>,
}

impl Request {
    /// What the script is to know.
    fn arguments(&self, limits: &Limits) -> impl Iterator<Item = u64> {
        let of_each = self.checks.iter().zip(&self.owed).flat_map(|(check, owed)| {
            let policy = limits.of(check.policy);
            [u64::from(policy.limit), micros(policy.window), u64::from(owed.count), micros(owed.age)]
        });
        std::iter::once(self.checks.len() as u64).chain(of_each)
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
    let decided = run(redis, &inner.limits, &requests, true).await.unwrap_or_else(|error| {
        // Outages are logged once, where the breaker opens.
        if !error.is_outage() {
            log::error!("the limiter decides in process: {error}");
        }
        vec![None; requests.len()]
    });
    for (Request { checks, owed }, verdicts) in requests.iter().zip(&decided) {
        match verdicts {
            Some(verdicts) => inner.local.follow(checks, verdicts),
            None => inner.local.still_owed(checks, owed),
        }
    }
    decided
}

/// Where `check` stands, without recording anything; `None` where Redis cannot tell.
pub(super) async fn look(redis: &Redis, limits: &Limits, check: &Check) -> Option<Verdict> {
    let request = Request { checks: vec![check.clone()], owed: vec![Owed::default()] };
    run(redis, limits, &[request], false).await.ok()?.pop()??.pop()
}

/// The verdicts on each of `requests`; `None` for one that could not be decided while the others could.
async fn run(
    redis: &Redis,
    limits: &Limits,
    requests: &[Request],
    records: bool,
) -> Result<Vec<Option<Vec<Verdict>>>, RedisError> {
    let keys: Vec<String> = requests.iter().flat_map(|request| &request.checks).map(key).collect();
    let arguments = requests.iter().flat_map(|request| request.arguments(limits));
    let arguments: Vec<u64> = std::iter::once(u64::from(records)).chain(arguments).collect();
    let answer: Vec<(i64, i64, i64)> = redis.run_script(&SLIDING_WINDOW, &keys, &arguments).await?;
    if answer.len() != keys.len() {
        return Err(RedisError::Reply(::redis::RedisError::from((
            ::redis::ErrorKind::UnexpectedReturnType,
            "the sliding window answered for another number of keys",
        ))));
    }
    let mut verdicts = answer.into_iter().map(verdict);
    Ok(requests.iter().map(|request| read(request, verdicts.by_ref().take(request.checks.len()))).collect())
}

/// The verdicts on one request, unless Redis could not decide it.
fn read(request: &Request, verdicts: impl Iterator<Item = Option<Verdict>>) -> Option<Vec<Verdict>> {
    let verdicts: Vec<_> = verdicts.collect();
    if verdicts.contains(&None) {
        let keys: Vec<_> = request.checks.iter().map(key).collect();
        log::error!(
            "the limiter decides in process: Redis has no memory left, or no log under one of {}",
            keys.join(", ")
        );
    }
    verdicts.into_iter().collect()
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

/// What the script says about one key; `None` where it could not decide.
pub(super) fn verdict((remaining, wait, reset): (i64, i64, i64)) -> Option<Verdict> {
    let time = |micros| u64::try_from(micros).ok().map(Duration::from_micros);
    // A limit is a u32.
    let remaining = u32::try_from(remaining).ok()?;
    Some(Verdict { remaining, wait: time(wait)?, reset: time(reset)? })
}
