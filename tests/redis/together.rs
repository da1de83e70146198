//! Questions that share a round trip.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gatepost::redis::{Question, Redis, RedisError, cmd};

use super::support::{self, eventually};
use super::{SOON, connect_patiently, settings};

fn question(one: &str, other: &str) -> Arc<Question> {
    Arc::new(Question([one, other].map(str::to_owned)))
}

/// How often the server has read something from a connection.
async fn reads(server: &support::Redis) -> u64 {
    let stats: String = server.ask(&["INFO", "stats"]).await;
    let line = stats.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    line.expect("a count").parse().expect("a number")
}

#[tokio::test]
async fn each_gets_the_answers_to_what_it_asked_and_they_share_round_trips() {
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    for number in 0..50 {
        redis.set_ex(&format!("k{number}"), number.to_string().as_bytes(), SOON).await.unwrap();
    }
    let before = reads(&server).await;
    let ask = async |number: u32| {
        let (one, other) = (format!("k{number}"), format!("k{}", 49 - number));
        let there = redis.ask_together(question(&one, &other)).await.unwrap();
        assert_eq!(redis.ask_together(question("nothing", "nothing")).await.unwrap(), [None, None]);
        there
    };
    let answers = join_all((0..50).map(ask)).await;
    for (number, answer) in (0..50_u32).zip(answers) {
        assert_eq!(answer, [number, 49 - number].map(|number| Some(number.to_string().into_bytes())));
    }
    // Some for the questions, which go by halves, one for the count, and perhaps a heartbeat.
    let trips = reads(&server).await - before;
    assert!((2..10).contains(&trips), "{trips}");
}

#[tokio::test]
async fn who_leaves_takes_nothing_from_the_others() {
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    redis.set_ex("mine", b"1", SOON).await.unwrap();
    redis.set_ex("theirs", b"2", SOON).await.unwrap();
    let mut leaves = Box::pin(redis.ask_together(question("mine", "nothing")));
    let mut stays = Box::pin(redis.ask_together(question("theirs", "nothing")));
    assert!(futures_util::poll!(leaves.as_mut()).is_pending() && futures_util::poll!(stays.as_mut()).is_pending());
    drop(leaves);
    assert_eq!(stays.await.unwrap(), [Some(b"2".to_vec()), None]);
}

#[tokio::test]
async fn what_is_no_string_is_nothing_and_an_outage_is_everybodys() {
    let mut server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    redis.query::<i64>(cmd("LPUSH").arg("list").arg(1).take()).await.unwrap();
    redis.set_ex("string", b"1", SOON).await.unwrap();
    let answer = redis.ask_together(question("list", "string")).await.unwrap();
    assert_eq!(answer, [None, Some(b"1".to_vec())]);
    server.kill();
    let both = ["one", "another"].map(|name| redis.ask_together(question(name, "string")));
    for answer in join_all(both).await {
        let error = answer.unwrap_err();
        assert!(error.is_outage(), "{error}");
    }
}

#[tokio::test]
async fn what_was_asked_keeps_no_connection_up() {
    let server = support::Redis::start().await;
    let redis = connect_patiently(&server).await;
    redis.ask_together(question("nothing", "list")).await.unwrap();
    drop(redis);
    eventually("the connections to be closed", SOON, async || {
        let clients: String = server.ask(&["CLIENT", "LIST"]).await;
        // The one that asks is left.
        (clients.lines().count() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_others_leaves_with_them_when_their_answer_is_late() {
    let server = support::Redis::start().await;
    let response_timeout = Duration::from_secs(4);
    let redis = Redis::connect(&settings::Redis { response_timeout, ..settings(server.url()) }).await.unwrap();
    assert!(redis.ask_together(question("one", "other")).await.is_ok());
    server.pause();
    let asked = Instant::now();
    // More than are sent before one is answered.
    let outcomes = join_all((0..40).map(|_| redis.ask_together(question("one", "other")))).await;
    let waited = asked.elapsed();
    assert!(waited >= response_timeout / 2 && waited < response_timeout * 3 / 4, "{waited:?}");
    let sent = outcomes.iter().filter(|outcome| matches!(**outcome.as_ref().unwrap_err(), RedisError::Timeout)).count();
    let not_sent = outcomes.iter().filter(|outcome| matches!(**outcome.as_ref().unwrap_err(), RedisError::Unavailable));
    assert!(sent > 0 && sent < 40 && sent + not_sent.count() == 40, "{sent} were sent");
    server.resume();
}
