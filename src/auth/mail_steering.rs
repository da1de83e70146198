//! What admins and operators do with mails that were accepted: look at them, try them again, give them up, and stop
//! all sending for a while.
//!
//! Only the database is told; workers find what they may claim there. A mail that was made ready is queued as well, so
//! that one takes it at once; where that push is lost the sweeper finds the row. A `sending` row is its worker's alone.

use std::time::Duration;

use super::{Auth, AuthError};
use crate::domain::{EmailAddress, Instant, MailId, MailKind, MailStatus, Origin, Priority, clock};
use crate::store::{self, DeadFilter, Mail, MailCounts, MailFilter, StoreError, User};

/// How long the sweeper leaves a mail alone that is on its way to a queue.
const PUSH_GRACE: Duration = Duration::from_secs(2);

/// A page of mails.
#[derive(Clone, Debug)]
pub struct MailPage {
    /// The mails, newest first.
    pub mails: Vec<Mail>,
    /// Names the next page; `None` on the last.
    pub next: Option<MailId>,
}

/// What a list of mails shows.
#[derive(Clone, Debug, Default)]
pub struct MailQuery {
    /// Only those that stand so.
    pub status: Option<MailStatus>,
    /// Only those of this kind.
    pub kind: Option<MailKind>,
    /// Only those whose recipient contains this.
    pub recipient: Option<String>,
    /// Only those after this one.
    pub cursor: Option<MailId>,
    /// At most so many.
    pub limit: u16,
}

/// Which dead mails to try again.
#[derive(Clone, Debug, Default)]
pub struct DeadMails {
    /// Only those of this kind.
    pub kind: Option<MailKind>,
    /// Only these.
    pub ids: Option<Vec<MailId>>,
    /// Only those after this one.
    pub cursor: Option<MailId>,
}

/// What became of a batch of dead mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetriedMails {
    /// So many are ready again.
    pub retried: usize,
    /// So many were left, because their mailboxes are suppressed.
    pub suppressed: usize,
    /// Where the next batch begins; `None` after the last.
    pub next: Option<MailId>,
}

/// Why a mail stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailRefusal {
    /// What it says is of no use any more. It cannot be sent again; its kind has to be asked for anew.
    #[error("the mail has expired: what it says is of no use any more")]
    Expired,
    /// Its mailbox is suppressed: lift that first.
    #[error("the mail's recipient is suppressed: lift that first")]
    Suppressed,
    /// A worker has it: wait for what becomes of that.
    #[error("the mail is being sent at this moment")]
    Sending,
    /// It has been sent.
    #[error("the mail has been sent")]
    Sent,
    /// It has been given up already.
    #[error("the mail is dead already")]
    Dead,
    /// It was moved in the meantime: look again.
    #[error("the mail was moved in the meantime")]
    Moved,
}

enum Steered {
    Done(Box<Mail>),
    Refused(MailRefusal),
    NotFound,
}

impl Auth {
    /// How many mails stand where.
    pub async fn mail_counts(&self) -> Result<MailCounts, AuthError> {
        let now = self.0.clock.now();
        Ok(store::read!(&self.0.database, outbox_admin::counts(now))?)
    }

    /// A page of mails, newest first.
    pub async fn mails(&self, query: &MailQuery) -> Result<MailPage, AuthError> {
        let limit = query.limit.max(1);
        let filter = MailFilter {
            status: query.status,
            kind: query.kind,
            recipient: query.recipient.clone(),
            before: query.cursor,
        };
        let mut mails = store::read!(&self.0.database, outbox_admin::list(&filter, i64::from(limit) + 1))?;
        let more = mails.len() > usize::from(limit);
        mails.truncate(usize::from(limit));
        let next = mails.last().filter(|_| more).map(|mail| mail.id);
        Ok(MailPage { mails, next })
    }

    /// The mail with this id.
    pub async fn mail_by_id(&self, id: MailId) -> Result<Option<Mail>, AuthError> {
        Ok(store::read!(&self.0.database, outbox_admin::by_id(id))?)
    }

