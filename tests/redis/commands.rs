//! The typed commands, and connections of one's own.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gatepost::redis::{Redis, RedisError, Script, cmd, pipe};

use super::support::{self, eventually};
use super::{SOON, connect, connect_patiently};

#[tokio::test]
async fn values_are_kept_for_their_time_and_deleted() {
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    assert_eq!(redis.get("key").await.unwrap(), None);
    redis.set_ex("key", b"\0value", Duration::from_mins(1)).await.unwrap();
    assert_eq!(redis.get("key").await.unwrap().as_deref(), Some(&b"\0value"[..]));
    let left: i64 = server.ask(&["PTTL", "key"]).await;
    assert!((1..=60_000).contains(&left), "{left}");
    assert_eq!(redis.del(&["key", "none"]).await.unwrap(), 1);
    assert_eq!(redis.del::<&str>(&[]).await.unwrap(), 0);

    redis.set_ex("short", b"x", Duration::from_millis(50)).await.unwrap();
    eventually("the value to expire", SOON, async || redis.get("short").await.unwrap().is_none().then_some(())).await;
}

#[tokio::test]
async fn several_commands_go_in_one_trip_and_scripts_survive_being_forgotten() {
    static ADD: Script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    let mut commands = pipe();
    commands.cmd("SET").arg("n").arg(1).ignore().cmd("INCR").arg("n").cmd("GET").arg("n");
    assert_eq!(redis.pipeline::<(i64, String)>(commands).await.unwrap(), (2, "2".to_owned()));
    for expected in [5, 8] {
        assert_eq!(redis.run_script::<i64>(&ADD, &["n"], 3).await.unwrap(), expected);
    }
    server.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(redis.run_script::<i64>(&ADD, &["n"], 3).await.unwrap(), 11);
}

#[tokio::test]
async fn an_operator_sees_the_server_and_the_pool() {
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    redis.set_ex("one", b"x", SOON).await.unwrap();
    let info = redis.info().await.unwrap();
    assert!(info.version.split('.').count() == 3 && info.used_memory > 100_000, "{info:?}");
    // The probe's key may still be there.
    assert!((1..=2).contains(&info.keys), "{info:?}");
    assert!(redis.ping().await.unwrap() < SOON);

    let idle = redis.pool_state();
    assert!(idle.size >= 1 && idle.available == idle.size && idle.pending == 0, "{idle:?}");
    let mut checkout = redis.checkout().await.unwrap();
    assert_eq!(redis.pool_state().available, idle.available - 1);
    cmd("PING").exec_async(&mut *checkout).await.unwrap();
    drop(checkout);
    assert_eq!(redis.pool_state().available, idle.available);
}

#[tokio::test]
async fn a_command_that_blocks_has_a_connection_and_a_patience_of_its_own() {
    let server = support::Redis::start().await;
    let redis = connect(&server).await;
    let mut blocking = redis.dedicated(Duration::from_secs(5)).await.unwrap();
    let popped = tokio::spawn(async move {
        cmd("BLPOP").arg("list").arg(4).query_async::<Option<(String, String)>>(&mut blocking).await
    });
    eventually("the pop to wait", SOON, async || {
        let info: String = server.ask(&["INFO", "clients"]).await;
        info.contains("blocked_clients:1").then_some(())
    })
    .await;
    // Longer than the response timeout of everything else.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(150) {
        redis.query::<()>(cmd("PING")).await.unwrap();
    }
    redis.query::<()>(cmd("RPUSH").arg("list").arg("id").take()).await.unwrap();
    assert_eq!(popped.await.unwrap().unwrap(), Some(("list".to_owned(), "id".to_owned())));
}

#[tokio::test]
async fn subscribers_hear_what_is_published() {
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    let mut subscription = redis.subscribe("channel").await.unwrap();
    redis.query::<()>(cmd("PUBLISH").arg("channel").arg("news").take()).await.unwrap();
    let message = tokio::time::timeout(SOON, subscription.next()).await.unwrap().unwrap();
    assert_eq!(message.get_payload::<String>().unwrap(), "news");
}

#[tokio::test]
async fn a_subscription_lasts_for_as_long_as_its_server_gives_signs_of_life() {
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    let mut subscription = redis.subscribe("channel").await.unwrap();
    let silence = async { assert!(subscription.next().await.is_none(), "nobody has said anything") };
    let asked = eventually("the server to be asked", SOON, async || {
        let clients: String = server.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
        clients.contains("cmd=ping").then_some(())
    });
    tokio::select! {
        () = silence => panic!("it answers"),
        () = asked => {}
    }
    redis.query::<()>(cmd("PUBLISH").arg("channel").arg("news").take()).await.unwrap();
    let message = tokio::time::timeout(SOON, subscription.next()).await.unwrap().unwrap();
    assert_eq!(message.get_payload::<String>().unwrap(), "news");
    server.pause();
    assert!(tokio::time::timeout(SOON, subscription.next()).await.unwrap().is_none());
    server.resume();
}

#[tokio::test]
async fn a_wrong_command_is_an_error_and_no_outage() {
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    redis.set_ex("string", b"x", SOON).await.unwrap();
    for _ in 0..50 {
        let error = redis.query::<()>(cmd("RPUSH").arg("string").arg("x").take()).await.unwrap_err();
        assert!(matches!(error, RedisError::Reply(_)), "{error}");
        let error = redis.query::<u64>(cmd("GET").arg("string").take()).await.unwrap_err();
        assert!(matches!(error, RedisError::Reply(_)), "{error}");
    }
    assert!(redis.available());
    assert!(redis.get("string").await.unwrap().is_some());
}

#[tokio::test]
async fn a_full_server_is_no_outage_either() {
    let server = support::Redis::start_with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await;
    let redis = connect_patiently(&server).await;
    for _ in 0..10 {
        let error = redis.set_ex("key", b"x", SOON).await.unwrap_err();
        assert!(matches!(error, RedisError::Reply(_)), "{error}");
    }
    assert!(redis.available());
}

/// The connection that a command of this thread goes over.
async fn connection(redis: &Redis) -> Option<i64> {
    redis.query(cmd("CLIENT").arg("ID").take()).await.ok()
}

async fn connections(redis: &Redis) -> HashSet<Option<i64>> {
    let mut seen = HashSet::new();
    for _ in 0..20 {
        seen.insert(connection(redis).await);
    }
    seen
}

#[tokio::test]
async fn a_thread_that_asks_for_it_has_a_connection_of_its_own_also_after_an_outage() {
    let mut server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    let shared = connections(&redis).await;
    redis.adopt_thread();
    for outage in [false, true] {
        if outage {
            server.restart().await;
            eventually("Redis to be back", SOON, async || connection(&redis).await).await;
        }
        eventually("the thread to have its own", SOON, async || {
            let seen = connections(&redis).await;
            // A server that has started again counts its connections from the beginning.
            (seen.len() == 1 && !seen.contains(&None) && (outage || seen.is_disjoint(&shared))).then_some(())
        })
        .await;
    }
    let own = connections(&redis).await;
    // The shared ones are driven by this thread, which must not stand still meanwhile.
    let elsewhere = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(connections(&redis))
    });
    let elsewhere = elsewhere.await.unwrap();
    assert!(elsewhere.is_disjoint(&own) && !elsewhere.contains(&None), "other threads keep to the shared ones");
}
