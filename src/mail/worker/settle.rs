//! Tells the database what became of the mails: all that ended while it was busy with those before, in one statement.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::Shared;
use super::hold::Hold;
use crate::domain::clock::span;
use crate::domain::{EmailAddress, Instant, MailId, MailStatus, SuppressionReason};
use crate::store::{Database, Mail, MailEnd, StoreError, Suppression, update};

/// Mails settled in one statement.
const MOST: usize = 512;
/// The waits between attempts to tell the database.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A mail whose attempt ended.
pub(super) struct Ended {
    pub(super) mail: Mail,
    pub(super) hold: Arc<Hold>,
    pub(super) end: MailEnd,
    /// What the server said that took the mail.
    pub(super) reply: String,
    /// Whether a server has said that there is no such mailbox.
    pub(super) no_mailbox: bool,
    pub(super) took: Duration,
}

/// Settles what comes in, until a shutdown leaves nothing to come. The fence makes a repeat harmless, however late.
pub(super) async fn run(shared: Arc<Shared>, mut ended: UnboundedReceiver<Ended>) {
    let mut batch = Vec::with_capacity(MOST);
    loop {
        tokio::select! {
            biased;
            _ = ended.recv_many(&mut batch, MOST) => {}
            () = shared.finished() => return,
        }
        let ours = tell_until_heard(&shared, &batch).await;
        for one in batch.drain(..) {
            shared.holds.let_go(&one.hold);
            report(&shared, &one, ours.contains(&one.mail.id));
            shared.desk.settled(1);
        }
    }
}

async fn tell_until_heard(shared: &Shared, batch: &[Ended]) -> HashSet<MailId> {
    let ends: Vec<MailEnd> = batch.iter().map(|one| one.end.clone()).collect();
    let bounces = bounces(shared, batch);
    let mut wait = FIRST_WAIT;
    loop {
        let telling = tell(&shared.parts.database, &ends, &bounces, shared.parts.clock.now());
        let failure = match timeout(ANSWER, telling).await {
            Ok(Ok(ours)) => return ours.into_iter().collect(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        if wait == FIRST_WAIT {
            log::warn!("the database does not hear what became of {} mail(s): {failure}", ends.len());
        }
        tokio::time::sleep(shared.parts.entropy.jitter(wait)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Suppressions of the mailboxes that do not exist.
fn bounces(shared: &Shared, batch: &[Ended]) -> Vec<Suppression> {
    let (now, span) = (shared.parts.clock.now(), span(shared.parts.settings.suppress_for));
    let gone = batch.iter().filter(|one| one.no_mailbox && !span.is_zero());
    gone.filter_map(|one| {
        let email: EmailAddress = one.mail.recipient.parse().ok()?;
        Some(Suppression {
            email_key: email.key().to_owned(),
            email,
            reason: SuppressionReason::Bounce,
            detail: one.end.error.clone().unwrap_or_default(),
            created_at: now,
            until: now + span,
        })
    })
    .collect()
}

async fn tell(
    database: &Database,
    ends: &[MailEnd],
    bounces: &[Suppression],
    now: Instant,
) -> Result<Vec<MailId>, StoreError> {
    for bounce in bounces {
        suppress(database, bounce).await?;
    }
    update!(database, dispatch::settle(ends, now))
}

async fn suppress(database: &Database, bounce: &Suppression) -> Result<(), StoreError> {
    update!(database, suppressions::put(bounce))
}

/// Counts and logs. A log line has the server's words, but the recipient's address only as its `Debug` shows it.
fn report(shared: &Shared, one: &Ended, ours: bool) {
    let Ended { mail, end, reply, took, .. } = one;
    let counters = &shared.parts.counters;
    let (id, kind, attempts, ms) = (mail.id, mail.kind.as_str(), mail.attempts, took.as_millis());
    if !ours {
        counters.late(1);
        let end = end.status;
        log::warn!(mail:% = id, kind, attempts, ms; "mail had been taken over when its attempt ended ({end})");
        return;
    }
    let recipient = mail.recipient.parse::<EmailAddress>();
    let to = recipient.map_or_else(|_| "unreadable".to_owned(), |recipient| format!("{recipient:?}"));
    let hide = |text: &str| text.replace(&mail.recipient, &to).replace(&mail.recipient.to_lowercase(), &to);
    let error = hide(end.error.as_deref().unwrap_or_default());
    match end.status {
        MailStatus::Sent => {
            counters.sent(1);
            let reply = hide(reply);
            log::info!(mail:% = id, kind, to, attempts, ms, reply; "mail sent");
        }
        MailStatus::Expired => {
            counters.expired(1);
            log::info!(mail:% = id, kind, to, attempts, error; "mail expired unsent");
        }
        MailStatus::Dead => {
            counters.dead(1);
            log::warn!(mail:% = id, kind, to, attempts, error; "mail is dead");
        }
        MailStatus::Ready | MailStatus::Sending if end.uncounted => {
            counters.deferred(1);
            log::debug!(mail:% = id, kind, to, error; "mail given back unsent");
        }
        MailStatus::Ready | MailStatus::Sending => {
            counters.retried(1);
            log::warn!(mail:% = id, kind, to, attempts, error; "mail failed, to be tried again");
        }
    }
}
