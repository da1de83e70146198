//! What has to work wherever the server to talk to is one of several.

use std::time::Duration;

use gatepost::limit::{Limiter, PolicyName};
use gatepost::redis::keys::{MAIL_HIGH, MAIL_LISTS, MAIL_URGENT};
use gatepost::redis::{Question, Redis, RedisError, Script, cmd, pipe};

use super::support::eventually;
use super::{Check, SOON, limits};

/// A response timeout for a busy machine on which servers hang.
pub(crate) const HURRIED: Duration = Duration::from_millis(500);
/// Longer than a failover and the wait for the next probe take.
const FAILOVER: Duration = Duration::from_secs(30);

static ADD: Script = Script::new(
    "redis.call('INCRBY', KEYS[1], ARGV[1]) redis.call('INCRBY', KEYS[2], ARGV[1]) return redis.call('GET', KEYS[2])",
);

/// Every kind of call, on names whose hashes have nothing in common. Leaves the keys `one`, `two` and `x:…` behind.
pub(crate) async fn every_kind_of_call_works(redis: &Redis) {
    redis.set_ex("one", b"1", Duration::from_mins(1)).await.unwrap();
    assert_eq!(redis.get("one").await.unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(redis.run_script::<i64>(&ADD, &["one", "two"], 3).await.unwrap(), 3);
    let mut commands = pipe();
    commands.cmd("INCR").arg(redis.key("two")).cmd("MGET").arg(redis.key("one")).arg(redis.key("two"));
    assert_eq!(redis.pipeline::<(i64, Vec<i64>)>(commands).await.unwrap(), (4, vec![4, 4]));
    let question = Question(["one", "two"].map(str::to_owned));
    let answers = redis.ask_together(question.into()).await.unwrap();
    assert_eq!(answers, [Some(b"4".to_vec()), Some(b"4".to_vec())]);
    ids_wait_in_lists_and_are_popped(redis).await;
    news_are_heard(redis).await;
    names_are_found_and_removed(redis).await;
    let examined = redis.examine().await;
    assert!(examined.errors.is_empty() && examined.get.is_some(), "{examined:?}");
}

async fn ids_wait_in_lists_and_are_popped(redis: &Redis) {
    let mut connection = redis.dedicated(SOON).await.unwrap();
    let pop = |redis: &Redis| {
        let lists = MAIL_LISTS.map(|list| redis.key(list)).to_vec();
        cmd("BLMPOP").arg(5).arg(MAIL_LISTS.len()).arg(lists).arg("RIGHT").arg("COUNT").arg(9).take()
    };
    for list in [MAIL_HIGH, MAIL_URGENT] {
        redis.query::<u64>(cmd("LPUSH").arg(redis.key(list)).arg("id").take()).await.unwrap();
    }
    for list in [MAIL_URGENT, MAIL_HIGH] {
        let (key, ids): (String, Vec<String>) = pop(redis).query_async(&mut connection).await.unwrap();
        assert_eq!((redis.name(&key), ids), (list, vec!["id".to_owned()]));
    }
}

async fn news_are_heard(redis: &Redis) {
    let mut subscription = redis.subscribe("channel").await.unwrap();
    redis.query::<()>(cmd("PUBLISH").arg("channel").arg("news").take()).await.unwrap();
    let message = tokio::time::timeout(SOON, subscription.next()).await.unwrap().unwrap();
    assert_eq!(message.get_payload::<String>().unwrap(), "news");
}

async fn names_are_found_and_removed(redis: &Redis) {
    let mut names: Vec<String> = (0..50).map(|number| format!("x:{number}:{{{number}}}")).collect();
    for name in &names {
        redis.set_ex(name, b"x", Duration::from_mins(1)).await.unwrap();
    }
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let (next, some) = redis.scan(from, "x:*", 10).await.unwrap();
        found.extend(some.into_iter().map(|name| String::from_utf8(name).unwrap()));
        if next == 0 {
            break;
        }
        from = next;
    }
    found.sort_unstable();
    found.dedup();
    names.sort_unstable();
    assert_eq!(found, names);
    assert_eq!(redis.unlink(&names[..40]).await.unwrap() + redis.del(&names[40..49]).await.unwrap(), 49);
}

/// A request under several policies is decided in one call, by the server; and forgotten with what belongs to it.
pub(crate) async fn several_policies_are_decided_in_one_call(redis: &Redis) {
    let limiter = Limiter::new(Some(redis.clone()), limits(3, Duration::from_mins(5)));
    let checks =
        [(PolicyName::OtpRequestEmail, "a"), (PolicyName::OtpRequestEmail, "a:b"), (PolicyName::ApiAddress, "a")]
            .map(|(policy, subject)| Check::new(policy, subject));
    for _ in 0..3 {
        assert!(limiter.check(&checks).await.is_allowed());
    }
    let counters = limiter.counters();
    assert_eq!((counters.decided_by_redis, counters.decided_locally), (3, 0));
    limiter.reset(&checks[0]).await.unwrap();
    for (check, expected) in checks.iter().zip([3, 3, 0]) {
        let standing = limiter.standing(check).await;
        assert_eq!((standing.window.remaining, standing.told_by_redis), (expected, true), "{check:?}");
    }
}

/// What was kept by the first server under a name is there in the one that has taken over, within a bounded time; until then every
/// call fails, and none waits for longer than for a server that hangs.
pub(crate) async fn another_server_is_found(redis: &Redis, name: &str) {
    let first = redis.get(name).await;
    assert!(first.as_ref().is_err_and(RedisError::is_outage), "{first:?}");
    eventually("the other server", FAILOVER, async || {
        let begun = std::time::Instant::now();
        let answer = redis.get(name).await;
        assert!(begun.elapsed() < HURRIED * 2, "{:?}", begun.elapsed());
        match answer {
            Ok(value) => {
                assert_eq!(value.as_deref(), Some(&b"kept"[..]));
                Some(())
            }
            Err(error) => {
                assert!(error.is_outage(), "{error}");
                None
            }
        }
    })
    .await;
}
