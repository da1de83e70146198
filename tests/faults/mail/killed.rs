//! SIGKILL, at every point of a mail's life. The next process, or another instance, goes on where it ended.

use std::time::Duration;

use diesel::connection::SimpleConnection;

use super::ledger::Ledger;
use super::on_both;
use super::rows::Rows;
use crate::SOON;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{Fault, Stage, eventually};

on_both!(
    a_mail_that_was_claimed_is_sent_by_the_next_process,
    mails_on_the_wire_are_sent_by_the_next_process,
    a_mail_whose_acknowledgement_is_lost_is_repeated_word_for_word,
    mails_accepted_around_a_kill_are_all_sent,
);

/// Nothing of it is on the wire: the mail server has not even greeted.
async fn a_mail_that_was_claimed_is_sent_by_the_next_process(setup: Setup) {
    let ledger = Ledger::new();
    let mut server = setup.start().await;
    setup.sink().script(Fault::Hold { stage: Stage::Connect }.times(1));
    ledger.accept(&server, "claimed@a.test").await;
    setup.sink().wait_until_held(1, SOON).await;
    let row = Rows::of(&setup).await.to("claimed@a.test").await.expect("a row");
    assert_eq!((row.status.as_str(), row.attempts), ("sending", 1));
    server.kill();
    setup.sink().release().await;
    let server = setup.start_again(&server).await;
    ledger.settle(&setup, &server).await;
}

/// One mail at each stage at the moment of the kill. Those whose dot was out may come twice, and only the one that was
/// kept does.
async fn mails_on_the_wire_are_sent_by_the_next_process(setup: Setup) {
    let ledger = Ledger::new();
    let mut server = setup.start().await;
    let sink = setup.sink();
    sink.script(Fault::Hold { stage: Stage::Rcpt }.for_domain("rcpt.test").times(1));
    sink.script(Fault::Hold { stage: Stage::Data }.for_domain("data.test").times(1));
    sink.script(Fault::Stall.for_domain("message.test").times(1));
    sink.script(Fault::Hold { stage: Stage::Dot }.for_domain("kept.test").times(1));
    sink.script(Fault::Hang { stage: Stage::Dot }.for_domain("unkept.test").times(1));
    for domain in ["rcpt", "data", "message", "kept", "unkept"] {
        ledger.accept(&server, &format!("a@{domain}.test")).await;
    }
    sink.wait_until_held(4, SOON).await;
    eventually("the last dot to be out", SOON, async || (sink.dots_to("a@unkept.test") == 1).then_some(())).await;
    ledger.may_repeat(&setup, "a@kept.test");
    server.kill();
    sink.release().await;

    let server = next(&setup, &server).await;
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!(summary.repeats, 1, "what was kept came again; {summary:?}");
}

/// Where instances can stand side by side, another one goes on: one that ran already would be no different.
async fn next(setup: &Setup, killed: &ServerProcess) -> ServerProcess {
    if setup.servers.is_some() { setup.start().await } else { setup.start_again(killed).await }
}

/// The mail server has said 250, the database has not heard of it.
async fn a_mail_whose_acknowledgement_is_lost_is_repeated_word_for_word(setup: Setup) {
    let ledger = Ledger::new();
    let mut server = setup.start().await;
    let sink = setup.sink();
    sink.script(Fault::Hold { stage: Stage::Dot }.times(1));
    ledger.accept(&server, "late@a.test").await;
    sink.wait_until_held(1, SOON).await;
    let outbox = Rows::of(&setup).await;
    let lock = Lock::take(&setup, &outbox).await;
    sink.release().await;
    lock.is_waited_for().await;
    ledger.may_repeat(&setup, "late@a.test");
    server.kill();
    lock.give_back().await;
    let row = outbox.to("late@a.test").await.expect("a row");
    assert_eq!(row.status, "sending", "the acknowledgement was lost: {row:?}");

    let server = setup.start_again(&server).await;
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!(summary.repeats, 1, "{summary:?}");
}

/// Keeps the outbox from being written to.
enum Lock {
    Postgres(tokio_postgres::Client),
    Sqlite(diesel::SqliteConnection),
}

impl Lock {
    async fn take(setup: &Setup, outbox: &Rows) -> Self {
        let Some(servers) = &setup.servers else {
            let mut conn = outbox.sqlite();
            conn.batch_execute("BEGIN IMMEDIATE").expect("SQLite locks");
            return Self::Sqlite(conn);
        };
        let client = servers.database.client().await;
        client.batch_execute("BEGIN; LOCK TABLE outbox IN EXCLUSIVE MODE").await.expect("Postgres locks");
        Self::Postgres(client)
    }

    /// Waits until an acknowledgement does. `SQLite` has no way to ask: there the mail server's 250 has to do.
    async fn is_waited_for(&self) {
        let Self::Postgres(client) = self else { return };
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                       AND wait_event_type = 'Lock' AND query LIKE '%finished_at%' AND query LIKE '%fence%'";
        eventually("the acknowledgement to wait for the table", SOON, async || {
            (client.query_one(waiting, &[]).await.ok()?.get::<_, i64>(0) > 0).then_some(())
        })
        .await;
    }

    /// Ends what waits, as the end of its process would once Postgres noticed, and the lock.
    async fn give_back(self) {
        match self {
            Self::Postgres(client) => {
                let waiting = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
                               WHERE datname = current_database() AND wait_event_type = 'Lock'";
                client.query_one(waiting, &[]).await.expect("Postgres ends them");
                client.batch_execute("ROLLBACK").await.expect("Postgres unlocks");
            }
            Self::Sqlite(mut conn) => conn.batch_execute("ROLLBACK").expect("SQLite unlocks"),
        }
    }
}

/// No moment is chosen: mails are being accepted and sent when the process dies. Some may have their dot out then.
async fn mails_accepted_around_a_kill_are_all_sent(setup: Setup) {
    let ledger = Ledger::new();
    let mut server = setup.start().await;
    for number in 0..20 {
        ledger.accept(&server, &format!("before{number}@a.test")).await;
    }
    server.kill();
    // What it had sent may not be known to be; it may not even have been read yet.
    eventually("the mail server to see the end", SOON, async || (setup.sink().open_connections() == 0).then_some(()))
        .await;
    let rows = Rows::of(&setup).await.all().await.expect("the rows");
    for row in rows.iter().filter(|row| row.status == "sending" && setup.sink().dots_to(&row.recipient) > 0) {
        ledger.may_repeat(&setup, &row.recipient);
    }
    let server = setup.start_again(&server).await;
    for number in 0..5 {
        ledger.accept(&server, &format!("after{number}@a.test")).await;
    }
    ledger.settle(&setup, &server).await;
}

/// A process that dies again and again while it sends costs attempts, not mails.
#[tokio::test]
async fn a_mail_outlives_several_processes() {
    let setup = super::on_servers().await;
    let ledger = Ledger::new();
    let mut server = setup.start().await;
    setup.sink().script(Fault::Hold { stage: Stage::Rcpt }.times(2));
    ledger.accept(&server, "again@a.test").await;
    for _ in 0..2 {
        setup.sink().wait_until_held(1, SOON).await;
        server.kill();
        setup.sink().release().await;
        server = setup.start_again(&server).await;
    }
    ledger.settle(&setup, &server).await;
    let row = Rows::of(&setup).await.to("again@a.test").await.expect("a row");
    assert_eq!(row.attempts, 3, "{row:?}");
    assert!(Duration::from_millis((row.finished_at.unwrap() - row.created_at).unsigned_abs()) < SOON);
}
