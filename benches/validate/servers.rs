//! The servers of a run, started by it and ended with it: a Postgres and a Redis, as durable as they are by default.

use tempfile::TempDir;

use crate::place::{Place, Tiers};
use crate::support::{PrivatePostgres, Redis, TestDatabase};

/// What the test support switches off to save time, and what counts statements.
const SETTINGS: &str = "ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET synchronous_commit = on;
    ALTER SYSTEM SET full_page_writes = on; ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'";

/// What a request would have to ask the database without a cache.
const LOOK_UPS: &str =
    "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
    WHERE datname = $1 AND query ILIKE 'select%' AND query NOT ILIKE '%for update%'
      AND (query ~* 'from \"?users' OR query ~* 'from \"?sessions')";

/// The servers, and a fresh place for every part.
pub(crate) struct Servers {
    postgres: PrivatePostgres,
    pub(crate) redis: Redis,
    files: TempDir,
    admin: TestDatabase,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let postgres = PrivatePostgres::start().await;
        let admin = postgres.database().await;
        for statement in SETTINGS.split(';') {
            admin.client().await.batch_execute(statement).await.expect("a setting");
        }
        postgres.restart().await;
        let statement = "CREATE EXTENSION pg_stat_statements";
        admin.client().await.batch_execute(statement).await.expect("the contrib package of Postgres is there");
        Self { postgres, redis: Redis::start().await, files: tempfile::tempdir().expect("a directory"), admin }
    }

    /// An empty database and an empty Redis.
    pub(crate) async fn place(&self) -> (Place, TestDatabase) {
        self.redis.flush().await;
        let database = self.postgres.database().await;
        let data_dir = self.files.path().join("data");
        let place = Place { database: database.url.clone(), redis: self.redis.url(), data_dir, tiers: Tiers::ALL };
        (place, database)
    }

    /// A file of the run's own.
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.files.path().join(name)
    }

    /// Writes out what is pending, so that it does not disturb the next measurement.
    pub(crate) async fn settle(&self) {
        self.admin.client().await.batch_execute("CHECKPOINT").await.expect("a checkpoint");
    }

    /// Begins to count statements anew.
    pub(crate) async fn count_look_ups(&self) {
        self.admin.client().await.execute("SELECT pg_stat_statements_reset()", &[]).await.expect("a reset");
    }

    /// The queries since then that read users or sessions, those for the cache's upkeep included.
    pub(crate) async fn look_ups(&self, place: &Place) -> f64 {
        let name = place.database.rsplit('/').next().unwrap_or_default();
        let row = self.admin.client().await.query_one(LOOK_UPS, &[&name]).await.expect("statements");
        row.get::<_, i64>(0) as f64
    }
}
