//! The fast path: who was recognised by a credential stays so without a look at any tier, and not a moment longer than
//! the tiers would say so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gatepost::cache::{Cache, Freshness, Recognised, SessionName};
use gatepost::domain::{Digest, UserStatus};
use gatepost::settings;

use crate::support::{Redis, eventually};
use crate::world::{Backend, PROMISED, Person, SOON, World, connection_to};

/// The long way, at whose end the person is remembered.
async fn recognise(cache: &Cache, person: &Person, freshness: Freshness) -> Option<Arc<Recognised>> {
    let name = SessionName::Token(person.digest());
    let who = Arc::new(cache.recognise(name, cache.owner(&person.digest()), freshness, |_| true).await.unwrap()?);
    cache.remember(person.digest(), who.clone());
    Some(who)
}

fn known(cache: &Cache, person: &Person) -> Option<Arc<Recognised>> {
    cache.recognised(&person.digest().into(), Instant::now())
}

#[tokio::test]
async fn who_was_recognised_is_known_for_a_second_without_a_look_at_any_tier() {
    let world = World::new(Backend::Sqlite).await;
    let person = world.sign_in("ann@example.com").await;
    for cache in [world.quiet_instance().await, world.lone_instance().await] {
        assert!(known(&cache, &person).is_none());
        let begun = Instant::now();
        let who = recognise(&cache, &person, Freshness::Kept).await.unwrap();
        let before = cache.stats();
        let mut reads = 0;
        while let Some(again) = known(&cache, &person) {
            assert!(Arc::ptr_eq(&again, &who));
            reads += 1;
            tokio::task::yield_now().await;
        }
        let took = begun.elapsed();
        assert!((Duration::from_millis(900)..PROMISED).contains(&took), "{took:?}");
        assert_eq!((&who.user, &who.session), (&person.user, &person.session));
        let after = cache.stats();
        assert_eq!((after.sessions.loads, after.sessions.redis), (before.sessions.loads, before.sessions.redis));
        assert_eq!(after.sessions.memory.hits, before.sessions.memory.hits + reads);
        assert_eq!(after.users.memory.hits, before.users.memory.hits + reads);
    }
}

#[tokio::test]
async fn a_session_or_user_that_is_forgotten_is_no_longer_known() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.lone_instance().await;
    let person = world.sign_in("ann@example.com").await;
    for forget_user in [true, false] {
        assert!(recognise(&cache, &person, Freshness::Kept).await.is_some());
        assert!(known(&cache, &person).is_some());
        if forget_user {
            let banned = world.ban(&person.user).await;
            cache.forget_user(&banned).await;
            assert!(known(&cache, &person).is_none());
            let who = recognise(&cache, &person, Freshness::Kept).await.unwrap();
            assert_eq!(who.user.status, UserStatus::Banned, "the caller sees what became of the account");
        } else {
            let revoked = world.revoke(&person).await;
            cache.forget_session(&revoked).await;
            assert!(known(&cache, &person).is_none());
            assert!(recognise(&cache, &person, Freshness::Kept).await.is_none());
        }
        // An entry that is put in late is not handed out either.
        assert!(known(&cache, &person).is_none_or(|who| who.user.status == UserStatus::Banned));
    }
}

#[tokio::test]
async fn what_was_read_before_an_invalidation_may_be_remembered_after_it() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.lone_instance().await;
    let person = world.sign_in("ann@example.com").await;
    let name = SessionName::Token(person.digest());
    let late = cache.recognise(name, None, Freshness::Kept, |_| true).await.unwrap().unwrap();
    let revoked = world.revoke(&person).await;
    cache.forget_session(&revoked).await;
    cache.remember(person.digest(), Arc::new(late));
    assert!(known(&cache, &person).is_none(), "and does no harm");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_instance_stops_knowing_a_revoked_session_and_a_banned_user() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let (ann, bob) = (world.sign_in("ann@example.com").await, world.sign_in("bob@example.com").await);
    for person in [&ann, &bob] {
        assert!(recognise(&there, person, Freshness::Kept).await.is_some());
    }
    let asked = Instant::now();
    here.forget_session(&world.revoke(&ann).await).await;
    here.forget_user(&world.ban(&bob.user).await).await;
    for person in [&ann, &bob] {
        let gone = async || known(&there, person).is_none().then_some(());
        eventually("the other instance to have heard", SOON, gone).await;
    }
    assert!(asked.elapsed() < PROMISED);
}

/// Instances that look at the database every second: with a Redis, without one, and with one that has died.
async fn lookers(world: &World) -> [Cache; 3] {
    let (shared, lone, mut dying) = (world.instance().await, world.lone_instance().await, Redis::start().await);
    lone.spawn_background();
    let bereft = world.instance_on(connection_to(dying.url(), SOON).await, &dying).await;
    dying.kill();
    [shared, lone, bereft]
}

