//! What was revoked, banned or changed is seen by every instance, whatever single thing has failed.

use std::time::{Duration, Instant};

use gatepost::domain::{EmailAddress, UserStatus};

use crate::support::eventually;
use crate::world::{Backend, PROMISED, Person, SOON, World, accepts, refuses};

/// The session by its id as well, which access tokens use.
async fn warm(caches: &[&gatepost::cache::Cache], person: &Person) {
    for cache in caches {
        assert!(accepts(cache, person).await);
        assert!(cache.session(person.session.id).await.unwrap().is_some());
    }
}

async fn revoked_session_is_refused_at_once(backend: Backend) {
    let world = World::new(backend).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let person = world.sign_in("ann@example.com").await;
    warm(&[&here, &there], &person).await;

    let revoked = world.revoke(&person).await;
    here.forget_session(&revoked).await;
    assert!(!accepts(&here, &person).await, "the writer's own instance refuses from then on");
    let took = refuses(&there, &person).await;
    assert!(took < Duration::from_millis(500), "the message was not heard: {took:?}");
    assert!(there.session(person.session.id).await.unwrap().is_none());
    assert_eq!(here.stats().sessions.invalidations, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_refused_by_every_instance_at_once_on_sqlite() {
    revoked_session_is_refused_at_once(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_refused_by_every_instance_at_once_on_postgres() {
    revoked_session_is_refused_at_once(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_refused_while_redis_is_down() {
    let mut world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let person = world.sign_in("ann@example.com").await;
    warm(&[&here, &there], &person).await;
    world.redis.kill();
    warm(&[&here, &there], &person).await;

    let revoked = world.revoke(&person).await;
    here.forget_session(&revoked).await;
    assert!(!accepts(&here, &person).await);
    assert!(refuses(&there, &person).await < PROMISED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_refused_by_an_instance_that_hears_no_messages() {
    let world = World::new(Backend::Sqlite).await;
    let (here, deaf) = (world.instance().await, world.quiet_instance().await);
    let person = world.sign_in("ann@example.com").await;
    warm(&[&here, &deaf], &person).await;
    assert!(deaf.stats().sessions.redis.hits > 0, "it reads Redis");

    let revoked = world.revoke(&person).await;
    here.forget_session(&revoked).await;
    assert!(refuses(&deaf, &person).await < PROMISED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_were_missed_in_a_gap_of_the_subscription_do_no_harm() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let person = world.sign_in("ann@example.com").await;
    warm(&[&here, &there], &person).await;
    let cut: i64 = world.redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(cut, 2);

    let revoked = world.revoke(&person).await;
    here.forget_session(&revoked).await;
    assert!(refuses(&there, &person).await < PROMISED);
    eventually("both to be subscribed again", SOON, async || {
        let (_, subscribers): (String, i64) = world.redis.ask(&["PUBSUB", "NUMSUB", "gatepost:invalidations"]).await;
        (subscribers == 2).then_some(())
    })
    .await;
}

async fn a_writer_dies_after_its_commit(backend: Backend) {
    let world = World::new(backend).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let person = world.sign_in("ann@example.com").await;
    warm(&[&here, &there], &person).await;
    assert!(world.redis.ask::<bool>(&["HEXISTS", &person.key(), "session"]).await);

    world.revoke(&person).await;
    let begun = Instant::now();
    let starting = world.quiet_instance();
    refuses(&here, &person).await;
    refuses(&there, &person).await;
    assert!(begun.elapsed() < PROMISED);
    assert!(!accepts(&starting.await, &person).await, "nor does an instance that starts now");
    assert!(!world.redis.ask::<bool>(&["HEXISTS", &person.key(), "session"]).await, "Redis has been put right");
    assert_eq!(here.stats().sessions.invalidations, 0, "by nobody's invalidation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_whose_writer_died_is_found_on_sqlite() {
    a_writer_dies_after_its_commit(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_whose_writer_died_is_found_on_postgres() {
    a_writer_dies_after_its_commit(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_not_believed_without_a_recent_look_at_the_database() {
    let world = World::new(Backend::Sqlite).await;
    let (writer, cache) = (world.quiet_instance().await, world.quiet_instance().await);
    let person = world.sign_in("ann@example.com").await;
    warm(&[&writer], &person).await;
    world.revoke(&person).await;
    // Nobody looks and nobody is told; Redis has the open session for minutes.
    let begun = Instant::now();
    refuses(&cache, &person).await;
    assert!(begun.elapsed() < PROMISED + Duration::from_millis(500));
    assert!(world.redis.ask::<bool>(&["HEXISTS", &person.key(), "session"]).await);
    assert_eq!(cache.poll_changes().await.unwrap(), 2, "the account is new and the session has changed");
    assert!(!world.redis.ask::<bool>(&["HEXISTS", &person.key(), "session"]).await);
}

/// What a late fill, or a replica that was behind, would leave.
async fn put_back(world: &World, key: &str, fields: &[String]) {
    let mut command = vec!["HSET", key];
    command.extend(fields.iter().map(String::as_str));
    world.redis.ask::<i64>(&["DEL", key]).await;
    world.redis.ask::<i64>(&command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_old_data_brings_nothing_back() {
    let mut world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let person = world.sign_in("ann@example.com").await;
    warm(&[&here, &there], &person).await;
    world.redis.ask::<()>(&["SAVE"]).await;
    let revoked = world.revoke(&person).await;
    here.forget_session(&revoked).await;
    refuses(&there, &person).await;

    world.redis.restart().await;
    eventually("Redis to be put right", SOON, async || {
        assert!(!accepts(&here, &person).await && !accepts(&there, &person).await);
        let open: bool = world.redis.ask(&["HEXISTS", &person.key(), "session"]).await;
        let known: bool = world.redis.ask(&["HEXISTS", &person.key(), "version"]).await;
        (known && !open).then_some(())
    })
    .await;
    let log = world.redis.server().log();
    assert!(log.contains("keys loaded"), "it came back with what it had saved: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_that_is_lost_with_a_late_fill_behind_it_is_put_again() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.instance().await;
    let person = world.sign_in("ann@example.com").await;
    warm(&[&cache], &person).await;
    let old: Vec<String> = world.redis.ask(&["HGETALL", &person.key()]).await;
    let revoked = world.revoke(&person).await;
    cache.forget_session(&revoked).await;
    let tombstoned = Instant::now();

    world.redis.flush().await;
    put_back(&world, &person.key(), &old).await;
    eventually("Redis to be put right", SOON, async || {
        let stands: bool = world.redis.ask(&["HEXISTS", &person.key(), "session"]).await;
        (!stands).then_some(())
    })
    .await;
    // Once more, after the first look and within the time that a late fill can take.
    if tombstoned.elapsed() < Duration::from_secs(1) {
        world.redis.flush().await;
        put_back(&world, &person.key(), &old).await;
    }
    eventually("Redis to be put right again", SOON, async || {
        let stands: bool = world.redis.ask(&["HEXISTS", &person.key(), "session"]).await;
        (!stands).then_some(())
    })
    .await;
    assert!(!accepts(&cache, &person).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_before_an_invalidation_is_not_handed_out_after_it() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.patient_instance().await;
    let person = world.sign_in("ann@example.com").await;
    // Reads of Redis pass and writes wait, so the reader stands between its read and its fill.
    world.redis.ask::<()>(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let reader = tokio::spawn({
        let (cache, digest) = (cache.clone(), person.digest());
        async move { cache.session_by_token(digest).await.unwrap() }
    });
    eventually("the reader to have read the row", SOON, async || (cache.stats().sessions.loads == 1).then_some(()))
        .await;
    let revoked = world.revoke(&person).await;
    let writer = tokio::spawn({
        let cache = cache.clone();
        async move { cache.forget_session(&revoked).await }
    });
    eventually("the writer to have begun", SOON, async || (cache.stats().invalidations == 2).then_some(())).await;
    world.redis.ask::<()>(&["CLIENT", "UNPAUSE"]).await;

    writer.await.unwrap();
    assert!(reader.await.unwrap().is_none(), "it had to read again");
    assert!(!accepts(&cache, &person).await);
    assert!(!world.redis.ask::<bool>(&["HEXISTS", &person.key(), "session"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_banned_user_is_seen_as_banned_by_every_instance() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let user = world.sign_in("ann@example.com").await.user;
    let status = async |cache: &gatepost::cache::Cache| {
        let by_id = cache.user(user.id).await.unwrap().unwrap().status;
        (by_id, cache.user_by_email(&user.email).await.unwrap().unwrap().status)
    };
    for cache in [&here, &there] {
        assert_eq!(status(cache).await, (UserStatus::Approved, UserStatus::Approved));
    }
    let banned = world.ban(&user).await;
    here.forget_user(&banned).await;
    assert_eq!(status(&here).await, (UserStatus::Banned, UserStatus::Banned));
    let begun = Instant::now();
    let seen = async || (status(&there).await == (UserStatus::Banned, UserStatus::Banned)).then_some(());
    eventually("the ban to be seen", SOON, seen).await;
    assert!(begun.elapsed() < Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_was_looked_for_in_vain_is_found_once_it_is_made() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let email = EmailAddress::parse("ann@example.com").unwrap();
    for cache in [&here, &there] {
        assert!(cache.user_by_email(&email).await.unwrap().is_none());
    }
    let user = world.sign_in("ann@example.com").await.user;
    here.forget_user(&user).await;
    assert_eq!(here.user_by_email(&email).await.unwrap().unwrap().id, user.id);
    let found = async || there.user_by_email(&email).await.unwrap();
    assert_eq!(eventually("the account to be found", PROMISED, found).await.id, user.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_moved_to_another_account_leads_there() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let (ann, bob) = (world.sign_in("ann@example.com").await.user, world.sign_in("bob@example.com").await.user);
    for user in [&ann, &bob] {
        assert_eq!(cache.user_by_email(&user.email).await.unwrap().unwrap().id, user.id);
    }
    let moved = "UPDATE users SET email = 'old@example.com', email_key = 'old@example.com', version = version + 1";
    world.execute(&format!("{moved} WHERE id = '{}'", ann.id)).await;
    let now = gatepost::store::User { email: "old@example.com".parse().unwrap(), version: 2, ..ann.clone() };
    cache.forget_users(&[&ann, &now]).await;
    assert!(cache.user_by_email(&ann.email).await.unwrap().is_none());
    assert_eq!(cache.user_by_email(&now.email).await.unwrap().unwrap().id, ann.id);

    // A mapping that nobody has removed.
    let key = "user:email:ann@example.com";
    world.redis.ask::<()>(&["SET", key, &bob.id.to_string()]).await;
    let other = world.quiet_instance().await;
    assert!(other.user_by_email(&ann.email).await.unwrap().is_none());
}
