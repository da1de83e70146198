//! The servers of a run, started by it and ended with it: a Postgres and a Redis, as durable as they are by default.

use std::time::Duration;

use tempfile::TempDir;

use crate::CONNECTIONS;
use crate::frame::cpu_of_tree;
use crate::rig::Place;
use crate::support::{PrivatePostgres, Redis, TestDatabase};

/// What the test support switches off to save time, and what counts statements.
const SETTINGS: &str = "ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET synchronous_commit = on;
    ALTER SYSTEM SET full_page_writes = on; ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'";

/// The servers, and a fresh place for every measurement.
pub(crate) struct Servers {
    postgres: PrivatePostgres,
    redis: Redis,
    files: TempDir,
    admin: TestDatabase,
    places: usize,
}

/// One kind of statement and what it took.
pub(crate) struct Statement {
    pub(crate) calls: i64,
    pub(crate) total_ms: f64,
    pub(crate) text: String,
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
        let redis = Redis::start().await;
        Self { postgres, redis, files: tempfile::tempdir().expect("a directory"), admin, places: 0 }
    }

    /// An empty database and an empty Redis; what the place before this one was in is dropped.
    pub(crate) async fn postgres(&mut self, smtp_port: u16) -> Place {
        let admin = self.admin.client().await;
        let old =
            admin.query("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'", &[]).await.expect("names");
        for name in old.iter().map(|row| row.get::<_, String>(0)).filter(|name| !self.admin.url.ends_with(name)) {
            admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("it is dropped");
        }
        self.redis.flush().await;
        let database = self.postgres.database().await.url.clone();
        Place { database, redis: Some(self.redis.url()), smtp_port, connections: CONNECTIONS }
    }

    /// An empty `SQLite` file, and nothing else.
    pub(crate) fn sqlite(&mut self, smtp_port: u16) -> Place {
        self.places += 1;
        let path = self.files.path().join(format!("{}.db", self.places));
        Place { database: format!("sqlite:{}", path.display()), redis: None, smtp_port, connections: CONNECTIONS }
    }

    /// Writes out what is pending, so that it does not disturb the next measurement.
    pub(crate) async fn settle(&self) {
        self.admin.client().await.batch_execute("CHECKPOINT").await.expect("a checkpoint");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// Begins to count statements anew.
    pub(crate) async fn count_statements(&self) {
        self.admin.client().await.execute("SELECT pg_stat_statements_reset()", &[]).await.expect("a reset");
    }

    /// The statements in the database of `place` since then, those that took longest first.
    pub(crate) async fn statements(&self, place: &Place) -> Vec<Statement> {
        let name = place.database.rsplit('/').next().unwrap_or_default();
        let query =
            "SELECT calls, total_exec_time, query FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
                     WHERE datname = $1 ORDER BY total_exec_time DESC";
        let rows = self.admin.client().await.query(query, &[&name]).await.expect("statements");
        rows.iter()
            .map(|row| Statement { calls: row.get(0), total_ms: row.get(1), text: row.get::<_, String>(2) })
            .collect()
    }

    /// The processor time that Postgres and Redis have used, in seconds.
    pub(crate) fn cpu(&mut self) -> (f64, f64) {
        let file = self.postgres.data_directory().join("postmaster.pid");
        let first = std::fs::read_to_string(file).unwrap_or_default();
        let postmaster = first.lines().next().and_then(|line| line.parse().ok()).unwrap_or(0);
        (cpu_of_tree(postmaster), cpu_of_tree(self.redis.server().id()))
    }
}
