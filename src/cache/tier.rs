//! The in-process tier: entries that live for a second, and the guards that keep out what was read too early.
//!
//! An entry's second begins when its load begins, not when it ends: whatever took its time on the way is not kept. A
//! load is shared by all who wait for its key. Before an entry is handed out it must pass its key's guard, which an
//! invalidation raises: the load must have begun after the invalidation, and its version must not be an older one.
//! The check is made at every read, so it does not matter when a late load puts its entry in.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant as Monotonic};

use moka::Expiry;
use moka::future::Cache;
use moka::ops::compute::Op;

use super::statistics::Counts;
use crate::store::StoreError;

/// How long an entry may be handed out after its load began.
pub(super) const TTL: Duration = Duration::from_secs(1);
/// The most entries of one tier.
const CAPACITY: u64 = 50_000;
/// How long a guard stands: longer than an entry lives, and longer than Redis may hold an older version unnoticed.
const GUARD_TTL: Duration = Duration::from_secs(10);
/// How often a read starts again when its key is invalidated under its hands, before it asks the database alone.
const ROUNDS: usize = 3;
/// As the least version that a load may give: only the database's will do.
pub(super) const FROM_DATABASE: i64 = i64::MAX;

/// The moment a load begins: nothing it reads is older.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    pub(super) at: Monotonic,
    generation: u64,
}

/// What a load found.
#[derive(Clone, Debug)]
pub(super) struct Entry<V> {
    value: Option<V>,
    version: i64,
    began: Began,
    until: Monotonic,
}

impl<V> Entry<V> {
    /// `value`, in the version `version`, as a load that began at `began` has found it.
    pub(super) fn new(value: Option<V>, version: i64, began: Began) -> Self {
        Self { value, version, began, until: began.at + TTL }
    }

    /// The same, but not to be handed out after `limit`.
    pub(super) fn until(self, limit: Monotonic) -> Self {
        Self { until: self.until.min(limit), ..self }
    }
}

/// What an entry of one key must be to be handed out.
#[derive(Clone, Copy, Debug, Default)]
struct Guard {
    generation: u64,
    version: i64,
}

impl Guard {
    fn admits<V>(self, entry: &Entry<V>) -> bool {
        entry.began.generation >= self.generation && (entry.value.is_none() || entry.version >= self.version)
    }
}

/// The guards of all tiers, by key.
pub(super) struct Guards {
    /// Counts invalidations.
    generation: AtomicU64,
    /// The generation of the last invalidation of everything.
    all: AtomicU64,
    by_key: Cache<String, Guard>,
}

impl Guards {
    pub(super) fn new() -> Self {
        // No capacity: a guard that is evicted is a guard that fails. What bounds them is that writes are few.
        let by_key = Cache::builder().time_to_live(GUARD_TTL).build();
        Self { generation: AtomicU64::new(0), all: AtomicU64::new(0), by_key }
    }

    /// Begins a load.
    pub(super) fn begin(&self) -> Began {
        let generation = self.generation.load(Ordering::SeqCst);
        Began { at: Monotonic::now(), generation }
    }

    /// From now on `key` must be loaded anew, in `version` or a later one.
    pub(super) async fn raise(&self, key: &str, version: i64) {
        let generation = self.next();
        let raise = |old: Option<moka::Entry<String, Guard>>| {
            let old = old.map(moka::Entry::into_value).unwrap_or_default();
            ready(Guard { generation: old.generation.max(generation), version: old.version.max(version) })
        };
        self.by_key.entry_by_ref(key).and_upsert_with(raise).await;
    }

    /// From now on everything must be loaded anew.
    pub(super) fn raise_all(&self) {
        let generation = self.next();
        self.all.fetch_max(generation, Ordering::SeqCst);
    }

    fn next(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn of(&self, key: &str) -> Guard {
        let guard = self.by_key.get(key).await.unwrap_or_default();
        Guard { generation: guard.generation.max(self.all.load(Ordering::SeqCst)), ..guard }
    }
}

/// The entries of one kind.
pub(super) struct Tier<V> {
    entries: Cache<String, Entry<V>>,
}

impl<V: Clone + Send + Sync + 'static> Tier<V> {
    pub(super) fn new() -> Self {
        Self { entries: Cache::builder().max_capacity(CAPACITY).expire_after(UntilStale).build() }
    }

