//! A worker's holds on its rows: their leases, and the news that one is lost.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::Shared;
use crate::domain::clock::span;
use crate::domain::{Instant, MailId};
use crate::mail::transport::Progress;
use crate::store::{Database, Mail, StoreError, update};

/// The pause after a renewal that the database has not heard.
const AGAIN: Duration = Duration::from_secs(1);

/// One claimed row.
#[derive(Debug)]
pub(super) struct Hold {
    id: MailId,
    fence: i64,
    /// How far the send has come, and until when the row is ours.
    pub(super) progress: Progress,
    lost: AtomicBool,
    news: Notify,
}

impl Hold {
    fn new(mail: &Mail, until: Instant) -> Self {
        let progress = Progress::default();
        progress.hold_until(until);
        Self { id: mail.id, fence: mail.fence, progress, lost: AtomicBool::new(false), news: Notify::new() }
    }

    /// Returns when the row is somebody else's by now, or nobody can tell, and the attempt can still be broken off; once
    /// the final dot is out it never does.
    pub(super) async fn lost(&self) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if self.lost.load(Ordering::Acquire) && !self.progress.dot_sent() {
                return;
            }
            news.await;
        }
    }

    fn lose(&self) {
        self.progress.hold_until(Instant::UNIX_EPOCH);
        self.lost.store(true, Ordering::Release);
        self.news.notify_waiters();
    }
}

/// All holds of a worker.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HashMap<MailId, Arc<Hold>>>);

impl Holds {
    /// Takes hold of a row that was just claimed.
    pub(super) fn take(&self, mail: &Mail, until: Instant) -> Arc<Hold> {
        let hold = Arc::new(Hold::new(mail, until));
        // Whoever had it before, in this very process, has been too slow.
        if let Some(before) = self.holds().insert(mail.id, Arc::clone(&hold)) {
            before.lose();
        }
        hold
    }

    /// Lets go of a row.
    pub(super) fn let_go(&self, hold: &Arc<Hold>) {
        let mut holds = self.holds();
        // The row may have been claimed again meanwhile, by this worker.
        if holds.get(&hold.id).is_some_and(|held| Arc::ptr_eq(held, hold)) {
            holds.remove(&hold.id);
        }
    }

    /// Renews nothing any more that is held now.
    pub(super) fn forget(&self) {
        self.holds().clear();
    }

    fn all(&self) -> Vec<Arc<Hold>> {
        self.holds().values().cloned().collect()
    }

    fn holds(&self) -> MutexGuard<'_, HashMap<MailId, Arc<Hold>>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews the leases of all rows that are held, three times a lease, all in one statement, until a
/// shutdown leaves none.
pub(super) async fn keep(shared: Arc<Shared>) {
    let lease = shared.parts.settings.lease;
    let mut pause = lease / 3;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.finished() => return,
        }
        let holds = shared.holds.all();
        let heard = holds.is_empty() || renew(&shared, &holds, lease).await;
        pause = if heard { lease / 3 } else { AGAIN.min(lease / 3) };
    }
}

/// Renews what is still ours; whether the database was heard.
async fn renew(shared: &Shared, holds: &[Arc<Hold>], lease: Duration) -> bool {
    let clock = &shared.parts.clock;
    let mut held: Vec<(MailId, i64)> = holds.iter().map(|hold| (hold.id, hold.fence)).collect();
    // In the order in which all lock them, so that no two wait for each other.
    held.sort_unstable();
    let until = clock.now() + span(lease);
    let renewed = timeout(lease / 3, renew_all(&shared.parts.database, &held, until)).await;
    match renewed.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
        Ok(ours) => {
            let ours: HashSet<MailId> = ours.into_iter().collect();
            for hold in holds {
                if ours.contains(&hold.id) {
                    hold.progress.hold_until(until);
                } else {
                    hold.lose();
                }
            }
            true
        }
        Err(error) => {
            log::debug!("the leases of {} mails could not be renewed: {error}", holds.len());
            let now = clock.now();
            holds.iter().filter(|hold| !hold.progress.is_held(now)).for_each(|hold| hold.lose());
            false
        }
    }
}

async fn renew_all(database: &Database, held: &[(MailId, i64)], until: Instant) -> Result<Vec<MailId>, StoreError> {
    update!(database, dispatch::renew(held, until))
}
