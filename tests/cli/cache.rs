//! `cache`: figures, a look inside, forgetting, and what is wrong with a Redis.

use serde_json::Value;

use crate::SOON;
use crate::person::Person;
use crate::run::{Outcome, gatepost, on, prepared};
use crate::setup::{Setup, joined};
use crate::support::sentinel::MASTER;
use crate::support::{Redis, Sentinel, Watcher, eventually, free_port};

const ANN: &str = "ann@example.com";

/// Who vouches for the certificate of `localhost`.
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/tls/ca.pem");

/// What has a Redis speak TLS on `port`, as `localhost`.
fn with_tls(port: &str) -> [&str; 10] {
    const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/tls/server.pem");
    const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/tls/server.key");
    [
        "--tls-port",
        port,
        "--tls-cert-file",
        CERTIFICATE,
        "--tls-key-file",
        KEY,
        "--tls-ca-cert-file",
        AUTHORITY,
        "--tls-auth-clients",
        "no",
    ]
}

#[tokio::test]
async fn a_running_server_tells_what_its_cache_has_done() {
    let setup = Setup::embedded();
    let server = setup.start().await;
    Person::signed_in(&setup, &server, ANN).await;
    let bind = format!("127.0.0.1:{}", server.port());
    let environment = setup.environment();
    let here = joined(&environment, &[("GATEPOST_BIND", &bind)]);
    let text = gatepost(&["cache", "stats"], &here).await.done();
    for told in [bind.as_str(), "healthy", "answered without the database", "by database", "sessions", "users"] {
        assert!(text.contains(told), "{told} in {text}");
    }
    let row = gatepost(&["cache", "stats", "--json"], &here).await.json().remove(0);
    assert_eq!(row["backend"], "memory");
    assert!(row["stats"]["sessions"]["loads"].is_u64(), "{row}");
    let nobody = format!("127.0.0.1:{}", free_port());
    let outcome = gatepost(&["cache", "stats"], &joined(&environment, &[("GATEPOST_BIND", &nobody)])).await;
    assert!(outcome.failed_with(1).contains(&nobody));
}

#[tokio::test]
async fn an_operator_looks_at_what_is_cached_of_an_account_and_has_it_forgotten() {
    let setup = Setup::on_servers().await;
    let server = setup.start().await;
    let (_ann, cookie) = Person::signed_in_with_cookie(&setup, &server, ANN).await;
    let ann = Person::holding(ANN, &cookie);
    let held = eventually("the session to be cached", SOON, async || {
        ann.validate(&server).await;
        let rows = on(&setup, &["cache", "get", ANN, "--json"]).await.json();
        rows.iter().any(|row| row["key"].as_str().unwrap().len() == 72 && !row["value"].is_null()).then_some(rows)
    })
    .await;
    let shown = format!("{held:?}");
    assert!(!shown.contains(&cookie) && !shown.contains("password"), "{shown}");
    let user = held.iter().find(|row| row["key"].as_str().unwrap().starts_with("user:id:")).unwrap();
    let key = user["key"].as_str().unwrap();
    let text = on(&setup, &["cache", "get", key]).await.done();
    assert!(text.starts_with(key), "{text}");

    let text = on(&setup, &["cache", "invalidate", ANN]).await.done();
    assert!(text.contains("every server") && text.contains(ANN), "{text}");
    let after = on(&setup, &["cache", "get", ANN, "--json"]).await.json();
    let has_value = |row: &Value| row["value"]["user"].is_object() || row["value"]["session"].is_object();
    assert!(!after.iter().any(has_value), "{after:?}");
    let row = on(&setup, &["cache", "invalidate", "all", "--json"]).await.json().remove(0);
    assert_eq!(row["forgotten"], "all");
    assert!(ann.validate(&server).await.status().is_success());
}

