//! The outbox. A row's way: `ready` -> `sending` (claimed: leased, fenced, attempt counted) -> `sent`, back to `ready`
//! for a later attempt, or `expired` or `dead`. Whoever moves a claimed row names the fence it got; if the lease has
//! run out and somebody else has claimed the row since, the fence has moved on and the statement changes nothing. What
//! workers and sweepers do to rows is in `dispatch`.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::outbox;
use crate::domain::{Instant, MailId, MailKind, MailStatus};
use crate::store::{Mail, MailCounts, NewMail, StoreError};

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

/// Makes a dead mail ready again with all its attempts, because an operator asks for it; whether it was dead and is
/// still worth sending.
pub async fn revive(conn: &mut Conn, id: MailId, now: Instant, queued_until: Instant) -> Result<bool, StoreError> {
    let dead = outbox::table.find(id).filter(outbox::status.eq(MailStatus::Dead)).filter(outbox::expires_at.gt(now));
    let fields = (
        outbox::status.eq(MailStatus::Ready),
        outbox::attempts.eq(0),
        outbox::next_attempt_at.eq(now),
        outbox::queued_until.eq(queued_until),
        outbox::finished_at.eq(None::<Instant>),
    );
    Ok(diesel::update(dead).set(fields).execute(conn).await? == 1)
}

/// Up to `limit` mails, newest first, of one status and kind where these are given, older than the mail `before`.
pub async fn list(
    conn: &mut Conn,
    status: Option<MailStatus>,
    kind: Option<MailKind>,
    before: Option<MailId>,
    limit: i64,
) -> Result<Vec<Mail>, StoreError> {
    let mut query = outbox::table.order(outbox::id.desc()).limit(limit).into_boxed();
    if let Some(status) = status {
        query = query.filter(outbox::status.eq(status));
    }
    if let Some(kind) = kind {
        query = query.filter(outbox::kind.eq(kind));
    }
    if let Some(before) = before {
        query = query.filter(outbox::id.lt(before));
    }
    Ok(query.load(conn).await?)
}

/// The mail with this id.
pub async fn by_id(conn: &mut Conn, id: MailId) -> Result<Option<Mail>, StoreError> {
    Ok(outbox::table.find(id).first(conn).await.optional()?)
}

/// How many mails stand where.
pub async fn counts(conn: &mut Conn, now: Instant) -> Result<MailCounts, StoreError> {
    let mut counts = MailCounts::default();
    let due: Vec<(i16, i64)> = outbox::table
        .filter(outbox::status.eq(MailStatus::Ready))
        .filter(outbox::next_attempt_at.le(now))
        .group_by(outbox::priority)
        .select((outbox::priority, diesel::dsl::count_star()))
        .load(conn)
        .await?;
    for (priority, count) in due {
        if let Some(slot) = usize::try_from(priority).ok().and_then(|index| counts.queued.get_mut(index)) {
            *slot = count;
        }
    }
    let of_status = |status: MailStatus| outbox::table.filter(outbox::status.eq(status));
    counts.sending = of_status(MailStatus::Sending).count().get_result(conn).await?;
    counts.scheduled =
        of_status(MailStatus::Ready).filter(outbox::next_attempt_at.gt(now)).count().get_result(conn).await?;
    counts.dead = of_status(MailStatus::Dead).count().get_result(conn).await?;
    let hour_ago = now - chrono::TimeDelta::hours(1);
    counts.sent_last_hour =
        of_status(MailStatus::Sent).filter(outbox::finished_at.gt(hour_ago)).count().get_result(conn).await?;
    let oldest: Option<Instant> = outbox::table
        .filter(outbox::status.eq(MailStatus::Ready))
        .filter(outbox::next_attempt_at.le(now))
        .select(outbox::next_attempt_at)
        .order(outbox::next_attempt_at)
        .first(conn)
        .await
        .optional()?;
    counts.oldest_age_ms = oldest.map_or(0, |oldest| (now - oldest).num_milliseconds());
    Ok(counts)
}
