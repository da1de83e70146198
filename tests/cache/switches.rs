//! The tiers, switched off one by one.

use futures_util::StreamExt;
use gatepost::cache::Cache;
use gatepost::settings;

use crate::support::eventually;
use crate::world::{Backend, PROMISED, SOON, World, accepts, refuses};

fn tiers(memory: bool, redis: bool) -> settings::Cache {
    settings::Cache { memory, redis, ..settings::Cache::default() }
}

/// Keys of the cache that are in Redis.
async fn keys(world: &World) -> Vec<String> {
    let mut all: Vec<String> = world.redis.ask(&["KEYS", "user:*"]).await;
    all.extend(world.redis.ask::<Vec<String>>(&["KEYS", "session:*"]).await);
    all
}

async fn upkeep(cache: &Cache) {
    cache.poll_changes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_memory_each_read_asks_redis() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance_with(&tiers(false, true)).await;
    let person = world.sign_in("ann@example.com").await;
    for _ in 0..5 {
        upkeep(&cache).await;
        assert!(accepts(&cache, &person).await);
        assert!(cache.user(person.user.id).await.unwrap().is_some());
        assert!(cache.user_by_email(&person.user.email).await.unwrap().is_some());
    }
    let stats = cache.stats();
    assert_eq!((stats.sessions.memory.hits, stats.users.memory.hits), (0, 0), "{stats:?}");
    assert_eq!((stats.sessions.loads, stats.sessions.redis.hits), (1, 4), "{stats:?}");
    assert_eq!((stats.memory_cache_size, stats.sessions.weight_bytes), (0, 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nothing_is_kept_there_and_others_are_told_all_the_same() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance_with(&tiers(true, false)).await;
    let person = world.sign_in("ann@example.com").await;
    for _ in 0..5 {
        assert!(accepts(&cache, &person).await);
        assert!(cache.user_by_email(&person.user.email).await.unwrap().is_some());
    }
    let stats = cache.stats();
    assert!(stats.sessions.memory.hits > 0 && stats.backend == "memory" && !stats.redis_available, "{stats:?}");
    assert_eq!((stats.sessions.redis.hits, stats.sessions.redis.misses), (0, 0), "{stats:?}");
    assert_eq!(keys(&world).await, Vec::<String>::new());

    // One that keeps its own in Redis is told, and does not read there what it was told to forget.
    let other = world.instance().await;
    assert!(accepts(&other, &person).await);
    assert!(!keys(&world).await.is_empty());
    let revoked = world.revoke(&person).await;
    cache.forget_session(&revoked).await;
    assert!(refuses(&other, &person).await <= PROMISED);
    eventually("Redis to hold the session no more", SOON, async || {
        let held = other.held(&person.key()).await.unwrap().expect("a key of the cache");
        held.value.is_none_or(|value| value["session"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_others_are_told_of_a_changed_account_too() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance_with(&tiers(true, false)).await;
    let person = world.sign_in("ann@example.com").await;
    let client = redis::Client::open(world.redis.url()).unwrap();
    let mut listener = client.get_async_pubsub().await.unwrap();
    listener.subscribe(gatepost::redis::keys::INVALIDATIONS).await.unwrap();
    let banned = world.ban(&person.user).await;
    cache.user_written(Some(&person.user), &banned).await;
    let mut messages = listener.into_on_message();
    let mut told = Vec::new();
    while told.len() < 4 {
        let message = tokio::time::timeout(SOON, messages.next()).await.expect("a message").unwrap();
        let text: String = message.get_payload().unwrap();
        told.push(text.split_once(' ').unwrap().1.to_owned());
    }
    let id = format!("user:id:{}", person.user.id);
    for key in [id.as_str(), "user:email:ann@example.com", "generation:users", "generation:stats"] {
        assert!(told.iter().any(|told| told == key), "{key} is not among {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_both_off_each_read_asks_the_database() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance_with(&tiers(false, false)).await;
    let person = world.sign_in("ann@example.com").await;
    for _ in 0..5 {
        assert!(accepts(&cache, &person).await);
    }
    let stats = cache.stats();
    assert_eq!((stats.sessions.loads, stats.hits, stats.memory_cache_size), (5, 0, 0), "{stats:?}");
    assert_eq!(keys(&world).await, Vec::<String>::new());
    // Nobody has to tell it anything.
    world.revoke(&person).await;
    assert!(!accepts(&cache, &person).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_memory_what_is_revoked_is_refused_at_once() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance_with(&tiers(false, true)).await;
    let person = world.sign_in("ann@example.com").await;
    assert!(accepts(&cache, &person).await && accepts(&cache, &person).await);
    let revoked = world.revoke(&person).await;
    cache.forget_session(&revoked).await;
    assert!(!accepts(&cache, &person).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_process_stays_within_its_bound() {
    let world = World::new(Backend::Sqlite).await;
    let bound = 1024 * 1024;
    let cache = world.instance_with(&settings::Cache { memory_bytes: bound, ..tiers(true, false) }).await;
    let person = world.sign_in("ann@example.com").await;
    // Tokens that nobody has are remembered too: that there is no session.
    for number in 0..4000_u32 {
        let digest = gatepost::domain::Digest::of(&number.to_be_bytes());
        assert!(cache.session_by_token(digest).await.unwrap().is_none());
    }
    assert!(accepts(&cache, &person).await);
    let stats = cache.stats();
    assert!(stats.sessions.weight_bytes <= bound / 2, "{stats:?}");
}
