//! How often a subject may do something.
//!
//! **The life of a request.** First the [shield](Limiter::shield): an address that floods is refused in process, before
//! anything is done for it. A handler, or the table of routes, lists the request's [`Check`]s, each a policy and a subject,
//! and [`Limiter::check`] decides them together: all are looked at first, and only if each allows the request is it recorded
//! under all of them. A denied request is recorded nowhere, so knocking on a closed door does not keep it closed.
//!
//! **Who decides.** With Redis, one script over an exact sliding-window log on Redis's clock, shared by all instances
//! (`shared.rs`); governor in this process follows what it says. While Redis is away, or if there is none, governor decides,
//! at the limit divided by the instances (`local.rs`, which says what that promises; `upkeep.rs` counts them), and what it
//! lets through is told to Redis when it is back (`debts.rs`). A request is always decided by one of the two: nothing
//! fails open.
//!
//! **Privacy.** Subjects end up in Redis keys, so callers pass an address ([`subject::address`]) or a keyed hash of an e-mail
//! address, the same for known and unknown accounts.

mod cells;
mod counters;
mod debts;
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod local;
mod policy;
mod shared;
mod shield;
pub mod subject;
mod table;
mod upkeep;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::DefaultClock;

use counters::{Counters, Decider};
pub use counters::{LimiterSnapshot, PolicyCounts};
pub use headers::headers;
use local::Local;
pub use policy::{PolicyName, SubjectKind, UnknownPolicy};
use shield::Shield;
pub use upkeep::Upkeep;

use crate::redis::{Redis, RedisError};
use crate::settings::{Limits, Policy};

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

/// How the subjects begin under which the browsers that a mailbox knows are counted apart; `None` where `check` is about
/// something else.
fn browsers_of(check: &Check) -> Option<String> {
    let is_mailbox = matches!(check.policy.subject(), SubjectKind::Mailbox | SubjectKind::AbuseKey);
    (is_mailbox && !check.subject.contains(':')).then(|| format!("{}:", check.subject))
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
    shield: Shield<DefaultClock>,
    limits: Limits,
    counters: Counters,
}

/// Where a subject stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its window. What is left counts no request that is being made.
    pub window: Window,
    /// The time until it may go on; zero if it may.
    pub retry_after: Duration,
    /// Whether Redis says so; else this process does.
    pub told_by_redis: bool,
}

impl Limiter {
    /// A limiter for `limits`, on `redis` when it is available.
    pub fn new(redis: Option<Redis>, limits: Limits) -> Self {
        let local = Local::new(&limits, DefaultClock::default());
        let shield = Shield::new(&limits, DefaultClock::default());
        Self(Arc::new(Inner { redis, local, shield, limits, counters: Counters::default() }))
    }

    /// The outer shield: `None` if a request of `address` may go on to be looked at, which is counted; else how long the
    /// address has to wait. Takes well under a microsecond and waits for nothing.
    pub fn shield(&self, address: IpAddr) -> Option<Duration> {
        if self.0.limits.enabled { self.0.shield.refuses(address) } else { None }
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
        let (by, verdicts) = match &self.0.redis {
            None => (Decider::Local, self.0.local.decide(&distinct)),
            Some(redis) => match self.decide_shared(redis, &distinct).await {
                Some(verdicts) => (Decider::Redis, verdicts),
                None => (Decider::Local, self.decide_alone(&distinct)),
            },
        };
        self.0.counters.count(by, &distinct, &verdicts);
        self.decision(&distinct, &verdicts)
    }

    async fn decide_shared(&self, redis: &Redis, checks: &[&Check]) -> Option<Vec<Verdict>> {
        // Debts wait for a Redis that can be told.
        if redis.available() { shared::decide(&self.0, redis, checks).await } else { None }
    }

    /// Decides while Redis is away.
    fn decide_alone(&self, checks: &[&Check]) -> Vec<Verdict> {
        let verdicts = self.0.local.decide(checks);
        if verdicts.iter().all(Verdict::allows) {
            self.0.local.owe(checks);
        }
        verdicts
    }

    fn decision(&self, checks: &[&Check], verdicts: &[Verdict]) -> Decision {
        let windows = checks.iter().zip(verdicts).map(|(check, verdict)| self.window(check, verdict)).collect();
        let longest = checks.iter().zip(verdicts).max_by_key(|(_, verdict)| verdict.wait);
        match longest {
            Some((check, verdict)) if !verdict.allows() => {
                Decision::Denied { policy: check.policy, retry_after: verdict.wait, windows }
            }
            _ => Decision::Allowed(windows),
        }
    }

    fn window(&self, check: &Check, verdict: &Verdict) -> Window {
        let Policy { limit, window } = self.0.limits.of(check.policy);
        Window { policy: check.policy, limit, remaining: verdict.remaining, reset: verdict.reset, window }
    }

    /// Where the subject of `check` stands, by Redis where it answers, else by this process. Records nothing.
    pub async fn standing(&self, check: &Check) -> Standing {
        let by_redis = match &self.0.redis {
            Some(redis) => shared::look(redis, &self.0.limits, check).await,
            None => None,
        };
        let verdict = by_redis.unwrap_or_else(|| self.0.local.look(check));
        let (window, retry_after) = (self.window(check, &verdict), verdict.wait);
        Standing { window, retry_after, told_by_redis: by_redis.is_some() }
    }

    /// Forgets what is recorded for `check`, a mailbox's with that of the browsers known to it: in Redis, here, and on every
    /// other instance that listens. An error means that Redis is away: then only this instance has forgotten.
    pub async fn reset(&self, check: &Check) -> Result<(), RedisError> {
        let outcome = match &self.0.redis {
            Some(redis) => match shared::forget(redis, check).await {
                Ok(()) => Self::announce_reset(redis, check).await,
                Err(error) => Err(error),
            },
            None => Ok(()),
        };
        self.0.local.forget(check);
        outcome
    }

    /// Whether Redis decides at the moment.
    pub fn is_shared(&self) -> bool {
        self.0.redis.as_ref().is_some_and(Redis::available)
    }

    /// Tells how many instances share the limits, for when this one has to decide alone. 0 counts as 1. For tests: a
    /// server is told by its [upkeep](Self::spawn_upkeep).
    pub fn set_instances(&self, instances: u32) {
        self.0.local.set_instances(instances);
    }

    /// How many instances share the limits, by the last count.
    pub fn instances(&self) -> u32 {
        self.0.local.instances()
    }

    /// Drops what this process no longer needs to remember. For once a minute.
    pub fn sweep(&self) {
        self.0.local.sweep();
    }

    /// Subjects that this process remembers, over all policies.
    pub fn subjects(&self) -> usize {
        self.0.local.subjects()
    }

    /// Subjects that this process remembers for `policy`.
    pub fn subjects_of(&self, policy: PolicyName) -> usize {
        self.0.local.subjects_of(policy)
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// What was decided since the start.
    pub fn counters(&self) -> LimiterSnapshot {
        self.0.counters.snapshot()
    }

    /// What was decided under `policy` since the start.
    pub fn counts_of(&self, policy: PolicyName) -> PolicyCounts {
        self.0.counters.of(policy)
    }

    /// Requests that the shield has refused since the start.
    pub fn shielded(&self) -> u64 {
        self.0.shield.refused()
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
