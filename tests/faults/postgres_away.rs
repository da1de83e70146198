//! Postgres goes away and comes back. Nobody is told a lie meanwhile, and nobody has to restart anything.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::Value;

use crate::SOON;
use crate::person::Person;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{PrivatePostgres, eventually};

/// The default wait for a connection is 5 s; no answer takes much longer.
const BOUNDED: Duration = Duration::from_secs(7);

async fn is_unavailable(what: &str, request: impl Future<Output = Response>) {
    let begun = Instant::now();
    let answer = tokio::time::timeout(BOUNDED * 2, request);
    let answer = answer.await.unwrap_or_else(|_| panic!("{what} has no answer after {:?}", BOUNDED * 2));
    let took = begun.elapsed();
    eprintln!("{what}: {} after {took:?}", answer.status());
    assert_eq!(answer.status(), 503, "{what}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{what}");
    assert!(answer.headers().contains_key("retry-after"), "{what} says when to come again");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "unavailable", "{what}: {problem}");
    assert!(!problem.to_string().contains("127.0.0.1"), "{what} says where the database is: {problem}");
    assert!(took < BOUNDED, "{what} took {took:?}");
}

/// A server with somebody signed in and somebody who has yet to type a code.
struct Morning {
    postgres: PrivatePostgres,
    setup: Setup,
    server: ServerProcess,
    early: Person,
    challenge: String,
    code: String,
}

impl Morning {
    async fn begin() -> Self {
        let postgres = PrivatePostgres::start().await;
        let setup = Setup::on_database(postgres.database().await).await;
        let server = setup.start().await;
        let early = Person::signed_in(&setup, &server, "early@example.com").await;
        let waiting = Person::new("open@example.com");
        let challenge = waiting.ask(&server).await;
        let code = setup.next_code_to(&server, &waiting.email).await.code().unwrap();
        Self { postgres, setup, server, early, challenge, code }
    }

    /// Nobody gets in, is thrown out, or waits for ever.
    async fn nothing_can_be_done(&self) {
        let newcomer = Person::new("new@example.com");
        // A session of which no cache can know anything.
        let stranger = Person::holding("x@example.com", &format!("gps_{}", "A".repeat(43)));
        let guess = serde_json::json!({ "challenge_id": self.challenge, "code": self.code });
        let ready = async { reqwest::get(self.server.url("/health/ready")).await.unwrap() };
        tokio::join!(
            is_unavailable("/health/ready", ready),
            is_unavailable("a request", newcomer.try_to_ask(&self.server)),
            is_unavailable("a code", newcomer.post(&self.server, "/api/auth/otp/verify", &guess)),
            is_unavailable("a session", stranger.validate(&self.server)),
        );
        let live = reqwest::get(self.server.url("/health/live")).await.unwrap();
        assert_eq!(live.status(), 200, "the process itself is fine");
        let begun = Instant::now();
        let status = self.early.validate(&self.server).await.status();
        let took = begun.elapsed();
        assert!([200, 503].contains(&status.as_u16()), "a session is not lost with the database: {status}");
        assert!(took < BOUNDED, "a session took {took:?}, although only the database is away");
    }

    async fn everything_works_again(&self) {
        let server = &self.server;
        let begun = Instant::now();
        eventually("the server to be ready again", SOON, async || {
            (reqwest::get(server.url("/health/ready")).await.ok()?.status() == 200).then_some(())
        })
        .await;
        eprintln!("ready again after {:?}", begun.elapsed());
        assert!(self.early.is_known(server).await, "a session from before still works");
        Person::new("open@example.com").answer(server, &self.challenge, &self.code, "cookie").await;
        let late = Person::signed_in(&self.setup, server, "late@example.com").await;
        assert!(late.is_known(server).await);
    }
}

#[tokio::test]
async fn while_postgres_is_stopped_requests_answer_503_and_all_is_well_afterwards() {
    let morning = Morning::begin().await;
    morning.postgres.stop().await;
    morning.nothing_can_be_done().await;
    morning.postgres.start_again().await;
    morning.everything_works_again().await;
}

#[tokio::test]
async fn a_crash_of_postgres_in_the_middle_of_things_is_no_crash_of_the_server() {
    let morning = Morning::begin().await;
    for _ in 0..3 {
        // The cluster of the tests commits without waiting for the disk; what is not on it is lost in a crash.
        morning.setup.servers().database.client().await.batch_execute("CHECKPOINT").await.unwrap();
        morning.postgres.crash().await;
        morning.postgres.start_again().await;
        // Connections of the pool are dead; whoever is first must not pay for it with more than a 503.
        let status = morning.early.validate(&morning.server).await.status();
        assert!([200, 503].contains(&status.as_u16()), "{status}\n{}", morning.server.log());
    }
    morning.everything_works_again().await;
}

#[tokio::test]
async fn while_postgres_hangs_requests_answer_503_and_all_is_well_afterwards() {
    let morning = Morning::begin().await;
    morning.postgres.pause().await;
    morning.nothing_can_be_done().await;
    morning.postgres.resume().await;
    morning.everything_works_again().await;
}

#[tokio::test]
async fn after_postgres_hung_all_is_well_again() {
    let morning = Morning::begin().await;
    morning.postgres.pause().await;
    // People who came meanwhile and went away again, more of them than there are connections.
    let mut impatient = tokio::task::JoinSet::new();
    for number in 0..15 {
        let request = Person::new(&format!("p{number}@example.com")).request_to_ask(&morning.server);
        impatient.spawn(request.timeout(Duration::from_millis(200)).send());
    }
    impatient.join_all().await;
    morning.postgres.resume().await;
    morning.everything_works_again().await;
}
