//! Migrations, embedded in the binary and run under a lock, so that any number of instances may start at once.

use diesel::migration::{Migration, MigrationSource};
use diesel::{RunQueryDsl, SqliteConnection};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::StoreError;

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Names the advisory lock of the migrations: the first eight bytes of "gatepost" as a number.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"gatepost");

/// Brings a Postgres database up to date; gives the names of the migrations that were run. Other instances that
/// start meanwhile wait at the advisory lock and then find nothing to do.
pub(super) fn run_postgres(mut conn: AsyncConnectionWrapper<AsyncPgConnection>) -> Result<Vec<String>, StoreError> {
    diesel::sql_query(format!("SELECT pg_advisory_lock({MIGRATION_LOCK})")).execute(&mut conn)?;
    // The lock ends with the connection at the latest, so an error here needs no unlocking.
    let run = conn.run_pending_migrations(POSTGRES).map_err(setup)?.iter().map(ToString::to_string).collect();
    diesel::sql_query(format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})")).execute(&mut conn)?;
    Ok(run)
}

/// Brings a `SQLite` database up to date, in one exclusive transaction; gives the names of the migrations that were run.
pub(super) fn run_sqlite(conn: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    conn.exclusive_transaction(|conn| {
        Ok(conn.run_pending_migrations(SQLITE).map_err(setup)?.iter().map(ToString::to_string).collect())
    })
}

/// Whether every migration that this binary knows has been run on the database behind `conn`.
pub(super) fn is_current_sqlite(conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    conn.has_pending_migration(SQLITE).map(|pending| !pending).map_err(setup)
}

/// The version that a Postgres database must have reached.
pub(super) fn newest_postgres() -> Option<String> {
    let migrations: Vec<Box<dyn Migration<diesel::pg::Pg>>> = POSTGRES.migrations().ok()?;
    migrations.iter().map(|migration| migration.name().version().to_string()).max()
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn setup(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Setup(format!("the migrations failed: {error}"))
}
