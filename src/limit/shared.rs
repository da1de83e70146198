//! The limiter that all instances share: an exact sliding-window log in Redis, on its clock. All checks of a request are
//! one script, so they cost one round trip and are decided together.

use std::time::Duration;

use super::{Check, Verdict};
use crate::redis::{Redis, RedisError, Script, keys};
use crate::settings::{Limits, Policy};

static SLIDING_WINDOW: Script = Script::new(include_str!("scripts/sliding_window.lua"));

/// Decides `checks`, no two of which are the same, and records the request if all allow it.
pub(super) async fn decide(redis: &Redis, limits: &Limits, checks: &[&Check]) -> Result<Vec<Verdict>, RedisError> {
    let keys: Vec<String> = checks.iter().map(|check| key(check)).collect();
    let args: Vec<u64> = checks.iter().flat_map(|check| arguments(check.policy.of(limits))).collect();
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

fn arguments(policy: Policy) -> [u64; 2] {
    [u64::from(policy.limit), u64::try_from(policy.window.as_micros()).unwrap_or(u64::MAX)]
}

pub(super) fn verdict((remaining, wait, reset): (u32, u64, u64)) -> Verdict {
    Verdict { remaining, wait: Duration::from_micros(wait), reset: Duration::from_micros(reset) }
}
