//! From the queue to claimed rows. A fetcher never drops a pop half-way, and never pops more than it has slots for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::{Phase, Shared, delivery};
use crate::domain::clock::span;
use crate::domain::{Instant, MailId};
use crate::mail::queue::{Entry, RedisSource};
use crate::store::{Database, Mail, StoreError, update};

/// How long the database may take to claim.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a fetcher leaves a server alone that has failed.
const PAUSE: Duration = Duration::from_millis(500);
/// What instances may disagree about the time by: a row that another one has just made is due here, too.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// Fetches from the lists of this process until the worker stops.
pub(super) async fn from_this_process(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.reached(Phase::Stopping) => return,
            () = async {
                shared.parts.queue.local().filled().await;
                shared.resumed().await;
            } => {}
        }
        let Some(slots) = slots(&shared, 0).await else { return };
        let entries = shared.parts.queue.local().take(slots.num_permits());
        if !entries.is_empty() {
            begin(&shared, slots, entries).await;
        }
    }
}

/// Fetches from Redis until the worker stops.
pub(super) async fn from_redis(shared: Arc<Shared>, mut source: RedisSource) {
    let mut changes = source.redis().changes();
    loop {
        tokio::select! {
            () = shared.reached(Phase::Stopping) => return,
            () = shared.resumed() => {}
        }
        // While this waits for ids, one slot stays free for those that come to this process.
        let Some(slots) = slots(&shared, 1).await else { return };
        match source.take(slots.num_permits()).await {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => begin(&shared, slots, entries).await,
            Err(error) => {
                drop(slots);
                log::debug!("no mail ids from Redis: {error}");
                tokio::select! {
                    () = shared.reached(Phase::Stopping) => return,
                    () = async {
                        tokio::time::sleep(PAUSE).await;
                        // Should the sender be gone, so is the way to Redis: look again now and then.
                        let _ = timeout(PAUSE * 20, changes.wait_for(|available| *available)).await;
                    } => {}
                }
            }
        }
    }
}

/// All free slots but `spare`, and at least one: waits for that. `None` when the worker stops.
async fn slots(shared: &Arc<Shared>, spare: usize) -> Option<OwnedSemaphorePermit> {
    let mut slots = tokio::select! {
        () = shared.reached(Phase::Stopping) => return None,
        slot = Arc::clone(&shared.slots).acquire_owned() => slot.ok()?,
    };
    let more = u32::try_from(shared.slots.available_permits().saturating_sub(spare)).unwrap_or(0);
    if more > 0
        && let Ok(more) = Arc::clone(&shared.slots).try_acquire_many_owned(more)
    {
        slots.merge(more);
    }
    Some(slots)
}

/// Claims what was popped and starts a task for each claimed row, in the order of the queue.
async fn begin(shared: &Arc<Shared>, mut slots: OwnedSemaphorePermit, entries: Vec<Entry>) {
    if shared.is_stopping() || *shared.paused.borrow() {
        shared.parts.queue.give_back(&entries).await;
        return;
    }
    let ids: Vec<MailId> = entries.iter().map(|(id, _)| *id).collect();
    let now = shared.parts.clock.now() + span(CLOCK_SLACK);
    let claiming = claim(&shared.parts.database, &ids, now, now + span(shared.parts.settings.lease));
    let claimed = timeout(ANSWER, claiming).await;
    let mut mails = match claimed.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
        Ok(mails) => mails,
        Err(error) => {
            log::warn!("mails cannot be claimed, trying again: {error}");
            shared.parts.queue.give_back(&entries).await;
            drop(slots);
            let _ = timeout(PAUSE, shared.reached(Phase::Stopping)).await;
            return;
        }
    };
    mails.sort_by_key(|mail| ids.iter().position(|id| *id == mail.id));
    let mut tasks = shared.tasks();
    while tasks.try_join_next().is_some() {}
    for mail in mails {
        // There are as many slots as ids; were there not, the lease would bring the mail back.
        let Some(slot) = slots.split(1) else { break };
        let shared = Arc::clone(shared);
        tasks.spawn(async move {
            delivery::run(&shared, mail).await;
            drop(slot);
        });
    }
}

async fn claim(
    database: &Database,
    ids: &[MailId],
    now: Instant,
    lease_until: Instant,
) -> Result<Vec<Mail>, StoreError> {
    update!(database, outbox::claim(ids, now, lease_until))
}
