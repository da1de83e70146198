//! Mails that are told together: those with the same text in `fold`. The caller holds a lock that orders those who look
//! here and then decide.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::outbox;
use crate::domain::{Instant, MailId, MailKind, MailStatus};
use crate::store::StoreError;

/// When the newest mail of a fold is, or was, to be sent; `None` when there is none.
pub async fn newest(conn: &mut Conn, fold: &str) -> Result<Option<Instant>, StoreError> {
    let of_fold = outbox::table.filter(outbox::fold.eq(fold)).order(outbox::created_at.desc());
    Ok(of_fold.select(outbox::next_attempt_at).first(conn).await.optional()?)
}

/// The mail of this kind that waits in a fold, with its content. Its row is written to, so that until the end of the
/// transaction no worker claims it: whatever the transaction adds, the mail will tell.
pub async fn hold_waiting(conn: &mut Conn, fold: &str, kind: MailKind) -> Result<Option<(MailId, String)>, StoreError> {
    let waiting = outbox::table
        .filter(outbox::fold.eq(fold))
        .filter(outbox::kind.eq(kind))
        .filter(outbox::status.eq(MailStatus::Ready));
    let touched = diesel::update(waiting).set(outbox::queued_until.eq(outbox::queued_until));
    let held: Vec<(MailId, String)> = touched.returning((outbox::id, outbox::content)).get_results(conn).await?;
    Ok(held.into_iter().next())
}

/// Gives a mail that is [held](hold_waiting) another content.
pub async fn set_content(conn: &mut Conn, id: MailId, content: &str) -> Result<(), StoreError> {
    diesel::update(outbox::table.find(id)).set(outbox::content.eq(content)).execute(conn).await?;
    Ok(())
}
