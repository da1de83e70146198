//! Mail from the outbox to the wire, against real databases, a real Redis and an SMTP server that fails on demand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

#[macro_use]
mod rig;

mod breaker;
mod content;
mod deadlines;
mod delivery;
mod dkim;
mod faults;
mod injection;
mod languages;
mod leases;
mod pipelining;
mod queue;
mod script;
mod shutdown;
mod smtp;
#[path = "../support/mod.rs"]
mod support;
mod suppression;
mod tls;

use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(15);
