//! The cache against real servers: two instances over one database and one Redis, and what each of them sees while
//! the other writes, and while Redis is flushed, killed or frozen; and a model of all that can come between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

mod administering;
mod by_redis;
mod chance;
mod cluster;
mod faults;
mod model;
mod names;
mod reads;
mod recognised;
mod responses;
mod revocation;
mod scripts;
mod sizing;
#[path = "../support/mod.rs"]
mod support;
mod switches;
mod warming;
mod world;
