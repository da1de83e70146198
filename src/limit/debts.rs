//! What this process has let through by itself and Redis does not know yet.
//!
//! **The life of a debt.** A request that is allowed here while Redis is away adds one to the debt of each of its subjects.
//! The first decision about a subject after Redis has come back takes the debt along, in the same script call, which puts
//! it into the log before it decides. If that call fails the debt is remembered again; if only its answer was lost, Redis
//! counts it twice, which errs on the closed side. A debt is over when its last request has left the window.
//!
//! **Memory.** At most [`MOST_DEBTS`]; what is let through for further subjects is not told to Redis.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Reference;

use super::Check;
use super::policy::PolicyName;

/// Subjects whose debts are remembered, over all policies.
pub(super) const MOST_DEBTS: usize = 100_000;

/// What Redis has to be told about one subject; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Owed {
    /// Requests allowed.
    pub(super) count: u32,
    /// How long ago the last of them was.
    pub(super) age: Duration,
}

/// The debts of one process, told in the time of a clock whose moments are `I`.
#[derive(Debug)]
pub(super) struct Debts<I> {
    /// How many there are, so that in good times nobody takes the lock.
    len: AtomicUsize,
    of: Mutex<HashMap<Check, (u32, I)>>,
}

impl<I> Default for Debts<I> {
    fn default() -> Self {
        Self { len: AtomicUsize::new(0), of: Mutex::default() }
    }
}

impl<I: Reference> Debts<I> {
    /// Adds a request at `now` to the debt of each of `checks`.
    pub(super) fn add(&self, checks: &[&Check], now: I) {
        let mut debts = self.lock();
        for check in checks {
            Self::increase(&mut debts, check, 1, now);
        }
        self.len.store(debts.len(), Ordering::Relaxed);
    }

    /// Takes the debts of `checks` out: one for each of them, or none at all if there are none, when nobody asks for the time.
    pub(super) fn take(&self, checks: &[&Check], now: impl FnOnce() -> I) -> Vec<Owed> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut debts = self.lock();
        let now = now();
        let owed = |(count, last)| Owed { count, age: age(now, last) };
        let taken = checks.iter().map(|check| debts.remove(*check).map_or_else(Owed::default, owed)).collect();
        self.len.store(debts.len(), Ordering::Relaxed);
        taken
    }

    /// Puts back at `now` what [`take`](Self::take) has just given.
    pub(super) fn give_back(&self, checks: &[Check], owed: &[Owed], now: I) {
        let mut debts = self.lock();
        for (check, owed) in checks.iter().zip(owed).filter(|(_, owed)| owed.count > 0) {
            Self::increase(&mut debts, check, owed.count, now.saturating_sub(owed.age.into()));
        }
        self.len.store(debts.len(), Ordering::Relaxed);
    }

    /// Drops the debts of those that `is_meant`.
    pub(super) fn forget(&self, is_meant: impl Fn(&Check) -> bool) {
        let mut debts = self.lock();
        debts.retain(|check, _| !is_meant(check));
        self.len.store(debts.len(), Ordering::Relaxed);
    }

    /// Drops what is over at `now`.
    pub(super) fn sweep(&self, now: I, window: impl Fn(PolicyName) -> Duration) {
        let mut debts = self.lock();
        debts.retain(|check, (_, last)| age(now, *last) < window(check.policy));
        debts.shrink_to_fit();
        self.len.store(debts.len(), Ordering::Relaxed);
    }

    fn increase(debts: &mut HashMap<Check, (u32, I)>, check: &Check, by: u32, at: I) {
        if let Some((count, last)) = debts.get_mut(check) {
            *count = count.saturating_add(by);
            *last = (*last).max(at);
        } else if debts.len() < MOST_DEBTS {
            debts.insert(check.clone(), (by, at));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Check, (u32, I)>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn age<I: Reference>(now: I, last: I) -> Duration {
    now.duration_since(last).into()
}

#[cfg(test)]
mod tests {
    use governor::clock::{Clock, FakeRelativeClock};

    use super::*;

    const WINDOW: Duration = Duration::from_mins(5);

    fn check(subject: &str) -> Check {
        Check::new(PolicyName::ApiAddress, subject)
    }

    #[test]
    fn a_debt_is_told_once_with_its_age_and_comes_back_where_it_could_not_be() {
        let (clock, debts, a, b) = (FakeRelativeClock::default(), Debts::default(), check("a"), check("b"));
        debts.add(&[&a], clock.now());
        clock.advance(Duration::from_secs(10));
        debts.add(&[&a], clock.now());
        clock.advance(Duration::from_secs(3));
        let owed = debts.take(&[&b, &a], || clock.now());
        assert_eq!(owed, [Owed::default(), Owed { count: 2, age: Duration::from_secs(3) }]);
        assert_eq!(debts.take(&[&a], || clock.now()), []);
        clock.advance(Duration::from_secs(1));
        debts.add(&[&a], clock.now());
        debts.give_back(&[b.clone(), a.clone()], &owed, clock.now());
        assert_eq!(debts.take(&[&a], || clock.now()), [Owed { count: 3, age: Duration::ZERO }]);
    }

    #[test]
    fn a_debt_that_has_left_the_window_or_was_forgotten_is_over() {
        let (clock, debts, a, b) = (FakeRelativeClock::default(), Debts::default(), check("a"), check("b"));
        debts.add(&[&a, &b], clock.now());
        debts.forget(|check| *check == b);
        assert_eq!(debts.take(&[&b], || clock.now()), [Owed::default()]);
        clock.advance(WINDOW);
        debts.sweep(clock.now(), |_| WINDOW);
        assert_eq!(debts.take(&[&a], || clock.now()), []);
    }

    #[test]
    fn there_are_never_more_debts_than_are_kept() {
        let (clock, debts) = (FakeRelativeClock::default(), Debts::default());
        for number in 0..MOST_DEBTS + 10 {
            debts.add(&[&check(&number.to_string())], clock.now());
        }
        assert_eq!(debts.lock().len(), MOST_DEBTS);
    }
}