/// Asks for the person all the time, for longer than anything may be handed out unconfirmed. Gives whether they were known
/// throughout, and stayed whom they were.
async fn stays_known(cache: &Cache, person: &Person) -> bool {
    let who = recognise(cache, person, Freshness::Kept).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < PROMISED + Duration::from_millis(200) {
        let again = known(cache, person).filter(|again| Arc::ptr_eq(again, &who));
        if again.is_none_or(|who| cache.is_to_be_renewed(&who, Instant::now()).is_some()) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

/// Asks until they are. A machine may be so busy that a look is late: then a person is loaded anew, as it should be.
async fn is_confirmed(cache: &Cache, person: &Person) {
    eventually("a person who stays known", SOON * 3, async || stays_known(cache, person).await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_for_all_the_time_is_loaded_once_and_confirmed_by_looks() {
    let world = World::new(Backend::Sqlite).await;
    let person = world.sign_in("ann@example.com").await;
    join_all(lookers(&world).await.map(async |cache| {
        eventually("one load to be enough", SOON * 3, async || {
            let loads = cache.stats().sessions.loads;
            is_confirmed(&cache, &person).await;
            (cache.stats().sessions.loads <= loads + 1).then_some(())
        })
        .await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_looks_have_confirmed_ends_with_a_change_that_nobody_tells_of() {
    let world = World::new(Backend::Sqlite).await;
    let (ann, bob) = (world.sign_in("ann@example.com").await, world.sign_in("bob@example.com").await);
    let caches = lookers(&world).await;
    let all = || caches.iter().flat_map(|cache| [(cache, &ann), (cache, &bob)]);
    let changes = async {
        join_all(all().map(|(cache, person)| is_confirmed(cache, person))).await;
        world.revoke(&ann).await;
        world.ban(&bob.user).await;
        let begun = Instant::now();
        join_all(all().map(async |(cache, person)| {
            eventually("the look to find it", SOON, async || known(cache, person).is_none().then_some(())).await;
            assert!(begun.elapsed() < PROMISED, "{:?}", begun.elapsed());
        }))
        .await;
    };
    // Nothing ends because it is not asked for.
    let asking = async {
        loop {
            for (cache, person) in all() {
                known(cache, person);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = changes => {}
        () = asking => {}
    }
}

#[tokio::test]
async fn where_there_is_no_room_those_stay_known_who_are_asked_for() {
    let world = World::new(Backend::Sqlite).await;
    let little = settings::Cache { memory_bytes: 1024 * 1024, ..settings::Cache::default() };
    let cache = world.instance_with(&little).await;
    let (ann, bob) = (world.sign_in("ann@example.com").await, world.sign_in("bob@example.com").await);
    assert!(recognise(&cache, &ann, Freshness::Kept).await.is_some());
    let unwanted = recognise(&cache, &bob, Freshness::Kept).await.unwrap();
    for number in 0..2000_u32 {
        assert!(known(&cache, &ann).is_some(), "{number}");
        cache.remember(Digest::of(&number.to_le_bytes()), unwanted.clone());
    }
    assert!(known(&cache, &bob).is_none(), "there was no room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_read_late_in_its_life_is_loaded_anew_by_one_reader() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.lone_instance().await;
    let person = world.sign_in("ann@example.com").await;
    let who = recognise(&cache, &person, Freshness::Kept).await.unwrap();
    assert!(cache.is_to_be_renewed(&who, Instant::now()).is_none(), "it is young");
    eventually("it to be old", SOON, async || cache.is_to_be_renewed(&who, Instant::now()).map(drop)).await;
    assert!(cache.is_to_be_renewed(&who, Instant::now()).is_none(), "somebody is at it");
    let loads = cache.stats().sessions.loads;
    let renewed = recognise(&cache, &person, Freshness::Renewed).await.unwrap();
    assert_eq!(cache.stats().sessions.loads, loads + 1);
    assert!(Arc::ptr_eq(&known(&cache, &person).unwrap(), &renewed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_and_users_that_are_read_all_the_time_are_loaded_ahead() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.lone_instance().await;
    let person = world.sign_in("ann@example.com").await;
    eventually("a load that no reader waited for", SOON, async || {
        assert!(cache.session_by_token(person.digest()).await.unwrap().is_some());
        assert!(cache.user(person.user.id).await.unwrap().is_some());
        let (sessions, users) = (cache.stats().sessions, cache.stats().users);
        (sessions.loads > sessions.memory.misses && users.loads > users.memory.misses).then_some(())
    })
    .await;
}
