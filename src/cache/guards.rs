//! Guards: what keeps an entry from being handed out after its key was forgotten.
//!
//! Every load notes the *generation*, the number of invalidations begun so far, before it reads anything. To forget a
//! key is to raise its guard to a new generation (and to the least version that is still good): from then on only
//! loads that began later are handed out. The check is made at every read, so it does not matter when a late load
//! puts its entry in.
//!
//! Most reads meet no guard at all. [`Guards::raised`] counts invalidations that are complete, so whoever has found an
//! entry good at one count need not look again while the count stands. An invalidation is counted *after* its guard
//! is in place: a reader that sees the old count reads before the invalidation is done, one that sees the new count
//! finds the guard.
//!
//! [`Guards::confirm`] says that a look at the database has raised the guards of everything that had changed when it began. What
//! the guards admit after that, and what was loaded no longer ago than a guard stands, is as good as if it had been loaded at
//! that moment.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant as Monotonic};

use super::tier::TTL;

/// How long a guard stands: longer than an entry lives, and longer than Redis may hold an older version unnoticed.
pub(super) const GUARD_TTL: Duration = Duration::from_secs(10);
/// How long what a look has found to be right may be handed out, counted from the look's beginning: what is promised.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(2);
/// No count of invalidations: what carries it has not been found good yet.
pub(super) const NEVER: u64 = u64::MAX;
const SHARDS: usize = 16;
/// The golden ratio's fraction, of 2^32.
const GOLDEN: u32 = 0x9E37_79B9;

/// The moment a load begins: nothing it reads is older.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    pub(super) at: Monotonic,
    generation: u64,
    /// How many loads began before it.
    turn: u32,
}

/// When an entry was loaded, in which version, and until when it may be handed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    began: Began,
    /// The greatest of all when there is nothing of which a later version could be asked for.
    version: i64,
    until: Monotonic,
}

impl Stamp {
    /// For a load that began at `began` and found `version`; `None` when it found nothing.
    pub(super) fn new(version: Option<i64>, began: Began) -> Self {
        Self { began, version: version.unwrap_or(i64::MAX), until: began.at + TTL }
    }

    /// The same, but ending no later than `limit`.
    pub(super) fn ending(self, limit: Monotonic) -> Self {
        Self { until: self.until.min(limit), ..self }
    }

    /// Until when the entry may be handed out.
    pub(super) fn until(&self) -> Monotonic {
        self.until
    }

    /// Whether every guard that was raised since the load began still stands. It does not when the process stood still.
    pub(super) fn is_guarded(&self) -> bool {
        self.began.at.elapsed() < GUARD_TTL
    }

    /// When its load began.
    pub(super) fn began(&self) -> Monotonic {
        self.began.at
    }

    /// From when on the entry is loaded anew by whoever reads it, ahead of its end: at some point of the fourth fifth of its
    /// life. Another one for each load, so that keys that were asked for together (after a start, or after everything had to
    /// be forgotten) are not loaded anew together, again and again.
    pub(super) fn renew_at(&self) -> Monotonic {
        self.began.at + self.early(self.until.saturating_duration_since(self.began.at))
    }

    /// The point of the fourth fifth of `life` that is this load's.
    pub(super) fn early(&self, life: Duration) -> Duration {
        // Multiples of the golden ratio, of which the whole part overflows, lie evenly however many there are (Weyl's sequence).
        let part = f64::from(self.began.turn.wrapping_mul(GOLDEN)) / f64::from(u32::MAX);
        life.mul_f64(0.6 + 0.2 * part)
    }
}

/// What was known of the guards at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Until when what the guards admit is as good as the last complete look has found it, in [nanoseconds](Guards::nanos);
    /// zero before the first.
    pub(super) good_until: u64,
    /// How many invalidations were complete, those of that look among them.
    pub(super) raised: u64,
}

/// What an entry of one key must be to be handed out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guard {
    generation: u64,
    pub(super) version: i64,
}

impl Guard {
    pub(super) fn admits(self, stamp: &Stamp) -> bool {
        stamp.began.generation >= self.generation && stamp.version >= self.version
    }

    fn raise(&mut self, to: Self) {
        *self = Self { generation: self.generation.max(to.generation), version: self.version.max(to.version) };
    }
}

/// The guards of all tiers, by key.
pub(super) struct Guards {
    /// Counts invalidations that have begun.
    generation: AtomicU64,
    /// Counts invalidations that are complete.
    raised: AtomicU64,
    /// See [`Sight::good_until`].
    good_until: AtomicU64,
    epoch: Monotonic,
    /// The generation of the last invalidation of everything.
    all: AtomicU64,
    /// Counts loads.
    turn: AtomicU32,
    hasher: RandomState,
    shards: [RwLock<Shard>; SHARDS],
}

struct Shard {
    /// No capacity: a guard that is evicted is a guard that fails. What bounds them is that writes are few.
    by_key: HashMap<String, Standing>,
    swept: Monotonic,
}

