//! The outbox. A row's way: `ready` -> `sending` (claimed: leased, fenced, attempt counted) -> `sent`, back to `ready`
//! for a later attempt, or `expired` or `dead`. Whoever moves a claimed row names the fence it got; if the lease has
//! run out and somebody else has claimed the row since, the fence has moved on and the statement changes nothing. What
//! workers and sweepers do to rows is in `dispatch`.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::outbox;
use crate::domain::{Instant, MailId, MailStatus};
use crate::store::{NewMail, StoreError};

/// Puts a mail into the outbox. Belongs into the transaction that makes it necessary.
pub async fn insert(conn: &mut Conn, mail: &NewMail) -> Result<(), StoreError> {
    let row = (
        outbox::id.eq(mail.id),
        outbox::kind.eq(mail.kind),
        outbox::recipient.eq(&mail.recipient),
        outbox::locale.eq(mail.locale),
        outbox::content.eq(&mail.content),
        outbox::challenge_id.eq(mail.challenge_id),
        outbox::priority.eq(mail.priority),
        outbox::status.eq(MailStatus::Ready),
        outbox::attempts.eq(0),
        outbox::fence.eq(0),
        outbox::message_id.eq(&mail.message_id),
        outbox::created_at.eq(mail.created_at),
        outbox::next_attempt_at.eq(mail.next_attempt_at),
        outbox::queued_until.eq(mail.queued_until),
        outbox::expires_at.eq(mail.expires_at),
        outbox::fold.eq(&mail.fold),
    );
    diesel::insert_into(outbox::table).values(row).execute(conn).await?;
    Ok(())
}

/// Since when the oldest due mail of a priority has waited.
pub async fn oldest_due(conn: &mut Conn, priority: i16, now: Instant) -> Result<Option<Instant>, StoreError> {
    let due = outbox::table
        .filter(outbox::status.eq(MailStatus::Ready))
        .filter(outbox::priority.eq(priority))
        .filter(outbox::next_attempt_at.le(now))
        .order(outbox::next_attempt_at)
        .select(outbox::next_attempt_at);
    Ok(due.first(conn).await.optional()?)
}

/// Deletes rows that ended before `before`, at most `limit`; gives how many. Dead letters stay for an operator to see.
pub async fn prune(conn: &mut Conn, before: Instant, limit: i64) -> Result<usize, StoreError> {
    let old: Vec<MailId> = outbox::table
        .filter(outbox::finished_at.lt(before))
        .filter(outbox::status.ne(MailStatus::Dead))
        .select(outbox::id)
        .limit(limit)
        .load(conn)
        .await?;
    if old.is_empty() {
        return Ok(0);
    }
    Ok(diesel::delete(outbox::table.filter(outbox::id.eq_any(old))).execute(conn).await?)
}
