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

/// A new mail's fields.
macro_rules! row {
    ($mail:expr) => {{
        use $crate::store::NewMail;
        let mail: &NewMail = $mail;
        (
            outbox::id.eq(mail.id),
            outbox::kind.eq(mail.kind),
            outbox::recipient.eq(&mail.recipient),
            outbox::locale.eq(mail.locale),
            outbox::content.eq(&mail.content),
            outbox::challenge_id.eq(mail.challenge_id),
            outbox::priority.eq(mail.priority),
            outbox::status.eq($crate::domain::MailStatus::Ready),
            outbox::attempts.eq(0),
            outbox::fence.eq(0),
            outbox::message_id.eq(&mail.message_id),
            outbox::created_at.eq(mail.created_at),
            outbox::next_attempt_at.eq(mail.next_attempt_at),
            outbox::queued_until.eq(mail.queued_until),
            outbox::expires_at.eq(mail.expires_at),
            outbox::fold.eq(&mail.fold),
        )
    }};
}
pub(super) use row;

/// Puts a mail into the outbox. Belongs into the transaction that makes it necessary.
pub async fn insert(conn: &mut Conn, mail: &NewMail) -> Result<(), StoreError> {
    diesel::insert_into(outbox::table).values(row!(mail)).execute(conn).await?;
    Ok(())
}

/// Since when the oldest due mail of each priority has waited, the most urgent first.
pub async fn oldest_due(conn: &mut Conn, now: Instant) -> Result<[Option<Instant>; 4], StoreError> {
    type Moment = diesel::sql_types::Nullable<super::Instant>;
    #[derive(QueryableByName)]
    struct Oldest {
        #[diesel(sql_type = Moment)]
        urgent: Option<Instant>,
        #[diesel(sql_type = Moment)]
        high: Option<Instant>,
        #[diesel(sql_type = Moment)]
        normal: Option<Instant>,
        #[diesel(sql_type = Moment)]
        low: Option<Instant>,
    }
    // Written out, so that the planner sees the condition of the partial index.
    let of = |priority: usize, name: &str| {
        let due = format!("status = 'ready' AND priority = {priority} AND next_attempt_at <= $1");
        format!("(SELECT min(next_attempt_at) FROM outbox WHERE {due}) AS {name}")
    };
    let columns =
        ["urgent", "high", "normal", "low"].into_iter().enumerate().map(|(priority, name)| of(priority, name));
    let statement = format!("SELECT {}", columns.collect::<Vec<_>>().join(", "));
    let oldest: Oldest = diesel::sql_query(statement).bind::<super::Instant, _>(now).get_result(conn).await?;
    Ok([oldest.urgent, oldest.high, oldest.normal, oldest.low])
}

/// Deletes rows that ended before `before`, at most `limit`; gives how many. Dead letters stay as long as they could be
/// tried again.
pub async fn prune(conn: &mut Conn, before: Instant, limit: i64) -> Result<usize, StoreError> {
    let old: Vec<MailId> = outbox::table
        .filter(outbox::finished_at.lt(before))
        .filter(outbox::status.ne(MailStatus::Dead).or(outbox::expires_at.lt(before)))
        .select(outbox::id)
        .limit(limit)
        .load(conn)
        .await?;
    if old.is_empty() {
        return Ok(0);
    }
    Ok(diesel::delete(outbox::table.filter(outbox::id.eq_any(old))).execute(conn).await?)
}
