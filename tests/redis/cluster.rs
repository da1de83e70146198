//! Redis Cluster: all keys on one node, whichever that is.

use std::time::Duration;

use gatepost::redis::{Redis, RedisError, TAG};

use super::several::{
    HURRIED, another_server_is_found, every_kind_of_call_works, several_policies_are_decided_in_one_call,
};
use super::support::{self, Cluster, eventually};
use super::{SOON, settings};

const KEPT: Duration = Duration::from_mins(5);

async fn connect(cluster: &Cluster, response_timeout: Duration) -> Redis {
    let settings = settings::Redis { response_timeout, ..settings(cluster.url()) };
    Redis::connect(&settings).await.unwrap()
}

async fn keys(node: &support::Redis) -> Vec<String> {
    node.ask(&["KEYS", "*"]).await
}

#[tokio::test]
async fn everything_works_in_one_slot_of_a_cluster() {
    let cluster = Cluster::start().await;
    let redis = connect(&cluster, SOON).await;
    assert!(redis.available());
    every_kind_of_call_works(&redis).await;
    several_policies_are_decided_in_one_call(&redis).await;
    assert!(redis.available());

    let held = keys(&cluster.owner).await;
    assert!(held.len() > 3 && held.iter().all(|key| key.starts_with(TAG)), "{held:?}");
    assert!(held.contains(&"{gatepost}:two".to_owned()), "{held:?}");
    for node in [&cluster.other, &cluster.third] {
        assert!(keys(node).await.is_empty());
    }
}

#[tokio::test]
async fn a_replica_of_the_owner_takes_over_when_it_is_killed() {
    let mut cluster = Cluster::start().await;
    let redis = connect(&cluster, HURRIED).await;
    redis.set_ex("key", b"kept", KEPT).await.unwrap();
    eventually("the replica to have it", SOON, async || {
        keys(&cluster.replica).await.contains(&"{gatepost}:key".to_owned()).then_some(())
    })
    .await;
    cluster.owner.kill();
    another_server_is_found(&redis, "key").await;
    redis.set_ex("new", b"x", KEPT).await.unwrap();
    assert!(keys(&cluster.replica).await.contains(&"{gatepost}:new".to_owned()));
}

#[tokio::test]
async fn a_slot_that_is_given_to_another_node_is_followed_at_once() {
    let cluster = Cluster::start().await;
    let redis = connect(&cluster, SOON).await;
    redis.set_ex("key", b"kept", KEPT).await.unwrap();
    let mut waiting = redis.dedicated(SOON).await.unwrap();
    cluster.move_slot().await;

    let error = redis.get("key").await.unwrap_err();
    assert!(matches!(error, RedisError::Refusing(_)), "{error}");
    assert!(!redis.available(), "one such answer is enough");
    let value = eventually("the new owner", SOON, async || redis.get("key").await.ok()).await;
    assert_eq!(value.as_deref(), Some(&b"kept"[..]));
    let role: Vec<redis::Value> = cluster.other.ask(&["ROLE"]).await;
    assert!(role[0] == redis::Value::BulkString(b"master".to_vec()) && !keys(&cluster.other).await.is_empty());

    // A connection of somebody's own is told as well, and the next one leads to the new owner.
    let pop = gatepost::redis::cmd("LPOP").arg(redis.key("list")).take();
    let error = RedisError::from(pop.query_async::<Option<String>>(&mut waiting).await.unwrap_err());
    assert!(error.is_outage(), "{error}");
    let mut next = redis.dedicated(SOON).await.unwrap();
    assert_eq!(pop.query_async::<Option<String>>(&mut next).await.unwrap(), None);
}
