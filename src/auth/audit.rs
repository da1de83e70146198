//! The audit trail: who did what to whom, when, and from where.
//!
//! A line is written by the transaction that it tells of, so there is neither without the other. Failed sign-ins change
//! nothing and come in floods; [`super::failures`] folds those. Lines stay as they are until they are older than
//! `audit.keep`; then housekeeping deletes them ([`Auth::prune_audit`]).

use std::time::Duration;

use uuid::Uuid;

use super::{Auth, AuthError};
use crate::domain::{AuditId, EmailAddress, Instant, Origin, UserId, UserStatus, clock};
use crate::store::{self, AuditEntry, AuditFilter, StoreError};

/// Every action that is recorded. `docs/audit.md` says when each is, and what its line tells.
pub const AUDIT_ACTIONS: &[&str] = &[
    "cache.invalidated",
    "limit.reset",
    "mail.buried",
    "mail.paused",
    "mail.resumed",
    "mail.retried",
    "server.settings_changed",
    "session.all_ended",
    "session.ended",
    "session.others_ended",
    "session.refresh_reused",
    "session.started",
    "sign_in.failed",
    "sign_in.locked",
    "sign_in.refused",
    "suppression.added",
    "suppression.lifted",
    "user.approve",
    "user.ban",
    "user.became_admin",
    "user.demote",
    "user.invited",
    "user.password_changed",
    "user.password_set",
    "user.profile_changed",
    "user.promote",
    "user.registered",
    "user.reject",
    "user.unban",
    "user.username_changed",
];

/// Lines deleted by one statement, and statements in one round: an instance that was away for long does not hold up others.
const PRUNE_BATCH: i64 = 500;
const PRUNE_BATCHES: usize = 20;

/// Whom a list of the audit trail is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditParty {
    /// The account with this id, be it there or not.
    Id(UserId),
    /// The account of this mailbox.
    Mailbox(EmailAddress),
}

impl std::str::FromStr for AuditParty {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text.parse(), EmailAddress::parse(text)) {
            (Ok(id), _) => Ok(Self::Id(id)),
            (_, Ok(email)) => Ok(Self::Mailbox(email)),
            _ => Err("use an account's id or its address"),
        }
    }
}

/// What a list of the audit trail shows.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only what this account did.
    pub actor: Option<AuditParty>,
    /// Only what was done to this account.
    pub subject: Option<AuditParty>,
    /// Only this action, such as `session.started`.
    pub action: Option<String>,
    /// Only what happened then or later.
    pub since: Option<Instant>,
    /// Only those after this one.
    pub cursor: Option<AuditId>,
    /// At most so many.
    pub limit: u16,
}

/// A page of the audit trail.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// The lines, newest first.
    pub entries: Vec<AuditEntry>,
    /// The addresses of the accounts in them that still are.
    pub mailboxes: Vec<(UserId, EmailAddress)>,
    /// Names the next page; `None` on the last.
    pub next: Option<AuditId>,
}

impl AuditPage {
    /// The address of an account in these lines; `None` when it is gone.
    pub fn mailbox(&self, id: UserId) -> Option<&EmailAddress> {
        self.mailboxes.iter().find(|(of, _)| *of == id).map(|(_, email)| email)
    }
}

impl Auth {
    /// A line that says that `actor` did `action` to `subject` from `origin`. `detail` must hold no secret.
    pub(super) fn audit_entry(
        &self,
        action: &str,
        actor: Option<UserId>,
        subject: Option<UserId>,
        origin: &Origin,
        detail: impl Into<String>,
    ) -> AuditEntry {
        let at = self.0.clock.now();
        AuditEntry {
            id: self.audit_id(at),
            at,
            action: action.to_owned(),
            actor,
            subject,
            address: origin.address_text(),
            device: origin.device.as_str().to_owned(),
            detail: detail.into(),
            times: 1,
        }
    }

