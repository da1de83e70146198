//! Counts of decisions, all together and by policy.

use std::sync::atomic::{AtomicU64, Ordering};

use super::policy::PolicyName;
use super::{Check, Verdict};

/// Who has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decider {
    Redis,
    Local,
}

/// Counts of one policy at one moment: a request counts as allowed under each policy that it is recorded under, and as
/// denied under each that stood against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    /// Allowed by Redis.
    pub allowed_by_redis: u64,
    /// Allowed by this process.
    pub allowed_locally: u64,
    /// Denied by Redis.
    pub denied_by_redis: u64,
    /// Denied by this process.
    pub denied_locally: u64,
}

/// Counts of decisions at one moment. Each request with at least one check is in one of the first two and in one of the
/// last two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimiterSnapshot {
    /// Requests allowed.
    pub allowed: u64,
    /// Requests denied.
    pub denied: u64,
    /// Requests that Redis decided.
    pub decided_by_redis: u64,
    /// Requests that this process decided.
    pub decided_locally: u64,
}

#[derive(Debug, Default)]
struct Outcomes {
    redis: AtomicU64,
    local: AtomicU64,
}

impl Outcomes {
    fn count(&self, by: Decider) {
        let counter = match by {
            Decider::Redis => &self.redis,
            Decider::Local => &self.local,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        (self.redis.load(Ordering::Relaxed), self.local.load(Ordering::Relaxed))
    }
}

/// The counters of one process.
#[derive(Debug, Default)]
pub(super) struct Counters {
    allowed: Outcomes,
    denied: Outcomes,
    by_policy: [(Outcomes, Outcomes); PolicyName::COUNT],
}

impl Counters {
    /// Counts one request.
    pub(super) fn count(&self, by: Decider, checks: &[&Check], verdicts: &[Verdict]) {
        let is_allowed = verdicts.iter().all(Verdict::allows);
        if is_allowed { &self.allowed } else { &self.denied }.count(by);
        for (check, verdict) in checks.iter().zip(verdicts) {
            let (allowed, denied) = &self.by_policy[check.policy as usize];
            if is_allowed {
                allowed.count(by);
            } else if !verdict.allows() {
                denied.count(by);
            }
        }
    }

    /// All together.
    pub(super) fn snapshot(&self) -> LimiterSnapshot {
        let ((allowed_by_redis, allowed_locally), (denied_by_redis, denied_locally)) =
            (self.allowed.read(), self.denied.read());
        LimiterSnapshot {
            allowed: allowed_by_redis + allowed_locally,
            denied: denied_by_redis + denied_locally,
            decided_by_redis: allowed_by_redis + denied_by_redis,
            decided_locally: allowed_locally + denied_locally,
        }
    }

    /// Those of `policy`.
    pub(super) fn of(&self, policy: PolicyName) -> PolicyCounts {
        let (allowed, denied) = &self.by_policy[policy as usize];
        let ((allowed_by_redis, allowed_locally), (denied_by_redis, denied_locally)) = (allowed.read(), denied.read());
        PolicyCounts { allowed_by_redis, allowed_locally, denied_by_redis, denied_locally }
    }
}
