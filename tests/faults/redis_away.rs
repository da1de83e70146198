//! Redis dies, forgets, hangs and comes back, and the person who is signing in sees nothing of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::SOON;
use crate::person::Person;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::eventually;

/// No request takes longer than this because of Redis: the few calls of one request time out after 100 ms each.
const UNNOTICED: Duration = Duration::from_secs(1);

pub(crate) async fn redis_is(server: &ServerProcess, state: &str) {
    eventually(&format!("the server to find Redis {state}"), SOON, async || {
        let answer = reqwest::get(server.url("/health/ready")).await.ok()?;
        assert_eq!(answer.status(), 200, "Redis away is no reason not to be ready");
        let body: Value = answer.json().await.ok()?;
        let status = if state == "up" { "ok" } else { "degraded" };
        (body["checks"]["redis"] == state && body["status"] == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_person_signs_in_by_code_on_both_setups() {
    for setup in Setup::both().await {
        let server = setup.start().await;
        let person = Person::signed_in(&setup, &server, "ann@example.com").await;
        assert!(person.is_known(&server).await);
    }
}

#[tokio::test]
async fn redis_may_die_between_the_request_and_the_code() {
    let mut setup = Setup::on_servers().await;
    let server = setup.start().await;
    let person = Person::new("ann@example.com");
    let challenge = person.ask(&server).await;
    setup.servers_mut().redis.kill();
    let code = setup.next_code_to(&server, &person.email).await.code().unwrap();
    person.answer(&server, &challenge, &code, "cookie").await;
    assert!(person.is_known(&server).await);
    // And from the beginning without it.
    let late = Person::signed_in(&setup, &server, "late@example.com").await;
    assert!(late.is_known(&server).await);
}

#[tokio::test]
async fn redis_may_die_after_the_sign_in_and_is_used_again_when_it_is_back() {
    let mut setup = Setup::on_servers().await;
    let server = setup.start().await;
    let person = Person::signed_in(&setup, &server, "ann@example.com").await;
    redis_is(&server, "up").await;
    setup.servers_mut().redis.kill();
    assert!(person.is_known(&server).await);
    // The breaker opens only when calls fail, so somebody has to make some.
    eventually("the server to notice", SOON, async || {
        assert!(person.is_known(&server).await);
        let body: Value = reqwest::get(server.url("/health/ready")).await.ok()?.json().await.ok()?;
        (body["checks"]["redis"] == "down").then_some(())
    })
    .await;

    setup.servers_mut().redis.restart().await;
    redis_is(&server, "up").await;
    let redis = &setup.servers().redis;
    assert!(redis.dump().await.iter().all(|text| !text.contains("@example.com")), "it came back empty");
    let newcomer = Person::signed_in(&setup, &server, "new@example.com").await;
    eventually("Redis to hold a session again", SOON, async || {
        assert!(newcomer.is_known(&server).await && person.is_known(&server).await);
        redis.dump().await.iter().any(|text| text.contains("session:")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn redis_may_forget_everything_at_any_moment() {
    let setup = Setup::on_servers().await;
    let server = setup.start().await;
    let person = Person::new("ann@example.com");
    let redis = &setup.servers().redis;
    redis.flush().await;
    let challenge = person.ask(&server).await;
    redis.flush().await;
    let code = setup.next_code_to(&server, &person.email).await.code().unwrap();
    redis.flush().await;
    person.answer(&server, &challenge, &code, "cookie").await;
    redis.flush().await;
    assert!(person.is_known(&server).await);
    // What was used stays used, and guesses stay counted.
    let again = serde_json::json!({ "challenge_id": challenge, "code": code });
    assert_eq!(person.post(&server, "/api/auth/otp/verify", &again).await.status(), 401);
}

#[tokio::test]
async fn a_logged_out_session_does_not_come_back_with_redis() {
    let mut setup = Setup::on_servers().await;
    let server = setup.start().await;
    let (person, cookie) = Person::signed_in_with_cookie(&setup, &server, "ann@example.com").await;
    let thief = Person::holding(&person.email, &cookie);
    assert!(thief.is_known(&server).await);
    setup.servers_mut().redis.kill();
    let out = person.post(&server, "/api/auth/logout", &Value::Null).await;
    assert_eq!(out.status(), 204);
    setup.servers_mut().redis.restart().await;
    redis_is(&server, "up").await;
    assert!(!thief.is_known(&server).await);
}

#[tokio::test]
async fn while_redis_hangs_no_request_waits_for_it_and_none_fails() {
    let setup = Setup::on_servers().await;
    let server = setup.start().await;
    let early = Person::signed_in(&setup, &server, "early@example.com").await;
    setup.servers().redis.pause();
    for round in 0..8 {
        let person = Person::new(&format!("p{round}@example.com"));
        let challenge = quickly("a request", person.ask(&server)).await;
        let code = setup.next_code_to(&server, &person.email).await.code().unwrap();
        quickly("a code", person.answer(&server, &challenge, &code, "cookie")).await;
        assert!(quickly("a look", person.is_known(&server)).await);
        assert!(quickly("an older look", early.is_known(&server)).await);
    }
    setup.servers().redis.resume();
    redis_is(&server, "up").await;
    assert!(early.is_known(&server).await);
}

async fn quickly<T>(what: &str, request: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = request.await;
    let took = begun.elapsed();
    assert!(took < UNNOTICED, "{what} took {took:?} while Redis hung");
    answer
}
