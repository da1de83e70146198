//! Postgres restarts, crashes, or is cut off in the middle of a commit while mails are being accepted and sent. Whoever
//! was told 202 gets the mail; whoever was told 503 may.

use std::time::Duration;

use diesel::connection::SimpleConnection;

use super::SETTINGS;
use super::ledger::Ledger;
use super::rows::Rows;
use crate::SOON;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{Cut, Fault, PrivatePostgres, Stage, Wire, eventually};

/// A setup whose Postgres can be broken, and which does not lose in a crash what it has committed: it writes before it
/// answers, if not to the disk. It has to be alive together with the cluster.
async fn breakable() -> (PrivatePostgres, Setup) {
    let postgres = PrivatePostgres::start().await;
    let setup = Setup::on_database(postgres.database().await).await.with(&SETTINGS);
    let client = setup.servers().database.client().await;
    client.batch_execute("ALTER SYSTEM SET synchronous_commit = on").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually("commits to be written at once", SOON, async || {
        let setting = client.query_one("SHOW synchronous_commit", &[]).await.ok()?;
        (setting.get::<_, String>(0) == "on").then_some(())
    })
    .await;
    (postgres, setup)
}

async fn is_ready(server: &ServerProcess) {
    eventually("the server to be ready again", SOON, async || {
        (reqwest::get(server.url("/health/ready")).await.ok()?.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn postgres_restarts_and_crashes_while_mails_flow() {
    let (postgres, setup) = breakable().await;
    let (server, ledger) = (setup.start().await, Ledger::new());
    setup.sink().script(Fault::Hold { stage: Stage::Rcpt }.for_domain("held.test").times(2));
    for number in 0..2 {
        ledger.accept(&server, &format!("p{number}@held.test")).await;
    }
    setup.sink().wait_until_held(2, SOON).await;
    for number in 0..5 {
        ledger.accept(&server, &format!("restart{number}@a.test")).await;
    }
    postgres.restart().await;
    // The first of these may meet connections that are dead.
    for number in 0..5 {
        ledger.offer(&server, &format!("after{number}@a.test")).await;
    }
    is_ready(&server).await;
    for number in 0..5 {
        ledger.accept(&server, &format!("crash{number}@a.test")).await;
    }
    postgres.crash().await;
    postgres.start_again().await;
    is_ready(&server).await;
    // These had no lease that anybody could renew: their sender may not finish them, but somebody does.
    setup.sink().release().await;
    ledger.accept(&server, "late@a.test").await;
    let summary = ledger.settle(&setup, &server).await;
    assert!(summary.accepted >= 13, "{summary:?}");
}

/// The final dot is out, the mail server has said 250, and there is no database to tell.
#[tokio::test]
async fn postgres_is_away_when_a_mail_is_to_be_acknowledged() {
    let (postgres, setup) = breakable().await;
    let setup = setup.with(&[("GATEPOST_MAIL_LEASE", "10s")]);
    let (server, ledger) = (setup.start().await, Ledger::new());
    setup.sink().script(Fault::Hold { stage: Stage::Dot }.times(1));
    ledger.accept(&server, "unheard@a.test").await;
    setup.sink().wait_until_held(1, SOON).await;
    postgres.stop().await;
    setup.sink().release().await;
    postgres.start_again().await;
    // Its worker lives and says so until it is heard: this is no reason for a repeat.
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!(summary.repeats, 0, "{summary:?}");
}

/// Requests whose commit meets `cut`, among others.
async fn requests_meet(cut: Cut) {
    let mut setup = super::on_servers().await;
    let wire = Wire::to(&setup.servers().database.url).await;
    setup = setup.with(&[("DATABASE_URL", &wire.url())]);
    let (server, ledger) = (setup.start().await, Ledger::new());
    ledger.accept(&server, "before@a.test").await;
    let (mut refused, rounds) = (Vec::new(), 6);
    for number in 0..rounds {
        let address = format!("cut{number}@a.test");
        wire.cut_at(cut, &address);
        let met = wire.cuts();
        if !ledger.offer(&server, &address).await {
            refused.push(address);
        }
        assert!(wire.cuts() > met || refused.len() <= number, "a request failed without a fault\n{}", server.log());
        wire.spare();
        ledger.offer(&server, &format!("next{number}@a.test")).await;
    }
    assert!(wire.cuts() >= rounds / 2, "commits went by: {}", wire.cuts());
    is_ready(&server).await;
    ledger.accept(&server, "after@a.test").await;
    let outbox = Rows::of(&setup).await;
    let rows = outbox.all().await.expect("the rows");
    let kept = refused.iter().filter(|address| rows.iter().any(|row| row.recipient == **address)).count();
    eprintln!("{cut:?}: {} of {rounds} requests failed, {kept} of these have left a mail", refused.len());
    match cut {
        Cut::BeforeCommit => assert_eq!(kept, 0, "nothing was committed, and yet there is a mail"),
        Cut::AfterCommit => assert_eq!(kept, refused.len(), "all was committed, and yet there is no mail"),
    }
    ledger.settle(&setup, &server).await;
}

#[tokio::test]
async fn a_commit_that_does_not_get_through_leaves_no_mail_and_no_promise() {
    requests_meet(Cut::BeforeCommit).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_leaves_a_mail_that_is_sent() {
    requests_meet(Cut::AfterCommit).await;
}

/// The embedded database is one file: somebody else who writes to it for a while makes requests wait, not fail.
#[tokio::test]
async fn an_embedded_database_is_busy_while_mails_flow() {
    let setup = super::embedded().await;
    let (server, ledger) = (setup.start().await, Ledger::new());
    let mut backup = Rows::of(&setup).await.sqlite();
    for number in 0..4 {
        ledger.accept(&server, &format!("before{number}@a.test")).await;
        backup.batch_execute("BEGIN IMMEDIATE").unwrap();
        let address = format!("during{number}@a.test");
        let asking = ledger.offer(&server, &address);
        let mut asking = std::pin::pin!(asking);
        let waits = tokio::time::timeout(Duration::from_millis(200), &mut asking).await.is_err();
        backup.batch_execute("ROLLBACK").unwrap();
        assert!(waits, "a request was answered although nothing could be written");
        assert!(asking.await, "a request failed because somebody else wrote for a moment\n{}", server.log());
    }
    ledger.settle(&setup, &server).await;
}
