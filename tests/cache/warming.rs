//! Warming: which sessions are loaded, at whose cost, and when it ends.

use gatepost::cache::Cache;
use gatepost::settings;

use crate::support::eventually;
use crate::world::{Backend, Person, SOON, World};

fn warm(count: u32) -> settings::Cache {
    settings::Cache { warm: count, ..settings::Cache::default() }
}

async fn people(world: &World, count: usize) -> Vec<Person> {
    let mut people = Vec::new();
    for number in 0..count {
        people.push(world.sign_in(&format!("person{number}@example.com")).await);
    }
    people
}

/// Whether Redis holds the session, and the user: values, not tombstones, which the looks leave of new accounts.
async fn is_in_redis(cache: &Cache, person: &Person) -> [bool; 2] {
    let value = async |key: &str| cache.held(key).await.unwrap().expect("a key of the cache").value.unwrap_or_default();
    let user = format!("user:id:{}", person.user.id);
    [value(&person.key()).await["session"].is_object(), value(&user).await["user"].is_object()]
}

async fn the_last_ones_are_loaded(backend: Backend) {
    let world = World::new(backend).await;
    let people = people(&world, 8).await;
    world.revoke(&people[7]).await;
    let cache = world.instance_with(&warm(4)).await;
    let task = cache.spawn_warming().expect("there is something to warm");
    eventually("the cache to be warm", SOON, async || task.is_finished().then_some(())).await;
    // The last one has ended, so these are the four before.
    for (number, person) in people.iter().enumerate() {
        assert_eq!(is_in_redis(&cache, person).await, [(3..7).contains(&number); 2], "person {number}");
    }
    let stats = cache.stats();
    assert_eq!((stats.sessions.loads, stats.users.loads), (4, 4), "{stats:?}");

    // What Redis holds already costs the database nothing.
    let next = world.instance_with(&warm(4)).await;
    let task = next.spawn_warming().expect("there is something to warm");
    eventually("the next one to be warm", SOON, async || task.is_finished().then_some(())).await;
    let stats = next.stats();
    assert_eq!((stats.sessions.redis.hits, stats.users.redis.hits), (4, 4), "{stats:?}");
    assert_eq!((stats.sessions.loads, stats.users.loads), (0, 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_used_last_are_loaded_with_their_users_on_sqlite() {
    the_last_ones_are_loaded(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_used_last_are_loaded_with_their_users_on_postgres() {
    the_last_ones_are_loaded(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_with_the_cache() {
    let world = World::new(Backend::Sqlite).await;
    people(&world, 200).await;
    let cache = world.instance_with(&warm(200)).await;
    let task = cache.spawn_warming().expect("there is something to warm");
    eventually("it to begin", SOON, async || (cache.stats().sessions.loads > 0).then_some(())).await;
    cache.shutdown().await;
    eventually("it to end", SOON, async || task.is_finished().then_some(())).await;
    let stats = cache.stats();
    assert!(stats.sessions.loads + stats.users.loads < 400, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_kept_or_nothing_is_wanted_it_does_not_begin() {
    let world = World::new(Backend::Sqlite).await;
    assert!(world.instance_with(&warm(0)).await.spawn_warming().is_none());
    let nowhere = settings::Cache { memory: false, redis: false, ..warm(10) };
    assert!(world.instance_with(&nowhere).await.spawn_warming().is_none());
}