#[tokio::test]
async fn what_cannot_be_looked_up_or_forgotten_is_told() {
    let setup = Setup::on_servers().await;
    prepared(&setup).await;
    let outcome = on(&setup, &["cache", "get", "nobody@example.com"]).await;
    assert!(outcome.failed_with(1).contains("no account of nobody@example.com"));
    let outcome = on(&setup, &["cache", "get", "{mail}:urgent"]).await;
    assert!(outcome.failed_with(2).contains("no key of the cache"));
    let outcome = on(&setup, &["cache", "invalidate", "rate:"]).await;
    assert!(outcome.failed_with(2).contains("use all, users, sessions"));
    let embedded = Setup::embedded();
    prepared(&embedded).await;
    for arguments in [&["cache", "get", "user:id:1"][..], &["cache", "invalidate", "all"], &["cache", "ping"]] {
        assert!(on(&embedded, arguments).await.failed_with(2).contains("REDIS_URL"), "{arguments:?}");
    }
}

async fn ping(url: &str) -> Outcome {
    gatepost(&["cache", "ping"], &[("REDIS_URL", url)]).await
}

#[tokio::test]
async fn a_redis_that_is_well_is_timed() {
    let redis = Redis::start().await;
    let text = ping(&redis.url()).await.done();
    for told in ["Redis 7", "median", "connect", "SET", "GET", "DEL"] {
        assert!(text.contains(told), "{told} in {text}");
    }
    let found = gatepost(&["cache", "ping", "--json"], &[("REDIS_URL", &redis.url())]).await.json().remove(0);
    assert_eq!(found["fault"], Value::Null);
    assert_eq!(found["timings"].as_array().unwrap().len(), 4, "{found}");
    assert!(!redis.ask::<bool>(&["EXISTS", "gatepost:ping"]).await, "it leaves nothing behind");
}

#[tokio::test]
async fn a_redis_that_wants_a_password_says_so() {
    let redis = Redis::start().await;
    let url = |who: &str| redis.url().replace("redis://", &format!("redis://{who}@"));
    redis.ask::<()>(&["ACL", "SETUSER", "ann", "on", ">right", "~*", "&*", "+@all"]).await;
    redis.ask::<()>(&["ACL", "SETUSER", "bob", "on", ">right", "~*", "&*", "+@all", "-del"]).await;
    redis.ask::<()>(&["ACL", "SETUSER", "default", "off"]).await;
    assert!(ping(&redis.url()).await.failed_with(1).contains("wants a password"));
    let outcome = ping(&url("ann:hunter2")).await;
    assert!(outcome.failed_with(1).contains("refuses the user or the password") && !outcome.stderr.contains("hunter2"));
    assert!(ping(&url("ann:right")).await.done().contains("DEL"));
    let outcome = ping(&url("bob:right")).await;
    assert!(outcome.stderr.contains("may not use DEL"), "{outcome:?}");
}

#[tokio::test]
async fn what_is_no_redis_or_speaks_tls_or_does_not_is_told_apart() {
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    assert!(ping(&nobody).await.failed_with(1).contains("nothing listens"));
    assert!(ping("redis://no-such-host.invalid").await.failed_with(1).contains("cannot be resolved"));

    let setup = Setup::embedded();
    let server = setup.start().await;
    for scheme in ["redis", "rediss"] {
        let outcome = ping(&format!("{scheme}://127.0.0.1:{}", server.port())).await;
        assert!(outcome.failed_with(1).contains("is a web server, not Redis"), "{outcome:?}");
    }

    let tls_port = free_port().to_string();
    let redis = Redis::start_with(&with_tls(&tls_port)).await;
    let outcome = ping(&redis.url().replace("redis://", "rediss://")).await;
    assert!(outcome.failed_with(1).contains("without TLS: use redis://"), "{outcome:?}");
    let outcome = ping(&format!("redis://127.0.0.1:{tls_port}")).await;
    assert!(outcome.failed_with(1).contains("use rediss://"), "{outcome:?}");
    let outcome = ping(&format!("rediss://127.0.0.1:{tls_port}")).await;
    assert!(outcome.failed_with(1).contains("certificate must be valid"), "{outcome:?}");
}

