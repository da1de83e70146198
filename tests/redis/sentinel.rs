//! Redis Sentinel: the master, whichever that is.

use std::time::Duration;

use gatepost::redis::{Redis, RedisError, cmd};

use super::several::{
    HURRIED, another_server_is_found, every_kind_of_call_works, several_policies_are_decided_in_one_call,
};
use super::support::{Redis as Server, Sentinel, eventually};
use super::{SOON, settings};

const KEPT: Duration = Duration::from_mins(5);

async fn connect(url: String, response_timeout: Duration) -> Redis {
    let settings = settings::Redis { response_timeout, ..settings(url) };
    Redis::connect(&settings).await.unwrap()
}

#[tokio::test]
async fn everything_works_at_the_master_with_its_credentials_and_database() {
    let sentinel = Sentinel::start().await;
    for server in [&sentinel.master, &sentinel.replica] {
        server.ask::<()>(&["ACL", "SETUSER", "gate", "on", ">right", "~*", "&*", "+@all"]).await;
    }
    let url = sentinel.url().replace("redis+sentinel://", "redis+sentinel://gate:right@").replace('?', "/3?");
    let redis = connect(url, SOON).await;
    assert!(redis.available());
    assert_eq!(redis.query::<String>(cmd("ACL").arg("WHOAMI").take()).await.unwrap(), "gate");
    every_kind_of_call_works(&redis).await;
    several_policies_are_decided_in_one_call(&redis).await;
    let mut connection = sentinel.master.connection().await;
    cmd("SELECT").arg(3).exec_async(&mut connection).await.unwrap();
    let two: Option<i64> = cmd("GET").arg("two").query_async(&mut connection).await.unwrap();
    assert_eq!(two, Some(4), "names are what they are on a server alone");
}

#[tokio::test]
async fn the_replica_takes_over_when_the_master_is_killed() {
    let mut sentinel = Sentinel::start().await;
    let redis = connect(sentinel.url(), HURRIED).await;
    redis.set_ex("key", b"kept", KEPT).await.unwrap();
    eventually("the replica to have it", SOON, async || {
        sentinel.replica.ask::<Option<String>>(&["GET", "key"]).await.map(drop)
    })
    .await;
    sentinel.master.kill();
    another_server_is_found(&redis, "key").await;
    redis.set_ex("new", b"x", KEPT).await.unwrap();
    assert!(sentinel.replica.ask::<Option<String>>(&["GET", "new"]).await.is_some());
}

#[tokio::test]
async fn a_master_that_hung_is_not_used_again_when_it_goes_on() {
    let sentinel = Sentinel::start().await;
    let redis = connect(sentinel.url(), HURRIED).await;
    redis.set_ex("key", b"kept", KEPT).await.unwrap();
    eventually("the replica to have it", SOON, async || {
        sentinel.replica.ask::<Option<String>>(&["GET", "key"]).await.map(drop)
    })
    .await;
    sentinel.master.pause();
    another_server_is_found(&redis, "key").await;
    sentinel.master.resume();
    // It takes itself for the master until the sentinel has told it otherwise, which takes some ten seconds.
    let role: Vec<redis::Value> = sentinel.master.ask(&["ROLE"]).await;
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()));
    let mut fresh = redis.dedicated(SOON).await.unwrap();
    let about: String = cmd("INFO").arg("server").query_async(&mut fresh).await.unwrap();
    assert!(about.contains(&format!("tcp_port:{}", sentinel.replica.port())), "{about}");
    assert!(redis.available());
}

#[tokio::test]
async fn a_sentinel_that_is_away_takes_nothing_from_a_master_that_is_well() {
    let mut sentinel = Sentinel::start().await;
    let redis = connect(sentinel.url(), SOON).await;
    sentinel.kill_sentinel();
    for _ in 0..5 {
        let error = redis.dedicated(SOON).await.expect_err("nobody knows the master");
        assert!(matches!(error, RedisError::Unresolved(_)) && error.is_outage(), "{error}");
    }
    assert!(redis.available());
    redis.set_ex("key", b"x", KEPT).await.unwrap();
}

#[tokio::test]
async fn nobody_is_with_two_masters_at_once() {
    let (sentinel, other) = (Sentinel::start().await, Server::start().await);
    let redis = connect(sentinel.url(), SOON).await;
    redis.set_ex("key", b"x", KEPT).await.unwrap();
    sentinel.tell_of(&other).await;
    redis.set_ex("key", b"y", KEPT).await.unwrap();
    // The first who connects learns of it, and all go over to the other together.
    let error = redis.dedicated(SOON).await.expect_err("it would lead elsewhere than the rest");
    assert!(matches!(error, RedisError::Superseded(_)) && error.is_outage(), "{error}");
    eventually("the other master to be used", SOON, async || redis.available().then_some(())).await;
    assert_eq!(redis.get("key").await.unwrap(), None);
    redis.dedicated(SOON).await.unwrap();
    redis.subscribe("channel").await.unwrap();
    assert!(redis.available());
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_an_outage_with_a_cause() {
    let sentinel = Sentinel::start().await;
    let redis = connect(sentinel.url_of("other"), SOON).await;
    assert!(!redis.available());
    assert!(matches!(redis.get("key").await, Err(RedisError::Unavailable)));
}
