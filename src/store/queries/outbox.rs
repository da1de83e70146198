//! The outbox. A row's way: `ready` -> `sending` (claimed: leased, fenced, attempt counted) -> `sent`, back to `ready`
//! for a later attempt, or `expired` or `dead`. Whoever moves a claimed row names the fence it got; if the lease has
//! run out and somebody else has claimed the row since, the fence has moved on and the statement changes nothing.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::outbox;
use crate::domain::{Instant, MailId, MailStatus};
use crate::store::{Mail, NewMail, StoreError};

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

/// Claims those of `ids` that are ready, due and not expired: counts the attempt, moves the fence on and leases them
/// until `lease_until`. Ids that are unknown, taken or done are left out, so a repeated id does no harm.
pub async fn claim(
    conn: &mut Conn,
    ids: &[MailId],
    now: Instant,
    lease_until: Instant,
) -> Result<Vec<Mail>, StoreError> {
    let claimable = outbox::table
        .filter(outbox::id.eq_any(ids.to_vec()))
        .filter(outbox::status.eq(MailStatus::Ready))
        .filter(outbox::next_attempt_at.le(now))
        .filter(outbox::expires_at.gt(now));
    let fields = (
        outbox::status.eq(MailStatus::Sending),
        outbox::attempts.eq(outbox::attempts + 1),
        outbox::fence.eq(outbox::fence + 1),
        outbox::lease_until.eq(lease_until),
    );
    Ok(diesel::update(claimable).set(fields).get_results(conn).await?)
}

/// Extends the lease of a claimed row; whether it was still ours.
pub async fn renew(conn: &mut Conn, id: MailId, fence: i64, lease_until: Instant) -> Result<bool, StoreError> {
    let held = outbox::table.find(id).filter(outbox::status.eq(MailStatus::Sending)).filter(outbox::fence.eq(fence));
    Ok(diesel::update(held).set(outbox::lease_until.eq(lease_until)).execute(conn).await? == 1)
}

/// Ends a claimed row as `status`; whether it was still ours. `error` is what the server last said, if anything.
pub async fn finish(
    conn: &mut Conn,
    id: MailId,
    fence: i64,
    status: MailStatus,
    error: Option<&str>,
    now: Instant,
) -> Result<bool, StoreError> {
    let held = outbox::table.find(id).filter(outbox::status.eq(MailStatus::Sending)).filter(outbox::fence.eq(fence));
    let fields = (
        outbox::status.eq(status),
        outbox::finished_at.eq(now),
        outbox::lease_until.eq(None::<Instant>),
        outbox::last_error.eq(error),
    );
    Ok(diesel::update(held).set(fields).execute(conn).await? == 1)
}

/// Gives a claimed row back for an attempt at `next_attempt_at`; whether it was still ours.
pub async fn retry(
    conn: &mut Conn,
    id: MailId,
    fence: i64,
    next_attempt_at: Instant,
    error: &str,
) -> Result<bool, StoreError> {
    let held = outbox::table.find(id).filter(outbox::status.eq(MailStatus::Sending)).filter(outbox::fence.eq(fence));
    let fields = (
        outbox::status.eq(MailStatus::Ready),
        outbox::next_attempt_at.eq(next_attempt_at),
        outbox::queued_until.eq(next_attempt_at),
        outbox::lease_until.eq(None::<Instant>),
        outbox::last_error.eq(error),
    );
    Ok(diesel::update(held).set(fields).execute(conn).await? == 1)
}

/// Gives a claimed row back unsent and takes the attempt back too, because the worker is shutting down; whether it
/// was still ours.
pub async fn release(conn: &mut Conn, id: MailId, fence: i64, now: Instant) -> Result<bool, StoreError> {
    let held = outbox::table.find(id).filter(outbox::status.eq(MailStatus::Sending)).filter(outbox::fence.eq(fence));
    let fields = (
        outbox::status.eq(MailStatus::Ready),
        outbox::attempts.eq(outbox::attempts - 1),
        outbox::next_attempt_at.eq(now),
        outbox::queued_until.eq(now),
        outbox::lease_until.eq(None::<Instant>),
    );
    Ok(diesel::update(held).set(fields).execute(conn).await? == 1)
}

/// Puts rows whose lease ran out back to `ready`; gives how many. Their worker died, or hangs and will find that the
/// fence has moved on.
pub async fn reclaim_stale(conn: &mut Conn, now: Instant) -> Result<usize, StoreError> {
    let stale = outbox::table.filter(outbox::status.eq(MailStatus::Sending)).filter(outbox::lease_until.le(now));
    let fields = (
        outbox::status.eq(MailStatus::Ready),
        outbox::fence.eq(outbox::fence + 1),
        outbox::next_attempt_at.eq(now),
        outbox::queued_until.eq(now),
        outbox::lease_until.eq(None::<Instant>),
    );
    Ok(diesel::update(stale).set(fields).execute(conn).await?)
}

/// Ends ready rows that are no longer worth sending; gives how many.
pub async fn expire_due(conn: &mut Conn, now: Instant) -> Result<usize, StoreError> {
    let late = outbox::table.filter(outbox::status.eq(MailStatus::Ready)).filter(outbox::expires_at.le(now));
    let fields = (outbox::status.eq(MailStatus::Expired), outbox::finished_at.eq(now));
    Ok(diesel::update(late).set(fields).execute(conn).await?)
}

/// Ends ready rows that have had `max_attempts` (their worker died each time, say); gives how many.
pub async fn bury_exhausted(conn: &mut Conn, max_attempts: i32, now: Instant) -> Result<usize, StoreError> {
    let exhausted =
        outbox::table.filter(outbox::status.eq(MailStatus::Ready)).filter(outbox::attempts.ge(max_attempts));
    let fields = (outbox::status.eq(MailStatus::Dead), outbox::finished_at.eq(now));
    Ok(diesel::update(exhausted).set(fields).execute(conn).await?)
}

/// Takes up to `limit` due rows of these priorities that no queue is known to hold, marks them as queued until
/// `queued_until`, and gives their ids and priorities, most urgent first.
pub async fn take_unqueued(
    conn: &mut Conn,
    priorities: &[i16],
    now: Instant,
    queued_until: Instant,
    limit: i64,
) -> Result<Vec<(MailId, i16)>, StoreError> {
    let due: Vec<MailId> = outbox::table
        .filter(outbox::status.eq(MailStatus::Ready))
        .filter(outbox::priority.eq_any(priorities.to_vec()))
        .filter(outbox::next_attempt_at.le(now))
        .filter(outbox::queued_until.le(now))
        .order((outbox::priority, outbox::next_attempt_at))
        .select(outbox::id)
        .limit(limit)
        .load(conn)
        .await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let still_due = outbox::table
        .filter(outbox::id.eq_any(due))
        .filter(outbox::status.eq(MailStatus::Ready))
        .filter(outbox::queued_until.le(now));
    let mut taken: Vec<(MailId, i16)> = diesel::update(still_due)
        .set(outbox::queued_until.eq(queued_until))
        .returning((outbox::id, outbox::priority))
        .get_results(conn)
        .await?;
    taken.sort_by_key(|&(id, priority)| (priority, id));
    Ok(taken)
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
