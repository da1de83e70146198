//! The database: the truth that everything else can be rebuilt from.
//!
//! Postgres and `SQLite` share every query. The files in `queries/` are compiled twice, as [`postgres`] and as
//! [`sqlite`], each time with that backend's connection and column types; [`Database`] is one of the two at run time,
//! and three macros reach a query through it:
//!
//! - `read!(database, users::by_id(id))` for one statement that changes nothing,
//! - `update!(database, users::set_role(id, role, now))` for one statement that writes,
//! - `transaction!(database, async |conn, q| { … })` for several that succeed or fail together, where `q` is the
//!   backend's query module.
//!
//! What only one backend has (advisory locks, say) is in its `dialect` module, and what the mail worker does to many rows
//! at once in `dispatch`, under the same names in both.

#![allow(clippy::duplicate_mod, reason = "the query files are compiled once for each backend, on purpose")]

mod connections;
mod database;
mod error;
mod migrations;
pub mod models;
mod people;
mod postgres_tls;
mod steering;
mod types;

pub use connections::{Connections, Lent};
pub(crate) use connections::{STATEMENT_PATIENCE, give_up};
pub use database::{Database, PoolState};
pub(crate) use database::{bounded, read, transaction, update};
pub use error::StoreError;
pub use models::*;
pub use people::{AccountStats, ChangedUser};
pub use steering::{DeadFilter, MailCounts, MailFilter};

/// The queries, compiled for Postgres.
#[path = "queries"]
pub mod postgres {
    /// A connection to Postgres.
    pub type Conn = diesel_async::AsyncPgConnection;
    /// The SQL type of a moment.
    pub type Instant = diesel::sql_types::Timestamptz;
    /// The SQL type of an id.
    pub type Id = diesel::sql_types::Uuid;

    pub mod audit;
    pub mod challenges;
    #[path = "dialect_postgres.rs"]
    pub mod dialect;
    #[path = "dispatch_postgres.rs"]
    pub mod dispatch;
    pub mod folds;
    pub mod guess_budgets;
    pub mod outbox;
    pub mod outbox_admin;
    pub mod refresh_tokens;
    pub mod schema;
    pub mod sessions;
    pub mod statistics;
    pub mod suppressions;
    pub mod switches;
    pub mod users;
}

/// The queries, compiled for `SQLite`.
#[path = "queries"]
pub mod sqlite {
    /// A connection to `SQLite`; its blocking calls run on the blocking pool.
    pub type Conn = diesel_async::sync_connection_wrapper::SyncConnectionWrapper<diesel::SqliteConnection>;
    /// The SQL type of a moment.
    pub type Instant = diesel::sql_types::TimestamptzSqlite;
    /// The SQL type of an id.
    pub type Id = diesel::sql_types::Text;

    pub mod audit;
    pub mod challenges;
    #[path = "dialect_sqlite.rs"]
    pub mod dialect;
    #[path = "dispatch_sqlite.rs"]
    pub mod dispatch;
    pub mod folds;
    pub mod guess_budgets;
    pub mod outbox;
    pub mod outbox_admin;
    pub mod refresh_tokens;
    pub mod schema;
    pub mod sessions;
    pub mod statistics;
    pub mod suppressions;
    pub mod switches;
    pub mod users;
}
