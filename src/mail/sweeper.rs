//! Finds what fell between the queue and the workers, about once a second, on every instance.
//!
//! | it finds | it makes of it |
//! |---|---|
//! | `sending` rows whose lease ran out: their worker died or hangs | `ready`, with the fence moved on |
//! | `ready` rows that are no longer worth sending | `expired` |
//! | `ready` rows that have used up their attempts | `dead` |
//! | due rows whose id no queue is known to hold: a lost push, a retry that is due, a lost Redis | their ids are queued |
//! | records of mails that ended long ago | they are deleted, once a minute |
//!
//! Any number of sweepers may run: every step is one conditional statement, and a repeated id does no harm.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant as Monotonic, sleep, timeout};

use super::outbox::priority;
use super::worker::Parts;
use crate::domain::clock::span;
use crate::domain::{Instant, Priority};
use crate::store::{Database, StoreError, update};

const ROUND: Duration = Duration::from_secs(1);
/// How long a queued id is taken to be in the queue.
const QUEUED: Duration = Duration::from_secs(30);
/// Ids queued in one round.
const BATCH: i64 = 500;
/// A list with this many ids is fed no more: ids that wait long would only be repeated in it.
const FULL: usize = 1000;
/// After an outage of the database, workers get this long to say what became of their mails before leases are taken back.
const AFTER_OUTAGE: Duration = Duration::from_secs(3);
/// How long a round may take: were the database to fall silent, this one would never know.
const LONGEST_ROUND: Duration = Duration::from_secs(30);
/// How long the last round may take.
const LAST_ROUND: Duration = Duration::from_secs(2);
const PRUNE_EVERY: Duration = Duration::from_mins(1);
const PRUNE_BATCH: i64 = 500;
const PRUNE_BATCHES: usize = 20;

/// A running sweeper.
#[derive(Debug)]
pub struct Sweeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sweeper {
    /// Starts sweeping on the current runtime. A [`Worker`](super::Worker) brings its own; an instance without a worker
    /// needs none, but is free to have one. Stops when dropped.
    pub fn spawn(parts: &Parts) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let mut rounds = Rounds { parts: parts.clone(), outages: Outages::default(), pruned: None };
        let task = tokio::spawn(async move {
            loop {
                rounds.sweep().await;
                rounds.parts.transport.tidy().await;
                let pause = rounds.parts.entropy.jitter(ROUND);
                tokio::select! {
                    // An error means that the handle is gone.
                    _ = stopped.wait_for(|stop| *stop) => return,
                    () = sleep(pause) => {}
                }
            }
        });
        Self { stop, task }
    }

    /// Stops after the round that is under way. One that takes long, because the database does not answer, is cut off:
    /// whatever it has done is done, and another sweeper does the rest.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        match timeout(LAST_ROUND, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => log::error!("the mail sweeper had panicked"),
            Err(_) => self.task.abort(),
        }
    }
}

struct Rounds {
    parts: Parts,
    outages: Outages,
    pruned: Option<Monotonic>,
}