    /// An id whose order is that of microseconds: lines of one transaction are written within a millisecond (RFC 9562, 6.2,
    /// method 3). 62 bits of it are random.
    fn audit_id(&self, at: Instant) -> AuditId {
        const FRACTION: u128 = 0xfff << 64;
        let id = self.0.entropy.uuid_v7(at).as_u128();
        let fraction = u128::from(at.timestamp_subsec_micros() % 1000) * 4096 / 1000;
        AuditId(Uuid::from_u128((id & !FRACTION) | (fraction << 64)))
    }

    /// The line that says that a person proved to be who an account belongs to, by `method`, and was not let in because
    /// the account stands so.
    pub(super) fn sign_in_refused(&self, id: UserId, status: UserStatus, method: &str, origin: &Origin) -> AuditEntry {
        self.audit_entry("sign_in.refused", Some(id), Some(id), origin, format!("{status} account, by {method}"))
    }

    /// A page of the audit trail, newest first. A mailbox without an account has no lines.
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, AuthError> {
        let limit = query.limit.max(1);
        let (action, since, before) = (query.action.clone(), query.since, query.cursor);
        let mut filter = AuditFilter { actor: None, subject: None, action, since, before };
        for (party, wanted) in [(&query.actor, &mut filter.actor), (&query.subject, &mut filter.subject)] {
            let Some(party) = party else { continue };
            *wanted = self.account_of(party).await?;
            if wanted.is_none() {
                return Ok(AuditPage::default());
            }
        }
        let mut entries = store::read!(&self.0.database, audit::list(&filter, i64::from(limit) + 1))?;
        let more = entries.len() > usize::from(limit);
        entries.truncate(usize::from(limit));
        let next = entries.last().filter(|_| more).map(|entry| entry.id);
        let mut ids: Vec<UserId> = entries.iter().flat_map(|entry| [entry.actor, entry.subject]).flatten().collect();
        ids.sort_unstable();
        ids.dedup();
        let users = if ids.is_empty() { Vec::new() } else { store::read!(&self.0.database, users::by_ids(&ids))? };
        let mailboxes = users.into_iter().map(|user| (user.id, user.email)).collect();
        Ok(AuditPage { entries, mailboxes, next })
    }

    /// The account that a filter names; `None` where a mailbox has none.
    async fn account_of(&self, party: &AuditParty) -> Result<Option<UserId>, AuthError> {
        Ok(match party {
            AuditParty::Id(id) => Some(*id),
            AuditParty::Mailbox(email) => self.user_by_email(email).await?.map(|user| user.id),
        })
    }

    /// Deletes lines that are older than `keep`, in small batches; gives how many.
    pub async fn prune_audit(&self, keep: Duration) -> Result<usize, AuthError> {
        let before = self.0.clock.now() - clock::span(keep);
        let mut deleted = 0;
        for _ in 0..PRUNE_BATCHES {
            let batch = store::update!(&self.0.database, audit::prune(before, PRUNE_BATCH))?;
            deleted += batch;
            if i64::try_from(batch).is_ok_and(|batch| batch < PRUNE_BATCH) {
                break;
            }
        }
        Ok(deleted)
    }

    /// Notes that an instance starts with other settings than the one that last noted it: `in_force` are those that
    /// are not the defaults, without secrets. Fails when the database does not answer.
    pub async fn note_settings(&self, in_force: &str, origin: &Origin) -> Result<bool, AuthError> {
        let action = "server.settings_changed";
        let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
        let entry = self.audit_entry(action, None, None, origin, in_force);
        let noted = store::transaction!(&self.0.database, async |conn, q| {
            let last = q::audit::list(conn, &filter, 1).await?;
            let is_new = last.first().is_none_or(|last| last.detail != entry.detail);
            if is_new {
                q::audit::insert(conn, &entry).await?;
            }
            Ok::<_, StoreError>(is_new)
        })?;
        Ok(noted)
    }
}
