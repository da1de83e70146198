//! What users are found by, many of them at once, and what a change of one leaves behind.

use std::time::{Duration, Instant};

use gatepost::cache::Cache;
use gatepost::domain::{EmailAddress, Phone, UserId, UserStatus, Username};
use gatepost::store::{ProfileChange, User};

use crate::support::eventually;
use crate::world::{Backend, PROMISED, SOON, World};

fn username(text: &str) -> Username {
    Username::parse(text).unwrap()
}

fn phone(text: &str) -> Phone {
    Phone::parse(text).unwrap()
}

/// A change of username and telephone number.
fn names(name: &str, number: &str) -> ProfileChange {
    ProfileChange { username: Some(Some(username(name))), phone: Some(Some(phone(number))), ..ProfileChange::default() }
}

/// Who is found by a username and by a number.
async fn found(cache: &Cache, name: &str, number: &str) -> (Option<UserId>, Option<UserId>) {
    let by_name = cache.user_by_username(&username(name)).await.unwrap();
    let by_number = cache.user_by_phone(&phone(number)).await.unwrap();
    (by_name.map(|user| user.id), by_number.map(|user| user.id))
}

async fn kept(world: &World, key: &str) -> Option<String> {
    world.redis.ask(&["GET", key]).await
}

#[tokio::test]
async fn a_user_is_found_by_every_name_and_another_instance_asks_only_redis() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let world = World::new(backend).await;
        let user = world.sign_in("ann@example.com").await.user;
        let user = world.change(&user, &names("Ann", "+49301234567")).await;
        let (here, there) = (world.quiet_instance().await, world.quiet_instance().await);
        for cache in [&here, &there] {
            assert_eq!(found(cache, "aNN", "+49 30 1234567").await, (Some(user.id), Some(user.id)), "{backend:?}");
            assert_eq!(cache.user_by_email(&user.email).await.unwrap().as_ref(), Some(&user));
        }
        assert_eq!(there.stats().misses, 0);
        for key in ["user:username:ann", "user:phone:+49301234567"] {
            let left: i64 = world.redis.ask(&["PTTL", key]).await;
            assert!((900_000..=1_800_000).contains(&left), "{key} lives for {left} ms");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_a_name_is_is_loaded_ahead_when_it_is_asked_for_all_the_time() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.patient_instance().await;
    let user = world.sign_in("ann@example.com").await.user;
    let found = async || cache.user_by_email(&user.email).await.unwrap().is_some();
    let key = "user:email:ann@example.com";
    eventually("a second look while the first is still in memory", SOON, async || {
        let began = Instant::now();
        assert!(found().await);
        let read = Instant::now();
        let _: i64 = world.redis.ask(&["DEL", key]).await;
        let is_old = async || (read.elapsed() > Duration::from_millis(810)).then_some(());
        eventually("what memory has to be old", SOON, is_old).await;
        assert!(found().await);
        (began.elapsed() < Duration::from_secs(1)).then_some(())
    })
    .await;
    // Nobody asks again, and yet Redis is told.
    eventually("a load that no reader waited for", SOON, async || kept(&world, key).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_user_is_a_hit_at_once_and_everywhere() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let before = world.sign_in("ann@example.com").await.user;
    here.user_written(None, &before).await;
    let before = world.change(&before, &names("ann", "+49301234567")).await;
    here.user_written(None, &before).await;
    for cache in [&here, &there] {
        assert_eq!(found(cache, "ann", "+49301234567").await, (Some(before.id), Some(before.id)));
        assert_eq!(found(cache, "ann2", "+49309999999").await, (None, None));
    }
    let after = world.change(&before, &names("ann2", "+49309999999")).await;
    let loads = here.stats().users.loads;
    here.user_written(Some(&before), &after).await;
    assert_eq!(found(&here, "ann2", "+49309999999").await, (Some(after.id), Some(after.id)));
    assert_eq!(here.user(after.id).await.unwrap().as_ref(), Some(&after));
    assert_eq!(here.stats().users.loads, loads, "the database was not asked");
    assert_eq!(found(&here, "ann", "+49301234567").await, (None, None));
    let id = after.id.to_string();
    for (key, held) in [
        ("user:username:ann2", Some(&id)),
        ("user:phone:+49309999999", Some(&id)),
        ("user:email:ann@example.com", Some(&id)),
        ("user:username:ann", None),
        ("user:phone:+49301234567", None),
    ] {
        assert_eq!(kept(&world, key).await.as_ref(), held, "{key}");
    }
    let seen = async || {
        let (old, new) = (found(&there, "ann", "+49301234567").await, found(&there, "ann2", "+49309999999").await);
        (old == (None, None) && new == (Some(after.id), Some(after.id))).then_some(())
    };
    eventually("the other instance to follow", PROMISED, seen).await;
}

#[tokio::test]
async fn a_late_writer_does_not_undo_a_later_one() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let first = world.sign_in("ann@example.com").await.user;
    let second = world.change(&first, &names("ann", "+49301234567")).await;
    let third = world.ban(&second).await;
    cache.user_written(None, &third).await;
    cache.user_written(None, &second).await;
    let held = kept(&world, &format!("user:id:{}", first.id)).await.unwrap();
    assert!(held.starts_with(r#"{"schema":1,"version":3,"user""#), "{held}");
    for cache in [&cache, &world.quiet_instance().await] {
        assert_eq!(cache.user(first.id).await.unwrap().unwrap().status, UserStatus::Banned);
    }
}

#[tokio::test]
async fn what_was_written_long_ago_leaves_a_tombstone() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let user = world.sign_in("ann@example.com").await.user;
    world.clock.advance(Duration::from_secs(2));
    cache.user_written(None, &user).await;
    let held = kept(&world, &format!("user:id:{}", user.id)).await;
    assert_eq!(held.as_deref(), Some(r#"{"schema":1,"version":1}"#));
    assert_eq!(cache.user(user.id).await.unwrap(), Some(user));
}

#[tokio::test]
async fn a_look_makes_names_known_that_were_looked_for_in_vain() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let user = world.sign_in("ann@example.com").await.user;
    assert_eq!(found(&cache, "ann", "+49301234567").await, (None, None));
    world.change(&user, &names("ann", "+49301234567")).await;
    cache.poll_changes().await.unwrap();
    assert_eq!(found(&cache, "ann", "+49301234567").await, (Some(user.id), Some(user.id)));
}

#[tokio::test]
async fn a_name_that_moved_to_another_account_leads_there() {
    let world = World::new(Backend::Sqlite).await;
    let (ann, bob) = (world.sign_in("ann@example.com").await.user, world.sign_in("bob@example.com").await.user);
    let ann = world.change(&ann, &names("star", "+49301234567")).await;
    let cache = world.quiet_instance().await;
    assert_eq!(found(&cache, "star", "+49301234567").await, (Some(ann.id), Some(ann.id)));
    world.change(&ann, &names("former", "+49301111111")).await;
    let bob = world.change(&bob, &names("star", "+49301234567")).await;
    // Nobody has removed the mappings, and memory is new.
    let other = world.quiet_instance().await;
    assert_eq!(kept(&world, "user:username:star").await, Some(ann.id.to_string()));
    assert_eq!(found(&other, "star", "+49301234567").await, (Some(bob.id), Some(bob.id)));
}

#[tokio::test]
async fn many_users_cost_one_query_and_then_none() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let world = World::new(backend).await;
        let mut people: Vec<User> = Vec::new();
        for n in 0..30 {
            people.push(world.sign_in(&format!("p{n}@example.com")).await.user);
        }
        let unknown = UserId(uuid::Uuid::from_u128(7));
        let ids: Vec<UserId> = people.iter().map(|user| user.id).chain([unknown, people[0].id]).collect();
        let (here, there) = (world.quiet_instance().await, world.quiet_instance().await);
        let lone = world.lone_instance().await;
        here.user(people[3].id).await.unwrap();
        let garbage = format!("user:id:{}", people[4].id);
        world.redis.ask::<()>(&["SET", &garbage, "garbage"]).await;
        for (cache, loads) in [(&here, 2), (&there, 1), (&lone, 1)] {
            let found = cache.users(&ids).await.unwrap();
            assert_eq!(found.len(), 30);
            assert!(people.iter().all(|user| found.get(&user.id) == Some(user)));
            assert_eq!(cache.stats().users.loads, loads, "{backend:?}: `there` asks for the unknown one alone");
        }
        assert_eq!((here.stats().discarded, there.stats().discarded, there.stats().users.redis.hits), (1, 0, 30));
        assert!(cache_is_empty_handed(&lone).await);
    }
}

