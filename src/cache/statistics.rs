//! What the cache counts, and how that is shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one cache.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) memory_hits: Counter,
    pub(super) memory_misses: Counter,
    pub(super) redis_hits: Counter,
    pub(super) redis_misses: Counter,
    pub(super) redis_errors: Counter,
    pub(super) loads: Counter,
    pub(super) load_errors: Counter,
    pub(super) load_micros: Counter,
    pub(super) invalidations: Counter,
    pub(super) refused_fills: Counter,
    pub(super) discarded: Counter,
}

impl Counts {
    /// Notes one read of the database and passes its outcome on.
    pub(super) fn loaded<T, E>(&self, took: Duration, outcome: Result<T, E>) -> Result<T, E> {
        self.loads.one();
        self.load_micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if outcome.is_err() {
            self.load_errors.one();
        }
        outcome
    }

    /// The counts now.
    pub(super) fn read(&self) -> KindStats {
        let loads = self.loads.get();
        KindStats {
            memory: TierStats { hits: self.memory_hits.get(), misses: self.memory_misses.get(), errors: 0 },
            redis: TierStats {
                hits: self.redis_hits.get(),
                misses: self.redis_misses.get(),
                errors: self.redis_errors.get(),
            },
            loads,
            load_errors: self.load_errors.get(),
            load_micros: self.load_micros.get(),
            average_load_micros: self.load_micros.get().checked_div(loads).unwrap_or(0),
            invalidations: self.invalidations.get(),
            refused_fills: self.refused_fills.get(),
            discarded: self.discarded.get(),
            entries: 0,
            weight_bytes: 0,
        }
    }
}

/// How the cache has done since the start of this instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CacheStats {
    /// `redis` when one is configured, else `memory`.
    pub backend: &'static str,
    /// Whether Redis is configured and its breaker is closed.
    pub redis_available: bool,
    /// Reads that were answered without the database.
    pub hits: u64,
    /// Reads that went to the database.
    pub misses: u64,
    /// `hits` in a hundred reads, to one decimal; zero before the first read.
    pub hit_rate_percent: f64,
    /// Failed calls of Redis and failed reads of the database, of both caches and of their upkeep.
    pub errors: u64,
    /// Keys that were forgotten because their rows had changed.
    pub invalidations: u64,
    /// Values that were not stored because they came too late or a newer version was known.
    pub refused_fills: u64,
    /// Stored values that were removed because they could not be read.
    pub discarded: u64,
    /// Entries in this process, those that are about to go included.
    pub memory_cache_size: u64,
    /// Users.
    pub users: KindStats,
    /// Sessions.
    pub sessions: KindStats,
    /// Ready answers of the API. Not in the sums above: what they save is more than one read.
    pub answers: KindStats,
}

/// How one of the caches has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindStats {
    /// The tier in this process.
    pub memory: TierStats,
    /// The tier that the instances share.
    pub redis: TierStats,
    /// Reads of the database.
    pub loads: u64,
    /// Those of them that failed.
    pub load_errors: u64,
    /// How long they took together, in microseconds.
    pub load_micros: u64,
    /// How long one took, in microseconds.
    pub average_load_micros: u64,
    /// Keys that were forgotten because their rows had changed.
    pub invalidations: u64,
    /// Values that were not stored because they came too late or a newer version was known.
    pub refused_fills: u64,
    /// Stored values that were removed because they could not be read.
    pub discarded: u64,
    /// Entries in this process, those that are about to go included.
    pub entries: u64,
    /// The bytes that they take, about.
    pub weight_bytes: u64,
}

/// How one tier of one cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TierStats {
    /// Reads that it answered.
    pub hits: u64,
    /// Reads that it passed on.
    pub misses: u64,
    /// Calls that failed.
    pub errors: u64,
}

impl KindStats {
    /// Reads that were answered without the database.
    pub fn hits(&self) -> u64 {
        self.memory.hits + self.redis.hits
    }

    /// [`Self::hits`] in a hundred reads, to one decimal; zero before the first read.
    pub fn hit_rate_percent(&self) -> f64 {
        percent(self.hits(), self.hits() + self.loads)
    }

    /// The same, with what is in this process at the moment.
    pub(super) fn taking(self, entries: u64, weight_bytes: u64) -> Self {
        Self { entries, weight_bytes, ..self }
    }
}

