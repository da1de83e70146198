//! The statements of accepting a mail, of the mail worker and of the sweeper, for Postgres: each of them one statement, whatever the number of
//! mails. Rows that another instance is just dealing with are skipped, not waited for.
//!
//! Written out instead of composed, because diesel has no words for locking in a subquery or for an update from
//! arrays. Each is a type of its own, so that it is prepared once for each connection.
//!
//! Rows that are named by their ids are to be found by those. `status || ''` says to the planner what `status` would, but for
//! the partial indexes, in which it would visit every row that has had the status since the last vacuum. Where each row comes
//! with values of its own, the arrays are unnested and each of them looked up, so that the time grows with their number.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid};
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::{challenges, outbox};
use crate::domain::{Instant, MailId};
use crate::store::{Challenge, Mail, MailEnd, NewMail, StoreError, SweepOrder, Swept};

/// Makes a type a statement that gives rows of `$rows`.
macro_rules! statement {
    ($name:ident gives $rows:ty) => {
        impl QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl Query for $name<'_> {
            type SqlType = $rows;
        }
    };
}

/// Two insertions in one statement, which is a transaction of its own.
struct Together<C, M>(C, M);

impl<C, M> QueryId for Together<C, M> {
    // What is inserted makes the text of the statement, and that is what it is remembered by.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C: QueryFragment<Pg>, M: QueryFragment<Pg>> QueryFragment<Pg> for Together<C, M> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH challenge AS (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") ");
        self.1.walk_ast(out.reborrow())
    }
}

/// Stores a mail, and a new challenge that it carries: both or neither, in one round trip.
pub async fn accept(conn: &mut Conn, challenge: Option<&Challenge>, mail: &NewMail) -> Result<(), StoreError> {
    let Some(challenge) = challenge else { return super::outbox::insert(conn, mail).await };
    let challenge = diesel::insert_into(challenges::table).values(super::challenges::row!(challenge));
    let mail = diesel::insert_into(outbox::table).values(super::outbox::row!(mail));
    Together(challenge, mail).execute(conn).await?;
    Ok(())
}

struct Claim<'a> {
    ids: &'a [MailId],
    now: Instant,
    lease_until: Instant,
}

statement!(Claim gives outbox::SqlType);

impl QueryFragment<Pg> for Claim<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE outbox SET status = 'sending', attempts = attempts + 1, fence = fence + 1, lease_until = ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.lease_until)?;
        out.push_sql(" WHERE id IN (SELECT id FROM outbox WHERE id = ANY(");
        out.push_bind_param::<Array<Uuid>, _>(self.ids)?;
        out.push_sql(") AND status || '' = 'ready' AND next_attempt_at <= ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(" AND expires_at > ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(
            " FOR UPDATE SKIP LOCKED) RETURNING id, kind, recipient, locale, content, challenge_id, priority, status, \
             attempts, fence, message_id, created_at, next_attempt_at, queued_until, lease_until, expires_at, \
             finished_at, last_error, fold",
        );
        Ok(())
    }
}

/// Claims those of `ids` that are ready, due and not expired: counts the attempt, moves the fence on and leases them
/// until `lease_until`. Ids that are unknown, taken or done are left out, so a repeated id does no harm.
pub async fn claim(
    conn: &mut Conn,
    ids: &[MailId],
    now: Instant,
    lease_until: Instant,
) -> Result<Vec<Mail>, StoreError> {
    Ok(Claim { ids, now, lease_until }.load(conn).await?)
}

struct Renew<'a> {
    ids: &'a [MailId],
    fences: &'a [i64],
    lease_until: Instant,
}

statement!(Renew gives Uuid);

impl QueryFragment<Pg> for Renew<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("UPDATE outbox SET lease_until = ");
        out.push_bind_param::<Timestamptz, _>(&self.lease_until)?;
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Uuid>, _>(self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(self.fences)?;
        out.push_sql(
            ") AS held (id, fence) WHERE outbox.id = held.id AND outbox.fence = held.fence AND outbox.status || '' = 'sending' \
             RETURNING outbox.id",
        );
        Ok(())
    }
}

/// Extends the leases of claimed rows, each named by its id and fence; gives the ids of those that are still ours.
pub async fn renew(conn: &mut Conn, held: &[(MailId, i64)], lease_until: Instant) -> Result<Vec<MailId>, StoreError> {
    let (ids, fences): (Vec<MailId>, Vec<i64>) = held.iter().copied().unzip();
    Ok(Renew { ids: &ids, fences: &fences, lease_until }.load(conn).await?)
}

#[derive(Default)]
struct Settle<'a> {
    ids: Vec<MailId>,
    fences: Vec<i64>,
    statuses: Vec<&'a str>,
    next_attempts: Vec<Option<Instant>>,
    errors: Vec<Option<&'a str>>,
    uncounted: Vec<bool>,
    now: Instant,
}

statement!(Settle gives Uuid);

