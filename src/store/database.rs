//! The one handle to whichever database is in use.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant as Monotonic};

use diesel::connection::SimpleConnection;
use diesel::{Connection, ConnectionError, ConnectionResult, SqliteConnection};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, SetupCallback};
use diesel_async::{AsyncConnection, async_connection_wrapper::AsyncConnectionWrapper};
use futures_util::FutureExt;

use super::connections::Connections;
use super::postgres_tls::PostgresTarget;
use super::{StoreError, migrations, postgres, sqlite};
use crate::domain::{Clock, Instant};
use crate::settings::{self, DatabaseUrl};

/// A connected database. Clones share the pools.
#[derive(Clone)]
pub enum Database {
    /// Postgres: one pool.
    Postgres {
        /// The connections.
        pool: Connections<postgres::Conn>,
        /// How to open one outside the pool.
        #[doc(hidden)]
        target: Box<PostgresTargetHandle>,
    },
    /// `SQLite` in WAL mode: many readers beside one writer, each kind with its own pool, so that writers queue in
    /// this process instead of failing at the file's lock.
    Sqlite {
        /// Connections that only read.
        readers: Connections<sqlite::Conn>,
        /// The one connection that writes.
        writer: Connections<sqlite::Conn>,
        /// The file.
        path: PathBuf,
    },
}

/// Keeps the type of [`PostgresTarget`] out of the public enum.
#[derive(Clone)]
pub struct PostgresTargetHandle(PostgresTarget);

/// How a pool is doing.
#[derive(Clone, Copy, Debug)]
pub struct PoolState {
    /// Open connections.
    pub size: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
}

/// Runs one query that changes nothing: `read!(database, users::by_id(id))`.
macro_rules! read {
    ($database:expr, $module:ident::$query:ident($($argument:expr),* $(,)?)) => {
        match $database {
            $crate::store::Database::Postgres { pool, .. } => {
                let mut conn = pool.get().await?;
                $crate::store::bounded!(conn, $crate::store::postgres::$module::$query(&mut conn, $($argument),*))
            }
            $crate::store::Database::Sqlite { readers, .. } => {
                let mut conn = readers.get().await?;
                $crate::store::sqlite::$module::$query(&mut conn, $($argument),*).await
            }
        }
    };
}

/// Runs one query that writes, in a statement of its own: `update!(database, sessions::touch(id, address, now))`.
macro_rules! update {
    ($database:expr, $module:ident::$query:ident($($argument:expr),* $(,)?)) => {
        match $database {
            $crate::store::Database::Postgres { pool, .. } => {
                let mut conn = pool.get().await?;
                $crate::store::bounded!(conn, $crate::store::postgres::$module::$query(&mut conn, $($argument),*))
            }
            $crate::store::Database::Sqlite { writer, .. } => {
                let mut conn = writer.get().await?;
                $crate::store::sqlite::$module::$query(&mut conn, $($argument),*).await
            }
        }
    };
}

/// Runs several queries that succeed or fail together. The block is an `async` closure over the connection and the
/// backend's query module, and gives a `Result` whose error is made from [`StoreError`]:
/// `transaction!(database, async |conn, q| { q::users::insert(conn, &user, now).await })`.
macro_rules! transaction {
    ($database:expr, async |$conn:ident, $q:ident| $body:block) => {
        match $database {
            $crate::store::Database::Postgres { pool, .. } => {
                use diesel_async::AsyncConnection as _;
                use $crate::store::postgres as $q;
                let mut conn = pool.get().await?;
                $crate::store::bounded!(conn, (*conn).transaction(async |$conn: &mut $q::Conn| $body))
            }
            $crate::store::Database::Sqlite { writer, .. } => {
                use $crate::store::sqlite as $q;
                let mut conn = writer.get().await?;
                (*conn).immediate_transaction(async |$conn: &mut $q::Conn| $body).await
            }
        }
    };
}

/// Waits for `$work` on `$conn`, but not for ever: a server that hangs would hold on to every request.
macro_rules! bounded {
    ($conn:ident, $work:expr) => {{
        let outcome = tokio::time::timeout($crate::store::STATEMENT_PATIENCE, $work).await;
        outcome.unwrap_or_else(|_| Err($crate::store::give_up(&mut *$conn).into()))
    }};
}

pub(crate) use {bounded, read, transaction, update};

impl Database {
    /// Opens the pools. Postgres has to answer once; a `SQLite` file is made when it is not there.
    pub async fn connect(settings: &settings::Database) -> Result<Self, StoreError> {
        match &settings.url {
            DatabaseUrl::Postgres(url) => Self::connect_postgres(url.expose(), settings).await,
            DatabaseUrl::Sqlite(path) => Self::connect_sqlite(path, settings).await,
        }
    }

    async fn connect_postgres(url: &str, settings: &settings::Database) -> Result<Self, StoreError> {
        let target = PostgresTarget::parse(url, settings.connect_timeout)?;
        target.connect().await.map_err(|error| StoreError::Setup(format!("cannot connect to Postgres: {error}")))?;
        let mut config = ManagerConfig::default();
        // A look at the socket, no round trip: a connection that the server has closed is not handed out.
        config.recycling_method = RecyclingMethod::Fast;
        let setup = target.clone();
        config.custom_setup = open_here(move |_| {
            let target = setup.clone();
            async move { target.connect().await }
        });
        let manager = AsyncDieselConnectionManager::new_with_config(String::new(), config);
        let pool = Connections::new(manager, settings.pool_size, settings.pool_timeout);
        Ok(Self::Postgres { pool, target: Box::new(PostgresTargetHandle(target)) })
    }

