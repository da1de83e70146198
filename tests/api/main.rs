//! The API and the pages as their users meet them: a whole server in process, spoken to over HTTP, once on `SQLite` alone
//! and once on Postgres, Redis and an SMTP server.
//!
//! `app` starts servers and reads their mails, `client` speaks to them; every other file is named after the part of
//! `http` that it tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

#[macro_use]
mod app;
mod admin_audit;
mod admin_cache;
mod admin_limits;
mod admin_users;
mod bad_input;
mod captcha;
mod client;
mod client_address;
mod cross_site;
mod domains;
mod enumeration;
mod forward_auth;
mod guesses;
mod health;
mod hosts;
mod leaving;
mod limits;
mod logs;
mod magic_link;
mod mail;
mod mail_page;
mod mail_steering;
mod mail_worker;
mod notices;
mod otp;
mod pages;
mod password;
mod profile;
mod races;
mod raw;
mod register;
mod rotation;
mod secrets;
mod session;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod token;
mod users;
