//! The pages as people meet them: a whole server in process, and real browsers that read, type and press.
//!
//! `site` starts the server and reads its mails, `visitor` is a person at a browser; every other file tells stories of
//! one part of the site. Stories that need no script are told twice, with scripts and without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

#[macro_use]
mod visitor;
mod account;
mod admin;
mod every_page;
mod keyboard;
mod link;
mod registration;
mod sign_in;
mod site;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(15);
