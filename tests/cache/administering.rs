//! What operators do with the cache: look at what is held, and have it forgotten everywhere.

use gatepost::cache::{Cache, Scope, Swept};
use gatepost::settings;

use crate::support::eventually;
use crate::world::{Backend, SOON, World, accepts};

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

/// All keys but those that are always there.
async fn keys(world: &World) -> Vec<String> {
    let mut all: Vec<String> = world.redis.ask(&["KEYS", "*"]).await;
    all.retain(|key| key != "gatepost:probe" && !key.starts_with("generation:"));
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_is_forgotten_on_every_instance_and_nothing_else_is_touched() {
    let world = World::new(Backend::Sqlite).await;
    let (here, there) = (world.instance().await, world.instance().await);
    let person = world.sign_in("ann@example.com").await;
    let others = ["{mail}:urgent", "rate:login_email:ab12", "somebody-elses"];
    for key in others {
        world.redis.ask::<()>(&["LPUSH", key, "1"]).await;
    }
    assert!(accepts(&there, &person).await && there.user_by_email(&person.user.email).await.unwrap().is_some());
    let held = keys(&world).await.len();
    assert_eq!(held, others.len() + 3, "a session, a user, an address");

    let swept = here.sweep(&scope("users")).await;
    assert_eq!(swept, Swept { removed: 2, everywhere: true });
    assert!(keys(&world).await.contains(&person.key()));
    let before = there.stats();
    eventually("the other instance to read anew", SOON, async || {
        assert!(there.user(person.user.id).await.unwrap().is_some());
        (there.stats().users.loads > before.users.loads).then_some(())
    })
    .await;

    assert!(here.sweep(&scope("all")).await.everywhere);
    let left = keys(&world).await;
    assert!(left.iter().all(|key| others.contains(&key.as_str())) && left.len() == others.len(), "{left:?}");
    assert!(accepts(&here, &person).await && accepts(&there, &person).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_go_in_steps_and_a_prefix_is_taken_literally() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let mut connection = world.redis.connection().await;
    let mut many = redis::pipe();
    for number in 0..5000 {
        many.cmd("SET").arg(format!("user:email:a{number}@example.com")).arg("x").ignore();
    }
    many.cmd("SET").arg("user:email:*@example.com").arg("x").ignore();
    many.exec_async(&mut connection).await.unwrap();
    assert_eq!(cache.sweep(&scope("user:email:*")).await.removed, 1);
    assert_eq!(cache.sweep(&scope("user:email:a4999@")).await.removed, 1);
    assert_eq!(cache.sweep(&scope("user:email:")).await, Swept { removed: 4999, everywhere: true });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_only_this_instance_forgets_and_says_so() {
    let mut world = World::new(Backend::Sqlite).await;
    let cache = world.instance_with(&settings::Cache::default()).await;
    let person = world.sign_in("ann@example.com").await;
    assert!(accepts(&cache, &person).await);
    world.redis.kill();
    assert_eq!(cache.sweep(&Scope::All).await, Swept { removed: 0, everywhere: false });
    let loads = cache.stats().sessions.loads;
    assert!(accepts(&cache, &person).await);
    assert!(cache.stats().sessions.loads > loads, "it was read anew");
    let alone = world.lone_instance().await;
    assert_eq!(alone.sweep(&Scope::All).await, Swept { removed: 0, everywhere: true }, "there is nobody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_shown_with_its_life_and_only_if_it_is_of_the_cache() {
    let world = World::new(Backend::Sqlite).await;
    let cache = world.quiet_instance().await;
    let person = world.sign_in("ann@example.com").await;
    assert!(accepts(&cache, &person).await && cache.user_by_email(&person.user.email).await.unwrap().is_some());
    let names = Cache::keys_of(&person.user, std::slice::from_ref(&person.session));
    assert!(names.contains(&person.key()) && names.contains(&"user:email:ann@example.com".to_owned()), "{names:?}");
    for name in &names {
        let held = cache.held(name).await.unwrap().expect("a key of the cache");
        if *name == format!("session:id:{}", person.session.id) {
            assert_eq!((held.value, held.ttl_ms), (None, None), "nobody has asked by id");
            continue;
        }
        let life = held.ttl_ms.unwrap_or_else(|| panic!("{name} would stay for good"));
        assert!((1..=1_800_000).contains(&life) && held.bytes > Some(0), "{held:?}");
        assert!(!held.value.unwrap().is_null());
    }
    let session = cache.held(&person.key()).await.unwrap().unwrap().value.unwrap();
    assert_eq!(session["version"], 1);
    world.redis.ask::<()>(&["LPUSH", "{mail}:urgent", "1"]).await;
    assert_eq!(cache.held("{mail}:urgent").await.unwrap(), None);
}