impl Rounds {
    async fn sweep(&mut self) {
        let round = timeout(LONGEST_ROUND, self.round()).await;
        match round.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
            Ok(()) => {
                self.parts.counters.sweeps(1);
                if self.outages.ended() {
                    log::info!("the mail sweeper reaches the database again");
                }
            }
            Err(error) => {
                if self.outages.began() {
                    log::warn!("the mail sweeper cannot work, trying on: {error}");
                }
            }
        }
    }

    async fn round(&mut self) -> Result<(), StoreError> {
        let may_reclaim = self.outages.may_reclaim(Monotonic::now());
        let Parts { database, clock, counters, settings, .. } = &self.parts;
        let now = clock.now();
        let expired = expire(database, now).await?;
        counters.expired(expired);
        let dead = bury(database, settings.max_attempts, now).await?;
        counters.dead(dead);
        if dead > 0 {
            log::warn!("{dead} mails are dead: their attempts are used up");
        }
        if may_reclaim {
            let reclaimed = reclaim(database, now).await?;
            counters.reclaimed(reclaimed);
            if reclaimed > 0 {
                log::warn!("took back {reclaimed} mails whose worker was not heard of any more");
            }
        }
        self.feed().await?;
        self.prune().await
    }

    async fn feed(&self) -> Result<(), StoreError> {
        let Parts { database, queue, clock, .. } = &self.parts;
        let lengths = queue.lengths().await;
        let hungry = Priority::ALL.iter().zip(lengths).filter(|(_, length)| *length < FULL);
        let hungry: Vec<i16> = hungry.map(|(priority, _)| priority.number()).collect();
        if hungry.is_empty() {
            return Ok(());
        }
        let now = clock.now();
        let until = now + span(QUEUED);
        let taken = update!(database, outbox::take_unqueued(&hungry, now, until, BATCH))?;
        let entries: Vec<_> = taken.into_iter().map(|(id, number)| (id, priority(number))).collect();
        queue.push(&entries).await;
        Ok(())
    }

    async fn prune(&mut self) -> Result<(), StoreError> {
        if self.pruned.is_some_and(|last| last.elapsed() < PRUNE_EVERY) {
            return Ok(());
        }
        let Parts { database, clock, settings, .. } = &self.parts;
        let before = clock.now() - span(settings.retention);
        for _ in 0..PRUNE_BATCHES {
            let pruned = update!(database, outbox::prune(before, PRUNE_BATCH))?;
            if i64::try_from(pruned).is_ok_and(|pruned| pruned < PRUNE_BATCH) {
                break;
            }
        }
        self.pruned = Some(Monotonic::now());
        Ok(())
    }
}

/// Remembers outages of the database. Leases run out meanwhile, and nobody can renew them: after an outage, workers get
/// some time to be heard before leases are taken back.
#[derive(Debug, Default)]
struct Outages {
    lasts: bool,
    /// When leases may be taken back again.
    reclaim_from: Option<Monotonic>,
}

impl Outages {
    /// A round failed; whether it is the first of an outage.
    fn began(&mut self) -> bool {
        self.reclaim_from = None;
        !std::mem::replace(&mut self.lasts, true)
    }

    /// A round went through; whether it ended an outage.
    fn ended(&mut self) -> bool {
        std::mem::take(&mut self.lasts)
    }

    /// Whether a round at `now` may take leases back.
    fn may_reclaim(&mut self, now: Monotonic) -> bool {
        if !self.lasts && self.reclaim_from.is_none() {
            return true;
        }
        if now < *self.reclaim_from.get_or_insert(now + AFTER_OUTAGE) {
            return false;
        }
        self.reclaim_from = None;
        true
    }
}

async fn expire(database: &Database, now: Instant) -> Result<usize, StoreError> {
    update!(database, outbox::expire_due(now))
}

async fn bury(database: &Database, max_attempts: u32, now: Instant) -> Result<usize, StoreError> {
    let most = i32::try_from(max_attempts).unwrap_or(i32::MAX);
    update!(database, outbox::bury_exhausted(most, now))
}

async fn reclaim(database: &Database, now: Instant) -> Result<usize, StoreError> {
    update!(database, outbox::reclaim_stale(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_outage_workers_are_heard_before_leases_are_taken_back() {
        let (mut outages, start) = (Outages::default(), Monotonic::now());
        assert!(outages.may_reclaim(start));
        assert!(outages.began() && !outages.began());
        // The first round that goes through, and those after it.
        assert!(!outages.may_reclaim(start));
        assert!(outages.ended() && !outages.ended());
        assert!(!outages.may_reclaim(start + AFTER_OUTAGE / 2));
        assert!(outages.may_reclaim(start + AFTER_OUTAGE));
        assert!(outages.may_reclaim(start + AFTER_OUTAGE));
        // One that comes back for a moment only starts over.
        outages.began();
        assert!(!outages.may_reclaim(start + AFTER_OUTAGE));
        outages.began();
        assert!(!outages.may_reclaim(start + AFTER_OUTAGE * 3));
    }
}
