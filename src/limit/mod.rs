//! How often a subject may do something.
//!
//! **The life of a request.** A handler lists its [`Check`]s, each a policy and a subject, and [`Limiter::check`] decides them
//! together: all are looked at first, and only if each allows the request is it recorded under all of them. A denied
//! request is recorded nowhere, so knocking on a closed door does not keep it closed.
//!
//! **Who decides.** With Redis, one script over an exact sliding-window log on Redis's clock, shared by all instances
//! (`shared.rs`). While Redis is away, or if there is none, governor in this process at the limit divided by the instances
//! (`local.rs`, which says what that promises). A request is always decided by one of the two: nothing fails open.
//!
//! **Privacy.** Subjects end up in Redis keys, so callers pass an address ([`subject::address`]) or a keyed hash of an e-mail
//! address, the same for known and unknown accounts.

mod cells;
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod local;
mod policy;
mod shared;
pub mod subject;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::DefaultClock;

pub use headers::headers;
use local::Local;
pub use policy::{PolicyName, UnknownPolicy};

use crate::redis::{Redis, RedisError};
use crate::settings::Limits;

/// One question to the limiter: may `subject` do what `policy` limits?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// What is limited.
    pub policy: PolicyName,
    /// Who asks: see [`subject`]. Nothing personal.
    pub subject: String,
}

impl Check {
    /// Asks about `subject`.
    pub fn new(policy: PolicyName, subject: impl Into<String>) -> Self {
        Self { policy, subject: subject.into() }
    }
}

/// Where a subject stands in a policy after the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The policy.
    pub policy: PolicyName,
    /// Requests that it allows in `window`.
    pub limit: u32,
    /// Requests left now.
    pub remaining: u32,
    /// The time until more are left.
    pub reset: Duration,
    /// The time over which requests are counted.
    pub window: Duration,
}

/// What the limiter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on. One window for each check; none while limits are switched off.
    Allowed(Vec<Window>),
    /// Refuse.
    Denied {
        /// The policy that takes longest to allow the request.
        policy: PolicyName,
        /// The time until no policy stands against it.
        retry_after: Duration,
        /// One window for each check.
        windows: Vec<Window>,
    },
}

impl Decision {
    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// What one of the two deciders says about one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    remaining: u32,
    /// Zero if the check allows the request.
    wait: Duration,
    reset: Duration,
}

impl Verdict {
    fn allows(&self) -> bool {
        self.wait.is_zero()
    }
}

/// Decides. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    redis: Option<Redis>,
    local: Local<DefaultClock>,
    limits: Limits,
    counters: LimiterCounters,
}

impl Limiter {
    /// A limiter for `limits`, on `redis` when it is available.
    pub fn new(redis: Option<Redis>, limits: Limits) -> Self {
        let local = Local::new(&limits, DefaultClock::default());
        Self(Arc::new(Inner { redis, local, limits, counters: LimiterCounters::default() }))
    }

    /// Decides `checks` together and records the request if all allow it. A check that occurs twice counts once. Never
    /// fails; takes at most Redis's response timeout, and waits for nothing while the breaker is open.
    pub async fn check(&self, checks: &[Check]) -> Decision {
        let mut distinct: Vec<&Check> = Vec::with_capacity(checks.len());
        for check in checks {
            if !distinct.contains(&check) {
                distinct.push(check);
            }
        }
        if !self.0.limits.enabled || distinct.is_empty() {
            return Decision::Allowed(Vec::new());
        }
        let verdicts = if let Some(verdicts) = self.decide_shared(&distinct).await {
            LimiterCounters::count(&self.0.counters.decided_by_redis);
            verdicts
        } else {
            LimiterCounters::count(&self.0.counters.decided_locally);
            self.0.local.decide(&distinct)
        };
        let decision = self.decision(&distinct, &verdicts);
        let counters = &self.0.counters;
        LimiterCounters::count(if decision.is_allowed() { &counters.allowed } else { &counters.denied });
        decision
    }

    async fn decide_shared(&self, checks: &[&Check]) -> Option<Vec<Verdict>> {
        match shared::decide(self.0.redis.as_ref()?, &self.0.limits, checks).await {
            Ok(verdicts) => Some(verdicts),
            Err(error) => {
                // Outages are logged once, where the breaker opens.
                if !error.is_outage() {
                    log::error!("the limiter decides in process: {error}");
                }
                None
            }
        }
    }

    fn decision(&self, checks: &[&Check], verdicts: &[Verdict]) -> Decision {
        let windows = checks
            .iter()
            .zip(verdicts)
            .map(|(check, verdict)| {
                let policy = check.policy.of(&self.0.limits);
                Window {
                    policy: check.policy,
                    limit: policy.limit,
                    remaining: verdict.remaining,
                    reset: verdict.reset,
                    window: policy.window,
                }
            })
            .collect();
        let longest = checks.iter().zip(verdicts).max_by_key(|(_, verdict)| verdict.wait);
        match longest {
            Some((check, verdict)) if !verdict.allows() => {
                Decision::Denied { policy: check.policy, retry_after: verdict.wait, windows }
            }
            _ => Decision::Allowed(windows),
        }
    }

    /// Forgets what is recorded for `check`, here and in Redis. An error means that Redis may still remember.
    pub async fn reset(&self, check: &Check) -> Result<(), RedisError> {
        self.0.local.forget(check);
        match &self.0.redis {
            Some(redis) => shared::forget(redis, check).await,
            None => Ok(()),
        }
    }

    /// Tells how many instances share the limits, for when this one has to decide alone. 0 counts as 1.
    pub fn set_instances(&self, instances: u32) {
        self.0.local.set_instances(instances);
    }

    /// Drops what this process no longer needs to remember. For once a minute.
    pub fn sweep(&self) {
        self.0.local.sweep();
    }

    /// Subjects that this process remembers, over all policies.
    pub fn subjects(&self) -> usize {
        self.0.local.subjects()
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// What was decided since the start.
    pub fn counters(&self) -> LimiterSnapshot {
        self.0.counters.snapshot()
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter")
            .field("redis", &self.0.redis)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// Counts of decisions.
#[derive(Debug, Default)]
struct LimiterCounters {
    allowed: AtomicU64,
    denied: AtomicU64,
    decided_by_redis: AtomicU64,
    decided_locally: AtomicU64,
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

impl LimiterCounters {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn snapshot(&self) -> LimiterSnapshot {
        LimiterSnapshot {
            allowed: self.allowed.load(Ordering::Relaxed),
            denied: self.denied.load(Ordering::Relaxed),
            decided_by_redis: self.decided_by_redis.load(Ordering::Relaxed),
            decided_locally: self.decided_locally.load(Ordering::Relaxed),
        }
    }
}