    /// What is under `key`, in at most one load for all who ask at the same time. `load` gets the moment at which it
    /// begins and the least version that will do ([`FROM_DATABASE`] when it must not ask Redis).
    pub(super) async fn get<F>(
        &self,
        key: &str,
        guards: &Guards,
        counts: Option<&Counts>,
        load: impl Fn(Began, i64) -> F,
    ) -> Result<Option<V>, StoreError>
    where
        F: Future<Output = Result<Entry<V>, StoreError>>,
    {
        let arrived = Monotonic::now();
        let loaded = AtomicBool::new(false);
        for _ in 0..ROUNDS {
            let loading = async {
                loaded.store(true, Ordering::Relaxed);
                let began = guards.begin();
                load(began, guards.of(key).await.version).await
            };
            let entry = self.entries.try_get_with_by_ref(key, loading).await.map_err(own)?;
            // Who joins a load that was under way is handed what it read, perhaps long before: not good enough then.
            if guards.of(key).await.admits(&entry) && entry.until > arrived {
                if let Some(counts) = counts {
                    let counter = if loaded.into_inner() { &counts.memory_misses } else { &counts.memory_hits };
                    counter.one();
                }
                return Ok(entry.value);
            }
            self.remove_if_stale(key, guards, arrived).await;
        }
        if let Some(counts) = counts {
            counts.memory_misses.one();
        }
        Ok(load(guards.begin(), FROM_DATABASE).await?.value)
    }

    /// What is under `key`, if it is here and may be handed out; nothing is loaded.
    pub(super) async fn peek(&self, key: &str, guards: &Guards) -> Option<Option<V>> {
        let entry = self.entries.get(key).await?;
        let stands = guards.of(key).await.admits(&entry) && entry.until > Monotonic::now();
        stands.then_some(entry.value)
    }

    /// Takes in what was loaded on another way.
    pub(super) async fn put(&self, key: String, entry: Entry<V>) {
        self.entries.insert(key, entry).await;
    }

    /// Frees the room of an entry. That nobody is handed it is up to the [guards](Guards).
    pub(super) async fn remove(&self, key: &str) {
        self.entries.invalidate(key).await;
    }

    /// Frees the room of all entries.
    pub(super) fn clear(&self) {
        self.entries.invalidate_all();
    }

    /// Lets go of what has expired, so that the size is right without traffic too.
    pub(super) async fn sweep(&self) {
        self.entries.run_pending_tasks().await;
    }

    /// How many entries there are, about.
    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    async fn remove_if_stale(&self, key: &str, guards: &Guards, arrived: Monotonic) {
        let guard = guards.of(key).await;
        let decide = |entry: Option<moka::Entry<String, Entry<V>>>| match entry {
            Some(entry) if !guard.admits(entry.value()) || entry.value().until <= arrived => ready(Op::Remove),
            _ => ready(Op::Nop),
        };
        self.entries.entry_by_ref(key).and_compute_with(decide).await;
    }
}

struct UntilStale;

impl<V> Expiry<String, Entry<V>> for UntilStale {
    fn expire_after_create(&self, _: &String, entry: &Entry<V>, created: Monotonic) -> Option<Duration> {
        Some(entry.until.saturating_duration_since(created))
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry<V>,
        updated: Monotonic,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.until.saturating_duration_since(updated))
    }
}

/// An error of one's own out of one that several callers share.
pub(super) fn own(error: Arc<StoreError>) -> StoreError {
    Arc::try_unwrap(error).unwrap_or_else(|error| match &*error {
        StoreError::Unavailable(why) => StoreError::Unavailable(why.clone()),
        StoreError::Taken(what) => StoreError::Taken(what.clone()),
        // The drivers' errors cannot be cloned; a caller can mend neither of the two.
        StoreError::Failed(_) | StoreError::Setup(_) => StoreError::Setup(error.to_string()),
    })
}
