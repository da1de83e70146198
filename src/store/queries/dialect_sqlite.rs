//! What `SQLite` does in its own way.

use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Instant, UserId};
use crate::store::StoreError;

/// The day, in UTC, of a row's `created_at`: `2026-01-31`.
pub const CREATED_ON: &str = "substr(created_at, 1, 10)";

/// Does nothing: a write transaction of `SQLite` excludes every other from its first statement on.
#[allow(clippy::unused_async, reason = "the same signature on every backend")]
pub async fn lock(_conn: &mut Conn, _key: i64) -> Result<(), StoreError> {
    Ok(())
}

/// Does nothing, for the same reason as [`lock`].
#[allow(clippy::unused_async, reason = "the same signature on every backend")]
pub async fn lock_user(_conn: &mut Conn, _id: UserId) -> Result<(), StoreError> {
    Ok(())
}

/// The database's clock.
pub async fn now(conn: &mut Conn) -> Result<Instant, StoreError> {
    #[derive(diesel::QueryableByName)]
    struct Now {
        #[diesel(sql_type = diesel::sql_types::TimestamptzSqlite)]
        now: Instant,
    }
    let row: Now =
        diesel::sql_query("SELECT strftime('%Y-%m-%d %H:%M:%f+00:00', 'now') AS now").get_result(conn).await?;
    Ok(row.now)
}
