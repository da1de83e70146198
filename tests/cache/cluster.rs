//! The cache on a Redis Cluster: entries are under tagged keys of one node, and everything else goes by plain names.

use gatepost::cache::{Freshness, Resource, Response, ResponseKey, Scope, SessionName};
use gatepost::domain::UserStatus;
use gatepost::redis::TAG;
use gatepost::settings;
use gatepost::store::StoreError;

use crate::by_redis::by_redis;
use crate::support::{Cluster, eventually};
use crate::world::{Backend, SOON, World, accepts, connection_to, refuses};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_entries_are_shared_forgotten_everywhere_and_shown_by_their_plain_names() {
    let (world, cluster) = (World::new(Backend::Sqlite).await, Cluster::start().await);
    // Pub/sub reaches all nodes, whichever it was said to.
    let here = world.instance_on(connection_to(cluster.url(), SOON).await, &cluster.third).await;
    let there = world.instance_on(connection_to(cluster.url(), SOON).await, &cluster.owner).await;
    let person = world.sign_in("ann@example.com").await;
    for cache in [&here, &there] {
        assert!(accepts(cache, &person).await && cache.session(person.session.id).await.unwrap().is_some());
        assert!(cache.user_by_email(&person.user.email).await.unwrap().is_some());
        assert_eq!(cache.users(&[person.user.id]).await.unwrap().len(), 1);
    }
    let stats = there.stats();
    assert!(stats.sessions.redis.hits >= 2 && stats.users.redis.hits > 0, "{stats:?}");
    assert_eq!((stats.sessions.loads, stats.sessions.redis.errors), (0, 0));

    let held = here.held(&person.key()).await.unwrap().expect("a key of the cache");
    assert!(held.key == person.key() && held.value.unwrap()["version"] == 1 && held.bytes > Some(0));

    let revoked = world.revoke(&person).await;
    here.forget_session(&revoked).await;
    let took = refuses(&there, &person).await;
    assert!(took.as_millis() < 500, "the message was not heard: {took:?}");
    let banned = world.ban(&person.user).await;
    here.user_written(None, &banned).await;
    eventually("the other instance to hear of the ban", SOON, async || {
        let user = there.user(person.user.id).await.unwrap()?;
        (user.status == UserStatus::Banned).then_some(())
    })
    .await;

    let key = ResponseKey::new(Resource::Users, "list", &[("limit", "50")], "user");
    let make = async || Ok::<_, StoreError>("ready");
    let ready: std::sync::Arc<Response> = here.response(&key, SOON, make).await.unwrap();
    let again = there.response(&key, SOON, async || Ok::<_, StoreError>("made anew")).await.unwrap();
    assert_eq!(ready.body, again.body);

    let keys: Vec<String> = cluster.owner.ask(&["KEYS", "*"]).await;
    assert!(keys.len() >= 6 && keys.iter().all(|key| key.starts_with(TAG)), "{keys:?}");
    let swept = here.sweep(&"user:".parse::<Scope>().unwrap()).await;
    assert!(swept.everywhere && swept.removed >= 2, "{swept:?}");
    assert!(here.sweep(&Scope::All).await.everywhere);
    let left: Vec<String> = cluster.owner.ask(&["KEYS", "*"]).await;
    assert!(!left.iter().any(|key| key.contains("user:") || key.contains("session:")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_memory_a_cluster_is_asked_in_one_question() {
    let (world, cluster) = (World::new(Backend::Sqlite).await, Cluster::start().await);
    let alone = settings::Cache { memory: false, ..settings::Cache::default() };
    let cache = world.instance_with_redis(&alone, cluster.url()).await;
    let person = world.sign_in("ann@example.com").await;
    let name = SessionName::Token(person.digest());
    let who = std::sync::Arc::new(cache.recognise(name, None, Freshness::Kept, |_| true).await.unwrap().unwrap());
    cache.remember(person.digest(), who);
    for _ in 0..3 {
        cache.poll_changes().await.unwrap();
        let told = by_redis(&cache, &person).await.expect("Redis tells");
        assert_eq!((&told.user, &told.session), (&person.user, &person.session));
    }
}
