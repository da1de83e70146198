//! From the desk to the wire: gives free slots to mails, the most urgent first.
//!
//! There are three kinds of slots. The ordinary ones are as many as the settings say. A quarter as many are only for urgent
//! mails, which so never wait until others have gone out. And a send that takes long leaves its slot to the next
//! mail and goes on in the slow lane, as long as that has room: a relay or a domain that hangs holds up nobody else.

use std::sync::Arc;
use std::time::Instant as Monotonic;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::domains::{SLOW, Turn};
use super::job::Job;
use super::verdict::Verdict;
use super::{Phase, Shared, delivery};

/// How long a mail waits whose domain is slow, and has its share.
const DEFERRAL: std::time::Duration = std::time::Duration::from_secs(2);

/// The slots of a worker.
pub(super) struct Slots {
    ordinary: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

impl Slots {
    /// This many ordinary slots, and those that go with them.
    pub(super) fn new(workers: usize) -> Self {
        let of = |permits: usize| Arc::new(Semaphore::new(permits));
        Self { ordinary: of(workers), urgent: of(workers.div_ceil(4)), slow: of(workers) }
    }

    /// Free ordinary slots.
    pub(super) fn free(&self) -> usize {
        self.ordinary.available_permits()
    }
}

/// Gives out slots until the worker stops; then what lies on the desk is given back.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.reached(Phase::Stopping) => break,
            () = shared.may_not_take() => {
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
    shared.desk.filled().await;
    let urgent = async {
        shared.desk.urgent().await;
        Arc::clone(&shared.slots.urgent).acquire_owned().await
    };
    tokio::select! {
        biased;
        slot = Arc::clone(&shared.slots.ordinary).acquire_owned() => Some((slot.ok()?, shared.desk.pick()?)),
        slot = urgent => Some((slot.ok()?, shared.desk.pick_urgent()?)),
    }
}

fn start(shared: &Arc<Shared>, slot: OwnedSemaphorePermit, job: Job) {
    let domain = job.letter.as_ref().map_or("", |letter| letter.recipient.domain());
    let Some(turn) = shared.domains.begin(domain, Monotonic::now()) else {
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
    let mut sending = std::pin::pin!(delivery::run(&shared, job));
    tokio::select! {
        biased;
        () = &mut sending => {
            turn.end(Monotonic::now());
            return;
        }
        () = tokio::time::sleep(SLOW) => turn.is_slow(Monotonic::now()),
    }
    // Where the slow lane is full, too, the slot stays taken.
    let lane = Arc::clone(&shared.slots.slow).try_acquire_owned();
    let _slot = if lane.is_ok() {
        drop(slot);
        None
    } else {
        Some(slot)
    };
    sending.await;
    turn.end(Monotonic::now());
}

/// Gives back what was claimed and not begun.
pub(super) fn give_back(shared: &Shared) {
    for job in shared.desk.clear() {
        shared.end(job.mail, &job.hold, Verdict::NotBegun { wait: std::time::Duration::ZERO, error: None });
    }
}
