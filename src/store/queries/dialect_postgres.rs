//! What only Postgres has.

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Instant, UserId};
use crate::store::StoreError;

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

/// The version of the newest migration that has been run.
pub async fn newest_migration(conn: &mut Conn) -> Result<Option<String>, StoreError> {
    #[derive(diesel::QueryableByName)]
    struct Newest {
        #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
        version: Option<String>,
    }
    let row: Newest =
        diesel::sql_query("SELECT max(version) AS version FROM __diesel_schema_migrations").get_result(conn).await?;
    Ok(row.version)
}
