//! Redis and the limiter against a real server: what they decide, and what happens when it is killed, frozen and back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

mod cluster;
mod commands;
mod instances;
mod limiter;
mod model;
mod outage;
mod sentinel;
mod several;
#[path = "../support/mod.rs"]
mod support;
mod together;

use std::time::Duration;

use gatepost::domain::Redacted;
use gatepost::limit::{Check, Limiter, PolicyName};
use gatepost::redis::Redis;
use gatepost::settings;
use gatepost::settings::{Limits, Policy};

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// Settings for the server at `url` with the product's defaults.
fn settings(url: String) -> settings::Redis {
    settings::Redis {
        url: Redacted::new(url),
        pool_size: 10,
        pool_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_millis(100),
        connect_timeout: Duration::from_secs(2),
    }
}

/// A handle on `server`.
async fn connect(server: &support::Redis) -> Redis {
    Redis::connect(&settings(server.url())).await.unwrap()
}

/// A handle that bears a busy machine, for tests in which no answer is ever late on purpose.
async fn connect_patiently(server: &support::Redis) -> Redis {
    Redis::connect(&settings::Redis { response_timeout: SOON, ..settings(server.url()) }).await.unwrap()
}

/// `limit` requests in `window` for every policy, but one request for passwords per mailbox.
fn limits(limit: u32, window: Duration) -> Limits {
    let policy = Policy { limit, window };
    let all = Limits { enabled: true, shield_address: policy, shield_burst: 1, policies: [policy; PolicyName::COUNT] };
    all.with(PolicyName::LoginEmail, Policy { limit: 1, window })
}

/// A check of the policy for other requests.
fn api(subject: &str) -> Check {
    Check::new(PolicyName::ApiAddress, subject)
}

/// Whether one more request of `subject` passes.
async fn passes(limiter: &Limiter, subject: &str) -> bool {
    limiter.check(&[api(subject)]).await.is_allowed()
}