    async fn connect_sqlite(path: &Path, settings: &settings::Database) -> Result<Self, StoreError> {
        let unusable = |why: String| StoreError::Setup(format!("cannot open the database {}: {why}", path.display()));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| unusable(error.to_string()))?;
        }
        let text = path.to_str().ok_or_else(|| unusable("its path is not UTF-8".to_owned()))?;
        keep_private(path).map_err(|error| unusable(error.to_string()))?;
        // Opened once here, where a file that cannot be used can still be told from one that is busy.
        open_sqlite(text, false).await.map_err(|error| unusable(error.to_string()))?;
        let pool = |size: u32, query_only: bool| {
            let mut config = ManagerConfig::default();
            config.recycling_method = RecyclingMethod::Fast;
            config.custom_setup = open_here(move |path| {
                let path = path.to_owned();
                async move { open_sqlite(&path, query_only).await }
            });
            let manager = AsyncDieselConnectionManager::new_with_config(text, config);
            Connections::new(manager, size, settings.pool_timeout)
        };
        let (writer, readers) = (pool(1, false), pool(settings.pool_size.clamp(1, 8), true));
        Ok(Self::Sqlite { readers, writer, path: path.to_owned() })
    }

    /// Runs the migrations that are missing, one instance at a time; gives their names.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Postgres { target, .. } => {
                let conn = target.0.connect().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
                blocking(move || migrations::run_postgres(AsyncConnectionWrapper::from(conn))).await
            }
            Self::Sqlite { path, .. } => {
                let path = path.clone();
                blocking(move || migrations::run_sqlite(&mut open_sqlite_sync(&path)?)).await
            }
        }
    }

    /// Whether the database answers and every migration of this binary has been run. An older binary beside a newer
    /// database is fine: migrations only expand.
    pub async fn is_migrated(&self) -> Result<bool, StoreError> {
        match self {
            Self::Postgres { pool, .. } => {
                let mut conn = pool.get().await?;
                let newest: Option<String> = bounded!(conn, postgres::dialect::newest_migration(&mut conn))?;
                Ok(newest >= migrations::newest_postgres())
            }
            Self::Sqlite { path, .. } => {
                let path = path.clone();
                blocking(move || migrations::is_current_sqlite(&mut open_sqlite_sync(&path)?)).await
            }
        }
    }

    /// Sets `clock` by the database's; how long the database took to answer.
    pub async fn align(&self, clock: &Clock) -> Result<Duration, StoreError> {
        let (asked, now, answered) = match self {
            Self::Postgres { pool, .. } => {
                let mut conn = pool.get().await?;
                let asked = Monotonic::now();
                let now: Instant = bounded!(conn, postgres::dialect::now(&mut conn))?;
                (asked, now, Monotonic::now())
            }
            Self::Sqlite { readers, .. } => {
                let mut conn = readers.get().await?;
                let asked = Monotonic::now();
                let now: Instant = sqlite::dialect::now(&mut conn).await?;
                (asked, now, Monotonic::now())
            }
        };
        clock.align(now, asked, answered);
        Ok(answered.duration_since(asked))
    }

    /// The name of the backend, for people.
    pub fn backend(&self) -> &'static str {
        match self {
            Self::Postgres { .. } => "postgres",
            Self::Sqlite { .. } => "sqlite",
        }
    }

    /// The state of the pool that requests wait for.
    pub fn pool_state(&self) -> PoolState {
        let (size, idle) = match self {
            Self::Postgres { pool, .. } => pool.counts(),
            Self::Sqlite { readers, .. } => readers.counts(),
        };
        PoolState { size, idle }
    }
}

/// Makes the file, if it is not there, so that only its owner can read it; `SQLite` makes the files beside it alike.
fn keep_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Opens connections by `open`, all of them on the runtime that is current now. A connection ends with the runtime that
/// it was opened on, and those of the HTTP threads end before the mail worker has told what it did.
fn open_here<C, F>(open: impl Fn(&str) -> F + Send + Sync + 'static) -> SetupCallback<C>
where
    C: Send + 'static,
    F: Future<Output = ConnectionResult<C>> + Send + 'static,
{
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |url| {
        let opening = runtime.spawn(open(url));
        let ended = |error: tokio::task::JoinError| Err(ConnectionError::BadConnection(error.to_string()));
        async move { opening.await.unwrap_or_else(ended) }.boxed()
    })
}

const SQLITE_SETUP: &str = "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; \
                            PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;";

async fn open_sqlite(path: &str, query_only: bool) -> ConnectionResult<sqlite::Conn> {
    let mut conn = sqlite::Conn::establish(path).await?;
    let only = if query_only { "PRAGMA query_only = ON;" } else { "" };
    diesel_async::SimpleAsyncConnection::batch_execute(
        &mut conn,
        &format!("PRAGMA busy_timeout = 5000;{SQLITE_SETUP}{only}"),
    )
    .await
    .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
}

fn open_sqlite_sync(path: &Path) -> Result<SqliteConnection, StoreError> {
    let setup = |error: String| StoreError::Setup(format!("cannot open the database {}: {error}", path.display()));
    let text = path.to_str().ok_or_else(|| setup("its path is not UTF-8".to_owned()))?;
    let mut conn = SqliteConnection::establish(text).map_err(|error| setup(error.to_string()))?;
    conn.batch_execute(SQLITE_SETUP)?;
    Ok(conn)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Setup(format!("a database task ended early: {error}")))?
}
