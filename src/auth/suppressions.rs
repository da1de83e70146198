//! Mailboxes that get no mail for a while, because theirs came back, their owners complained, or an operator says so.
//! They compare by [`EmailAddress::key`].

use chrono::TimeDelta;

use super::{Auth, AuthError};
use crate::domain::{EmailAddress, Note, Origin, SuppressionReason};
use crate::store::{self, StoreError, Suppression, User};

/// A page of suppressed mailboxes.
#[derive(Clone, Debug)]
pub struct SuppressionPage {
    /// The suppressions, in the order of their mailboxes' keys.
    pub suppressions: Vec<Suppression>,
    /// Names the next page; `None` on the last.
    pub next: Option<String>,
}

/// A mailbox to be suppressed.
#[derive(Clone, Debug)]
pub struct NewSuppression {
    /// The mailbox.
    pub email: EmailAddress,
    /// Why.
    pub reason: SuppressionReason,
    /// What the mail server said, or the operator; may be empty.
    pub detail: Note,
    /// For how many days.
    pub days: u16,
}

impl NewSuppression {
    /// For how many days a mailbox is suppressed when nobody says otherwise.
    pub const DAYS: u16 = 30;
    /// At most for so many: ten years.
    pub const MAX_DAYS: u16 = 3650;
}

impl Auth {
    /// Up to `limit` suppressed mailboxes, from behind the one that `after` names.
    pub async fn suppressions(&self, after: Option<&str>, limit: u16) -> Result<SuppressionPage, AuthError> {
        let (now, limit) = (self.0.clock.now(), limit.max(1));
        let mut suppressions = store::read!(&self.0.database, suppressions::list(after, now, i64::from(limit) + 1))?;
        let more = suppressions.len() > usize::from(limit);
        suppressions.truncate(usize::from(limit));
        let next = suppressions.last().filter(|_| more).map(|last| last.email_key.clone());
        Ok(SuppressionPage { suppressions, next })
    }

    /// Suppresses a mailbox, anew if it was already. Mails that wait for it are given up when their turn comes.
    /// `actor` is `None` for an operator at the command line.
    pub async fn suppress(
        &self,
        actor: Option<&User>,
        new: &NewSuppression,
        origin: &Origin,
    ) -> Result<Suppression, AuthError> {
        let now = self.0.clock.now();
        let suppression = Suppression {
            email_key: new.email.key().to_owned(),
            email: new.email.clone(),
            reason: new.reason,
            detail: new.detail.to_string(),
            created_at: now,
            until: now + TimeDelta::days(new.days.into()),
        };
        let entry = |subject| {
            let detail = format!("{}, {} for {} days", new.email.key(), new.reason, new.days);
            self.audit_entry("suppression.added", actor.map(|actor| actor.id), subject, origin, detail)
        };
        store::transaction!(&self.0.database, async |conn, q| {
            let owner = q::users::by_email(conn, &new.email).await?.map(|user| user.id);
            q::suppressions::put(conn, &suppression).await?;
            q::audit::insert(conn, &entry(owner)).await?;
            Ok::<_, StoreError>(())
        })?;
        Ok(suppression)
    }

    /// Lets a suppressed mailbox get mail again. Fails with [`AuthError::NotFound`] where it is not suppressed.
    pub async fn lift_suppression(
        &self,
        actor: Option<&User>,
        email: &EmailAddress,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        let now = self.0.clock.now();
        let entry =
            |subject| self.audit_entry("suppression.lifted", actor.map(|actor| actor.id), subject, origin, email.key());
        let lifted = store::transaction!(&self.0.database, async |conn, q| {
            let lifted = q::suppressions::lift(conn, email.key(), now).await?;
            if lifted.is_some() {
                let owner = q::users::by_email(conn, email).await?.map(|user| user.id);
                q::audit::insert(conn, &entry(owner)).await?;
            }
            Ok::<_, StoreError>(lifted)
        })?;
        lifted.map(drop).ok_or(AuthError::NotFound)
    }
}
