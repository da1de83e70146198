//! The cache against real servers: two instances over one database and one Redis, and what each of them sees while
//! the other writes, and while Redis is flushed, killed or frozen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

mod faults;
mod names;
mod reads;
mod responses;
mod revocation;
mod scripts;
#[path = "../support/mod.rs"]
mod support;
mod world;
