//! The statements of accepting a mail, of the mail worker and of the sweeper, for `SQLite`, which has one writer: each is one transaction.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::{challenges, outbox};
use crate::domain::{Instant, MailId, MailStatus};
use crate::store::{Challenge, Mail, MailEnd, NewMail, StoreError, SweepOrder, Swept};

/// Stores a mail, and a new challenge that it carries: both or neither.
pub async fn accept(conn: &mut Conn, challenge: Option<&Challenge>, mail: &NewMail) -> Result<(), StoreError> {
    conn.immediate_transaction(async move |conn: &mut Conn| {
        if let Some(challenge) = challenge {
            diesel::insert_into(challenges::table).values(super::challenges::row!(challenge)).execute(conn).await?;
        }
        diesel::insert_into(outbox::table).values(super::outbox::row!(mail)).execute(conn).await?;
        Ok(())
    })
    .await
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

/// Extends the leases of claimed rows, each named by its id and fence; gives the ids of those that are still ours.
pub async fn renew(conn: &mut Conn, held: &[(MailId, i64)], lease_until: Instant) -> Result<Vec<MailId>, StoreError> {
    let held = held.to_vec();
    conn.immediate_transaction(async move |conn: &mut Conn| {
        let mut ours = Vec::with_capacity(held.len());
        for (id, fence) in held {
            let row =
                outbox::table.find(id).filter(outbox::status.eq(MailStatus::Sending)).filter(outbox::fence.eq(fence));
            if diesel::update(row).set(outbox::lease_until.eq(lease_until)).execute(conn).await? == 1 {
                ours.push(id);
            }
        }
        Ok(ours)
    })
    .await
}

/// Moves claimed rows to where their attempts ended; gives the ids of those that were still ours.
pub async fn settle(conn: &mut Conn, ends: &[MailEnd], now: Instant) -> Result<Vec<MailId>, StoreError> {
    conn.immediate_transaction(async move |conn: &mut Conn| {
        let mut ours = Vec::with_capacity(ends.len());
        for end in ends {
            if settle_one(conn, end, now).await? {
                ours.push(end.id);
            }
        }
        Ok(ours)
    })
    .await
}

async fn settle_one(conn: &mut Conn, end: &MailEnd, now: Instant) -> Result<bool, StoreError> {
    let held =
        outbox::table.find(end.id).filter(outbox::status.eq(MailStatus::Sending)).filter(outbox::fence.eq(end.fence));
    // A field that is `None` is left as it is.
    let error = match (&end.error, end.status) {
        (Some(error), _) => Some(Some(error.as_str())),
        (None, MailStatus::Sent) => Some(None),
        (None, _) => None,
    };
    let fields = (
        outbox::status.eq(end.status),
        outbox::lease_until.eq(None::<Instant>),
        outbox::attempts.eq(outbox::attempts - i32::from(end.uncounted)),
        end.next_attempt_at.map(|at| (outbox::next_attempt_at.eq(at), outbox::queued_until.eq(at))),
        outbox::finished_at.eq((end.status != MailStatus::Ready).then_some(now)),
        error.map(|error| outbox::last_error.eq(error)),
    );
    Ok(diesel::update(held).set(fields).execute(conn).await? == 1)
}

/// Ends what is too late, takes back what has lost its worker, and marks what is due and in no queue as queued. A mail of
/// a priority that this version does not know becomes one of the lowest, which a later sweep finds.
pub async fn sweep(conn: &mut Conn, order: &SweepOrder) -> Result<Swept, StoreError> {
    conn.immediate_transaction(async move |conn: &mut Conn| {
        let mut swept = Swept { expired: expire(conn, order).await?, ..Swept::default() };
        if order.reclaims {
            swept.dead = bury(conn, order).await?;
            swept.due = reclaim(conn, order).await?;
            swept.reclaimed = swept.due.len();
        }
        swept.due.extend(mark_due(conn, order).await?);
        let stray = outbox::table
            .filter(outbox::status.eq(MailStatus::Ready))
            .filter(outbox::priority.gt(3).or(outbox::priority.lt(0)));
        diesel::update(stray).set(outbox::priority.eq(3)).execute(conn).await?;
        swept.due.sort_unstable_by_key(|&(id, priority)| (priority, id));
        Ok(swept)
    })
    .await
}

async fn expire(conn: &mut Conn, order: &SweepOrder) -> Result<usize, StoreError> {
    let late = outbox::table
        .filter(outbox::status.eq(MailStatus::Ready))
        .filter(outbox::expires_at.le(order.now))
        .select(outbox::id)
        .limit(order.limit);
    let ids: Vec<MailId> = late.load(conn).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let fields = (outbox::status.eq(MailStatus::Expired), outbox::finished_at.eq(order.now));
    Ok(diesel::update(outbox::table.filter(outbox::id.eq_any(ids))).set(fields).execute(conn).await?)
}

async fn bury(conn: &mut Conn, order: &SweepOrder) -> Result<usize, StoreError> {
    let exhausted = outbox::table
        .filter(outbox::status.eq(MailStatus::Sending))
        .filter(outbox::lease_until.le(order.now))
        .filter(outbox::attempts.ge(order.max_attempts));
    let unheard = "its worker was not heard of any more, at every attempt";
    diesel::update(exhausted.filter(outbox::last_error.is_null()))
        .set(outbox::last_error.eq(unheard))
        .execute(conn)
        .await?;
    let fields = (
        outbox::status.eq(MailStatus::Dead),
        outbox::fence.eq(outbox::fence + 1),
        outbox::lease_until.eq(None::<Instant>),
        outbox::finished_at.eq(order.now),
    );
    Ok(diesel::update(exhausted).set(fields).execute(conn).await?)
}

async fn reclaim(conn: &mut Conn, order: &SweepOrder) -> Result<Vec<(MailId, i16)>, StoreError> {
    let stale = outbox::table.filter(outbox::status.eq(MailStatus::Sending)).filter(outbox::lease_until.le(order.now));
    let fields = (
        outbox::status.eq(MailStatus::Ready),
        outbox::fence.eq(outbox::fence + 1),
        outbox::next_attempt_at.eq(order.now),
        outbox::queued_until.eq(order.queued_until),
        outbox::lease_until.eq(None::<Instant>),
    );
    Ok(diesel::update(stale).set(fields).returning((outbox::id, outbox::priority)).get_results(conn).await?)
}

async fn mark_due(conn: &mut Conn, order: &SweepOrder) -> Result<Vec<(MailId, i16)>, StoreError> {
    let due = outbox::table
        .filter(outbox::status.eq(MailStatus::Ready))
        .filter(outbox::priority.eq_any(order.priorities.clone()))
        .filter(outbox::next_attempt_at.le(order.now))
        .filter(outbox::queued_until.le(order.now))
        .order((outbox::priority, outbox::next_attempt_at))
        .select((outbox::id, outbox::priority))
        .limit(order.limit);
    let due: Vec<(MailId, i16)> = due.load(conn).await?;
    if due.is_empty() {
        return Ok(due);
    }
    let ids: Vec<MailId> = due.iter().map(|(id, _)| *id).collect();
    let marked = diesel::update(outbox::table.filter(outbox::id.eq_any(ids)));
    marked.set(outbox::queued_until.eq(order.queued_until)).execute(conn).await?;
    Ok(due)
}
