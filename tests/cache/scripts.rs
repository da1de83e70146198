//! The Lua scripts, each on its own.

use crate::support::Redis;

const FILL: &str =
    concat!(include_str!("../../src/cache/scripts/version_of.lua"), include_str!("../../src/cache/scripts/fill.lua"));
const FORGET: &str =
    concat!(include_str!("../../src/cache/scripts/version_of.lua"), include_str!("../../src/cache/scripts/forget.lua"));

async fn eval(redis: &Redis, script: &str, key: &str, args: &[&str]) -> i64 {
    let stamp = format!("{key}:stamp");
    let mut command = vec!["EVAL", script, "2", key, &stamp];
    command.extend(args);
    redis.ask(&command).await
}

fn user(version: i64) -> String {
    format!(r#"{{"schema":1,"version":{version},"user":{{}}}}"#)
}

#[tokio::test]
async fn a_fill_that_is_older_than_what_is_stored_is_refused() {
    let redis = Redis::start().await;
    let fill = async |version: i64| {
        let text = version.to_string();
        let string = eval(&redis, FILL, "string", &[&text, "60000", "", &user(version)]).await;
        let hash = eval(&redis, FILL, "hash", &[&text, "60000", "", "version", &text, "session", "{}"]).await;
        assert_eq!(string, hash);
        string == 1
    };
    assert!(fill(5).await);
    assert!(fill(5).await, "the same again");
    assert!(!fill(4).await);
    assert!(fill(10).await, "versions are compared as numbers");
    assert!(!fill(9).await);
    assert_eq!(redis.ask::<String>(&["GET", "string"]).await, user(10));
    assert_eq!(redis.ask::<Vec<String>>(&["HMGET", "hash", "version", "session"]).await, ["10", "{}"]);
    for key in ["string", "hash"] {
        assert!((1..=60_000).contains(&redis.ask::<i64>(&["PTTL", key]).await), "{key}");
    }
}

#[tokio::test]
async fn a_tombstone_keeps_out_what_is_older_and_makes_room_for_what_is_not() {
    let redis = Redis::start().await;
    let tombstone = |version: i64| ["version".to_owned(), version.to_string()];
    for (key, version) in [("empty", 3), ("filled", 3)] {
        if key == "filled" {
            assert_eq!(eval(&redis, FILL, key, &["2", "60000", "", "version", "2", "session", "{}"]).await, 1);
        }
        let [field, value] = tombstone(version);
        assert_eq!(eval(&redis, FORGET, key, &["3", "60000", "channel", "told", "", &field, &value]).await, 1);
        assert_eq!(redis.ask::<Vec<String>>(&["HGETALL", key]).await, ["version", "3"]);
        assert_eq!(eval(&redis, FILL, key, &["2", "60000", "", "version", "2", "session", "{}"]).await, 0);
        assert_eq!(eval(&redis, FILL, key, &["3", "60000", "", "version", "3", "session", "{}"]).await, 1);
    }
}

#[tokio::test]
async fn an_invalidation_removes_its_own_version_and_a_repair_does_not() {
    let redis = Redis::start().await;
    let stored = async || redis.ask::<Option<String>>(&["HGET", "key", "session"]).await.is_some();
    let fill = async || eval(&redis, FILL, "key", &["7", "60000", "", "version", "7", "session", "{}"]).await;
    fill().await;
    for version in ["6", "7"] {
        assert_eq!(eval(&redis, FORGET, "key", &[version, "60000", "", "", "", "version", version]).await, 0);
        assert!(stored().await);
    }
    assert_eq!(eval(&redis, FORGET, "key", &["6", "60000", "channel", "told", "", "version", "6"]).await, 0);
    assert!(stored().await, "what is newer stays");
    assert_eq!(eval(&redis, FORGET, "key", &["7", "60000", "channel", "told", "", "version", "7"]).await, 1);
    assert!(!stored().await);
    fill().await;
    assert_eq!(eval(&redis, FORGET, "key", &["8", "60000", "", "", "", "version", "8"]).await, 1);
    assert!(!stored().await);
}

#[tokio::test]
async fn a_stamp_is_there_only_beside_the_value_that_it_was_put_with() {
    let redis = Redis::start().await;
    let stamp = async || redis.ask::<Option<String>>(&["GET", "key:stamp"]).await;
    let fill = async |version: &str, stamp: &str| {
        eval(&redis, FILL, "key", &[version, "60000", stamp, "version", version, "session", "{}"]).await
    };
    assert_eq!((fill("7", "of 7").await, stamp().await.as_deref()), (1, Some("of 7")));
    let until = async |key: &str| redis.ask::<i64>(&["PEXPIRETIME", key]).await;
    let value = until("key").await;
    assert!(value > 0 && until("key:stamp").await == value);
    assert_eq!((fill("6", "of 6").await, stamp().await.as_deref()), (0, Some("of 7")), "a fill that was refused");
    // An invalidation of what is older, and a repair.
    for (version, channel) in [("6", "channel"), ("7", "")] {
        assert_eq!(eval(&redis, FORGET, "key", &[version, "60000", channel, "told", "", "version", "7"]).await, 0);
        assert_eq!(stamp().await.as_deref(), Some("of 7"));
    }
    assert_eq!((fill("8", "").await, stamp().await), (1, None), "by an instance that reads none");
    assert_eq!((fill("8", "of 8").await, stamp().await.as_deref()), (1, Some("of 8")));
    assert_eq!(eval(&redis, FORGET, "key", &["8", "60000", "channel", "told", "", "version", "8"]).await, 1);
    assert_eq!(stamp().await, None, "a tombstone has none");
    assert_eq!(eval(&redis, FORGET, "key", &["9", "60000", "channel", "told", "of 9", "version", "9"]).await, 1);
    assert_eq!(stamp().await.as_deref(), Some("of 9"), "a new version in the place of a tombstone");
}

#[tokio::test]
async fn what_has_no_version_gives_way() {
    let redis = Redis::start().await;
    for (command, script) in [
        (vec!["SET", "key", "not json"], FILL),
        (vec!["SET", "key", "[1]"], FILL),
        (vec!["SET", "key", r#"{"version":null}"#], FILL),
        (vec!["SET", "key", r#"{"version":{"a":1}}"#], FORGET),
        (vec!["HSET", "key", "version", "seven"], FILL),
        (vec!["HSET", "key", "other", "1"], FORGET),
        (vec!["LPUSH", "key", "1"], FILL),
        (vec!["SADD", "key", "1"], FORGET),
    ] {
        redis.ask::<i64>(&["DEL", "key"]).await;
        redis.ask::<redis::Value>(&command).await;
        let args: &[&str] = if script == FILL {
            &["1", "60000", "", "{}"]
        } else {
            &["1", "60000", "channel", "told", "", r#"{"version":1}"#]
        };
        assert_eq!(eval(&redis, script, "key", args).await, 1, "{command:?}");
        assert_eq!(redis.ask::<String>(&["TYPE", "key"]).await, "string");
    }
}