    /// Tries a mail again at once: one that was given up, with all its attempts, or one that waits for its next attempt.
    /// Fails with [`MailRefusal`] where it has expired, its mailbox is suppressed, or it is being or has been sent.
    /// `actor` is `None` for an operator at the command line, here and below.
    pub async fn retry_mail(&self, actor: Option<&User>, id: MailId, origin: &Origin) -> Result<Mail, AuthError> {
        let now = self.0.clock.now();
        let queued_until = now + clock::span(PUSH_GRACE);
        let entry = self.audit_entry("mail.retried", actor.map(|actor| actor.id), None, origin, format!("mail {id}"));
        let steered = store::transaction!(&self.0.database, async |conn, q| {
            let Some(mail) = q::outbox_admin::by_id(conn, id).await? else { return Ok(Steered::NotFound) };
            if let Some(refusal) = refuses_retry(&mail, now) {
                return Ok(Steered::Refused(refusal));
            }
            if !q::suppressions::among(conn, &[key_of(&mail.recipient)], now).await?.is_empty() {
                return Ok(Steered::Refused(MailRefusal::Suppressed));
            }
            let moved = match mail.status {
                MailStatus::Dead => q::outbox_admin::revive(conn, id, now, queued_until).await?,
                // It is due already, and only has to be queued.
                _ if mail.next_attempt_at <= now => return Ok(Steered::Done(Box::new(mail))),
                _ => q::outbox_admin::hasten(conn, id, now, queued_until).await?,
            };
            let Some(mail) = moved else { return Ok(Steered::Refused(MailRefusal::Moved)) };
            q::audit::insert(conn, &entry).await?;
            Ok::<_, StoreError>(Steered::Done(Box::new(mail)))
        })?;
        let mail = steered.into_mail()?;
        self.0.outbox.requeue(&[(mail.id, priority_of(mail.priority))]).await;
        Ok(mail)
    }

