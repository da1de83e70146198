//! From the desk to the wire: gives free slots to mails, the most urgent first.
//!
//! Two things keep a mail from waiting for others that take long. While sends take long, a quarter of the slots is kept for
//! urgent mails; while they are quick, a slot is free again before that could matter. And a send that has taken a second
//! leaves its slot to the next mail and goes on in the slow lane, as long as that has room, so that a relay or a
//! domain that hangs holds up nobody else. The slow lane has as many places as there are slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Monotonic};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::domains::{SLOW, Turn};
use super::job::Job;
use super::verdict::Verdict;
use super::{Phase, Shared, delivery};

/// How long a mail waits whose domain is slow, and has its share.
const DEFERRAL: Duration = Duration::from_secs(2);

/// Sends that take less than this on average are quick.
const QUICK: Duration = Duration::from_millis(250);

/// The slots of a worker.
pub(super) struct Slots {
    common: Arc<Semaphore>,
    /// Those that are kept for urgent mails while sends take long.
    kept: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    /// A quarter of them, and at least one.
    quarter: usize,
    /// How long sends take: a moving average, in microseconds.
    average: AtomicU64,
}

impl Slots {
    /// This many slots, and as many places in the slow lane.
    pub(super) fn new(workers: usize) -> Self {
        let of = |permits: usize| Arc::new(Semaphore::new(permits));
        let kept = workers / 4;
        let (common, slow, average) = (of(workers - kept), of(workers), AtomicU64::new(0));
        Self { common, kept: of(kept), slow, quarter: kept.max(1), average }
    }

    /// Free slots.
    pub(super) fn free(&self) -> usize {
        self.common.available_permits() + self.kept.available_permits()
    }

    /// Whether the last quarter of the slots is in use.
    fn are_scarce(&self) -> bool {
        self.free() < self.quarter
    }

    fn is_quick(&self) -> bool {
        u128::from(self.average.load(Ordering::Relaxed)) < QUICK.as_micros()
    }

    /// A send took this long, or so long up to now.
    fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let average = self.average.load(Ordering::Relaxed);
        // Of two at once, one is lost: it is an average.
        self.average.store((average - average / 8).saturating_add(time / 8), Ordering::Relaxed);
    }
}

/// Gives out slots until the worker stops; then what lies on the desk is given back.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.reached(Phase::Stopping) => break,
            () = shared.is_paused() => {
                give_back(&shared);
                tokio::select! {
                    () = shared.reached(Phase::Stopping) => break,
                    () = shared.may_take() => {}
                }
            }
            next = next(&shared) => {
                if let Some((slot, job)) = next {
                    start(&shared, slot, job);
                }
            }
        }
    }
    give_back(&shared);
}

/// The next mail, and a slot for it.
async fn next(shared: &Shared) -> Option<(OwnedSemaphorePermit, Job)> {
    let Slots { common, kept, .. } = &shared.slots;
    shared.desk.filled().await;
    let quick = shared.slots.is_quick();
    let kept = async {
        if !quick {
            shared.desk.urgent().await;
        }
        Arc::clone(kept).acquire_owned().await
    };
    tokio::select! {
        biased;
        slot = Arc::clone(common).acquire_owned() => Some((slot.ok()?, shared.desk.pick()?)),
        slot = kept => {
            let job = if quick { shared.desk.pick() } else { shared.desk.pick_urgent() };
            Some((slot.ok()?, job?))
        }
    }
}

fn start(shared: &Arc<Shared>, slot: OwnedSemaphorePermit, job: Job) {
    let domain = job.letter.as_ref().map_or("", |letter| letter.recipient.domain());
    let Some(turn) = shared.domains.begin(domain, shared.slots.are_scarce(), Monotonic::now()) else {
        let wait = shared.parts.entropy.jitter(DEFERRAL);
        shared.end(job.mail, &job.hold, Verdict::NotBegun { wait, error: None });
        return;
    };
    let mut tasks = shared.tasks();
    while tasks.try_join_next().is_some() {}
    tasks.spawn(send(Arc::clone(shared), slot, turn, job));
}

/// Sends one mail; a send that takes long makes room for others.
async fn send(shared: Arc<Shared>, slot: OwnedSemaphorePermit, turn: Turn, job: Job) {
    let begun = Monotonic::now();
    let mut sending = std::pin::pin!(delivery::run(&shared, job));
    let answered = if let Ok(answered) = tokio::time::timeout(SLOW, &mut sending).await {
        if answered {
            shared.slots.took(begun.elapsed());
        }
        answered
    } else {
        shared.slots.took(SLOW);
        turn.is_slow(Monotonic::now());
        let place = Arc::clone(&shared.slots.slow).try_acquire_owned();
        // Where the slow lane is full, too, the slot stays taken.
        let _held = match place {
            Ok(place) => {
                drop(slot);
                place
            }
            Err(_) => slot,
        };
        sending.await
    };
    if answered {
        turn.end(Monotonic::now());
    }
}

/// Gives back what was claimed and not begun.
pub(super) fn give_back(shared: &Shared) {
    for job in shared.desk.clear() {
        shared.end(job.mail, &job.hold, Verdict::NotBegun { wait: Duration::ZERO, error: None });
    }
}
