//! Takes mails out of the queue and sends them.
//!
//! One fetcher watches each source, Redis and this process. A fetcher takes free slots first, then at most as many ids,
//! and claims those in one statement; from then on each mail has a task of its own, which holds the slot, keeps the lease,
//! and ends by telling the database what became of the mail. A task that panics costs its mail that attempt.
//!
//! A shutdown lets the fetchers finish the pop they are in (an abandoned pop would lose ids) and gives unclaimed ids back to
//! the queue. Mails that were claimed and not begun go back to `ready` at once, sends in flight have until the deadline;
//! then those whose final dot is not out are broken off and released, too.

mod delivery;
mod domains;
mod fetch;
mod lease;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant as Monotonic, timeout, timeout_at};

use self::domains::Domains;
use super::{Counters, Queue, Renderer, Sweeper, Transport};
use crate::domain::{Clock, Entropy};
use crate::settings;
use crate::store::Database;

/// How long a fetcher may take to end, at least.
const LAST_POP: Duration = Duration::from_secs(4);
/// How long sends that were broken off may take to release their rows.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a worker is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where the outbox is.
    pub database: Database,
    /// Where ids come from.
    pub queue: Queue,
    /// Makes the texts.
    pub renderer: Renderer,
    /// Where mails go.
    pub transport: Transport,
    /// How many at once, how often, how long.
    pub settings: settings::Mail,
    /// The time.
    pub clock: Clock,
    /// The jitter.
    pub entropy: Entropy,
    /// What is counted.
    pub counters: Counters,
}

/// Sends mails; see [`Worker::spawn`].
#[derive(Debug)]
pub struct Worker;

/// What the fetchers and the tasks of the mails share.
struct Shared {
    parts: Parts,
    slots: Arc<Semaphore>,
    domains: Domains,
    tasks: Mutex<JoinSet<()>>,
    phase: watch::Sender<Phase>,
    paused: watch::Sender<bool>,
}

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// There is none.
    Working,
    /// Nothing new is begun.
    Stopping,
    /// What can be broken off is.
    Hurrying,
}

/// A running worker and its sweeper. When it is dropped, both stop taking mails; sends in flight go on. Better say
/// [`shutdown`](Self::shutdown).
pub struct WorkerHandle {
    shared: Arc<Shared>,
    fetchers: Vec<JoinHandle<()>>,
    sweeper: Option<Sweeper>,
}

impl Worker {
    /// Starts sending mails, and a [`Sweeper`], on the current runtime.
    pub fn spawn(parts: Parts) -> WorkerHandle {
        let workers = parts.settings.workers.clamp(1, Semaphore::MAX_PERMITS);
        let sweeper = Sweeper::spawn(&parts);
        let shared = Arc::new(Shared {
            slots: Arc::new(Semaphore::new(workers)),
            domains: Domains::new(workers),
            tasks: Mutex::default(),
            phase: watch::Sender::new(Phase::Working),
            paused: watch::Sender::new(false),
            parts,
        });
        let mut fetchers = vec![tokio::spawn(fetch::from_this_process(Arc::clone(&shared)))];
        if let Some(source) = shared.parts.queue.redis_source() {
            fetchers.push(tokio::spawn(fetch::from_redis(Arc::clone(&shared), source)));
        }
        WorkerHandle { shared, fetchers, sweeper: Some(sweeper) }
    }
}

impl WorkerHandle {
    /// Stops taking mails, until [`resume`](Self::resume). Sends in flight go on. Concerns this process alone.
    pub fn pause(&self) {
        self.shared.paused.send_replace(true);
    }

    /// Takes mails again.
    pub fn resume(&self) {
        self.shared.paused.send_replace(false);
    }

    /// Whether this worker has been paused.
    pub fn is_paused(&self) -> bool {
        *self.shared.paused.borrow()
    }

    /// Stops: takes nothing new, gives back what was not begun, and lets sends in flight finish within `deadline`. What
    /// can still be broken off then is released; a send whose final dot is out is left to its lease.
    pub async fn shutdown(mut self, deadline: Duration) {
        let shared = Arc::clone(&self.shared);
        let begun = Monotonic::now();
        shared.phase.send_replace(Phase::Stopping);
        if let Some(sweeper) = self.sweeper.take() {
            sweeper.stop().await;
        }
        for mut fetcher in std::mem::take(&mut self.fetchers) {
            // A short deadline does not count here: a pop ends within a second or two, and ids in its answer would be lost.
            match timeout_at(begun + deadline.max(LAST_POP), &mut fetcher).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => log::error!("a fetcher of mails had panicked; its ids come back through the sweeper"),
                Err(_) => fetcher.abort(),
            }
        }
        if !shared.is_idle_within(deadline.saturating_sub(begun.elapsed())).await {
            shared.phase.send_replace(Phase::Hurrying);
            if !shared.is_idle_within(LAST_WORDS).await {
                log::warn!("stopped while mails were on their way; they are repeated when their leases have run out");
                shared.tasks().abort_all();
            }
        }
        shared.parts.transport.close().await;
    }
}

impl Shared {
    /// Waits until every slot is free, at most `patience`; whether they are.
    async fn is_idle_within(&self, patience: Duration) -> bool {
        let all = u32::try_from(self.parts.settings.workers.max(1)).unwrap_or(u32::MAX);
        timeout(patience, self.slots.acquire_many(all)).await.is_ok()
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        // Nothing panics while it holds the lock.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        *self.phase.borrow() >= Phase::Stopping
    }

    /// Waits until a shutdown has come to `phase`.
    async fn reached(&self, phase: Phase) {
        // Fails only when the sender is gone, and the sender is here.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Waits while mail is paused.
    async fn resumed(&self) {
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.shared.phase.send_if_modified(|phase| {
            let working = *phase == Phase::Working;
            *phase = (*phase).max(Phase::Stopping);
            working
        });
    }
}

impl std::fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerHandle")
            .field("free_slots", &self.shared.slots.available_permits())
            .field("paused", &self.is_paused())
            .finish_non_exhaustive()
    }
}
