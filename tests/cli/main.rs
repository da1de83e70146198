//! The command line as operators and their scripts meet it: what it prints, where, and the exit code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

mod arguments;
mod audit;
mod cache;
mod configuration;
mod doctor;
mod keys;
mod limits;
mod mail;
mod operators;
mod preview;
mod run;
mod starting;
mod users;
mod wrong_settings;

#[allow(dead_code, reason = "shared with the fault tests, which use all of it")]
#[path = "../faults/person.rs"]
mod person;
#[allow(dead_code, reason = "shared with the fault tests, which use all of it")]
#[path = "../faults/server.rs"]
mod server;
#[allow(dead_code, reason = "shared with the fault tests, which use all of it")]
#[path = "../faults/setup.rs"]
mod setup;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);
