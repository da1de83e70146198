//! A server ends, in good order or not, and another goes on where it ended.

use std::time::Duration;

use crate::SOON;
use crate::person::Person;
use crate::server::program;
use crate::setup::{Setup, dev_mails_to, joined};
use crate::support::{Fault, Server, Stage, eventually};

#[tokio::test]
async fn a_restart_keeps_sessions_and_codes() {
    for setup in Setup::both().await {
        let mut server = setup.start().await;
        let person = Person::signed_in(&setup, &server, "ann@example.com").await;
        let waiting = Person::new("bob@example.com");
        let challenge = waiting.ask(&server).await;
        let code = setup.next_code_to(&server, &waiting.email).await.code().unwrap();
        server.terminate();
        assert!(server.wait(SOON).await.success(), "{}", server.log());

        let server = setup.start_again(&server).await;
        assert!(person.is_known(&server).await, "the cookie is still good");
        waiting.answer(&server, &challenge, &code, "cookie").await;
        assert!(waiting.is_known(&server).await);
    }
}

#[tokio::test]
async fn a_crash_keeps_sessions_and_codes() {
    for setup in Setup::both().await {
        let mut server = setup.start().await;
        let person = Person::signed_in(&setup, &server, "ann@example.com").await;
        let waiting = Person::new("bob@example.com");
        let challenge = waiting.ask(&server).await;
        let code = setup.next_code_to(&server, &waiting.email).await.code().unwrap();
        server.kill();

        let server = setup.start_again(&server).await;
        assert!(person.is_known(&server).await, "the cookie is still good");
        waiting.answer(&server, &challenge, &code, "cookie").await;
        // What ended in the crash's wake stays ended.
        let again = serde_json::json!({ "challenge_id": challenge, "code": code });
        assert_eq!(waiting.post(&server, "/api/auth/otp/verify", &again).await.status(), 401);
    }
}

/// The kill races with the worker, which needs a few milliseconds: a mail that was shown before the kill is gone with
/// the process, as development mails are. One that was not has to be shown by the next process.
#[tokio::test]
async fn a_mail_accepted_just_before_a_crash_is_shown_after_the_restart() {
    let setup = Setup::embedded();
    let mut server = setup.start().await;
    for round in 0..20 {
        let people: Vec<Person> = (0..6).map(|number| Person::new(&format!("p{round}.{number}@example.com"))).collect();
        let mut asking = tokio::task::JoinSet::new();
        for person in people {
            let answer = person.request_to_ask(&server);
            asking.spawn(async move { (person.email, answer.send().await) });
        }
        let mut accepted = Vec::new();
        let (email, answer) = asking.join_next().await.unwrap().unwrap();
        assert_eq!(answer.unwrap().status(), 202);
        accepted.push(email);
        server.kill();
        while let Some(Ok((email, answer))) = asking.join_next().await {
            // The others may have been told so too, or cut off.
            if answer.is_ok_and(|answer| answer.status() == 202) {
                accepted.push(email);
            }
        }
        let left = unsent(&setup);
        server = setup.start_again(&server).await;
        for email in accepted.iter().filter(|email| left.contains(email)) {
            eventually(&format!("the mail to {email}"), SOON, async || {
                let mails = dev_mails_to(&server, email).await;
                assert!(mails.len() <= 1, "one mail each");
                mails.first().map(|(_, mail)| assert!(mail.code().is_some()))
            })
            .await;
        }
        if accepted.iter().any(|email| left.contains(email)) {
            return;
        }
    }
    panic!("in 20 rounds no kill came before the mail was shown");
}

/// The recipients of the mails that have not come to an end.
fn unsent(setup: &Setup) -> Vec<String> {
    use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};
    #[derive(QueryableByName)]
    struct Recipient {
        #[diesel(sql_type = sql_types::Text)]
        recipient: String,
    }
    let path = setup.data_dir().join("gatepost.db");
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let rows = sql_query("SELECT recipient FROM outbox WHERE status IN ('ready', 'sending')").load(&mut conn);
    rows.unwrap().into_iter().map(|row: Recipient| row.recipient).collect()
}

#[tokio::test]
async fn a_mail_accepted_just_before_a_crash_is_sent_by_another_instance() {
    let setup = Setup::on_servers().await;
    let (mut dying, other) = (setup.start().await, setup.start().await);
    let person = Person::new("ann@example.com");
    let challenge = person.ask(&dying).await;
    dying.kill();
    let code = setup.next_code_to(&other, &person.email).await.code().unwrap();
    person.answer(&other, &challenge, &code, "cookie").await;
    assert!(person.is_known(&other).await);
}

#[tokio::test]
async fn a_mail_whose_sender_died_is_sent_once_more_by_a_worker_of_its_own() {
    let setup = Setup::on_servers().await;
    let sink = &setup.servers().sink;
    let mut dying = setup.start().await;
    sink.script(Fault::Hang { stage: Stage::Data }.times(1));
    let person = Person::new("ann@example.com");
    let challenge = person.ask(&dying).await;
    sink.wait_until_reached(Stage::Data, 1, SOON).await;
    dying.kill();
    assert_eq!(sink.count(), 0, "it died in the middle");

    let environment = setup.environment();
    let mut command = program();
    command.arg("worker").envs(joined(&environment, &[]));
    let mut worker = Server::spawn(&mut command).without_grace();
    let mail = sink.next_to(&person.email).await;
    worker.terminate();
    assert!(worker.wait(Duration::from_secs(10)).await.success(), "{}", worker.log());
    assert_eq!(sink.count(), 1, "and once only");

    let server = setup.start_again(&dying).await;
    person.answer(&server, &challenge, &mail.code().unwrap(), "cookie").await;
}
