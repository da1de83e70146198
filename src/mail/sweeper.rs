//! Finds what fell between the queue and the workers, about once a second, on every instance: what concerns the rows in
//! one statement.
//!
//! | it finds | it makes of it |
//! |---|---|
//! | `sending` rows whose lease ran out: their worker died or hangs | `ready`, with the fence moved on; `dead` if that was the last attempt |
//! | `ready` rows that are no longer worth sending | `expired` |
//! | due rows whose id no queue is known to hold: a lost push, a retry that is due, a lost Redis | their ids are queued |
//! | records of mails that ended long ago | they are deleted, once a minute |
//! | the switch that pauses all mail | workers on this instance take none, or take mails again |
//!
//! Any number of sweepers may run: a row that another one has in hand is skipped, and a repeated id does no harm. While
//! there is more to be queued than one round does, rounds follow quickly.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant as Monotonic, sleep, timeout};

use super::outbox::priority;
use super::worker::Parts;
use crate::domain::clock::span;
use crate::domain::{Instant, Priority};
use crate::store::{Database, StoreError, SweepOrder, Swept, read, update};

const ROUND: Duration = Duration::from_secs(1);
/// The pause after a round that has left something undone.
const QUICK_ROUND: Duration = Duration::from_millis(100);
/// How long a queued id is taken to be in the queue.
const QUEUED: Duration = Duration::from_secs(30);
/// Rows of each sort in one round.
const BATCH: i64 = 2000;
/// A list with this many ids is fed no more: ids that wait long would only be repeated in it.
const FULL: usize = 2000;
/// After an outage of the database, workers get this long to say what became of their mails before leases are taken back:
/// longer than one attempt to tell it takes, and the pause after it.
const AFTER_OUTAGE: Duration = Duration::from_secs(8);
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
    paused: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Sweeper {
    /// Starts sweeping on the current runtime. A [`Worker`](super::Worker) brings its own; an instance without a worker
    /// needs none, but is free to have one. Stops when dropped.
    pub fn spawn(parts: &Parts) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        // Until the switch has been looked at, mail counts as paused.
        let (pause, paused) = watch::channel(true);
        let mut rounds = Rounds {
            parts: parts.clone(),
            outages: Outages::default(),
            pruned: None,
            measured: None,
            seen: None,
            pause,
        };
        let task = tokio::spawn(async move {
            loop {
                let more = rounds.sweep().await;
                rounds.parts.transport.tidy().await;
                let pause = rounds.parts.entropy.jitter(if more { QUICK_ROUND } else { ROUND });
                tokio::select! {
                    // An error means that the handle is gone.
                    _ = stopped.wait_for(|stop| *stop) => return,
                    () = sleep(pause) => {}
                }
            }
        });
        Self { stop, paused, task }
    }

    /// Whether an operator has paused the mail, as last seen.
    pub(super) fn paused(&self) -> watch::Receiver<bool> {
        self.paused.clone()
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
    measured: Option<Monotonic>,
    /// How the switch was last seen.
    seen: Option<bool>,
    pause: watch::Sender<bool>,
}