    /// Tries dead mails again, oldest first: up to `limit` of those that fit and have not expired. Those whose mailboxes
    /// are suppressed stay dead. Go on with `next` as cursor, so that these are passed over.
    pub async fn retry_dead_mails(
        &self,
        actor: Option<&User>,
        which: &DeadMails,
        limit: u16,
        origin: &Origin,
    ) -> Result<RetriedMails, AuthError> {
        let (now, limit) = (self.0.clock.now(), limit.max(1));
        let queued_until = now + clock::span(PUSH_GRACE);
        let filter = DeadFilter { kind: which.kind, ids: which.ids.clone(), after: which.cursor };
        let entry = |detail| self.audit_entry("mail.retried", actor.map(|actor| actor.id), None, origin, detail);
        let (found, suppressed, revived) = store::transaction!(&self.0.database, async |conn, q| {
            let found = q::outbox_admin::revivable(conn, &filter, now, i64::from(limit)).await?;
            let keyed: Vec<(MailId, String)> = found.iter().map(|(id, to)| (*id, key_of(to))).collect();
            let keys: Vec<String> = keyed.iter().map(|(_, key)| key.clone()).collect();
            let stopped = q::suppressions::among(conn, &keys, now).await?;
            let is_stopped = |key: &String| stopped.iter().any(|suppression| suppression.email_key == *key);
            let ids: Vec<MailId> = keyed.iter().filter(|(_, key)| !is_stopped(key)).map(|(id, _)| *id).collect();
            let revived = q::outbox_admin::revive_all(conn, &ids, now, queued_until).await?;
            if let (Some((first, _)), Some((last, _))) = (revived.iter().min(), revived.iter().max()) {
                let detail = format!("{} dead mails, from {first} to {last}", revived.len());
                q::audit::insert(conn, &entry(detail)).await?;
            }
            Ok::<_, StoreError>((found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), found.len() - ids.len(), revived))
        })?;
        let entries: Vec<_> = revived.iter().map(|&(id, number)| (id, priority_of(number))).collect();
        self.0.outbox.requeue(&entries).await;
        let next = found.last().copied().filter(|_| found.len() >= usize::from(limit));
        Ok(RetriedMails { retried: revived.len(), suppressed, next })
    }

    /// How many dead mails of this kind, or of any, have not expired.
    pub async fn count_revivable_mails(&self, kind: Option<MailKind>) -> Result<i64, AuthError> {
        let now = self.0.clock.now();
        Ok(store::read!(&self.0.database, outbox_admin::count_revivable(kind, now))?)
    }

    /// Gives a mail up that waits. Fails with [`MailRefusal`] where it is being sent or has ended.
    pub async fn bury_mail(&self, actor: Option<&User>, id: MailId, origin: &Origin) -> Result<Mail, AuthError> {
        let now = self.0.clock.now();
        let entry = self.audit_entry("mail.buried", actor.map(|actor| actor.id), None, origin, format!("mail {id}"));
        let steered = store::transaction!(&self.0.database, async |conn, q| {
            let Some(mail) = q::outbox_admin::by_id(conn, id).await? else { return Ok(Steered::NotFound) };
            if let Some(refusal) = refuses_burial(&mail) {
                return Ok(Steered::Refused(refusal));
            }
            let why = match mail.last_error.as_deref() {
                Some(answer) => format!("given up by an operator; before that: {answer}"),
                None => "given up by an operator".to_owned(),
            };
            let Some(mail) = q::outbox_admin::bury(conn, id, &why, now).await? else {
                return Ok(Steered::Refused(MailRefusal::Moved));
            };
            q::audit::insert(conn, &entry).await?;
            Ok::<_, StoreError>(Steered::Done(Box::new(mail)))
        })?;
        steered.into_mail()
    }

    /// Stops all sending on every instance, or lets it go on. Mails are accepted all the same; those in flight finish.
    /// Gives whether that changed anything.
    pub async fn pause_mail(&self, actor: Option<&User>, paused: bool, origin: &Origin) -> Result<bool, AuthError> {
        let (now, by) = (self.0.clock.now(), actor.map(|actor| actor.id));
        let entry = self.audit_entry(if paused { "mail.paused" } else { "mail.resumed" }, by, None, origin, "");
        let changed = store::transaction!(&self.0.database, async |conn, q| {
            let changed = q::switches::set(conn, store::MAIL_PAUSED, paused, by, now).await?;
            if changed {
                q::audit::insert(conn, &entry).await?;
            }
            Ok::<_, StoreError>(changed)
        })?;
        Ok(changed)
    }
}

impl Steered {
    fn into_mail(self) -> Result<Mail, AuthError> {
        match self {
            Self::Done(mail) => Ok(*mail),
            Self::Refused(refusal) => Err(refusal.into()),
            Self::NotFound => Err(AuthError::NotFound),
        }
    }
}

fn refuses_retry(mail: &Mail, now: Instant) -> Option<MailRefusal> {
    match mail.status {
        MailStatus::Sending => Some(MailRefusal::Sending),
        MailStatus::Sent => Some(MailRefusal::Sent),
        MailStatus::Expired => Some(MailRefusal::Expired),
        MailStatus::Ready | MailStatus::Dead => (mail.expires_at <= now).then_some(MailRefusal::Expired),
    }
}

fn refuses_burial(mail: &Mail) -> Option<MailRefusal> {
    match mail.status {
        MailStatus::Ready => None,
        MailStatus::Sending => Some(MailRefusal::Sending),
        MailStatus::Sent => Some(MailRefusal::Sent),
        MailStatus::Expired => Some(MailRefusal::Expired),
        MailStatus::Dead => Some(MailRefusal::Dead),
    }
}

/// What suppressions of a recipient are found by.
fn key_of(recipient: &str) -> String {
    EmailAddress::parse(recipient).map_or_else(|_| recipient.to_lowercase(), |address| address.key().to_owned())
}

/// A priority that this version does not know waits for all others.
fn priority_of(number: i16) -> Priority {
    Priority::from_number(number).unwrap_or(Priority::Low)
}