#[tokio::test]
async fn a_replica_is_told() {
    let primary = Redis::start().await;
    let replica = Redis::start().await;
    let port = primary.url().rsplit(':').next().unwrap().to_owned();
    replica.ask::<()>(&["REPLICAOF", "127.0.0.1", &port]).await;
    let outcome = ping(&replica.url()).await;
    assert!(outcome.stderr.contains("read-only replica"), "{outcome:?}");
}

#[tokio::test]
async fn the_master_that_sentinel_names_is_shown_and_a_wrong_name_is_told() {
    let mut sentinel = Sentinel::start().await;
    let text = ping(&sentinel.url()).await.done();
    let master = format!("127.0.0.1:{}: Redis 7", sentinel.master.port());
    assert!(text.starts_with(&master) && text.contains("the master that Sentinel names"), "{text}");

    let outcome = ping(&sentinel.url_of("other")).await;
    assert!(outcome.failed_with(1).contains("knows no master other, but mymaster"), "{outcome:?}");
    let outcome = ping(sentinel.url().split('?').next().unwrap()).await;
    assert!(outcome.failed_with(1).contains("wants a password of its own"), "{outcome:?}");
    let outcome = ping(&sentinel.url().replace("watchword", "hunter2")).await;
    assert!(outcome.failed_with(1).contains("refuses sentinel_user or sentinel_password"), "{outcome:?}");
    assert!(!outcome.stderr.contains("hunter2"), "{outcome:?}");
    let outcome = ping(&format!("{}/mymaster", sentinel.master.url().replace("redis://", "redis+sentinel://"))).await;
    assert!(outcome.failed_with(1).contains("is no sentinel"), "{outcome:?}");
    let outcome = ping(&sentinel.url().replace("redis+", "rediss+")).await;
    assert!(outcome.failed_with(1).contains("use redis+sentinel:// instead of rediss+sentinel://"), "{outcome:?}");

    // Both sentinels of the URL.
    sentinel.kill_sentinel();
    let outcome = ping(&sentinel.url()).await;
    assert_eq!(outcome.failed_with(1).matches("nothing listens at").count(), 2, "{outcome:?}");
}

/// A node of a Cluster that has these slots.
async fn node(slots: [u16; 2], more: &[&str]) -> Redis {
    let bus = free_port().to_string();
    let redis = Redis::start_with(&[&["--cluster-enabled", "yes", "--cluster-port", &bus], more].concat()).await;
    let [from, to] = slots.map(|slot| slot.to_string());
    redis.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]).await;
    redis
}

#[tokio::test]
async fn a_cluster_is_told_from_a_server_alone() {
    let alone = Redis::start().await;
    let clustered = |redis: &Redis| redis.url().replace("redis://", "redis+cluster://");
    let outcome = ping(&clustered(&alone)).await;
    assert!(outcome.failed_with(1).contains("not in cluster mode: use redis://"), "{outcome:?}");

    let node = node([0, 16_383], &[]).await;
    let outcome = ping(&node.url()).await;
    let advice = format!("is a node of a Cluster: use {}", clustered(&node));
    assert!(outcome.code == 1 && outcome.stderr.contains(&advice), "{outcome:?}");
    let found = eventually("the Cluster to serve", SOON, async || {
        let outcome = ping(&clustered(&node)).await;
        if outcome.code == 0 {
            return Some(outcome.done());
        }
        assert!(outcome.failed_with(1).contains("the Cluster of"), "{outcome:?}");
        None
    })
    .await;
    assert!(found.contains("all of Gatepost's keys") && found.contains(&node.port().to_string()), "{found}");
    assert_eq!(node.ask::<u64>(&["DBSIZE"]).await, 0, "it leaves nothing behind");
    let outcome = ping(&format!("redis+cluster://127.0.0.1:{}", free_port())).await;
    assert!(outcome.failed_with(1).contains("nothing listens"), "{outcome:?}");
}