async fn cache_is_empty_handed(cache: &Cache) -> bool {
    cache.users(&[]).await.unwrap().is_empty()
}

#[tokio::test]
async fn among_many_a_banned_user_is_seen_as_banned() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.quiet_instance().await, world.quiet_instance().await);
    let (ann, bob) = (world.sign_in("ann@example.com").await.user, world.sign_in("bob@example.com").await.user);
    let ids = [ann.id, bob.id];
    for cache in [&here, &there] {
        assert_eq!(cache.users(&ids).await.unwrap()[&ann.id].status, UserStatus::Approved);
    }
    let banned = world.ban(&ann).await;
    here.forget_user(&banned).await;
    assert_eq!(here.users(&ids).await.unwrap()[&ann.id].status, UserStatus::Banned);
    there.poll_changes().await.unwrap();
    let found = there.users(&ids).await.unwrap();
    assert_eq!((found[&ann.id].status, found[&bob.id].status), (UserStatus::Banned, UserStatus::Approved));
}

#[tokio::test]
async fn unknown_names_are_not_kept_in_redis() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    for n in 0..100 {
        assert!(cache.user_by_username(&username(&format!("nobody{n}"))).await.unwrap().is_none());
    }
    let email = EmailAddress::parse("nobody@example.com").unwrap();
    assert!(cache.user_by_email(&email).await.unwrap().is_none());
    let kept: Vec<String> = world.redis.ask(&["KEYS", "user:*"]).await;
    assert!(kept.is_empty(), "{kept:?}");
}
