//! Redis is flushed, killed and frozen under traffic: answers stay right, and nobody waits.

use std::time::{Duration, Instant};

use gatepost::cache::Cache;

use crate::support::eventually;
use crate::world::{Backend, PROMISED, Person, SOON, World, accepts};

/// The longest that a call may take, whatever Redis does.
const LONGEST: Duration = Duration::from_millis(300);

/// Reads sessions and accounts for `period`, one revoked and one open; gives the longest call.
async fn traffic(cache: &Cache, open: &Person, revoked: &Person, period: Duration) -> Duration {
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < period {
        let asked = Instant::now();
        assert!(accepts(cache, open).await);
        longest = longest.max(asked.elapsed());
        let asked = Instant::now();
        assert!(!accepts(cache, revoked).await, "what was revoked has come back");
        longest = longest.max(asked.elapsed());
        let asked = Instant::now();
        assert_eq!(cache.user_by_email(&open.user.email).await.unwrap().unwrap().id, open.user.id);
        longest = longest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    longest
}

async fn setting() -> (World, Cache, Person, Person) {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance().await;
    let (open, revoked) = (world.sign_in("ann@example.com").await, world.sign_in("bob@example.com").await);
    assert!(accepts(&cache, &open).await && accepts(&cache, &revoked).await);
    let row = world.revoke(&revoked).await;
    cache.forget_session(&row).await;
    (world, cache, open, revoked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_flushed_loses_nothing() {
    let (world, cache, open, revoked) = setting().await;
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        world.redis.flush().await;
        longest = longest.max(traffic(&cache, &open, &revoked, Duration::from_millis(100)).await);
    }
    assert!(longest < LONGEST, "{longest:?}");
    assert_eq!(cache.stats().errors, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_is_done_without() {
    let (mut world, cache, open, revoked) = setting().await;
    let during = async {
        let period = PROMISED + Duration::from_secs(1);
        traffic(&cache, &open, &revoked, period).await
    };
    world.redis.kill();
    let longest = during.await;
    assert!(longest < LONGEST, "{longest:?}");
    assert!(!cache.stats().redis_available);

    world.redis.restart().await;
    eventually("Redis to be used again", SOON, async || {
        traffic(&cache, &open, &revoked, Duration::from_millis(20)).await;
        world.redis.ask::<bool>(&["HEXISTS", &open.key(), "session"]).await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_holds_nobody_up() {
    let (world, cache, open, revoked) = setting().await;
    let late = world.sign_in("late@example.com").await;
    assert!(accepts(&cache, &late).await);
    world.redis.pause();
    let longest = traffic(&cache, &open, &revoked, Duration::from_millis(1500)).await;
    assert!(longest < LONGEST, "{longest:?}");

    let row = world.revoke(&late).await;
    let asked = Instant::now();
    cache.forget_session(&row).await;
    assert!(asked.elapsed() < LONGEST);
    assert!(!accepts(&cache, &late).await);
    world.redis.resume();
    let longest = traffic(&cache, &open, &late, PROMISED).await;
    assert!(longest < LONGEST, "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalidation_into_a_redis_that_has_just_hung_waits_once() {
    let (world, cache, open, _) = setting().await;
    let row = world.revoke(&open).await;
    world.redis.pause();
    let asked = Instant::now();
    cache.forget_sessions(&vec![row; 100]).await;
    assert!(asked.elapsed() < LONGEST, "{:?}", asked.elapsed());
    assert!(!accepts(&cache, &open).await);
    world.redis.resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_while_redis_owes_an_answer_goes_to_the_database_at_once() {
    // Readers wait for half of this, which is less than the time for which Redis is believed.
    let response_timeout = Duration::from_secs(2);
    let world = World::new(Backend::Sqlite).await;
    let (first, other) = (world.sign_in("ann@example.com").await, world.sign_in("bob@example.com").await);
    let cache = world.quiet_instance_on(world.connection(response_timeout).await).await;
    world.redis.pause();
    let asked = Instant::now();
    assert!(accepts(&cache, &first).await);
    let waited = asked.elapsed();
    assert!(waited >= response_timeout / 2 && waited < response_timeout, "{waited:?}");
    let asked = Instant::now();
    assert!(accepts(&cache, &other).await);
    assert!(asked.elapsed() < response_timeout / 4, "{:?}", asked.elapsed());
    world.redis.resume();
}
