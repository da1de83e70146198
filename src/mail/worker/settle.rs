//! Tells the database what became of the mails: all that ended while it was busy with those before, in one statement.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::Shared;
use super::hold::Hold;
use crate::domain::clock::span;
use crate::domain::{EmailAddress, Instant, MailId, MailStatus, SuppressionReason};
use crate::mail::transport::Mailbox;
use crate::store::{Database, Mail, MailEnd, StoreError, Suppression, update};

/// Mails settled in one statement.
const MOST: usize = 512;
/// While many mails are held, ends that are fewer than this wait a moment for others.
const FEW: usize = 256;
const LINGER: Duration = Duration::from_millis(12);
/// The waits between attempts to tell the database.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(6);
/// How often it is told that the database is away.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// A mailbox that may not exist is suppressed for so much shorter than one that does not.
const DOUBT: u32 = 24;

/// A mail whose attempt ended.
pub(super) struct Ended {
    pub(super) mail: Mail,
    pub(super) hold: Arc<Hold>,
    pub(super) end: MailEnd,
    /// What the server said that took the mail.
    pub(super) reply: String,
    /// What a server has said of the mailbox.
    pub(super) mailbox: Mailbox,
    pub(super) took: Duration,
}

/// Settles what comes in, until a shutdown leaves nothing to come. The fence makes a repeat harmless, however late.
pub(super) async fn run(shared: Arc<Shared>, ended: Arc<Mutex<UnboundedReceiver<Ended>>>) {
    let mut ended = ended.lock().await;
    let mut batch = Vec::with_capacity(MOST);
    loop {
        tokio::select! {
            biased;
            _ = ended.recv_many(&mut batch, MOST) => {}
            () = shared.finished() => return,
        }
        if batch.len() < FEW && shared.desk.held() > FEW {
            // More end every moment: a commit for each handful of them would cost more than this.
            tokio::time::sleep(LINGER).await;
            while batch.len() < MOST
                && let Ok(more) = ended.try_recv()
            {
                batch.push(more);
            }
        }
        // In the order in which all lock them, so that no two wait for each other.
        batch.sort_unstable_by_key(|one| one.mail.id);
        let ours = tell_until_heard(&shared, &batch).await;
        suppress_gone(&shared, batch.iter().filter(|one| ours.contains(&one.mail.id)));
        for one in batch.drain(..) {
            shared.holds.let_go(&one.hold);
            report(&shared, &one, ours.contains(&one.mail.id));
            shared.desk.settled(1);
        }
    }
}

/// Tells the database of all ends, again and again while it is away; gives the ids of the rows that were still ours.
async fn tell_until_heard(shared: &Shared, batch: &[Ended]) -> HashSet<MailId> {
    let ends: Vec<MailEnd> = batch.iter().map(|one| one.end.clone()).collect();
    let (mut wait, mut complained) = (FIRST_WAIT, None::<Monotonic>);
    loop {
        let failure = match tell(shared, &ends).await {
            Ok(ours) => return ours.into_iter().collect(),
            Err(StoreError::Unavailable(error)) => error,
            Err(error) => {
                log::error!("{} ends of mails cannot be written together: {error}", ends.len());
                return tell_one_by_one(shared, &ends).await;
            }
        };
        if complained.is_none_or(|at| at.elapsed() > COMPLAIN_EVERY) {
            complained = Some(Monotonic::now());
            log::warn!("the database does not hear what became of {} mail(s): {failure}", ends.len());
        }
        tokio::time::sleep(shared.parts.entropy.jitter(wait)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// One that cannot be written is left to its lease, and keeps no other back.
async fn tell_one_by_one(shared: &Shared, ends: &[MailEnd]) -> HashSet<MailId> {
    let mut ours = HashSet::new();
    for end in ends {
        match tell(shared, std::slice::from_ref(end)).await {
            Ok(heard) => ours.extend(heard),
            Err(error) => log::error!("the end of mail {} cannot be written: {error}", end.id),
        }
    }
    ours
}

async fn tell(shared: &Shared, ends: &[MailEnd]) -> Result<Vec<MailId>, StoreError> {
    let settling = settle(&shared.parts.database, ends, shared.parts.clock.now());
    let answer = timeout(ANSWER, settling).await;
    answer.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))
}

async fn settle(database: &Database, ends: &[MailEnd], now: Instant) -> Result<Vec<MailId>, StoreError> {
    update!(database, dispatch::settle(ends, now))
}

/// Suppresses the mailboxes that relays said do not exist, beside the work.
fn suppress_gone<'a>(shared: &Arc<Shared>, ended: impl Iterator<Item = &'a Ended>) {
    let bounces: Vec<Suppression> = ended.filter_map(|one| bounce(shared, one)).collect();
    if bounces.is_empty() {
        return;
    }
    let database = shared.parts.database.clone();
    tokio::spawn(async move {
        for bounce in &bounces {
            if let Err(error) = suppress(&database, bounce).await {
                log::warn!("a mailbox that does not exist could not be suppressed: {error}");
            }
        }
    });
}

fn bounce(shared: &Shared, one: &Ended) -> Option<Suppression> {
    let lasts = match one.mailbox {
        Mailbox::Unknown => return None,
        Mailbox::Doubtful => shared.parts.settings.suppress_for / DOUBT,
        Mailbox::Gone => shared.parts.settings.suppress_for,
    };
    let email: EmailAddress = one.mail.recipient.parse().ok()?;
    // A server that tells capitals apart has refused another spelling than the one that the key stands for.
    if lasts.is_zero() || email.as_str() != email.key() {
        return None;
    }
    let (now, detail) = (shared.parts.clock.now(), one.end.error.clone().unwrap_or_default());
    let email_key = email.key().to_owned();
    let (reason, until) = (SuppressionReason::Bounce, now + span(lasts));
    Some(Suppression { email_key, email, reason, detail, created_at: now, until })
}

async fn suppress(database: &Database, bounce: &Suppression) -> Result<(), StoreError> {
    update!(database, suppressions::put_unless_longer(bounce))
}

/// An address as `EmailAddress` shows itself in logs, whatever is in it.
fn masked(recipient: &str) -> String {
    match (recipient.chars().next(), recipient.rsplit_once('@')) {
        (Some(first), Some((_, domain))) => format!("{first}…@{domain}"),
        _ => "unreadable".to_owned(),
    }
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
    let to = &masked(&mail.recipient);
    let hide = |text: &str| text.replace(&mail.recipient, to).replace(&mail.recipient.to_lowercase(), to);
    let error = end.error.as_deref().map(hide).unwrap_or_default();
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
