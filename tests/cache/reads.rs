//! What a read costs, and what it makes of what it finds.

use std::time::{Duration, Instant};

use gatepost::cache::{Cache, SESSION_TTL};
use gatepost::domain::{Entropy, SessionToken, UserId};

use crate::support::eventually;
use crate::world::{Backend, SOON, World, accepts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_readers_cost_one_load() {
    let world = World::new(Backend::Postgres).await;
    let person = world.sign_in("ann@example.com").await;
    for cache in [world.quiet_instance().await, world.lone_instance().await] {
        let readers: Vec<_> = (0..100)
            .map(|_| {
                let (cache, digest, id) = (cache.clone(), person.digest(), person.user.id);
                tokio::spawn(async move {
                    assert!(cache.session_by_token(digest).await.unwrap().is_some());
                    assert!(cache.user(id).await.unwrap().is_some());
                })
            })
            .collect();
        for reader in readers {
            reader.await.unwrap();
        }
        let stats = cache.stats();
        assert_eq!((stats.sessions.loads, stats.sessions.memory.hits, stats.sessions.memory.misses), (1, 99, 1));
        assert_eq!((stats.users.loads, stats.hits, stats.misses), (1, 198, 2));
        assert!((stats.hit_rate_percent - 99.0).abs() < 0.1);
    }
}

#[tokio::test]
async fn what_one_instance_has_read_another_takes_from_redis() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.quiet_instance().await, world.quiet_instance().await);
    let person = world.sign_in("ann@example.com").await;
    for cache in [&here, &there] {
        assert_eq!(cache.session_by_token(person.digest()).await.unwrap(), Some(person.session.clone()));
        assert_eq!(cache.session(person.session.id).await.unwrap(), Some(person.session.clone()));
        assert_eq!(cache.user(person.user.id).await.unwrap(), Some(person.user.clone()));
        assert_eq!(cache.user_by_email(&person.user.email).await.unwrap(), Some(person.user.clone()));
    }
    let stats = there.stats();
    assert_eq!((stats.misses, stats.sessions.redis.hits, stats.users.redis.hits), (0, 2, 1));
    assert_eq!((stats.backend, stats.redis_available, stats.errors), ("redis", true, 0));
    for (key, longest) in [
        (person.key(), 300_000),
        (format!("session:id:{}", person.session.id), 300_000),
        (format!("user:id:{}", person.user.id), 300_000),
        ("user:email:ann@example.com".to_owned(), 1_800_000),
    ] {
        let left: i64 = world.redis.ask(&["PTTL", &key]).await;
        assert!((longest / 2..=longest).contains(&left), "{key} lives for {left} ms");
    }
}

