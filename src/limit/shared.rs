//! The limiter that all instances share: an exact sliding-window log in Redis, on its clock. All checks of a request are
//! one script, so they cost one round trip and are decided together.

use std::time::Duration;

use super::debts::Owed;
use super::{Check, Verdict};
use crate::redis::{Redis, RedisError, Script, keys};
use crate::settings::Limits;

static SLIDING_WINDOW: Script = Script::new(include_str!("scripts/sliding_window.lua"));

/// Puts what is `owed` for each of `checks` into the log, decides them, no two of which are the same, and records the
/// request if all allow it.
pub(super) async fn decide(
    redis: &Redis,
    limits: &Limits,
    checks: &[&Check],
    owed: &[Owed],
) -> Result<Vec<Verdict>, RedisError> {
    run(redis, limits, checks, owed, true).await
}

/// Where `check` stands, without recording anything.
pub(super) async fn look(redis: &Redis, limits: &Limits, check: &Check) -> Result<Option<Verdict>, RedisError> {
    Ok(run(redis, limits, &[check], &[Owed::default()], false).await?.pop())
}

async fn run(
    redis: &Redis,
    limits: &Limits,
    checks: &[&Check],
    owed: &[Owed],
    records: bool,
) -> Result<Vec<Verdict>, RedisError> {
    let keys: Vec<String> = checks.iter().map(|check| key(check)).collect();
    let arguments = checks.iter().zip(owed).flat_map(|(check, owed)| {
        let policy = limits.of(check.policy);
        [u64::from(policy.limit), micros(policy.window), u64::from(owed.count), micros(owed.age)]
    });
    let args: Vec<u64> = std::iter::once(u64::from(records)).chain(arguments).collect();
    let answer: Vec<(u32, u64, u64)> = redis.run_script(&SLIDING_WINDOW, keys, args).await?;
    if answer.len() != checks.len() {
        return Err(RedisError::Reply(::redis::RedisError::from((
            ::redis::ErrorKind::UnexpectedReturnType,
            "the sliding window answered for another number of keys",
        ))));
    }
    Ok(answer.into_iter().map(verdict).collect())
}

/// Forgets what is recorded for `check`.
pub(super) async fn forget(redis: &Redis, check: &Check) -> Result<(), RedisError> {
    redis.del(&[key(check)]).await.map(drop)
}

fn key(check: &Check) -> String {
    keys::rate(check.policy.as_str(), &check.subject)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn verdict((remaining, wait, reset): (u32, u64, u64)) -> Verdict {
    Verdict { remaining, wait: Duration::from_micros(wait), reset: Duration::from_micros(reset) }
}
