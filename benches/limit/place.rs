//! The limiter as the product has it, on a Redis of the benchmark's own.

use std::time::Duration;

use gatepost::limit::{Check, Limiter, PolicyName};
use gatepost::redis::Redis;
use gatepost::settings::{Settings, Sources};

use crate::support;

/// Longer than a fault of the machine takes; no answer is given up here.
const PATIENCE: &str = "10s";

/// The product's own settings, with these on top.
pub(crate) fn settings(more: &[(&str, &str)]) -> Settings {
    let overrides = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Settings::load(&Sources { overrides, ..Sources::default() }).expect("settings that the product takes")
}

/// A limiter on `server`, and its handle.
pub(crate) async fn limiter(server: &support::Redis, more: &[(&str, &str)]) -> (Limiter, Redis) {
    let url = server.url();
    let settings = settings(&[&[("redis.url", url.as_str()), ("redis.response_timeout", PATIENCE)], more].concat());
    let redis = Redis::connect(&settings.redis.expect("a Redis")).await.expect("Redis is there");
    (Limiter::new(Some(redis.clone()), settings.limits), redis)
}

/// A check of one mailbox, by a subject of the length that the product's have.
pub(crate) fn mailbox(number: usize) -> Check {
    Check::new(PolicyName::OtpRequestEmail, format!("{number:032x}"))
}

/// Bytes that Redis uses.
pub(crate) async fn used_memory(redis: &Redis) -> u64 {
    // What was freed a moment ago has to be seen as such.
    tokio::time::sleep(Duration::from_millis(300)).await;
    redis.info().await.expect("Redis answers").used_memory
}