#[tokio::test]
async fn an_unknown_token_costs_one_load_a_second() {
    let world = World::new(Backend::Sqlite).await;
    for cache in [world.quiet_instance().await, world.lone_instance().await] {
        let token = SessionToken::generate(&Entropy::system()).digest();
        let begun = Instant::now();
        for _ in 0..200 {
            assert!(cache.session_by_token(token).await.unwrap().is_none());
        }
        assert!(cache.stats().sessions.loads <= 1 + begun.elapsed().as_secs(), "{:?}", cache.stats());
        let loads = cache.stats().sessions.loads;
        let again = async || {
            cache.session_by_token(token).await.unwrap();
            (cache.stats().sessions.loads > loads).then_some(())
        };
        eventually("it to be looked up again", SOON, again).await;
        assert!(begun.elapsed() >= Duration::from_millis(900));
    }
    let kept: Vec<String> = world.redis.ask(&["KEYS", "*:*:*"]).await;
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_replaced_from_the_database() {
    let world = World::new(Backend::Sqlite).await;
    let person = world.sign_in("ann@example.com").await;
    let (session, user) = (person.key(), format!("user:id:{}", person.user.id));
    let mapping = "user:email:ann@example.com".to_owned();
    let json = serde_json::to_string(&person.user).unwrap();
    let later_schema = format!(r#"{{"schema":2,"version":1,"user":{json}}}"#);
    let other_version = format!(r#"{{"schema":1,"version":0,"user":{json}}}"#);
    let other_user = format!(
        r#"{{"schema":1,"version":1,"user":{}}}"#,
        json.replace(&person.user.id.to_string(), &UserId(uuid::Uuid::nil()).to_string())
    );
    for command in [
        vec!["SET", &session, "garbage"],
        vec!["LPUSH", &session, "garbage"],
        vec!["HSET", &session, "version", "1"],
        vec!["HSET", &session, "schema", "2", "version", "1"],
        vec!["HSET", &session, "schema", "1", "version", "1", "session", "{"],
        vec!["HSET", &session, "schema", "1", "version", "x"],
        vec!["SET", &user, "garbage"],
        vec!["SET", &user, "\u{0}\u{1}"],
        vec!["SET", &user, &later_schema],
        vec!["SET", &user, &other_version],
        vec!["SET", &user, &other_user],
        vec!["HSET", &user, "schema", "1"],
        vec!["SET", &mapping, "garbage"],
    ] {
        let cache = world.quiet_instance().await;
        world.redis.flush().await;
        world.redis.ask::<redis::Value>(&command).await;
        assert!(accepts(&cache, &person).await, "{command:?}");
        assert_eq!(cache.user(person.user.id).await.unwrap(), Some(person.user.clone()), "{command:?}");
        assert_eq!(cache.user_by_email(&person.user.email).await.unwrap(), Some(person.user.clone()), "{command:?}");
        assert_eq!(cache.stats().discarded, 1, "{command:?}");
        let other = world.quiet_instance().await;
        assert!(accepts(&other, &person).await && other.user(person.user.id).await.unwrap().is_some());
        assert!(other.user_by_email(&person.user.email).await.unwrap().is_some());
        assert_eq!((other.stats().misses, other.stats().discarded), (0, 0), "{command:?} was replaced");
    }
}

#[tokio::test]
async fn what_is_discarded_is_counted_and_removed() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let unknown = SessionToken::generate(&Entropy::system()).digest();
    let key = format!("session:{}", unknown.hex());
    world.redis.ask::<i64>(&["HSET", &key, "schema", "1", "version", "1", "session", "{}"]).await;
    assert!(cache.session_by_token(unknown).await.unwrap().is_none());
    assert!(!world.redis.ask::<bool>(&["EXISTS", &key]).await);
    assert_eq!((cache.stats().discarded, cache.stats().sessions.discarded, cache.stats().errors), (1, 1, 0));
}

#[tokio::test]
async fn a_session_under_the_key_of_another_token_is_refused() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let person = world.sign_in("ann@example.com").await;
    assert!(accepts(&cache, &person).await && cache.session(person.session.id).await.unwrap().is_some());
    let stranger = SessionToken::generate(&Entropy::system()).digest();
    let key = format!("session:{}", stranger.hex());
    assert!(world.redis.ask::<bool>(&["COPY", &person.key(), &key]).await);
    assert!(cache.session_by_token(stranger).await.unwrap().is_none());
    assert_eq!(cache.stats().sessions.discarded, 1);
    assert!(!world.redis.ask::<bool>(&["EXISTS", &key]).await);
}

#[tokio::test]
async fn a_fill_with_an_older_version_is_refused() {
    let world = World::new(Backend::Sqlite).await;
    let (writer, reader) = (world.quiet_instance().await, world.quiet_instance().await);
    let person = world.sign_in("ann@example.com").await;
    // To the reader's load the row's second version is yet to come; the writer has left its tombstone already.
    let mut next = person.session.clone();
    next.version = 2;
    writer.forget_session(&next).await;
    assert!(accepts(&reader, &person).await, "the database is the truth");
    assert_eq!(reader.stats().refused_fills, 1);
    assert!(!world.redis.ask::<bool>(&["HEXISTS", &person.key(), "session"]).await);
    let left: i64 = world.redis.ask(&["TTL", &person.key()]).await;
    assert!(left > i64::try_from(SESSION_TTL.as_secs()).unwrap());
}

#[tokio::test]
async fn an_expired_session_is_handed_out_by_no_tier() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let person = world.sign_in("ann@example.com").await;
    world.clock.advance(Duration::from_mins(59));
    assert!(accepts(&cache, &person).await);
    let left: i64 = world.redis.ask(&["PTTL", &person.key()]).await;
    assert!((1..=60_000).contains(&left), "never longer than the session: {left} ms");
    world.clock.advance(Duration::from_mins(2));
    assert!(!accepts(&cache, &person).await, "not from memory");
    assert!(!accepts(&world.quiet_instance().await, &person).await, "not from Redis");
    assert!(cache.session_afresh(person.session.id).await.unwrap().is_none(), "not from the database");
}

