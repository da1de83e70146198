//! `migrate`, `mail status` and `health`: what scripts and containers call.

use serde_json::Value;

use crate::SOON;
use crate::person::Person;
use crate::run::{gatepost, on};
use crate::server::program;
use crate::setup::{Setup, joined};
use crate::support::{Fault, Server, Stage, eventually, free_port};

#[tokio::test]
async fn a_migration_may_be_repeated() {
    for (setup, backend) in Setup::both().await.into_iter().zip(["sqlite", "postgres"]) {
        for _ in 0..2 {
            let line = on(&setup, &["migrate"]).await.done();
            assert!(line.contains(backend) && line.contains("up to date"), "{line}");
        }
        let row = on(&setup, &["migrate", "--json"]).await.json().remove(0);
        assert_eq!(row["database"], backend);
    }
}

#[tokio::test]
async fn the_mail_queue_is_counted() {
    let setup = Setup::on_servers().await;
    let sink = &setup.servers().sink;
    sink.script(Fault::Reply { stage: Stage::Rcpt, code: 550, text: "5.1.1 nobody here" }.for_domain("gone.test"));
    let server = setup.start().await;
    let empty = on(&setup, &["mail", "status", "--json"]).await.json().remove(0);
    for field in ["sending", "scheduled", "dead", "sent_last_hour", "oldest_age_ms"] {
        assert_eq!(empty[field], 0, "{empty}");
    }
    for priority in ["urgent", "high", "normal", "low"] {
        assert_eq!(empty["queued"][priority], 0, "{empty}");
    }
    Person::signed_in(&setup, &server, "ann@example.com").await;
    Person::new("eve@gone.test").ask(&server).await;
    let counts = eventually("one mail to be sent and one to be dead", SOON, async || {
        let counts: Value = on(&setup, &["mail", "status", "--json"]).await.json().remove(0);
        (counts["dead"] == 1 && counts["sent_last_hour"] == 1).then_some(counts)
    })
    .await;
    assert_eq!(counts["sending"], 0);
    let text = on(&setup, &["mail", "status"]).await.done();
    assert!(
        text.contains("urgent 0") && text.lines().any(|line| line.starts_with("dead") && line.ends_with('1')),
        "{text}"
    );
}

#[tokio::test]
async fn health_asks_the_server_of_these_settings() {
    let setup = Setup::embedded();
    let nobody = format!("127.0.0.1:{}", free_port());
    let environment = setup.environment();
    let outcome = gatepost(&["health"], &joined(&environment, &[("GATEPOST_BIND", &nobody)])).await;
    assert!(outcome.failed_with(1).contains(&nobody), "{outcome:?}");

    let server = setup.start().await;
    let bind = format!("127.0.0.1:{}", server.port());
    let health = joined(&environment, &[("GATEPOST_BIND", &bind)]);
    assert_eq!(gatepost(&["health"], &health).await.done().trim(), "ready");
    let body = gatepost(&["health", "--json"], &health).await.json().remove(0);
    assert_eq!(body["status"], "ok");
    // Where every address is listened on, this machine's own is asked.
    let everywhere = format!("0.0.0.0:{}", server.port());
    let everywhere = [
        ("GATEPOST_BIND", everywhere.as_str()),
        ("GATEPOST_PUBLIC_URL", "http://sign-in.example.com"),
        ("SMTP_URL", "smtp://127.0.0.1:2525"),
    ];
    assert_eq!(gatepost(&["health"], &joined(&environment, &everywhere)).await.done().trim(), "ready");
}

#[tokio::test]
async fn a_server_that_is_up_and_not_ready_is_not_healthy() {
    let postgres = crate::support::PrivatePostgres::start().await;
    let setup = Setup::on_database(postgres.database().await).await;
    let server = setup.start().await;
    postgres.stop().await;
    let bind = format!("127.0.0.1:{}", server.port());
    let environment = setup.environment();
    let outcome = eventually("the server not to be ready", SOON, async || {
        let outcome = gatepost(&["health"], &joined(&environment, &[("GATEPOST_BIND", &bind)])).await;
        (outcome.code != 0).then_some(outcome)
    })
    .await;
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(&bind), "{outcome:?}");
    drop(server);
}

#[tokio::test]
async fn logs_can_be_one_json_object_a_line() {
    let setup = Setup::embedded();
    let mut server = setup.start_with(&[("GATEPOST_LOG_FORMAT", "json")]).await;
    Person::signed_in(&setup, &server, "ann@example.com").await;
    server.terminate();
    assert!(server.wait(SOON).await.success());
    for line in server.log().lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["level"].is_string() && object["time"].is_string() && object["message"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_worker_ends_when_it_is_told_to() {
    let setup = Setup::on_servers().await;
    crate::run::prepared(&setup).await;
    on(&setup, &["user", "invite", "ann@example.com"]).await.done();
    let mut command = program();
    command.arg("worker").envs(joined(&setup.environment(), &[]));
    let mut worker = Server::spawn(&mut command).without_grace();
    setup.servers().sink.next_to("ann@example.com").await;
    worker.terminate();
    let status = worker.wait(SOON).await;
    assert!(status.success(), "{status}\n{}", worker.log());
}
