//! The in-process tier: users, ids and sessions on their own, which live for a second.
//!
//! An entry's second begins when its load begins, not when it ends: whatever took its time on the way is not kept. A
//! load is shared by all who wait for its key. Before an entry is handed out it must pass its key's
//! [guard](super::guards), which an invalidation raises. An entry that is read towards the end of its life is
//! loaded anew beside the requests, once, so that nobody waits for what is asked for all the time.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Monotonic};

use moka::Expiry;
use moka::future::Cache;
use moka::ops::compute::Op;

pub(super) use super::guards::Began;
use super::guards::{Guards, Stamp};
use super::statistics::Counts;
use super::weight::{self, Weigh};
use crate::store::StoreError;

/// How long an entry may be handed out after its load began.
pub(super) const TTL: Duration = Duration::from_secs(1);
/// How often a read starts again when its key is invalidated under its hands, before it asks the database alone.
const ROUNDS: usize = 3;
/// As the least version that a load may give: only the database's will do.
pub(super) const FROM_DATABASE: i64 = i64::MAX;

/// What a load found.
#[derive(Clone, Debug)]
pub(super) struct Entry<V> {
    value: Option<V>,
    stamp: Stamp,
    /// Whether somebody loads it anew, ahead of its end. Copies share it.
    renewing: Arc<AtomicBool>,
}

impl<V> Entry<V> {
    /// `value`, in the version `version`, as a load that began at `began` has found it.
    pub(super) fn new(value: Option<V>, version: i64, began: Began) -> Self {
        let stamp = Stamp::new(value.is_some().then_some(version), began);
        Self { value, stamp, renewing: Arc::default() }
    }

    /// The same, but not to be handed out after `limit`.
    pub(super) fn until(self, limit: Monotonic) -> Self {
        Self { stamp: self.stamp.ending(limit), ..self }
    }

    /// Whether the caller is to load it anew, ahead of its end. Told to one reader towards its end, and only if
    /// there is something: what does not exist is not hot.
    pub(super) fn is_to_be_renewed(&self) -> bool {
        self.value.is_some()
            && self.stamp.renew_at() <= Monotonic::now()
            && !self.renewing.swap(true, Ordering::Relaxed)
    }

    /// What was found.
    pub(super) fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// What was found, and its stamp.
    pub(super) fn into_parts(self) -> (Option<V>, Stamp) {
        (self.value, self.stamp)
    }
}

/// The entries of one kind.
pub(super) struct Tier<V> {
    entries: Cache<String, Entry<V>>,
}

impl<V: Weigh + Clone + Send + Sync + 'static> Tier<V> {
    /// Entries that take at most `room` bytes together, about; with zero, none is kept, and those who ask for the same
    /// key at the same time still share one load.
    pub(super) fn new(room: u64) -> Self {
        let weigher = |key: &String, entry: &Entry<V>| {
            weight::entry::<Entry<V>>(key, entry.value.as_ref().map_or(0, Weigh::heap))
        };
        Self { entries: Cache::builder().weigher(weigher).max_capacity(room).expire_after(UntilStale).build() }
    }

    /// What is under `key`, in at most one load for all who ask at the same time. `load` gets the moment at which it
    /// begins and the least version that will do ([`FROM_DATABASE`] when it must not ask Redis).
    pub(super) async fn entry<F>(
        &self,
        key: &str,
        guards: &Guards,
        counts: Option<&Counts>,
        load: impl Fn(Began, i64) -> F,
    ) -> Result<Entry<V>, StoreError>
    where
        F: Future<Output = Result<Entry<V>, StoreError>>,
    {
        let arrived = Monotonic::now();
        let loaded = AtomicBool::new(false);
        for _ in 0..ROUNDS {
            let loading = async {
                loaded.store(true, Ordering::Relaxed);
                let began = guards.begin();
                load(began, guards.of(key).version).await
            };
            let entry = self.entries.try_get_with_by_ref(key, loading).await.map_err(own)?;
            // Who joins a load that was under way is handed what it read, perhaps long before: not good enough then.
            let is_fresh = entry.stamp.until() > arrived && entry.stamp.is_guarded();
            if guards.of(key).admits(&entry.stamp) && is_fresh {
                if let Some(counts) = counts {
                    let counter = if loaded.into_inner() { &counts.memory_misses } else { &counts.memory_hits };
                    counter.one();
                }
                return Ok(entry);
            }
            self.remove_if_stale(key, guards, arrived).await;
        }
        if let Some(counts) = counts {
            counts.memory_misses.one();
        }
        load(guards.begin(), FROM_DATABASE).await
    }

    /// Loads `key` now, whatever there is, and keeps what was found. For entries that are about to end.
    pub(super) async fn renew<F>(
        &self,
        key: &str,
        guards: &Guards,
        load: impl Fn(Began, i64) -> F,
    ) -> Result<Entry<V>, StoreError>
    where
        F: Future<Output = Result<Entry<V>, StoreError>>,
    {
        let began = guards.begin();
        let entry = load(began, guards.of(key).version).await?;
        self.entries.insert(key.to_owned(), entry.clone()).await;
        Ok(entry)
    }

    /// What is under `key`, if it is here and may be handed out; nothing is loaded.
    pub(super) async fn peek(&self, key: &str, guards: &Guards) -> Option<Option<V>> {
        let entry = self.entries.get(key).await?;
        let stands = guards.of(key).admits(&entry.stamp) && entry.stamp.until() > Monotonic::now();
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

    /// The bytes that they take, about.
    pub(super) fn weight(&self) -> u64 {
        self.entries.weighted_size()
    }

    async fn remove_if_stale(&self, key: &str, guards: &Guards, arrived: Monotonic) {
        let guard = guards.of(key);
        let decide = |entry: Option<moka::Entry<String, Entry<V>>>| match entry {
            Some(entry)
                if !guard.admits(&entry.value().stamp)
                    || entry.value().stamp.until() <= arrived
                    || !entry.value().stamp.is_guarded() =>
            {
                ready(Op::Remove)
            }
            _ => ready(Op::Nop),
        };
        self.entries.entry_by_ref(key).and_compute_with(decide).await;
    }
}

struct UntilStale;

impl<V> Expiry<String, Entry<V>> for UntilStale {
    fn expire_after_create(&self, _: &String, entry: &Entry<V>, created: Monotonic) -> Option<Duration> {
        Some(entry.stamp.until().saturating_duration_since(created))
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry<V>,
        updated: Monotonic,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.stamp.until().saturating_duration_since(updated))
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
