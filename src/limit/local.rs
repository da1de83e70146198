//! The limiter of one process: governor's GCRA, a cell store a policy. It decides while there is no Redis or it is away,
//! and follows Redis at all other times.
//!
//! **What it promises.** A subject that was idle for a window gets `limit` requests at once, then one each `window / limit`
//! as its bucket refills; so no window of time sees more than twice the limit, and in the long run the rate is exactly the
//! limit. (The exact log in Redis would give back nothing until the first of those requests leaves the window.) With
//! `n` instances a request costs `n` cells of the same bucket, so that together they let through what one would alone, and
//! each subject gets at least one request from each. A changed number of instances applies from the next request on, to
//! what is already recorded too.
//!
//! **Following.** Each answer of Redis says how many requests a subject has left, everywhere together. [`Local::follow`]
//! has so many cells taken that no more are left here either, so the day on which Redis goes away finds the buckets as full as
//! they would be: nobody gets a fresh budget from an instance that has asked Redis about them. `docs/limits.md` derives
//! the bound. What is let through here is a debt ([`Debts`]) that Redis is told when it is back.
//!
//! **Memory.** [`Local::sweep`] drops subjects whose bucket is full again. Between sweeps there are at most [`MOST_SUBJECTS`]
//! a policy; newcomers beyond that share the buckets of a table of fixed size, so that a flood of addresses costs strangers
//! their ease, never the process its memory, and never opens the gate. Browsers that a mailbox knows share a table of their
//! own, which no flood of strangers reaches.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};

use super::cells::{Ask, Cells, Crowd, Place};
use super::debts::{Debts, Owed};
use super::policy::{PolicyName, SubjectKind};
use super::{Check, Verdict, browsers_of};
use crate::settings::{Limits, Policy};

/// Subjects that a policy remembers one by one.
pub(super) const MOST_SUBJECTS: usize = 50_000;

/// The limiters of one process.
pub(super) struct Local<C: Clock = DefaultClock> {
    buckets: [Bucket<C>; PolicyName::COUNT],
    debts: Debts<C::Instant>,
    instances: AtomicU32,
    /// Held while all checks are looked at and then recorded, which is one step. Holds what Redis has said and is yet to be
    /// followed: how many requests are left under a check.
    deciding: Mutex<Vec<(Check, u32)>>,
    clock: C,
}

struct Bucket<C: Clock> {
    limiter: RateLimiter<Ask, Cells, C, StateInformationMiddleware>,
    /// The store of `limiter`, which does not give it out again.
    cells: Cells,
    limit: NonZeroU32,
    window: Duration,
    /// The time in which one cell comes back.
    refill: Duration,
    /// Whether it counts by mailbox, and so the browsers that one knows apart.
    knows_browsers: bool,
    /// Tells who shares a cell, by a key that nobody outside knows.
    hasher: RandomState,
}

impl<C: Clock + Clone> Local<C> {
    /// Limiters for `limits`, telling time by `clock`.
    pub(super) fn new(limits: &Limits, clock: C) -> Self {
        Self {
            buckets: PolicyName::ALL.map(|name| Bucket::new(name, limits.of(name), clock.clone())),
            debts: Debts::default(),
            instances: AtomicU32::new(1),
            deciding: Mutex::default(),
            clock,
        }
    }

    /// How many instances share the limits. 0 counts as 1.
    pub(super) fn set_instances(&self, instances: u32) {
        self.instances.store(instances.max(1), Ordering::Relaxed);
    }

    /// How many instances share the limits.
    pub(super) fn instances(&self) -> u32 {
        self.instances.load(Ordering::Relaxed)
    }

    /// Decides `checks`, no two of which are the same, and records the request if all allow it.
    pub(super) fn decide(&self, checks: &[&Check]) -> Vec<Verdict> {
        let (instances, _one_at_a_time) = (self.instances(), self.one_at_a_time());
        let asked: Vec<_> = checks
            .iter()
            .map(|check| {
                let bucket = self.bucket(check.policy);
                (bucket, bucket.cost(instances), bucket.place(&check.subject))
            })
            .collect();
        let looked: Vec<_> = asked.iter().map(|(bucket, cost, ask)| bucket.look(ask, *cost, &self.clock)).collect();
        if looked.iter().any(|verdict| !verdict.allows()) {
            return looked;
        }
        asked.into_iter().map(|(bucket, cost, ask)| bucket.ask(&ask.taking(), cost, &self.clock)).collect()
    }

    /// Takes note of what Redis has decided about `checks`: no more is left here than there. That holds for whatever is asked
    /// here next; what has to be done for it is done then, or by [`Self::catch_up`].
    pub(super) fn follow(&self, checks: Vec<Check>, verdicts: &[Verdict]) {
        self.notes().extend(checks.into_iter().zip(verdicts.iter().map(|verdict| verdict.remaining)));
    }

    /// Does what is noted. For soon after it was: notes take memory.
    pub(super) fn catch_up(&self) {
        drop(self.one_at_a_time());
    }

    /// Where `check` stands, without recording anything.
    pub(super) fn look(&self, check: &Check) -> Verdict {
        let _one_at_a_time = self.one_at_a_time();
        let bucket = self.bucket(check.policy);
        bucket.look(&bucket.place(&check.subject), bucket.cost(self.instances()), &self.clock)
    }

    /// Remembers that Redis has yet to be told of a request that was allowed here.
    pub(super) fn owe(&self, checks: &[&Check]) {
        self.debts.add(checks, self.clock.now());
    }

    /// What Redis has yet to be told about `checks`, to be told now.
    pub(super) fn owed(&self, checks: &[&Check]) -> Vec<Owed> {
        self.debts.take(checks, || self.clock.now())
    }