impl Rounds {
    /// One round; whether it has left something undone.
    async fn sweep(&mut self) -> bool {
        let round = timeout(LONGEST_ROUND, self.round()).await;
        match round.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
            Ok(more) => {
                self.parts.counters.sweeps(1);
                if self.outages.ended(Monotonic::now()) {
                    log::info!("the mail sweeper reaches the database again");
                }
                more
            }
            Err(error) => {
                if self.outages.began() {
                    log::warn!("the mail sweeper cannot work, trying on: {error}");
                }
                false
            }
        }
    }

    async fn round(&mut self) -> Result<bool, StoreError> {
        let reclaims = self.outages.may_reclaim(Monotonic::now());
        self.look_at_the_switch().await?;
        let Parts { database, queue, clock, counters, settings, .. } = &self.parts;
        let lengths = queue.lengths().await;
        counters.set_queued(lengths);
        let hungry = Priority::ALL.iter().zip(lengths).filter(|(_, length)| *length < FULL);
        let now = clock.now();
        let order = SweepOrder {
            now,
            reclaims,
            max_attempts: i32::try_from(settings.max_attempts).unwrap_or(i32::MAX),
            priorities: hungry.map(|(priority, _)| priority.number()).collect(),
            queued_until: now + span(QUEUED),
            limit: BATCH,
        };
        let swept = sweep(database, &order).await?;
        self.report(&swept);
        let entries: Vec<_> = swept.due.iter().map(|&(id, number)| (id, priority(number))).collect();
        queue.push(&entries).await;
        self.measure(now).await?;
        self.prune().await?;
        Ok(i64::try_from(swept.due.len()).is_ok_and(|due| due >= BATCH))
    }

    fn report(&self, swept: &Swept) {
        let Swept { expired, dead, reclaimed, .. } = *swept;
        let counters = &self.parts.counters;
        counters.expired(expired);
        counters.dead(dead);
        counters.reclaimed(reclaimed + dead);
        if dead > 0 {
            log::warn!("{dead} mails are dead: their workers were not heard of any more, at every attempt");
        }
        if reclaimed > 0 {
            log::warn!("took back {reclaimed} mails whose worker was not heard of any more");
        }
    }

    async fn look_at_the_switch(&mut self) -> Result<(), StoreError> {
        let paused = is_paused(&self.parts.database).await?;
        self.pause.send_if_modified(|now| std::mem::replace(now, paused) != paused);
        if self.seen.replace(paused).unwrap_or(false) != paused {
            log::warn!("mail is {}", if paused { "paused: none is sent until it is resumed" } else { "resumed" });
        }
        Ok(())
    }

    /// How long the oldest due mail of each priority has waited.
    async fn measure(&mut self, now: Instant) -> Result<(), StoreError> {
        if self.measured.is_some_and(|last| last.elapsed() < ROUND / 2) {
            return Ok(());
        }
        let oldest = oldest_due(&self.parts.database, now).await?;
        let age = |oldest: Option<Instant>| oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default();
        self.parts.counters.set_ages(oldest.map(age));
        self.measured = Some(Monotonic::now());
        Ok(())
    }

    async fn prune(&mut self) -> Result<(), StoreError> {
        if self.pruned.is_some_and(|last| last.elapsed() < PRUNE_EVERY) {
            return Ok(());
        }
        let Parts { database, clock, settings, .. } = &self.parts;
        let now = clock.now();
        for _ in 0..PRUNE_BATCHES {
            let pruned = update!(database, outbox::prune(now - span(settings.retention), PRUNE_BATCH))?;
            if i64::try_from(pruned).is_ok_and(|pruned| pruned < PRUNE_BATCH) {
                break;
            }
        }
        update!(database, suppressions::prune(now - span(settings.retention)))?;
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

    /// A round went through at `now`; whether it ended an outage.
    fn ended(&mut self, now: Monotonic) -> bool {
        let ended = std::mem::take(&mut self.lasts);
        if ended {
            self.reclaim_from = Some(now + AFTER_OUTAGE);
        }
        ended
    }

    /// Whether a round at `now` may take leases back.
    fn may_reclaim(&self, now: Monotonic) -> bool {
        !self.lasts && self.reclaim_from.is_none_or(|from| now >= from)
    }
}

async fn sweep(database: &Database, order: &SweepOrder) -> Result<Swept, StoreError> {
    update!(database, dispatch::sweep(order))
}

async fn is_paused(database: &Database) -> Result<bool, StoreError> {
    read!(database, switches::is_on(crate::store::MAIL_PAUSED))
}

async fn oldest_due(database: &Database, now: Instant) -> Result<[Option<Instant>; 4], StoreError> {
    read!(database, outbox::oldest_due(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_outage_workers_are_heard_before_leases_are_taken_back() {
        let (mut outages, start) = (Outages::default(), Monotonic::now());
        assert!(outages.may_reclaim(start));
        assert!(outages.began() && !outages.began());
        assert!(!outages.may_reclaim(start), "the first round that goes through");
        assert!(outages.ended(start) && !outages.ended(start));
        assert!(!outages.may_reclaim(start + AFTER_OUTAGE / 2));
        assert!(outages.may_reclaim(start + AFTER_OUTAGE));
        // One that comes back for a moment only starts over.
        outages.began();
        outages.ended(start + AFTER_OUTAGE);
        assert!(!outages.may_reclaim(start + AFTER_OUTAGE));
        outages.began();
        assert!(!outages.may_reclaim(start + AFTER_OUTAGE * 3));
    }
}
