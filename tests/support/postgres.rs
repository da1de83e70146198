//! Fresh Postgres databases, and a Postgres of one's own to break.
//!
//! A run of the tests has one cluster (`scripts/test-servers`), named by `GATEPOST_TEST_POSTGRES`; each test has a
//! database of its own on it, dropped with its [`TestDatabase`]. Without the variable the first test that asks
//! starts a cluster for its process. Clusters that are started here are held by a pipe: they end when this process
//! does, however it does.

use std::{
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use gatepost::settings::{Settings, Sources};
use gatepost::store::Database;
use tokio::task::spawn_blocking;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::eventually;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-servers");

/// The cluster that all tests of a run share.
#[derive(Debug)]
pub struct Postgres;

impl Postgres {
    /// Makes an empty database that nobody else uses.
    ///
    /// # Panics
    ///
    /// When there is no cluster and none can be started.
    pub async fn database() -> TestDatabase {
        TestDatabase::create(&Self::server().await, true).await
    }

    /// Makes a database that nobody else uses and that all migrations have been run in: a copy of one that the first test to ask
    /// makes.
    ///
    /// # Panics
    ///
    /// When there is no cluster and none can be started, or a migration fails.
    pub async fn migrated() -> TestDatabase {
        TestDatabase::copy(&Self::server().await).await
    }

    async fn server() -> String {
        static OF_THIS_PROCESS: OnceLock<Cluster> = OnceLock::new();
        match std::env::var("GATEPOST_TEST_POSTGRES") {
            Ok(url) => url,
            Err(_) => spawn_blocking(|| OF_THIS_PROCESS.get_or_init(Cluster::start).url.clone())
                .await
                .expect("a cluster starts"),
        }
    }
}

/// An empty database; dropping it drops the database, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    /// `postgres://postgres@127.0.0.1:PORT/NAME`, to connect as its owner.
    pub url: String,
    name: String,
    server: String,
    shared: bool,
}

impl TestDatabase {
    /// A connection beside the ones of the server under test.
    ///
    /// # Panics
    ///
    /// When Postgres takes no connections.
    pub async fn client(&self) -> Client {
        connect(&self.url).await.expect("Postgres takes connections")
    }

    /// Every row of every table as text, each after its table's name, for leak checks.
    ///
    /// # Panics
    ///
    /// When Postgres takes no connections.
    pub async fn dump(&self) -> Vec<String> {
        let client = self.client().await;
        let tables = client
            .query(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                 WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
                &[],
            )
            .await
            .expect("the tables can be listed");
        let mut found = Vec::new();
        for table in tables.iter().map(|row| row.get::<_, String>(0)) {
            let rows = client.query(&format!("SELECT t::text FROM {table} t"), &[]).await;
            found.extend(rows.expect("a table can be read").iter().map(|row| {
                let values: String = row.get(0);
                format!("{table} {values}")
            }));
        }
        found
    }

    async fn create(server: &str, shared: bool) -> Self {
        let name = format!("test_{:016x}", rand::random::<u64>());
        let client = connect(server).await.unwrap_or_else(|error| panic!("no Postgres at {server}: {error}"));
        client
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await
            .expect("a database can be created");
        Self { url: on(server, &name), name, server: server.to_owned(), shared }
    }

    async fn copy(server: &str) -> Self {
        let name = format!("test_{:016x}", rand::random::<u64>());
        let client = connect(server).await.unwrap_or_else(|error| panic!("no Postgres at {server}: {error}"));
        let statement = format!("CREATE DATABASE {name} TEMPLATE {MIGRATED}");
        if let Err(error) = client.batch_execute(&statement).await {
            assert_eq!(error.code(), Some(&SqlState::INVALID_CATALOG_NAME), "{error:?}");
            make_migrated(server, &client).await;
            client.batch_execute(&statement).await.expect("a database can be copied");
        }
        Self { url: on(server, &name), name, server: server.to_owned(), shared: true }
    }
}

/// The database that [`Postgres::migrated`] copies.
const MIGRATED: &str = "gatepost_migrated";

