//! The server on a Redis Cluster and with Redis Sentinel: a person signs in and out, also while the server with all keys is dead and
//! another takes over.

use serde_json::Value;

use crate::SOON;
use crate::person::Person;
use crate::redis_away::redis_is;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{Cluster, Redis, Sentinel, eventually};

/// Servers, with this Redis. Late answers of a busy machine are no outage here: nothing hangs.
async fn on_redis(url: &str) -> Setup {
    Setup::on_servers().await.with(&[("REDIS_URL", url), ("GATEPOST_REDIS_RESPONSE_TIMEOUT", "5s")])
}

/// A code that is mailed through the queue, a session that is cached, and its end.
async fn signs_in_and_out(setup: &Setup, server: &ServerProcess, email: &str) {
    let (person, cookie) = Person::signed_in_with_cookie(setup, server, email).await;
    assert!(person.is_known(server).await);
    let thief = Person::holding(email, &cookie);
    assert!(thief.is_known(server).await);
    assert_eq!(person.post(server, "/api/auth/logout", &Value::Null).await.status(), 204);
    assert!(!thief.is_known(server).await);
}

/// How often each of these commands was carried out, and how often any was refused.
async fn carried_out(redis: &Redis, commands: &[&str]) -> (Vec<u64>, u64) {
    let info: String = redis.ask(&["INFO", "commandstats"]).await;
    let field = |line: &str, name: &str| -> u64 {
        line.split([':', ',']).find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap().parse().unwrap()
    };
    let refused = info.lines().filter(|line| line.starts_with("cmdstat_")).map(|line| field(line, "rejected_calls"));
    let calls = |command: &&str| {
        let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        line.map_or(0, |line| field(line, "calls"))
    };
    (commands.iter().map(calls).collect(), refused.sum())
}

#[tokio::test]
async fn a_person_signs_in_and_out_on_a_cluster_before_during_and_after_a_failover() {
    let mut cluster = Cluster::start().await;
    let setup = on_redis(&cluster.url()).await;
    let server = setup.start().await;
    redis_is(&server, "up").await;
    signs_in_and_out(&setup, &server, "before@example.com").await;
    let (calls, refused) = carried_out(&cluster.owner, &["lpush", "blmpop", "evalsha", "publish", "hmget"]).await;
    assert!(calls.iter().all(|calls| *calls > 0) && refused == 0, "{calls:?} {refused}");
    let held: Vec<String> = cluster.owner.ask(&["KEYS", "*"]).await;
    assert!(held.iter().all(|key| key.starts_with("{gatepost}:")), "{held:?}");

    cluster.owner.kill();
    signs_in_and_out(&setup, &server, "during@example.com").await;
    takes_over(&server, &cluster.replica).await;
    signs_in_and_out(&setup, &server, "after@example.com").await;
    assert!(carried_out(&cluster.replica, &["lpush"]).await.0[0] > 0, "mail goes through the queue again");
}

#[tokio::test]
async fn a_person_signs_in_and_out_with_sentinel_before_during_and_after_a_failover() {
    let mut sentinel = Sentinel::start().await;
    let setup = on_redis(&sentinel.url()).await;
    let server = setup.start().await;
    redis_is(&server, "up").await;
    signs_in_and_out(&setup, &server, "before@example.com").await;
    let (calls, _) = carried_out(&sentinel.master, &["lpush", "blmpop", "evalsha", "publish", "hmget"]).await;
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");

    sentinel.master.kill();
    signs_in_and_out(&setup, &server, "during@example.com").await;
    takes_over(&server, &sentinel.replica).await;
    signs_in_and_out(&setup, &server, "after@example.com").await;
    assert!(carried_out(&sentinel.replica, &["lpush"]).await.0[0] > 0, "mail goes through the queue again");
}

/// Waits until the server uses this one, which forgets what it counted before.
async fn takes_over(server: &ServerProcess, replica: &Redis) {
    eventually("the replica to be promoted", SOON, async || {
        // With its promotion it cuts all connections.
        let info: String = replica.try_ask(&["INFO", "replication"]).await.ok()?;
        info.contains("role:master").then_some(())
    })
    .await;
    replica.ask::<()>(&["CONFIG", "RESETSTAT"]).await;
    redis_is(server, "up").await;
}