impl QueryFragment<Pg> for Settle<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE outbox SET status = ended.status, lease_until = NULL, \
             attempts = outbox.attempts - CASE WHEN ended.uncounted THEN 1 ELSE 0 END, \
             next_attempt_at = coalesce(ended.next_attempt_at, outbox.next_attempt_at), \
             queued_until = coalesce(ended.next_attempt_at, outbox.queued_until), \
             last_error = CASE WHEN ended.status = 'sent' THEN NULL ELSE coalesce(ended.error, outbox.last_error) END, \
             finished_at = CASE WHEN ended.status = 'ready' THEN NULL ELSE ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(" END FROM unnest(");
        out.push_bind_param::<Array<Uuid>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.fences)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.statuses)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.next_attempts)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.errors)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.uncounted)?;
        out.push_sql(
            ") AS ended (id, fence, status, next_attempt_at, error, uncounted) WHERE outbox.id = ended.id AND outbox.fence = ended.fence AND outbox.status || '' = 'sending' \
             RETURNING outbox.id",
        );
        Ok(())
    }
}

/// Moves claimed rows to where their attempts ended; gives the ids of those that were still ours.
pub async fn settle(conn: &mut Conn, ends: &[MailEnd], now: Instant) -> Result<Vec<MailId>, StoreError> {
    let mut settle = Settle { now, ..Settle::default() };
    for end in ends {
        settle.ids.push(end.id);
        settle.fences.push(end.fence);
        settle.statuses.push(end.status.as_str());
        settle.next_attempts.push(end.next_attempt_at);
        settle.errors.push(end.error.as_deref());
        settle.uncounted.push(end.uncounted);
    }
    Ok(settle.load(conn).await?)
}

struct Sweep<'a>(&'a SweepOrder);

statement!(Sweep gives (Text, Uuid, SmallInt));

impl QueryFragment<Pg> for Sweep<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.push_late(&mut out)?;
        self.push_stale(&mut out)?;
        self.push_due(&mut out)?;
        out.push_sql(
            "SELECT 'expired', id, priority FROM late UNION ALL SELECT status, id, priority FROM stale \
             UNION ALL SELECT 'due', id, priority FROM due",
        );
        Ok(())
    }
}

impl Sweep<'_> {
    fn push_late<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let SweepOrder { now, limit, .. } = self.0;
        out.push_sql("WITH late AS (UPDATE outbox SET status = 'expired', finished_at = ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(" WHERE id IN (SELECT id FROM outbox WHERE status = 'ready' AND expires_at <= ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(limit)?;
        out.push_sql(" FOR UPDATE SKIP LOCKED) RETURNING id, priority), ");
        Ok(())
    }

    fn push_stale<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let SweepOrder { now, limit, max_attempts, reclaims, queued_until, .. } = self.0;
        out.push_sql("stale AS (UPDATE outbox SET status = CASE WHEN attempts >= ");
        out.push_bind_param::<Integer, _>(max_attempts)?;
        out.push_sql(" THEN 'dead' ELSE 'ready' END, finished_at = CASE WHEN attempts >= ");
        out.push_bind_param::<Integer, _>(max_attempts)?;
        out.push_sql(" THEN ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(" END, last_error = CASE WHEN attempts >= ");
        out.push_bind_param::<Integer, _>(max_attempts)?;
        out.push_sql(
            " THEN coalesce(last_error, 'its worker was not heard of any more, at every attempt') ELSE last_error",
        );
        out.push_sql(" END, fence = fence + 1, lease_until = NULL, next_attempt_at = ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(", queued_until = ");
        out.push_bind_param::<Timestamptz, _>(queued_until)?;
        out.push_sql(" WHERE id IN (SELECT id FROM outbox WHERE status = 'sending' AND lease_until <= ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(" AND ");
        out.push_bind_param::<Bool, _>(reclaims)?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(limit)?;
        out.push_sql(
            " FOR UPDATE SKIP LOCKED) RETURNING id, priority, status), \
             stray AS (UPDATE outbox SET priority = 3 WHERE status = 'ready' AND (priority > 3 OR priority < 0)), ",
        );
        Ok(())
    }

    fn push_due<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let SweepOrder { now, limit, priorities, queued_until, .. } = self.0;
        out.push_sql("due AS (UPDATE outbox SET queued_until = ");
        out.push_bind_param::<Timestamptz, _>(queued_until)?;
        out.push_sql(" WHERE id IN (SELECT id FROM outbox WHERE status = 'ready' AND priority = ANY(");
        out.push_bind_param::<Array<SmallInt>, _>(priorities)?;
        out.push_sql(") AND next_attempt_at <= ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(" AND queued_until <= ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(" AND expires_at > ");
        out.push_bind_param::<Timestamptz, _>(now)?;
        out.push_sql(" ORDER BY priority, next_attempt_at LIMIT ");
        out.push_bind_param::<BigInt, _>(limit)?;
        out.push_sql(" FOR UPDATE SKIP LOCKED) RETURNING id, priority) ");
        Ok(())
    }
}

/// Ends what is too late, takes back what has lost its worker, and marks what is due and in no queue as queued. A mail of
/// a priority that this version does not know becomes one of the lowest, which a later sweep finds.
pub async fn sweep(conn: &mut Conn, order: &SweepOrder) -> Result<Swept, StoreError> {
    let rows: Vec<(String, MailId, i16)> = Sweep(order).load(conn).await?;
    let mut swept = Swept::default();
    for (what, id, priority) in rows {
        match what.as_str() {
            "expired" => swept.expired += 1,
            "dead" => swept.dead += 1,
            "ready" => {
                swept.reclaimed += 1;
                swept.due.push((id, priority));
            }
            _ => swept.due.push((id, priority)),
        }
    }
    swept.due.sort_unstable_by_key(|&(id, priority)| (priority, id));
    Ok(swept)
}
