//! Gatepost: a passwordless sign-in server in one binary.
//!
//! People sign in with a code or a link sent to their mailbox, admins approve new accounts, and operators run one copy
//! on a laptop or many behind a load balancer. This is the map; each module's own page tells the life of what it holds.
//!
//! | layer | module | what it is |
//! |---|---|---|
//! | 7 | [`cli`] | the commands of `gatepost` |
//! | 6 | [`app`] | the composition root: settings in, a running server out |
//! | 5 | [`http`] | the only code that knows actix: routes, handlers, pages, errors |
//! | 4 | [`auth`] | the use cases: challenges, sessions, tokens, passwords, approvals |
//! | 3 | [`mail`] | outbox, queue, worker, rendering, SMTP |
//! | 3 | [`cache`] | users and sessions, in process and in Redis |
//! | 3 | [`limit`] | the sliding-window limiter and its policies |
//! | 2 | [`store`] | the database: Postgres or `SQLite` behind the same queries |
//! | 2 | [`redis`] | connections, circuit breaker, key names, scripts |
//! | 1 | [`settings`], [`telemetry`], [`templates`] | what is configured, what is logged and counted, what is said |
//! | 0 | [`domain`] | addresses, codes, tokens, ids, the clock: values that can only be made valid |
//!
//! Imports go downward only, and not between the modules of a layer; `tests/layers.rs` holds that. The database is
//! the truth: whatever is in Redis or in memory can be lost at any moment, and is rebuilt from it.

pub mod app;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod domain;
pub mod http;
pub mod limit;
pub mod mail;
pub mod redis;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod templates;
