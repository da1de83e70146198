//! Mailboxes that get no mail for a while. A row whose time is over counts for nothing.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::suppressions;
use crate::domain::Instant;
use crate::store::{StoreError, Suppression};

/// Suppresses a mailbox, anew if it was already.
pub async fn put(conn: &mut Conn, suppression: &Suppression) -> Result<(), StoreError> {
    let fields = (
        suppressions::email.eq(&suppression.email),
        suppressions::reason.eq(suppression.reason),
        suppressions::detail.eq(&suppression.detail),
        suppressions::created_at.eq(suppression.created_at),
        suppressions::until.eq(suppression.until),
    );
    diesel::insert_into(suppressions::table)
        .values((suppressions::email_key.eq(&suppression.email_key), fields))
        .on_conflict(suppressions::email_key)
        .do_update()
        .set(fields)
        .execute(conn)
        .await?;
    Ok(())
}

/// Suppresses a mailbox, unless it is for longer already.
pub async fn put_unless_longer(conn: &mut Conn, suppression: &Suppression) -> Result<(), StoreError> {
    let now = suppression.created_at;
    let longer = suppressions::table
        .find(&suppression.email_key)
        .filter(suppressions::until.gt(now))
        .filter(suppressions::until.ge(suppression.until));
    let found: i64 = longer.count().get_result(conn).await?;
    if found > 0 { Ok(()) } else { put(conn, suppression).await }
}

/// Those of the mailboxes with these keys that are suppressed.
pub async fn among(conn: &mut Conn, keys: &[String], now: Instant) -> Result<Vec<Suppression>, StoreError> {
    let found = suppressions::table.filter(suppressions::email_key.eq_any(keys)).filter(suppressions::until.gt(now));
    Ok(found.load(conn).await?)
}

/// Up to `limit` suppressed mailboxes in the order of their keys, from behind `after` on.
pub async fn list(
    conn: &mut Conn,
    after: Option<&str>,
    now: Instant,
    limit: i64,
) -> Result<Vec<Suppression>, StoreError> {
    let query = suppressions::table.filter(suppressions::until.gt(now)).order(suppressions::email_key).limit(limit);
    Ok(match after {
        Some(after) => query.filter(suppressions::email_key.gt(after.to_owned())).load(conn).await?,
        None => query.load(conn).await?,
    })
}

/// Lifts a suppression; gives it, unless the mailbox was not suppressed.
pub async fn lift(conn: &mut Conn, email_key: &str, now: Instant) -> Result<Option<Suppression>, StoreError> {
    let in_force = suppressions::table.find(email_key).filter(suppressions::until.gt(now));
    Ok(diesel::delete(in_force).get_result(conn).await.optional()?)
}

/// Deletes those that ended before `before`; gives how many.
pub async fn prune(conn: &mut Conn, before: Instant) -> Result<usize, StoreError> {
    Ok(diesel::delete(suppressions::table.filter(suppressions::until.lt(before))).execute(conn).await?)
}
