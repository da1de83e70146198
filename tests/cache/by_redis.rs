//! Without memory, Redis is asked at every request, and the same bytes are not read twice.

use std::sync::Arc;

use gatepost::cache::{Cache, Freshness, Recognised, SessionName};
use gatepost::domain::{Role, UserStatus};
use gatepost::settings;

use crate::world::{Backend, Person, World};

fn redis_alone() -> settings::Cache {
    settings::Cache { memory: false, ..settings::Cache::default() }
}

/// The long way, at whose end the credential can be asked for alone.
async fn recognise(cache: &Cache, person: &Person) -> Option<Arc<Recognised>> {
    let name = SessionName::Token(person.digest());
    let who = Arc::new(cache.recognise(name, None, Freshness::Kept, |_| true).await.unwrap()?);
    cache.remember(person.digest(), who.clone());
    Some(who)
}

/// What Redis says about who was recognised before.
pub(crate) async fn by_redis(cache: &Cache, person: &Person) -> Option<Arc<Recognised>> {
    let (who, _) = cache.recognised_by_redis(&mut cache.ask_redis(person.digest().into())?).await?;
    Some(who)
}

/// What Redis says, believed once more.
async fn ask(cache: &Cache, person: &Person) -> Option<Arc<Recognised>> {
    cache.poll_changes().await.unwrap();
    by_redis(cache, person).await
}