#[tokio::test]
async fn a_node_that_another_leads_to_is_reached_with_tls_as_well() {
    let ports = [free_port().to_string(), free_port().to_string()];
    let tls = |port| {
        // The name that the certificate is for.
        let announced = ["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"];
        [&with_tls(port)[..], &["--tls-cluster", "yes"], &announced].concat()
    };
    // All of Gatepost's keys are in slot 11867.
    let seed = node([0, 11_866], &tls(&ports[0])).await;
    let owner = node([11_867, 16_383], &tls(&ports[1])).await;
    let bus: Vec<String> = owner.ask(&["CONFIG", "GET", "cluster-port"]).await;
    seed.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &ports[1], &bus[1]]).await;
    let url = format!("rediss+cluster://localhost:{}", ports[0]);
    let found = eventually("the Cluster to serve", SOON, async || {
        let outcome = gatepost(&["cache", "ping"], &[("REDIS_URL", &url), ("SSL_CERT_FILE", AUTHORITY)]).await;
        (outcome.code == 0).then(|| outcome.done())
    })
    .await;
    assert!(found.starts_with(&format!("localhost:{}: Redis 7", ports[1])), "{found}");
    let outcome = gatepost(&["cache", "ping"], &[("REDIS_URL", &url)]).await;
    assert!(outcome.failed_with(1).contains("certificate must be valid"), "{outcome:?}");
}

#[tokio::test]
async fn the_master_that_a_sentinel_names_is_reached_with_tls_as_well() {
    let [of_master, of_sentinel, of_other] = [(); 3].map(|()| free_port().to_string());
    let _master = Redis::start_with(&with_tls(&of_master)).await;
    let sentinel_with = async |host: &str, port: &str, names: &str| {
        // It asks the master with TLS, too.
        let more = ["--tls-replication", "yes", "--sentinel", "announce-hostnames", names];
        let sentinel = Watcher::start((host, &of_master), &[&with_tls(port)[..], &more].concat()).await;
        (sentinel, Watcher::url_of(&format!("localhost:{port}"), MASTER))
    };
    // The name that the certificate is for.
    let (_sentinel, plain) = sentinel_with("localhost", &of_sentinel, "yes").await;
    let url = plain.replace("redis+", "rediss+");
    let trusted = [("REDIS_URL", url.as_str()), ("SSL_CERT_FILE", AUTHORITY)];
    let found = gatepost(&["cache", "ping"], &trusted).await.done();
    assert!(found.starts_with(&format!("localhost:{of_master}: Redis 7")), "{found}");
    let outcome = ping(&url).await;
    assert!(outcome.failed_with(1).contains("certificate must be valid"), "{outcome:?}");
    let outcome = ping(&plain).await;
    assert!(outcome.failed_with(1).contains("use rediss+sentinel://"), "{outcome:?}");
    // A good certificate of the sentinel's is none of the master's.
    let (_other, plain) = sentinel_with("127.0.0.1", &of_other, "no").await;
    let other = plain.replace("redis+", "rediss+");
    let outcome = gatepost(&["cache", "ping"], &[("REDIS_URL", &other), ("SSL_CERT_FILE", AUTHORITY)]).await;
    let refusal = outcome.failed_with(1);
    assert!(refusal.contains("certificate must be valid") && refusal.contains("127.0.0.1"), "{outcome:?}");

    let server = Setup::embedded().with(&trusted).start().await;
    eventually("the server to be with it", SOON, async || {
        let health: Value = reqwest::get(server.url("/health/cache")).await.unwrap().json().await.unwrap();
        (health["backend"] == "redis" && health["stats"]["redis_available"] == true).then_some(())
    })
    .await;
}