#[tokio::test]
async fn last_seen_times_are_written_behind_and_shown_at_once() {
    let world = World::new(Backend::Postgres).await;
    let cache = world.quiet_instance().await;
    let people = [world.sign_in("ann@example.com").await, world.sign_in("bob@example.com").await];
    world.clock.advance(Duration::from_secs(5));
    let now = world.clock.now();
    for person in &people {
        cache.note_seen(person.session.id, "198.51.100.7", now);
        let shown = cache.session_by_token(person.digest()).await.unwrap().unwrap();
        assert_eq!((shown.last_seen_at, shown.address.as_str()), (now, "198.51.100.7"));
        assert_ne!(world.session(person.session.id).await.last_seen_at, now);
    }
    assert_eq!(cache.flush_seen().await.unwrap(), 2);
    for person in &people {
        let row = world.session(person.session.id).await;
        assert_eq!((row.last_seen_at, row.address.as_str(), row.version), (now, "198.51.100.7", 1));
        cache.note_seen(person.session.id, "198.51.100.8", now + Duration::from_secs(1));
    }
    assert_eq!(cache.flush_seen().await.unwrap(), 0, "not twice in a minute");
    world.clock.advance(Duration::from_mins(1));
    cache.spawn_background();
    cache.shutdown().await;
    assert_eq!(world.session(people[0].session.id).await.address, "198.51.100.8", "the shutdown writes what is due");
}

#[tokio::test]
async fn nothing_secret_is_in_redis() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance().await;
    let person = world.sign_in("ann@example.com").await;
    world.set_password_hash(&person.user, "$argon2id$v=19$secret").await;
    assert!(accepts(&cache, &person).await && cache.user_by_email(&person.user.email).await.unwrap().is_some());
    assert!(cache.session(person.session.id).await.unwrap().is_some());
    let dump = world.redis.dump().await;
    assert!(dump.iter().any(|text| text.contains("Firefox on Linux")), "something is in it");
    let random_part = person.token.expose().trim_start_matches(SessionToken::PREFIX);
    for secret in [person.token.expose(), random_part, "argon2", "secret"] {
        assert!(!dump.iter().any(|text| text.contains(secret)), "{secret} is in Redis");
    }
}

#[tokio::test]
async fn without_redis_memory_alone_is_a_cache() {
    let world = World::new(Backend::Sqlite).await;
    let cache: Cache = world.lone_instance().await;
    let person = world.sign_in("ann@example.com").await;
    assert!(accepts(&cache, &person).await && accepts(&cache, &person).await);
    let stats = cache.stats();
    assert_eq!((stats.backend, stats.redis_available, stats.hits, stats.misses), ("memory", false, 1, 1));
    let revoked = world.revoke(&person).await;
    cache.forget_sessions(std::slice::from_ref(&revoked)).await;
    assert!(!accepts(&cache, &person).await);
    let task = cache.spawn_background();
    drop(cache);
    eventually("the upkeep to end with the last handle", SOON, async || task.is_finished().then_some(())).await;
}