/// Makes the database to copy, unless another test has been quicker. It gets its name when it is complete.
async fn make_migrated(server: &str, client: &Client) {
    client.execute("SELECT pg_advisory_lock(1)", &[]).await.expect("a lock");
    let known = client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&MIGRATED]).await;
    if known.expect("databases can be listed").is_none() {
        client.batch_execute("DROP DATABASE IF EXISTS migrating").await.expect("what another has left can be dropped");
        client.batch_execute("CREATE DATABASE migrating TEMPLATE template0").await.expect("a database can be created");
        let overrides = vec![("database.url".to_owned(), on(server, "migrating"))];
        let settings = Settings::load(&Sources { overrides, ..Sources::default() }).expect("settings");
        let database = Database::connect(&settings.database).await.expect("Postgres takes connections");
        database.migrate().await.expect("the migrations run");
        drop(database);
        eventually("nobody to be connected any more", Duration::from_secs(20), async || {
            client.batch_execute(&format!("ALTER DATABASE migrating RENAME TO {MIGRATED}")).await.ok()
        })
        .await;
    }
    client.execute("SELECT pg_advisory_unlock(1)", &[]).await.expect("a lock");
}

/// The URL of the database `name` of `server`.
fn on(server: &str, name: &str) -> String {
    let (base, _) = server.rsplit_once('/').expect("a Postgres URL has a path");
    format!("{base}/{name}")
}

impl Drop for TestDatabase {
    /// Best effort: what is left behind goes with the cluster, and a test that has passed stays passed.
    fn drop(&mut self) {
        if !self.shared {
            return;
        }
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // In a thread: a runtime cannot be entered from within another.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let work = async { connect(&server).await.ok()?.batch_execute(&statement).await.ok() };
                tokio::time::timeout(Duration::from_secs(10), work).await.ok()?
            })
        });
        let _ = dropping.join();
    }
}

/// A cluster of one test's own, to be stopped, crashed or frozen.
#[derive(Debug)]
pub struct PrivatePostgres {
    cluster: Cluster,
}

impl PrivatePostgres {
    /// Starts it: about a second.
    ///
    /// # Panics
    ///
    /// When Postgres is missing or does not start.
    pub async fn start() -> Self {
        Self { cluster: spawn_blocking(Cluster::start).await.expect("a cluster starts") }
    }

    /// Makes an empty database in it.
    pub async fn database(&self) -> TestDatabase {
        TestDatabase::create(&self.cluster.url, false).await
    }

    /// Where it keeps its data, and looks for `server.crt` and `server.key`.
    pub fn data_directory(&self) -> std::path::PathBuf {
        std::path::Path::new(&self.cluster.directory).join("data")
    }

    /// Ends it in good order: connections are closed, new ones refused, what was committed stays.
    pub async fn stop(&self) {
        self.run(&["down"], &["fast"]).await;
    }

    /// Ends it without a word to anybody, as a crash would; it recovers at the next start.
    pub async fn crash(&self) {
        self.run(&["down"], &["immediate"]).await;
    }

    /// Starts it again on the same port.
    pub async fn start_again(&self) {
        self.run(&["up"], &[]).await;
    }

    /// [`Self::stop`] and [`Self::start_again`].
    pub async fn restart(&self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Freezes all its processes: connections stay open and no answer comes.
    pub async fn pause(&self) {
        self.run(&["freeze"], &[]).await;
    }

    /// Ends [`Self::pause`].
    pub async fn resume(&self) {
        self.run(&["thaw"], &[]).await;
    }

    async fn run(&self, before: &[&str], after: &[&str]) {
        let mut command = Command::new(SCRIPT);
        command.args(before).arg(&self.cluster.directory).args(after).stdin(Stdio::null());
        let status = spawn_blocking(move || command.status()).await.expect("not cancelled");
        assert!(status.is_ok_and(|status| status.success()), "{SCRIPT} {before:?} failed");
    }
}

/// A cluster that lives as long as this value, or this process.
#[derive(Debug)]
struct Cluster {
    url: String,
    directory: String,
    holder: Child,
    pipe: Option<ChildStdin>,
}

impl Cluster {
    fn start() -> Self {
        let mut holder = Command::new(SCRIPT)
            .arg("hold")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Out of reach of a Ctrl-C, which would interrupt its tidying up.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{SCRIPT} did not start: {error}"));
        let pipe = holder.stdin.take();
        let mut exports = String::new();
        if let Some(mut output) = holder.stdout.take() {
            output.read_to_string(&mut exports).expect("the script prints text");
        }
        let read = |name: &str| {
            let assignment = exports.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name));
            assignment.and_then(|rest| rest.strip_prefix('=')).map(str::to_owned)
        };
        let (Some(url), Some(directory)) = (read("GATEPOST_TEST_POSTGRES"), read("GATEPOST_TEST_SERVERS")) else {
            panic!("{SCRIPT} hold started no Postgres; what it printed above says why");
        };
        Self { url, directory, holder, pipe }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.holder.wait();
    }
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
