//! The outbox as those see it who steer the mail: lists, figures, and moving by hand what no worker holds.
//!
//! A status is written into the statements here, and not bound: so a plan that is kept for any parameters can use the
//! partial index of that status.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt};
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::outbox;
use crate::domain::{Instant, MailId, MailKind, MailStatus, Priority};
use crate::store::{DeadFilter, Mail, MailCounts, MailFilter, StoreError};

diesel::define_sql_function! {
    /// Lower case, as the database understands it.
    fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

/// Whether a mail stands so.
fn stands(status: MailStatus) -> diesel::expression::SqlLiteral<Bool> {
    diesel::dsl::sql(&format!("outbox.status = '{}'", status.as_str()))
}

/// The mail with this id.
pub async fn by_id(conn: &mut Conn, id: MailId) -> Result<Option<Mail>, StoreError> {
    Ok(outbox::table.find(id).first(conn).await.optional()?)
}

/// Up to `limit` mails that fit, newest first.
pub async fn list(conn: &mut Conn, filter: &MailFilter, limit: i64) -> Result<Vec<Mail>, StoreError> {
    let mut query = outbox::table.order(outbox::id.desc()).limit(limit).into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(stands(status));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(outbox::kind.eq(kind));
    }
    if let Some(recipient) = &filter.recipient {
        let text = recipient.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        query = query.filter(lower(outbox::recipient).like(format!("%{text}%")).escape('\\'));
    }
    if let Some(before) = filter.before {
        query = query.filter(outbox::id.lt(before));
    }
    Ok(query.load(conn).await?)
}

/// Makes a dead mail ready again, with all its attempts; the mail, unless it was not dead or is no longer worth sending.
pub async fn revive(
    conn: &mut Conn,
    id: MailId,
    now: Instant,
    queued_until: Instant,
) -> Result<Option<Mail>, StoreError> {
    let dead = outbox::table.find(id).filter(stands(MailStatus::Dead)).filter(outbox::expires_at.gt(now));
    Ok(diesel::update(dead).set(anew(now, queued_until)).get_result(conn).await.optional()?)
}

/// The same for many; gives those that were dead, and their priorities.
pub async fn revive_all(
    conn: &mut Conn,
    ids: &[MailId],
    now: Instant,
    queued_until: Instant,
) -> Result<Vec<(MailId, i16)>, StoreError> {
    let dead = outbox::table
        .filter(outbox::id.eq_any(ids.to_vec()))
        .filter(stands(MailStatus::Dead))
        .filter(outbox::expires_at.gt(now));
    let revived = diesel::update(dead).set(anew(now, queued_until)).returning((outbox::id, outbox::priority));
    Ok(revived.get_results(conn).await?)
}

type Anew = (
    diesel::dsl::Eq<outbox::status, MailStatus>,
    diesel::dsl::Eq<outbox::attempts, i32>,
    diesel::dsl::Eq<outbox::next_attempt_at, Instant>,
    diesel::dsl::Eq<outbox::queued_until, Instant>,
    diesel::dsl::Eq<outbox::finished_at, Option<Instant>>,
);

/// What makes a row begin anew. What the last attempt failed of stays, for whoever looks.
fn anew(now: Instant, queued_until: Instant) -> Anew {
    (
        outbox::status.eq(MailStatus::Ready),
        outbox::attempts.eq(0),
        outbox::next_attempt_at.eq(now),
        outbox::queued_until.eq(queued_until),
        outbox::finished_at.eq(None),
    )
}

/// Makes a mail due that waits for a later attempt; the mail, unless it no longer waits.
pub async fn hasten(
    conn: &mut Conn,
    id: MailId,
    now: Instant,
    queued_until: Instant,
) -> Result<Option<Mail>, StoreError> {
    let waiting = outbox::table.find(id).filter(stands(MailStatus::Ready)).filter(outbox::next_attempt_at.gt(now));
    let fields = (outbox::next_attempt_at.eq(now), outbox::queued_until.eq(queued_until));
    Ok(diesel::update(waiting).set(fields).get_result(conn).await.optional()?)
}

/// Gives a mail up that no worker holds; the mail, unless it was not ready.
pub async fn bury(conn: &mut Conn, id: MailId, why: &str, now: Instant) -> Result<Option<Mail>, StoreError> {
    let ready = outbox::table.find(id).filter(stands(MailStatus::Ready));
    let fields =
        (outbox::status.eq(MailStatus::Dead), outbox::finished_at.eq(now), outbox::last_error.eq(why.to_owned()));
    Ok(diesel::update(ready).set(fields).get_result(conn).await.optional()?)
}

