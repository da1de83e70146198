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

/// A taken slot, and whether it is one of those that are kept for urgent mails while sends take long.
struct Slot {
    permit: OwnedSemaphorePermit,
    kept: bool,
}

/// Gives out free slots until the worker stops; then what lies on the desk is given back. A slot that is in use goes from mail
/// to mail without coming back here, as long as there are any.
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
            slot = free_slot(&shared) => {
                if let Some(slot) = slot
                    && let Some((turn, job)) = next(&shared, slot.kept)
                {
                    let mut tasks = shared.tasks();
                    while tasks.try_join_next().is_some() {}
                    tasks.spawn(serve(Arc::clone(&shared), slot, turn, job));
                }
            }
        }
    }
    give_back(&shared);
}

/// A slot for a mail that lies on the desk.
async fn free_slot(shared: &Shared) -> Option<Slot> {
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
        permit = Arc::clone(common).acquire_owned() => Some(Slot { permit: permit.ok()?, kept: false }),
        permit = kept => Some(Slot { permit: permit.ok()?, kept: true }),
    }
}

/// The next mail for a slot, and its domain's turn. Mails whose domain has to wait are given back for a moment.
fn next(shared: &Shared, kept: bool) -> Option<(Turn, Job)> {
    loop {
        if shared.is_stopping() || *shared.paused.borrow() {
            return None;
        }
        let urgent_only = kept && !shared.slots.is_quick();
        let job = if urgent_only { shared.desk.pick_urgent() } else { shared.desk.pick() }?;
        let domain = job.letter.as_ref().map_or("", |letter| letter.recipient.domain());
        if let Some(turn) = shared.domains.begin(domain, shared.slots.are_scarce(), Monotonic::now()) {
            return Some((turn, job));
        }
        let wait = shared.parts.entropy.jitter(DEFERRAL);
        shared.end(job.mail, &job.hold, Verdict::NotBegun { wait, error: None });
    }
}

/// Sends mails, one after the other, until there is none, or one has left the slot.
async fn serve(shared: Arc<Shared>, slot: Slot, turn: Turn, job: Job) {
    let kept = slot.kept;
    let mut slot = Some(slot.permit);
    let mut next_up = Some((turn, job));
    while let Some((turn, job)) = next_up {
        send(&shared, &mut slot, turn, job).await;
        if slot.is_none() {
            return;
        }
        next_up = next(&shared, kept);
    }
}

/// Sends one mail. A send that takes long leaves its slot to others, where the slow lane has a place.
async fn send(shared: &Shared, slot: &mut Option<OwnedSemaphorePermit>, turn: Turn, job: Job) {
    let begun = Monotonic::now();
    let mut sending = std::pin::pin!(delivery::run(shared, job));
    let answered = if let Ok(answered) = tokio::time::timeout(SLOW, &mut sending).await {
        if answered {
            shared.slots.took(begun.elapsed());
        }
        answered
    } else {
        shared.slots.took(SLOW);
        turn.is_slow(Monotonic::now());
        let place = Arc::clone(&shared.slots.slow).try_acquire_owned();
        if place.is_ok() {
            slot.take();
        }
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