    /// Redis could not be told.
    pub(super) fn still_owed(&self, checks: &[Check], owed: &[Owed]) {
        self.debts.give_back(checks, owed, self.clock.now());
    }

    /// Forgets what is recorded for `check`, and for the browsers known to it ([`browsers_of`]).
    pub(super) fn forget(&self, check: &Check) {
        let _one_at_a_time = self.one_at_a_time();
        let browsers = browsers_of(check);
        let is_meant = |subject: &str| {
            subject == check.subject || browsers.as_ref().is_some_and(|browsers| subject.starts_with(browsers))
        };
        let bucket = self.bucket(check.policy);
        if browsers.is_some() {
            bucket.cells.remove_all(is_meant);
        } else {
            bucket.cells.remove(&check.subject);
        }
        self.debts.forget(|owed| owed.policy == check.policy && is_meant(&owed.subject));
    }

    /// Drops subjects whose bucket is full again and gives their memory back. For once a minute.
    pub(super) fn sweep(&self) {
        for bucket in &self.buckets {
            bucket.limiter.retain_recent();
            bucket.limiter.shrink_to_fit();
        }
        self.debts.sweep(self.clock.now(), |policy| self.bucket(policy).window);
    }

    /// Subjects remembered for `policy`.
    pub(super) fn subjects_of(&self, policy: PolicyName) -> usize {
        self.catch_up();
        self.bucket(policy).limiter.len()
    }

    /// Subjects remembered, over all policies.
    pub(super) fn subjects(&self) -> usize {
        self.catch_up();
        self.buckets.iter().map(|bucket| bucket.limiter.len()).sum()
    }

    /// Nobody else decides while this is held, and Redis has been followed.
    fn one_at_a_time(&self) -> MutexGuard<'_, Vec<(Check, u32)>> {
        let mut notes = self.notes();
        for (check, left) in notes.drain(..) {
            self.bucket(check.policy).leave(check.subject, left);
        }
        notes
    }

    fn notes(&self) -> MutexGuard<'_, Vec<(Check, u32)>> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The order of the buckets is that of the enum.
    fn bucket(&self, policy: PolicyName) -> &Bucket<C> {
        &self.buckets[policy as usize]
    }
}

impl<C: Clock> Bucket<C> {
    fn new(name: PolicyName, policy: Policy, clock: C) -> Self {
        let limit = NonZeroU32::new(policy.limit).unwrap_or(NonZeroU32::MIN);
        let refill = (policy.window / limit.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(refill).unwrap_or(Quota::per_second(limit)).allow_burst(limit);
        let cells = Cells::default();
        let limiter = RateLimiter::<_, _, _, StateInformationMiddleware>::new(quota, cells.clone(), clock);
        let knows_browsers = matches!(name.subject(), SubjectKind::Mailbox | SubjectKind::AbuseKey);
        let hasher = RandomState::new();
        Self { limiter, cells, limit, window: policy.window, refill, knows_browsers, hasher }
    }

    /// Cells that a request takes: one for each instance, but no more than a full bucket holds.
    fn cost(&self, instances: u32) -> NonZeroU32 {
        NonZeroU32::new(instances).map_or(NonZeroU32::MIN, |instances| instances.min(self.limit))
    }

    /// Counting all subjects takes longer than finding one.
    fn has_room_for(&self, subject: &str) -> bool {
        self.cells.contains(subject) || self.limiter.len() < MOST_SUBJECTS
    }

    /// Takes as many cells as are more than `left`. A subject without a cell of its own is passed over: what is left of
    /// a shared one says nothing about it.
    fn leave(&self, subject: String, left: u32) {
        if left >= self.limit.get() {
            return;
        }
        let ask = Ask::look(Place::Own(subject));
        // Looking takes one off what it says.
        let free = self.limiter.check_key(&ask).map_or(0, |state| state.remaining_burst_capacity() + 1);
        if let Some(more) = free.checked_sub(left).and_then(NonZeroU32::new)
            // Who has a cell usually has used some of it.
            && (free < self.limit.get() || ask.subject().is_some_and(|subject| self.has_room_for(subject)))
        {
            // There are so many: nobody else takes any meanwhile.
            let _ = self.limiter.check_key_n(&ask.taking(), more);
        }
    }

    /// The subject's own cell, or a shared one when there are too many.
    fn place(&self, subject: &str) -> Ask {
        if self.has_room_for(subject) {
            return Ask::look(Place::Own(subject.to_owned()));
        }
        let crowd = if self.knows_browsers && subject.contains(':') { Crowd::Known } else { Crowd::Strangers };
        Ask::look(Place::Shared(crowd, self.hasher.hash_one(subject)))
    }

    /// What [`ask`](Self::ask) would say, without taking anything.
    fn look(&self, ask: &Ask, cost: NonZeroU32, clock: &C) -> Verdict {
        let verdict = self.ask(ask, cost, clock);
        Verdict { remaining: verdict.remaining + u32::from(verdict.allows()), ..verdict }
    }

    fn ask(&self, ask: &Ask, cost: NonZeroU32, clock: &C) -> Verdict {
        // A bucket refills by one request in this time, so more is left no later than after it.
        let refill = self.refill * cost.get();
        match self.limiter.check_key_n(ask, cost) {
            Ok(Ok(state)) => {
                let remaining = state.remaining_burst_capacity() / cost;
                Verdict { remaining, wait: Duration::ZERO, reset: refill }
            }
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(clock.now()).max(Duration::from_nanos(1));
                Verdict { remaining: 0, wait, reset: wait }
            }
            // The cost never exceeds a full bucket. Closed rather than open if it ever did.
            Err(_) => Verdict { remaining: 0, wait: refill, reset: refill },
        }
    }
}

#[cfg(test)]
mod tests;
