//! The program as operators run it: a process with an environment, that loses its Redis, its Postgres, or its life,
//! while people sign in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

mod cache_hang;
mod cache_pair;
mod cache_revocation;
mod crowd;
mod leaks;
mod mail;
mod person;
mod postgres_away;
mod redis_away;
mod redis_several;
mod restart;
mod server;
mod setup;
mod shutdown;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod together;

use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);
