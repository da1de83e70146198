//! Instances that share the limits: how many there are, what each lets through alone, and a reset that reaches all.

use std::time::Duration;

use gatepost::limit::{Limiter, Upkeep};
use gatepost::redis::keys;

use super::support::{self, eventually};
use super::{api, connect_patiently, limits, passes};

const LONG: Duration = Duration::from_mins(5);
/// Some heartbeats and the life of a mark, and some for a busy machine.
const COUNTED: Duration = Duration::from_secs(40);

async fn instance(server: &support::Redis, limit: u32) -> (Limiter, Upkeep) {
    let limiter = Limiter::new(Some(connect_patiently(server).await), limits(limit, LONG));
    let upkeep = limiter.spawn_upkeep();
    (limiter, upkeep)
}

async fn counts(limiter: &Limiter, expected: u32) {
    let what = format!("{expected} instances to be counted");
    eventually(&what, COUNTED, async || (limiter.instances() == expected).then_some(())).await;
}

#[tokio::test]
async fn instances_are_counted_as_they_come_leave_and_die() {
    let server = support::Redis::start().await;
    let (first, _upkeep) = instance(&server, 5).await;
    counts(&first, 1).await;
    let (second, second_upkeep) = instance(&server, 5).await;
    let (third, _third_upkeep) = instance(&server, 5).await;
    for limiter in [&first, &second, &third] {
        counts(limiter, 3).await;
    }
    second_upkeep.stop().await;
    let marks: u32 = server.ask(&["ZCARD", keys::INSTANCES]).await;
    assert_eq!(marks, 2, "who leaves takes its mark away");
    counts(&first, 2).await;
    // One that was killed leaves its mark, which runs out by itself.
    let (seconds, _): (u64, u64) = server.ask(&["TIME"]).await;
    let until = ((seconds + 6) * 1000).to_string();
    server.ask::<()>(&["ZADD", keys::INSTANCES, &until, "killed"]).await;
    counts(&first, 3).await;
    counts(&first, 2).await;
}

#[tokio::test]
async fn a_mark_expires_with_its_instances() {
    let server = support::Redis::start().await;
    let (first, upkeep) = instance(&server, 5).await;
    let left: i64 = eventually("the first mark", COUNTED, async || {
        Some(server.ask(&["PTTL", keys::INSTANCES]).await).filter(|left| *left > 0)
    })
    .await;
    assert!(left <= 7_000, "{left}");
    assert_eq!(first.instances(), 1);
    upkeep.stop().await;
    assert!(!server.ask::<bool>(&["EXISTS", keys::INSTANCES]).await);
}

#[tokio::test]
async fn instances_that_lose_redis_share_by_the_last_count() {
    let mut server = support::Redis::start().await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(instance(&server, 6).await);
    }
    for (limiter, _) in &instances {
        counts(limiter, 3).await;
    }
    server.kill();
    let mut passed = 0;
    for _ in 0..10 {
        for (limiter, _) in &instances {
            passed += u32::from(passes(limiter, "a").await);
        }
    }
    assert_eq!(passed, 6, "together they let through what one would");
    for (limiter, _) in &instances {
        assert_eq!(limiter.instances(), 3);
    }
}

#[tokio::test]
async fn a_reset_reaches_what_other_instances_remember() {
    let mut server = support::Redis::start().await;
    let (here, there) = (instance(&server, 3).await, instance(&server, 3).await);
    // Both have asked Redis about it, and remember that nothing is left.
    for (limiter, _) in [&here, &there] {
        for _ in 0..4 {
            passes(limiter, "a").await;
        }
        assert_eq!(limiter.subjects(), 1);
    }
    eventually("both instances to listen", COUNTED, async || {
        let (_, listeners): (String, u32) = server.ask(&["PUBSUB", "NUMSUB", keys::LIMIT_RESETS]).await;
        (listeners == 2).then_some(())
    })
    .await;
    here.0.reset(&api("a")).await.unwrap();
    eventually("the other instance to forget", COUNTED, async || (there.0.subjects() == 0).then_some(())).await;
    assert_eq!(here.0.subjects(), 0);
    server.kill();
    assert!(passes(&there.0, "a").await, "the whole share is left");
}

#[tokio::test]
async fn switching_over_gives_no_fresh_budget_and_back_neither() {
    let mut server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    let limiter = Limiter::new(Some(redis.clone()), limits(10, LONG));
    for _ in 0..6 {
        assert!(passes(&limiter, "a").await);
    }
    server.kill();
    let alone = async || {
        let mut passed = 0;
        for _ in 0..50 {
            passed += u32::from(passes(&limiter, "a").await);
        }
        passed
    };
    // One comes back each half a minute.
    let meanwhile = alone().await;
    assert!((4..=5).contains(&meanwhile), "{meanwhile}");
    server.restart().await;
    let mut changes = redis.changes();
    tokio::time::timeout(COUNTED, changes.wait_for(|available| *available)).await.expect("Redis is back").unwrap();
    // The server has come back empty: what it knew is gone, what was let through without it is not.
    assert_eq!(alone().await, 10 - meanwhile);
    let bytes: usize = server.ask(&["STRLEN", "rate:api_address:a"]).await;
    assert_eq!(bytes, 4 + 10 * 8, "until when it is kept, and ten times");
}

#[tokio::test]
async fn an_instance_that_was_only_told_of_refusals_gives_nothing_either() {
    let mut server = support::Redis::start().await;
    let (one, other) = (connect_patiently(&server).await, connect_patiently(&server).await);
    let (one, other) = (Limiter::new(Some(one), limits(5, LONG)), Limiter::new(Some(other), limits(5, LONG)));
    for _ in 0..5 {
        assert!(passes(&one, "a").await);
    }
    assert!(!passes(&other, "a").await);
    server.kill();
    assert!(!passes(&other, "a").await && !passes(&one, "a").await);
    assert!(passes(&other, "b").await);
}
