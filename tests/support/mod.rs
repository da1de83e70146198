//! What the test binaries share: real servers on free ports that die with their owner, and the patience to
//! wait for a condition instead of sleeping.
//!
//! Included as a module (`#[path = "../support/mod.rs"] mod support;`), so each binary compiles its own copy.
//!
//! | to get | say |
//! |---|---|
//! | a fresh database on the run's Postgres, empty | `Postgres::database().await` |
//! | the same, migrated | `Postgres::migrated().await` |
//! | a Postgres to stop, crash or freeze | `PrivatePostgres::start().await` |
//! | a Redis to flush, kill or freeze | `Redis::start().await` |
//! | a master with a replica and a sentinel | `Sentinel::start().await` |
//! | a sentinel alone | `Watcher::start(("127.0.0.1", &port), &[]).await` |
//! | a Redis Cluster | `Cluster::start().await` |
//! | a mailbox for every address, and mail faults | `SmtpSink::start().await` |
//! | a wire to Postgres that breaks at a commit | `Wire::to(&database.url).await` |
//! | a headless browser | `Browser::start().await` |
//! | any other child process | `Server::spawn(&mut command)` |
//! | something that will be true soon | `eventually("the mail is sent", deadline, async \|\| …).await` |
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test binary includes all of this and uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support fails a test by panicking; clippy's exceptions for tests cover only #[test] functions"
)]

pub mod browser;
pub mod cluster;
pub mod eventually;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod sentinel;
pub mod smtp;
pub mod wire;

pub use browser::{Browser, Options};
pub use cluster::Cluster;
pub use eventually::eventually;
pub use ports::free_port;
pub use postgres::{Postgres, PrivatePostgres, TestDatabase};
pub use process::Server;
pub use redis::Redis;
pub use sentinel::{Sentinel, Watcher};
pub use smtp::{Fault, ReceivedMail, Script, SmtpSink, Stage};
pub use wire::{Cut, Wire};
