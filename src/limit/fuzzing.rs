//! The reader of what the limiter's script answers, for the fuzz targets.

use super::{Decision, PolicyName, Window, headers, shared};
use crate::settings::{Limits, Policy};

/// What a client would be told if Redis answered `reply` (in its protocol) to a question about one policy; `None` where
/// that is no answer to it.
pub fn told(reply: &[u8], limits: &Limits) -> Option<Vec<(&'static str, String)>> {
    let value = ::redis::parse_redis_value(reply).ok()?;
    let answer: Vec<u8> = ::redis::from_redis_value(value).ok()?;
    let policy = PolicyName::VerifyAddress;
    let verdict = shared::verdict(&answer)?;
    let Policy { limit, window } = limits.of(policy);
    let windows = vec![Window { policy, limit, remaining: verdict.remaining, reset: verdict.reset, window }];
    Some(headers(&if verdict.allows() {
        Decision::Allowed(windows)
    } else {
        Decision::Denied { policy, retry_after: verdict.wait, windows }
    }))
}