struct Standing {
    guard: Guard,
    until: Monotonic,
}

impl Guards {
    pub(super) fn new() -> Self {
        let shard = |_| RwLock::new(Shard { by_key: HashMap::new(), swept: Monotonic::now() });
        Self {
            generation: AtomicU64::new(0),
            raised: AtomicU64::new(0),
            good_until: AtomicU64::new(0),
            epoch: Monotonic::now(),
            all: AtomicU64::new(0),
            turn: AtomicU32::new(0),
            hasher: RandomState::new(),
            shards: std::array::from_fn(shard),
        }
    }

    /// Guards at which a load began so long ago.
    #[cfg(test)]
    pub(super) fn after_a_load(age: Duration) -> (Self, Began) {
        let (guards, at) = (Self::new(), Monotonic::now().checked_sub(age).unwrap());
        let began = Began { at, ..guards.begin() };
        (Self { epoch: at, ..guards }, began)
    }

    /// Begins a load.
    pub(super) fn begin(&self) -> Began {
        let generation = self.generation.load(Ordering::SeqCst);
        Began { at: Monotonic::now(), generation, turn: self.turn.fetch_add(1, Ordering::Relaxed) }
    }

    /// From now on `key` must be loaded anew, in `version` or a later one.
    pub(super) fn raise(&self, key: &str, version: i64) {
        // In this order: see the module.
        let generation = self.next();
        self.put(key, generation, version);
        self.complete();
    }

    /// From now on everything must be loaded anew.
    pub(super) fn raise_all(&self) {
        let generation = self.next();
        self.all.fetch_max(generation, Ordering::SeqCst);
        self.complete();
    }

    /// How many invalidations are complete.
    pub(super) fn raised(&self) -> u64 {
        self.raised.load(Ordering::SeqCst)
    }

    /// A look at the database that began at `looked` has raised the guards of everything that had changed until then.
    pub(super) fn confirm(&self, looked: Monotonic) {
        self.good_until.fetch_max(self.nanos(looked + GOOD_FOR), Ordering::SeqCst);
    }

    /// What is known at this moment.
    pub(super) fn sight(&self) -> Sight {
        // In this order: the invalidations of the look are counted then.
        let good_until = self.good_until.load(Ordering::SeqCst);
        Sight { good_until, raised: self.raised() }
    }

    /// `at` in nanoseconds since these guards were made: for comparisons that are made at every request.
    pub(super) fn nanos(&self, at: Monotonic) -> u64 {
        nanos(at.saturating_duration_since(self.epoch))
    }

    /// What an entry under `key` must be at this moment.
    pub(super) fn of(&self, key: &str) -> Guard {
        let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        let standing = shard.by_key.get(key).filter(|standing| standing.until > Monotonic::now());
        let mut guard = standing.map(|standing| standing.guard).unwrap_or_default();
        guard.raise(Guard { generation: self.all.load(Ordering::SeqCst), version: 0 });
        guard
    }

    pub(super) fn next(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn put(&self, key: &str, generation: u64, version: i64) {
        let guard = Guard { generation, version };
        let (now, mut shard) = (Monotonic::now(), self.shard(key).write().unwrap_or_else(PoisonError::into_inner));
        if now.saturating_duration_since(shard.swept) > GUARD_TTL {
            shard.by_key.retain(|_, standing| standing.until > now);
            shard.swept = now;
        }
        let until = now + GUARD_TTL;
        if let Some(standing) = shard.by_key.get_mut(key) {
            standing.guard.raise(guard);
            standing.until = until;
        } else {
            shard.by_key.insert(key.to_owned(), Standing { guard, until });
        }
    }

    pub(super) fn complete(&self) {
        self.raised.fetch_add(1, Ordering::SeqCst);
    }

    fn shard(&self, key: &str) -> &RwLock<Shard> {
        let hash = self.hasher.hash_one(key);
        // The remainder is less than sixteen.
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)]
    }
}

/// In nanoseconds, of which there are enough for centuries.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_together_is_not_loaded_anew_together() {
        let guards = Guards::new();
        let mut tenths = [0; 10];
        for _ in 0..1000 {
            let began = guards.begin();
            let stamp = Stamp::new(Some(1), began);
            let wait = stamp.renew_at() - began.at;
            assert!((TTL * 3 / 5..=TTL * 4 / 5).contains(&wait), "{wait:?}");
            let tenth = wait.as_nanos().saturating_sub((TTL * 3 / 5).as_nanos()) * 10 / (TTL / 5).as_nanos();
            tenths[usize::try_from(tenth).unwrap().min(9)] += 1;
            let short = stamp.ending(began.at + TTL / 10);
            assert!(short.renew_at() < short.until(), "ahead of its end, however soon that is");
        }
        assert!(tenths.iter().all(|loads| (95..=105).contains(loads)), "{tenths:?}");
    }
}
