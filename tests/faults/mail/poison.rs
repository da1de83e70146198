//! Rows that no version of this program has written. They end as dead letters, and nothing else suffers.

use super::ledger::Ledger;
use super::on_both;
use super::rows::{Row, Rows};
use crate::SOON;
use crate::setup::Setup;
use crate::support::eventually;

on_both!(
    poisoned_rows_are_buried_and_the_mails_around_them_are_sent,
    a_mail_of_a_priority_that_nobody_knows_waits_for_all_others_and_is_sent,
);

/// What each is called, and how it differs from a good row.
const POISONS: [(&str, &str, &str); 6] = [
    ("content", "content", "'this is {no JSON'"),
    ("empty", "content", "''"),
    ("kind", "content", r#"'{"kind":"love_letter","to":"you"}'"#),
    ("column", "kind", "'love_letter'"),
    ("language", "locale", "'tlh-Qaak'"),
    ("recipient", "recipient", "'poison, but no address'"),
];

async fn poisoned_rows_are_buried_and_the_mails_around_them_are_sent(setup: Setup) {
    let setup = setup.with(&[("GATEPOST_MAIL_MAX_ATTEMPTS", "3")]);
    let (server, ledger) = (setup.start().await, Ledger::new());
    ledger.accept(&server, "first@a.test").await;
    let outbox = Rows::of(&setup).await;
    let good = outbox.to("first@a.test").await.expect("a row");
    for (number, (name, column, value)) in POISONS.into_iter().enumerate() {
        outbox.execute(&good.copy(name, column, value)).await;
        ledger.accept(&server, &format!("p{number}@a.test")).await;
    }
    eventually("every row to have ended", SOON, async || outbox.all().await?.iter().all(Row::has_ended).then_some(()))
        .await;
    let rows = outbox.all().await.expect("the rows");
    let poisoned: Vec<&Row> = rows.iter().filter(|row| row.message_id.ends_with("@copied.test")).collect();
    assert_eq!(poisoned.len(), POISONS.len());
    for row in poisoned {
        // A language, or a column that nobody reads, is no reason not to send a mail.
        let harmless = ["column@", "language@"].iter().any(|name| row.message_id.starts_with(name));
        let end = if harmless { "sent" } else { "dead" };
        assert_eq!(row.status, end, "{row:?}\n{}", server.log());
    }
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!(summary.sent, POISONS.len() + 1, "{summary:?}");
}

/// Another version may have more priorities.
async fn a_mail_of_a_priority_that_nobody_knows_waits_for_all_others_and_is_sent(setup: Setup) {
    let (server, ledger) = (setup.start().await, Ledger::new());
    ledger.accept(&server, "first@a.test").await;
    let outbox = Rows::of(&setup).await;
    let good = outbox.to("first@a.test").await.expect("a row");
    outbox.execute(&good.copy("whenever", "priority", "77")).await;
    let sent = |row: &Row| row.status == "sent";
    eventually("both to be sent", SOON, async || outbox.all().await?.iter().all(sent).then_some(())).await;
    ledger.settle(&setup, &server).await;
}