impl CacheStats {
    pub(super) fn new(
        redis_available: Option<bool>,
        memory_cache_size: u64,
        upkeep_errors: u64,
        users: KindStats,
        sessions: KindStats,
        answers: KindStats,
    ) -> Self {
        let sum = |of: fn(&KindStats) -> u64| of(&users) + of(&sessions);
        let (hits, misses) = (sum(KindStats::hits), sum(|kind| kind.loads));
        Self {
            backend: if redis_available.is_some() { "redis" } else { "memory" },
            redis_available: redis_available.unwrap_or(false),
            hits,
            misses,
            hit_rate_percent: percent(hits, hits + misses),
            errors: upkeep_errors + sum(|kind| kind.redis.errors + kind.load_errors),
            invalidations: sum(|kind| kind.invalidations),
            refused_fills: sum(|kind| kind.refused_fills),
            discarded: sum(|kind| kind.discarded),
            memory_cache_size,
            users,
            sessions,
            answers,
        }
    }
}

impl CacheStats {
    /// A line for the log about the reads since `before`; `None` when there were none, and nothing went wrong.
    pub(super) fn line_since(&self, before: &Self) -> Option<String> {
        let grown = |of: fn(&Self) -> u64| of(self).saturating_sub(of(before));
        let (hits, loads) = (grown(|stats| stats.hits), grown(|stats| stats.misses));
        let (reads, errors) = (hits + loads, grown(|stats| stats.errors));
        if reads == 0 && errors == 0 {
            return None;
        }
        let memory = grown(|stats| stats.users.memory.hits + stats.sessions.memory.hits);
        let redis = grown(|stats| stats.users.redis.hits + stats.sessions.redis.hits);
        let micros = grown(|stats| stats.users.load_micros + stats.sessions.load_micros);
        Some(format!(
            "cache: {reads} reads, {:.1} % of them answered without the database ({:.1} % in process, {:.1} % by \
             Redis); {loads} loads of {} \u{b5}s, {} keys forgotten, {errors} errors; {} entries in {} KiB",
            percent(hits, reads),
            percent(memory, reads),
            percent(redis, reads),
            micros.checked_div(loads).unwrap_or(0),
            grown(|stats| stats.invalidations),
            self.memory_cache_size,
            (self.users.weight_bytes + self.sessions.weight_bytes) / 1024,
        ))
    }
}

impl Counts {
    /// Failures of both kinds, for what is shown only as a sum.
    pub(super) fn errors(&self) -> u64 {
        self.redis_errors.get() + self.load_errors.get()
    }
}

/// `part` of `whole` in percent, to one decimal.
#[allow(clippy::cast_precision_loss, reason = "at most a thousand, and exact")]
fn percent(part: u64, whole: u64) -> f64 {
    let tenths = (u128::from(part) * 1000 + u128::from(whole) / 2).checked_div(u128::from(whole)).unwrap_or(0);
    u64::try_from(tenths).unwrap_or(1000) as f64 / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "the values are exact tenths")]
    fn the_hit_rate_is_in_percent_to_one_decimal() {
        assert_eq!((percent(0, 0), percent(0, 7), percent(7, 7)), (0.0, 0.0, 100.0));
        assert_eq!((percent(2, 3), percent(1, 8)), (66.7, 12.5));
    }

    #[test]
    fn a_read_is_a_hit_of_some_tier_or_a_load() {
        let (users, sessions) = (Counts::default(), Counts::default());
        users.memory_hits.one();
        sessions.redis_hits.add(2);
        let _ = sessions.loaded(Duration::from_micros(30), Ok::<_, ()>(()));
        let _ = sessions.loaded(Duration::from_micros(10), Err::<(), _>(()));
        let stats = CacheStats::new(Some(false), 3, 1, users.read(), sessions.read(), KindStats::default());
        assert_eq!((stats.hits, stats.misses, stats.errors, stats.sessions.average_load_micros), (3, 2, 2, 20));
        assert_eq!((stats.backend, stats.redis_available), ("redis", false));
        assert_eq!(serde_json::to_value(&stats).unwrap()["hit_rate_percent"], 60.0);
    }

    #[test]
    fn the_line_in_the_log_is_about_what_happened_since_the_last_one() {
        let (users, sessions) = (Counts::default(), Counts::default());
        let stats = || CacheStats::new(None, 3, 0, users.read(), sessions.read().taking(3, 4096), KindStats::default());
        sessions.memory_hits.add(1000);
        let before = stats();
        assert_eq!(stats().line_since(&before), None, "nobody has asked since");
        sessions.memory_hits.add(90);
        users.redis_hits.add(6);
        for _ in 0..4 {
            let _ = users.loaded(Duration::from_micros(250), Ok::<_, ()>(()));
        }
        let line = stats().line_since(&before).unwrap();
        assert!(line.starts_with("cache: 100 reads, 96.0 % of them"), "{line}");
        assert!(line.contains("(90.0 % in process, 6.0 % by Redis); 4 loads of 250 \u{b5}s"), "{line}");
        assert!(line.ends_with("0 errors; 3 entries in 4 KiB"), "{line}");
    }
}
