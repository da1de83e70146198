//! A worker's hold on one row: the lease, its renewal, and the words that end it.

use std::time::Duration;

use tokio::time::timeout;

use super::Shared;
use crate::domain::clock::span;
use crate::domain::{Instant, MailId, MailStatus};
use crate::mail::transport::Progress;
use crate::store::{Database, Mail, StoreError, update};

/// The waits between attempts to tell the database what became of a mail.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How a claimed row leaves its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// For good.
    Finish { status: MailStatus, error: Option<String> },
    /// For another attempt, which this one counts against.
    Retry { at: Instant, error: String },
    /// Untouched, for anybody from `at` on; the attempt does not count.
    Release { at: Instant },
}

/// Renews the lease of `mail` while its attempt runs. Returns when the row is certainly somebody else's by now, or nobody
/// can tell, and the attempt can still be broken off; once the final dot is out it never does.
pub(super) async fn lost(shared: &Shared, mail: &Mail, progress: &Progress) {
    let lease = shared.parts.settings.lease;
    let clock = &shared.parts.clock;
    let mut held_until = mail.lease_until.unwrap_or_else(|| clock.now());
    let mut held = true;
    loop {
        tokio::time::sleep(lease / 3).await;
        if held {
            let until = clock.now() + span(lease);
            match timeout(lease / 3, renew(&shared.parts.database, mail.id, mail.fence, until)).await {
                Ok(Ok(true)) => held_until = until,
                Ok(Ok(false)) => held = false,
                Ok(Err(error)) => log::debug!("the lease of mail {} could not be renewed: {error}", mail.id),
                Err(_) => log::debug!("the lease of mail {} could not be renewed in time", mail.id),
            }
        }
        if (!held || clock.now() >= held_until) && !progress.dot_sent() {
            return;
        }
    }
}

/// Tells the database how the attempt ended, again and again until it is heard; whether the row was still ours. The fence
/// makes a repeat harmless, however late.
pub(super) async fn settle(shared: &Shared, mail: &Mail, end: &End) -> bool {
    let mut wait = FIRST_WAIT;
    let mut first = true;
    loop {
        let telling = tell(&shared.parts.database, mail.id, mail.fence, end, shared.parts.clock.now());
        let failure = match timeout(ANSWER, telling).await {
            Ok(Ok(ours)) => return ours,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        if std::mem::take(&mut first) {
            log::warn!("the database does not hear what became of mail {}: {failure}", mail.id);
        }
        tokio::time::sleep(shared.parts.entropy.jitter(wait)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn renew(database: &Database, id: MailId, fence: i64, until: Instant) -> Result<bool, StoreError> {
    update!(database, outbox::renew(id, fence, until))
}

async fn tell(database: &Database, id: MailId, fence: i64, end: &End, now: Instant) -> Result<bool, StoreError> {
    match end {
        End::Finish { status, error } => {
            update!(database, outbox::finish(id, fence, *status, error.as_deref(), now))
        }
        End::Retry { at, error } => update!(database, outbox::retry(id, fence, *at, error)),
        End::Release { at } => update!(database, outbox::release(id, fence, *at)),
    }
}
