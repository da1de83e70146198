//! What an attacker tries, against whole servers and through the wire.
//!
//! `docs/security.md` names for each attack its defence and the test that shows it; `document` keeps that page true. Most
//! stories run once on `SQLite` alone and once on Postgres, Redis and an SMTP server; those about several instances start three.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

#[macro_use]
#[allow(dead_code, unused_macros, reason = "shared with tests/api, which uses all of it")]
#[path = "../api/app.rs"]
mod app;
mod access_tokens;
mod accounts;
#[allow(dead_code, reason = "shared with tests/api, which uses all of it")]
#[path = "../api/client.rs"]
mod client;
mod credentials;
mod document;
mod equal_times;
mod floods;
mod input;
mod logs;
mod origins;
mod privilege;
#[allow(dead_code, reason = "shared with tests/faults, which uses all of it")]
#[path = "../faults/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
mod timing;