/// A world, an instance of it that asks Redis alone, and somebody it can ask for.
async fn known() -> (World, Cache, Person) {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance_with(&redis_alone()).await;
    let person = world.sign_in("ann@example.com").await;
    assert!(by_redis(&cache, &person).await.is_none(), "nobody has been recognised yet");
    assert!(recognise(&cache, &person).await.is_some());
    (world, cache, person)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_asks_redis_and_the_same_bytes_are_read_once() {
    let (_world, cache, person) = known().await;
    let first = ask(&cache, &person).await.unwrap();
    assert_eq!((&first.user, &first.session), (&person.user, &person.session));
    let before = cache.stats();
    for _ in 0..5 {
        assert!(Arc::ptr_eq(&first, &ask(&cache, &person).await.unwrap()));
    }
    let after = cache.stats();
    assert_eq!(after.sessions.redis.hits, before.sessions.redis.hits + 5);
    assert_eq!(after.users.redis.hits, before.users.redis.hits + 5);
    assert_eq!((after.sessions.loads, after.sessions.memory.hits), (before.sessions.loads, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_instance_with_memory_has_stored_is_read_in_full_each_time() {
    let world = World::new(Backend::Sqlite).await;
    let (with_memory, cache) = (world.quiet_instance().await, world.instance_with(&redis_alone()).await);
    let person = world.sign_in("ann@example.com").await;
    for cache in [&with_memory, &cache] {
        assert!(recognise(cache, &person).await.is_some());
    }
    assert_eq!(world.redis.ask::<Vec<String>>(&["KEYS", "*:stamp"]).await, [""; 0]);
    let loads = cache.stats().sessions.loads;
    let told = [ask(&cache, &person).await.unwrap(), ask(&cache, &person).await.unwrap()];
    assert!(!Arc::ptr_eq(&told[0], &told[1]));
    assert!(told.iter().all(|told| (&told.user, &told.session) == (&person.user, &person.session)));
    assert_eq!(cache.stats().sessions.loads, loads);
    // Only what the one that asks Redis alone has written has a stamp, for as long as it stands.
    cache.user_written(None, &person.user).await;
    assert!(world.redis.ask::<bool>(&["EXISTS", &format!("user:id:{}:stamp", person.user.id)]).await);
    with_memory.forget_user(&person.user).await;
    assert_eq!(world.redis.ask::<Vec<String>>(&["KEYS", "*:stamp"]).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_instance_forgets_is_no_longer_told() {
    for forgets_user in [true, false] {
        let (world, cache, person) = known().await;
        let other = world.quiet_instance().await;
        assert!(ask(&cache, &person).await.is_some());
        if forgets_user {
            let banned = world.ban(&person.user).await;
            other.forget_user(&banned).await;
        } else {
            let revoked = world.revoke(&person).await;
            other.forget_session(&revoked).await;
        }
        assert!(ask(&cache, &person).await.is_none(), "a tombstone");
        let who = recognise(&cache, &person).await;
        assert_eq!(who.map(|who| who.user.status), forgets_user.then_some(UserStatus::Banned));
        // With the account in Redis anew, its new state is told.
        let told = ask(&cache, &person).await;
        assert_eq!(told.map(|who| who.user.status), forgets_user.then_some(UserStatus::Banned));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stamp_that_was_left_beside_a_tombstone_tells_nothing() {
    let (world, cache, person) = known().await;
    assert!(ask(&cache, &person).await.is_some());
    // As an instance does that knows of no stamps, and whose message is lost.
    let revoked = world.revoke(&person).await;
    world.redis.ask::<i64>(&["DEL", &person.key()]).await;
    world.redis.ask::<i64>(&["HSET", &person.key(), "schema", "1", "version", &revoked.version.to_string()]).await;
    assert!(world.redis.ask::<bool>(&["EXISTS", &format!("{}:stamp", person.key())]).await);
    assert!(ask(&cache, &person).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_version_that_comes_back_is_not_told() {
    let (world, cache, person) = known().await;
    let key = format!("user:id:{}", person.user.id);
    let stored: String = world.redis.ask(&["GET", &key]).await;
    assert!(ask(&cache, &person).await.is_some());
    let banned = world.ban(&person.user).await;
    cache.forget_user(&banned).await;
    world.redis.ask::<()>(&["SET", &key, &stored]).await;
    assert!(by_redis(&cache, &person).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_edited_by_hand_and_then_forgotten_is_read_in_full() {
    let (world, cache, person) = known().await;
    assert_eq!(ask(&cache, &person).await.unwrap().user.role, Role::User);
    // Nobody has given the row another version.
    world.execute("UPDATE users SET role = 'admin'").await;
    assert_eq!(ask(&cache, &person).await.unwrap().user.role, Role::User, "nobody has told");
    for forgets in [true, false] {
        if forgets {
            cache.forget_user(&person.user).await;
        }
        recognise(&cache, &person).await;
        let told = ask(&cache, &person).await.unwrap();
        assert_eq!((told.user.version, told.user.role), (person.user.version, Role::Admin));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_strange_is_told() {
    let (world, cache, person) = known().await;
    let other = world.sign_in("bob@example.com").await;
    assert!(recognise(&cache, &other).await.is_some());
    let (mine, theirs) = (format!("user:id:{}", person.user.id), format!("user:id:{}", other.user.id));
    let stored: String = world.redis.ask(&["GET", &mine]).await;
    let theirs: String = world.redis.ask(&["GET", &theirs]).await;
    assert!(ask(&cache, &person).await.is_some());
    // Where the stamp is another than that of what was read, everything is read.
    let stamp = format!("{mine}:stamp");
    assert!(world.redis.ask::<String>(&["GET", &stamp]).await.contains(&person.user.id.to_string()));
    let their_stamp: String = world.redis.ask(&["GET", &format!("{}:stamp", other.key())]).await;
    for strange in ["", "{", "null", theirs.as_str(), &stored.replace("\"schema\":1", "\"schema\":2")] {
        world.redis.ask::<()>(&["SET", &mine, strange]).await;
        world.redis.ask::<()>(&["SET", &stamp, &their_stamp]).await;
        assert!(ask(&cache, &person).await.is_none(), "{strange}");
    }
    for key in [&mine, &stamp] {
        world.redis.ask::<i64>(&["DEL", key]).await;
        world.redis.ask::<i64>(&["LPUSH", key, "a list"]).await;
    }
    assert!(ask(&cache, &person).await.is_none());
    world.redis.ask::<()>(&["SET", &mine, &stored]).await;
    assert!(ask(&cache, &person).await.is_some(), "what is strange about the stamp alone does no harm");
    // The session of somebody else, under the key of this one.
    world.redis.ask::<i64>(&["DEL", &person.key(), &format!("{}:stamp", person.key())]).await;
    world.redis.ask::<i64>(&["COPY", &other.key(), &person.key()]).await;
    assert!(ask(&cache, &person).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_or_not_believed_tells_nothing() {
    let (mut world, cache, person) = known().await;
    assert!(ask(&cache, &person).await.is_some());
    world.redis.kill();
    assert!(by_redis(&cache, &person).await.is_none());
    world.redis.restart().await;
    // It is back, perhaps with old data, and nobody has looked at the database since.
    assert!(by_redis(&cache, &person).await.is_none());
    assert!(recognise(&cache, &person).await.is_some());
}

#[tokio::test]
async fn with_memory_or_without_redis_nobody_is_asked_for_alone() {
    let world = World::new(Backend::Sqlite).await;
    let person = world.sign_in("ann@example.com").await;
    let neither = settings::Cache { memory: false, redis: false, ..settings::Cache::default() };
    for cache in [world.quiet_instance().await, world.instance_with(&neither).await] {
        assert!(!cache.asks_redis_alone());
        assert!(recognise(&cache, &person).await.is_some());
        assert!(ask(&cache, &person).await.is_none());
    }
}
