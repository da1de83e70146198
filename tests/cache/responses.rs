//! Ready answers: what they cost, and how they go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gatepost::cache::{Cache, Resource, Response, ResponseKey};
use gatepost::domain::DisplayName;
use gatepost::store::{ProfileChange, StoreError};
use tokio::sync::Notify;

use crate::support::eventually;
use crate::world::{Backend, PROMISED, SOON, World};

const TTL: Duration = Duration::from_mins(3);

fn key(operation: &str) -> ResponseKey {
    ResponseKey::new(Resource::Users, operation, &[("limit", "50")], "user")
}

/// Answers with how often it has been made.
#[derive(Clone, Default)]
struct Kitchen(Arc<AtomicU64>);

impl Kitchen {
    async fn serve(&self, cache: &Cache, key: &ResponseKey) -> Arc<Response> {
        let make = async || Ok::<_, StoreError>(self.0.fetch_add(1, Ordering::SeqCst) + 1);
        cache.response(key, TTL, make).await.unwrap()
    }

    /// The number in the answer.
    async fn asked(&self, cache: &Cache) -> u64 {
        let answer = self.serve(cache, &key("list")).await;
        std::str::from_utf8(&answer.body).unwrap().parse().unwrap()
    }

    fn made(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn renamed() -> ProfileChange {
    ProfileChange { name: Some(DisplayName::parse("Ann Other").unwrap()), ..ProfileChange::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_who_ask_cost_one_answer_for_all_instances() {
    let world = World::new(Backend::Sqlite).await;
    let kitchen = Kitchen::default();
    let (here, lone) = (world.quiet_instance().await, world.lone_instance().await);
    lone.poll_changes().await.unwrap();
    let made: Vec<_> = (0..100)
        .map(|_| {
            let (cache, kitchen) = (here.clone(), kitchen.clone());
            tokio::spawn(async move { kitchen.asked(&cache).await })
        })
        .collect();
    for answer in made {
        assert_eq!(answer.await.unwrap(), 1);
    }
    assert_eq!((here.stats().answers.loads, here.stats().answers.memory.hits), (1, 99));
    let left: i64 = world.redis.ask(&["PTTL", "users:list:limit=50:user"]).await;
    assert!((90_000..=180_000).contains(&left), "lives for {left} ms");
    // Another that has looked already: a first look would drop everything.
    let there = world.quiet_instance().await;
    assert_eq!(
        (kitchen.asked(&there).await, kitchen.asked(&here).await),
        (2, 1),
        "what is stored was dropped by a first look"
    );
    let answer = kitchen.serve(&there, &key("list")).await;
    assert_eq!(answer.content_type, "application/json");
    assert!(answer.etag.starts_with('"') && answer.etag.ends_with('"'));
    assert_eq!((kitchen.asked(&lone).await, kitchen.asked(&lone).await), (3, 3));
}

#[tokio::test]
async fn what_one_instance_has_made_another_takes_from_redis() {
    let world = World::new(Backend::Sqlite).await;
    let kitchen = Kitchen::default();
    let (here, there) = (world.quiet_instance().await, world.quiet_instance().await);
    assert_eq!((kitchen.asked(&here).await, kitchen.asked(&there).await), (1, 1));
    assert_eq!(there.stats().answers.redis.hits, 1);
    let other = ResponseKey::new(Resource::Users, "list", &[("limit", "50")], "admin");
    assert_eq!(kitchen.serve(&there, &other).await.body, b"2", "another viewer gets an answer of his own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_user_drops_what_shows_users_on_every_instance() {
    let world = World::new(Backend::Sqlite).await;
    let kitchen = Kitchen::default();
    let user = world.sign_in("ann@example.com").await.user;
    let (here, there) = (world.instance().await, world.instance().await);
    here.poll_changes().await.unwrap();
    there.poll_changes().await.unwrap();
    let before = kitchen.asked(&here).await;
    assert_eq!(kitchen.asked(&there).await, before);
    let changed = world.change(&user, &renamed()).await;
    here.user_written(Some(&user), &changed).await;
    assert!(kitchen.asked(&here).await > before);
    let dropped = async || (kitchen.asked(&there).await > before).then_some(());
    eventually("the other instance to be told", PROMISED, dropped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_dies_after_its_commit_leaves_no_old_answer_for_long() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let world = World::new(backend).await;
        let user = world.sign_in("ann@example.com").await.user;
        let lone = world.lone_instance().await;
        lone.spawn_background();
        for cache in [world.instance().await, lone] {
            let kitchen = Kitchen::default();
            let operation = key(cache.stats().backend);
            let kept = async || {
                let made = kitchen.serve(&cache, &operation).await;
                (kitchen.serve(&cache, &operation).await == made).then_some(made)
            };
            let before = eventually("an answer to be kept", SOON, kept).await;
            world.change(&user, &renamed()).await;
            let begun = Instant::now();
            let anew = async || (kitchen.serve(&cache, &operation).await != before).then_some(());
            eventually("the answer to be made anew", SOON, anew).await;
            assert!(begun.elapsed() < PROMISED, "{backend:?}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn a_sign_in_leaves_answers_alone_and_a_newcomer_does_not() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let kitchen = Kitchen::default();
    let user = world.sign_in("ann@example.com").await.user;
    // An account of some standing.
    world.clock.advance(Duration::from_mins(1));
    cache.poll_changes().await.unwrap();
    let made = kitchen.asked(&cache).await;
    let user = world.note_sign_in(&user).await;
    cache.user_signed_in(&user).await;
    cache.poll_changes().await.unwrap();
    assert_eq!(kitchen.asked(&cache).await, made);
    let newcomer = world.sign_in("bob@example.com").await.user;
    world.note_sign_in(&newcomer).await;
    cache.poll_changes().await.unwrap();
    assert_eq!(kitchen.asked(&cache).await, made + 1, "who has just come is seen though he signed in at once");
    cache.poll_changes().await.unwrap();
    assert_eq!(kitchen.asked(&cache).await, made + 1, "and once only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_does_not_bring_back_what_was_dropped() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.quiet_instance().await, world.quiet_instance().await);
    let (reading, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = tokio::spawn({
        let (cache, reading, go_on) = (here.clone(), reading.clone(), go_on.clone());
        let first = Arc::new(AtomicU64::new(0));
        async move {
            let make = async || {
                if first.fetch_add(1, Ordering::SeqCst) == 0 {
                    reading.notify_one();
                    go_on.notified().await;
                    return Ok::<_, StoreError>("old");
                }
                Ok("new")
            };
            cache.response(&key("list"), TTL, make).await.unwrap()
        }
    });
    reading.notified().await;
    assert_eq!(there.invalidate_prefix("users:list:").await.resources, ["users"]);
    here.invalidate_prefix("users:list:").await;
    go_on.notify_one();
    assert_eq!(slow.await.unwrap().body, b"\"new\"", "he had to read again");
    for cache in [&here, &there, &world.quiet_instance().await] {
        let answer = cache.response(&key("list"), TTL, async || Ok::<_, StoreError>("new")).await.unwrap();
        assert_eq!(answer.body, b"\"new\"");
    }
}

#[tokio::test]
async fn an_invalidation_reaches_what_begins_with_the_prefix_and_nothing_else() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let (users, stats) = (Kitchen::default(), Kitchen::default());
    let stats_key = ResponseKey::new(Resource::Stats, "show", &[], "admin");
    for (prefix, resources, made) in [
        ("users:list:limit=50:user", vec!["users"], (2, 1)),
        ("stats", vec!["stats"], (2, 2)),
        ("user:id:", vec![], (2, 2)),
        ("", vec!["users", "stats"], (3, 3)),
    ] {
        users.asked(&cache).await;
        stats.serve(&cache, &stats_key).await;
        let done = cache.invalidate_prefix(prefix).await;
        assert_eq!((done.resources, done.shared), (resources, true), "{prefix}");
        users.asked(&cache).await;
        stats.serve(&cache, &stats_key).await;
        assert_eq!((users.made(), stats.made()), made, "{prefix}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_made_anew() {
    let world = World::new(Backend::Sqlite).await;
    let kitchen = Kitchen::default();
    let stored = "users:list:limit=50:user";
    let first = world.quiet_instance().await;
    kitchen.asked(&first).await;
    let good: String = world.redis.ask(&["GET", stored]).await;
    let forged = good.replace("\n1", "\n666");
    let later = good.replace(r#""schema":1"#, r#""schema":2"#);
    for command in [
        vec!["SET", stored, "garbage"],
        vec!["SET", stored, &forged],
        vec!["SET", stored, &later],
        vec!["HSET", stored, "a", "b"],
    ] {
        let cache = world.quiet_instance().await;
        world.redis.ask::<i64>(&["DEL", stored]).await;
        world.redis.ask::<redis::Value>(&command).await;
        let made = kitchen.made();
        assert_eq!(kitchen.asked(&cache).await, made + 1, "{command:?}");
        assert_eq!(cache.stats().answers.discarded, 1, "{command:?}");
    }
}

#[tokio::test]
async fn a_generation_that_is_lost_takes_its_answers_with_it() {
    let world = World::new(Backend::Sqlite).await;
    let kitchen = Kitchen::default();
    let (here, there) = (world.quiet_instance().await, world.quiet_instance().await);
    assert_eq!(kitchen.asked(&here).await, 1);
    world.redis.ask::<i64>(&["DEL", "generation:users"]).await;
    assert_eq!(kitchen.asked(&there).await, 2);
    assert_eq!(kitchen.asked(&here).await, 1, "which was not invalidated");
}

#[tokio::test]
async fn without_looks_no_answer_is_kept() {
    let world = World::new(Backend::Sqlite).await;
    let kitchen = Kitchen::default();
    let blind = world.lone_instance().await;
    assert_eq!((kitchen.asked(&blind).await, kitchen.asked(&blind).await), (1, 2));
    blind.poll_changes().await.unwrap();
    assert_eq!((kitchen.asked(&blind).await, kitchen.asked(&blind).await), (3, 3));
    let begun = Instant::now();
    let anew = async || (kitchen.asked(&blind).await > 3).then_some(());
    eventually("the look to be too long ago", SOON, anew).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_redis_that_is_away_keeps_no_answer_up() {
    let mut world = World::new(Backend::Sqlite).await;
    let kitchen = Kitchen::default();
    let cache = world.quiet_instance().await;
    assert_eq!(kitchen.asked(&cache).await, 1);
    world.redis.kill();
    let user = world.sign_in("ann@example.com").await.user;
    cache.user_written(None, &user).await;
    assert_eq!(kitchen.asked(&cache).await, 2, "dropped here all the same");
    cache.poll_changes().await.unwrap();
    let made = kitchen.asked(&cache).await;
    assert_eq!(kitchen.asked(&cache).await, made, "kept in memory alone");
    world.redis.restart().await;
    let shared = async || {
        cache.poll_changes().await.unwrap();
        kitchen.asked(&cache).await;
        world.redis.ask::<bool>(&["EXISTS", "users:list:limit=50:user"]).await.then_some(())
    };
    eventually("answers to be shared again", SOON, shared).await;
}