/// Up to `limit` dead mails that fit and are still worth sending, oldest first: their ids and recipients.
pub async fn revivable(
    conn: &mut Conn,
    filter: &DeadFilter,
    now: Instant,
    limit: i64,
) -> Result<Vec<(MailId, String)>, StoreError> {
    let mut query = outbox::table
        .filter(stands(MailStatus::Dead))
        .filter(outbox::expires_at.gt(now))
        .select((outbox::id, outbox::recipient))
        .order(outbox::id)
        .limit(limit)
        .into_boxed();
    if let Some(kind) = filter.kind {
        query = query.filter(outbox::kind.eq(kind));
    }
    if let Some(ids) = &filter.ids {
        query = query.filter(outbox::id.eq_any(ids.clone()));
    }
    if let Some(after) = filter.after {
        query = query.filter(outbox::id.gt(after));
    }
    Ok(query.load(conn).await?)
}

/// How many dead mails of this kind, or of any, are still worth sending.
pub async fn count_revivable(conn: &mut Conn, kind: Option<MailKind>, now: Instant) -> Result<i64, StoreError> {
    let mut query =
        outbox::table.filter(stands(MailStatus::Dead)).filter(outbox::expires_at.gt(now)).count().into_boxed();
    if let Some(kind) = kind {
        query = query.filter(outbox::kind.eq(kind));
    }
    Ok(query.get_result(conn).await?)
}

/// The ready mails of one priority.
#[derive(diesel::QueryableByName)]
struct Waiting {
    #[diesel(sql_type = SmallInt)]
    priority: i16,
    #[diesel(sql_type = BigInt)]
    due: i64,
    #[diesel(sql_type = BigInt)]
    later: i64,
    #[diesel(sql_type = Nullable<super::Instant>)]
    earliest: Option<Instant>,
}

/// One walk over `outbox_due`, which holds all that it asks for, in the order in which it groups.
const WAITING: &str = "SELECT priority, count(*) FILTER (WHERE next_attempt_at <= $1) AS due, \
     count(*) FILTER (WHERE next_attempt_at > $1) AS later, min(next_attempt_at) AS earliest \
     FROM outbox WHERE status = 'ready' GROUP BY priority";

/// All other figures.
#[derive(diesel::QueryableByName)]
struct Figures {
    #[diesel(sql_type = BigInt)]
    sending: i64,
    #[diesel(sql_type = BigInt)]
    dead: i64,
    #[diesel(sql_type = BigInt)]
    sent: i64,
    #[diesel(sql_type = BigInt)]
    suppressed: i64,
    #[diesel(sql_type = Bool)]
    paused: bool,
}

/// Each from an index of its own.
const FIGURES: &str = "SELECT (SELECT count(*) FROM outbox WHERE status = 'sending') AS sending, \
     (SELECT count(*) FROM outbox WHERE status = 'dead') AS dead, \
     (SELECT count(*) FROM outbox WHERE status = 'sent' AND finished_at > $1) AS sent, \
     (SELECT count(*) FROM suppressions WHERE until > $2) AS suppressed, \
     EXISTS (SELECT 1 FROM switches WHERE name = $3 AND is_on) AS paused";

/// How many mails stand where, by two statements. Each figure is counted along a partial index, so the time they take
/// grows with what is ready, dead or was sent within the hour, not with what is kept. (A Postgres that has been vacuumed
/// reads no more than the indexes for the first two: 40 ms for a hundred thousand.)
pub async fn counts(conn: &mut Conn, now: Instant) -> Result<MailCounts, StoreError> {
    let waiting: Vec<Waiting> = diesel::sql_query(WAITING).bind::<super::Instant, _>(now).load(conn).await?;
    let figures: Figures = diesel::sql_query(FIGURES)
        .bind::<super::Instant, _>(now - chrono::TimeDelta::hours(1))
        .bind::<super::Instant, _>(now)
        .bind::<diesel::sql_types::Text, _>(crate::store::MAIL_PAUSED)
        .get_result(conn)
        .await?;
    let mut counts = MailCounts {
        sending: figures.sending,
        dead: figures.dead,
        sent_last_hour: figures.sent,
        suppressed: figures.suppressed,
        paused: figures.paused,
        ..MailCounts::default()
    };
    for Waiting { priority, due, later, earliest } in waiting {
        // A priority that this version does not know waits for all others.
        let priority = Priority::from_number(priority).unwrap_or(Priority::Low);
        if let Some(slot) = usize::try_from(priority.number()).ok().and_then(|index| counts.queued.get_mut(index)) {
            *slot += due;
        }
        counts.scheduled += later;
        let age = earliest.map_or(0, |earliest| (now - earliest).num_milliseconds());
        counts.oldest_age_ms = counts.oldest_age_ms.max(age);
    }
    Ok(counts)
}
