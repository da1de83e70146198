//! What callers meet while the server is killed, frozen, demoted, and back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gatepost::limit::Limiter;
use gatepost::redis::{Redis, RedisError, cmd};

use super::support::{self, eventually, free_port};
use super::{SOON, connect, limits, passes, settings};

/// Until the first probe after a loss, and some for a busy machine.
const RETURN: Duration = Duration::from_secs(20);

async fn comes_back(redis: &Redis) {
    let mut changes = redis.changes();
    tokio::time::timeout(RETURN, changes.wait_for(|available| *available)).await.expect("Redis is seen again").unwrap();
}

async fn goes_away(redis: &Redis) {
    let mut changes = redis.changes();
    tokio::time::timeout(SOON, changes.wait_for(|available| !*available)).await.expect("the loss is seen").unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_at_the_start_is_found_later() {
    let mut server = support::Redis::start().await;
    server.kill();
    let redis = connect(&server).await;
    assert!(!redis.available());
    assert!(matches!(redis.get("key").await, Err(RedisError::Unavailable)));
    server.restart().await;
    comes_back(&redis).await;
    assert!(redis.available() && redis.get("key").await.is_ok());
}

#[tokio::test]
async fn an_address_where_nothing_listens_is_no_error_and_a_wrong_one_is() {
    let redis = Redis::connect(&settings(format!("redis://127.0.0.1:{}", free_port()))).await.unwrap();
    assert!(!redis.available());
    assert_eq!(redis.pool_state().size, 0);
    assert!(matches!(redis.dedicated(SOON).await.err(), Some(RedisError::Unavailable)));
    assert!(matches!(redis.checkout().await.err(), Some(RedisError::Unavailable)));
    assert!(matches!(redis.subscribe("channel").await.err(), Some(RedisError::Unavailable)));
    let error = Redis::connect(&settings("https://x.upstash.io".to_owned())).await.unwrap_err();
    assert!(matches!(error, RedisError::InvalidUrl(_)));
}

#[tokio::test]
async fn a_killed_server_hands_the_decision_over_at_once_and_takes_it_back() {
    let mut server = support::Redis::start().await;
    let redis = connect(&server).await;
    let limiter = Limiter::new(Some(redis.clone()), limits(5, Duration::from_mins(5)));
    assert!(passes(&limiter, "a").await);
    assert_eq!(limiter.counters().decided_by_redis, 1);
    server.kill();

    let mut passed = 0;
    for _ in 0..100 {
        let begun = Instant::now();
        passed += u32::from(passes(&limiter, "a").await);
        assert!(begun.elapsed() < Duration::from_millis(150), "{:?}", begun.elapsed());
    }
    assert_eq!(passed, 4, "the process keeps the limit by itself, and knows of the one before");
    assert_eq!(limiter.counters().decided_locally, 100);
    assert!(!redis.available());

    server.restart().await;
    comes_back(&redis).await;
    eventually("Redis to decide again", RETURN, async || {
        passes(&limiter, "b").await;
        (limiter.counters().decided_by_redis > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_frozen_server_costs_one_timeout_and_then_nothing() {
    let server = support::Redis::start().await;
    let redis = connect(&server).await;
    let limiter = Limiter::new(Some(redis.clone()), limits(5, Duration::from_mins(5)));
    assert!(passes(&limiter, "a").await);
    server.pause();

    let calls = (0..50).map(|_| {
        let limiter = limiter.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            (passes(&limiter, "a").await, begun.elapsed())
        })
    });
    let mut passed = 0;
    for call in join_all(calls.collect::<Vec<_>>()).await {
        let (allowed, took) = call.unwrap();
        passed += u32::from(allowed);
        assert!(took < Duration::from_millis(300), "{took:?}");
    }
    assert_eq!(passed, 4, "one was before");
    // Who asked together counts once; it takes three.
    for _ in 0..3 {
        assert!(!passes(&limiter, "a").await);
    }
    assert!(!redis.available(), "the breaker is open");
    let begun = Instant::now();
    for _ in 0..1000 {
        assert!(matches!(redis.get("key").await, Err(RedisError::Unavailable)));
        assert!(!passes(&limiter, "a").await);
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());

    server.resume();
    comes_back(&redis).await;
    assert!(redis.get("key").await.is_ok());
}

#[tokio::test]
async fn an_outage_and_its_end_are_seen_without_traffic() {
    let mut server = support::Redis::start().await;
    let redis = connect(&server).await;
    assert!(redis.available());
    server.kill();
    goes_away(&redis).await;
    server.restart().await;
    comes_back(&redis).await;
}

#[tokio::test]
async fn a_broken_connection_is_replaced_at_once_when_the_server_is_well() {
    let server = support::Redis::start().await;
    let redis = connect(&server).await;
    for _ in 0..5 {
        server.ask::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        let begun = Instant::now();
        eventually("a new connection", SOON, async || {
            // A first command finds the break, which nothing else does for up to five seconds.
            let _ = redis.get("key").await;
            redis.get("key").await.ok().map(drop)
        })
        .await;
        assert!(begun.elapsed() < Duration::from_millis(450), "no backoff: {:?}", begun.elapsed());
    }
    assert!(redis.available());
}

#[tokio::test]
async fn one_attempt_to_connect_at_a_time() {
    let server = support::Redis::start().await;
    let redis = connect(&server).await;
    let lanes = u64::from(redis.pool_state().size);
    let before = connections_received(&server).await;
    server.ask::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    let calls: Vec<_> = (0..200).map(|_| redis.get("key")).collect();
    let _ = join_all(calls).await;
    eventually("a new connection", SOON, async || redis.get("key").await.ok().map(drop)).await;
    // Of its own connections: two for the commands of this test, then one generation of lanes.
    let after = connections_received(&server).await;
    assert!(after - before <= 2 + lanes, "{before} {after}");
}

async fn connections_received(server: &support::Redis) -> u64 {
    let info: String = server.ask(&["INFO", "stats"]).await;
    let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left_until_it_takes_writes_again() {
    let server = support::Redis::start().await;
    let redis = connect(&server).await;
    redis.set_ex("key", b"x", SOON).await.unwrap();
    // Of nobody: a port on which nothing listens.
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    for _ in 0..3 {
        let error = redis.set_ex("key", b"x", SOON).await.unwrap_err();
        assert!(matches!(error, RedisError::Refusing(_)), "{error}");
    }
    assert!(!redis.available());
    // Probes ask for a write too: this server answers PING all the time.
    let before = refused_writes(&server).await;
    eventually("two probes", RETURN, async || (refused_writes(&server).await >= before + 2).then_some(())).await;
    assert!(!redis.available());
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    comes_back(&redis).await;
    redis.set_ex("key", b"x", SOON).await.unwrap();
}

async fn refused_writes(server: &support::Redis) -> u64 {
    let info: String = server.ask(&["INFO", "commandstats"]).await;
    let line = info.lines().find(|line| line.starts_with("cmdstat_set:")).unwrap();
    line.split(',').find_map(|field| field.strip_prefix("rejected_calls=")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_wrong_password_is_an_outage_with_a_cause() {
    let server = support::Redis::start().await;
    server.ask::<()>(&["CONFIG", "SET", "requirepass", "right"]).await;
    let with = |password: &str| settings(server.url().replace("redis://", &format!("redis://:{password}@")));
    let redis = Redis::connect(&with("wrong")).await.unwrap();
    assert!(!redis.available());
    let redis = Redis::connect(&with("right")).await.unwrap();
    assert!(redis.available() && redis.get("key").await.is_ok());
}

#[tokio::test]
async fn the_last_handle_closes_the_connections() {
    let server = support::Redis::start().await;
    let redis = connect(&server).await;
    drop(redis.clone());
    assert!(redis.get("key").await.is_ok());
    drop(redis);
    eventually("the connections to close", SOON, async || {
        let clients: String = server.ask(&["CLIENT", "LIST", "TYPE", "normal"]).await;
        // The one that asks.
        (clients.lines().count() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_asks_a_frozen_server_again_waits_for_less() {
    let server = support::Redis::start().await;
    let redis = connect(&server).await;
    assert!(redis.get("key").await.is_ok());
    server.pause();
    let mut took = Vec::new();
    while redis.available() && took.len() < 10 {
        let asked = Instant::now();
        assert!(redis.get("key").await.is_err());
        took.push(asked.elapsed());
    }
    server.resume();
    assert!(took.len() <= 4, "the breaker opens after three in a row: {took:?}");
    let shortest_after = took[1..].iter().min().expect("more than one failure opens it");
    assert!(*shortest_after * 4 < took[0] * 3, "{took:?}");
}

/// Asks as somebody does who has another way.
async fn prompt(redis: &Redis) -> Result<Option<String>, RedisError> {
    redis.query_promptly(cmd("GET").arg(redis.key("key")).take()).await
}

#[tokio::test]
async fn who_has_another_way_takes_it_after_half_the_time_and_a_pause_opens_nothing() {
    let server = support::Redis::start().await;
    let response_timeout = Duration::from_secs(4);
    let redis = Redis::connect(&settings::Redis { response_timeout, ..settings(server.url()) }).await.unwrap();
    assert!(prompt(&redis).await.is_ok());
    let changes = redis.changes();
    server.pause();
    let asked = Instant::now();
    // As many as open the breaker, if no answer comes.
    let answers = join_all((0..3).map(|_| prompt(&redis))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(RedisError::Timeout))), "{answers:?}");
    assert!(asked.elapsed() >= response_timeout / 2, "{:?}", asked.elapsed());
    // Meanwhile nobody else waits.
    assert!(matches!(prompt(&redis).await, Err(RedisError::Unavailable)));
    assert!(redis.available());

    server.resume();
    eventually("what was overdue to be answered", SOON, async || prompt(&redis).await.ok()).await;
    assert!(!changes.has_changed().unwrap(), "the breaker was open");
}

#[tokio::test]
async fn what_is_overdue_and_never_answered_opens_the_breaker_with_nobody_waiting() {
    let server = support::Redis::start().await;
    let redis = connect(&server).await;
    eventually("an answer", SOON, async || prompt(&redis).await.ok()).await;
    server.pause();
    let asked = Instant::now();
    assert!(join_all((0..3).map(|_| prompt(&redis))).await.iter().all(Result::is_err));
    goes_away(&redis).await;
    // Before the first heartbeat would have found it, which comes after five seconds.
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    server.resume();
    comes_back(&redis).await;
    eventually("an answer", SOON, async || prompt(&redis).await.ok()).await;
}
