//! What only Postgres has.

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Instant, UserId};
use crate::store::StoreError;

/// The day, in UTC, of a row's `created_at`: `2026-01-31`.
pub const CREATED_ON: &str = "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')";

/// Makes transactions that take the lock named by `key` run one after the other. Held to the transaction's end.
pub async fn lock(conn: &mut Conn, key: i64) -> Result<(), StoreError> {
    diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(key).execute(conn).await?;
    Ok(())
}

/// Locks an account's row to the transaction's end, so that what is decided about it elsewhere comes before or after,
/// and not in between. Read the row after this.
pub async fn lock_user(conn: &mut Conn, id: UserId) -> Result<(), StoreError> {
    diesel::sql_query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE")
        .bind::<diesel::sql_types::Uuid, _>(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// The database's clock.
pub async fn now(conn: &mut Conn) -> Result<Instant, StoreError> {
    #[derive(diesel::QueryableByName)]
    struct Now {
        #[diesel(sql_type = diesel::sql_types::Timestamptz)]
        now: Instant,
    }
    let row: Now = diesel::sql_query("SELECT clock_timestamp() AS now").get_result(conn).await?;
    Ok(row.now)
}

/// The version of the newest migration that has been run; `None` in an empty database.
pub async fn newest_migration(conn: &mut Conn) -> Result<Option<String>, StoreError> {
    #[derive(diesel::QueryableByName)]
    struct Newest {
        #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
        version: Option<String>,
    }
    #[derive(diesel::QueryableByName)]
    struct Table {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        is_there: bool,
    }
    let table = "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS is_there";
    let table: Table = diesel::sql_query(table).get_result(conn).await?;
    if !table.is_there {
        return Ok(None);
    }
    let newest = "SELECT max(version) AS version FROM __diesel_schema_migrations";
    let newest: Newest = diesel::sql_query(newest).get_result(conn).await?;
    Ok(newest.version)
}
