//! Nothing starts on its way once its code is over, however long it was held up and by what.

use std::time::Duration;

use super::ledger::Ledger;
use super::on_both;
use super::rows::Rows;
use super::unix_ms;
use crate::SOON;
use crate::setup::Setup;
use crate::support::{Fault, Stage, eventually};

/// How long codes are good here: longer than a start, so that some get through.
const LIFETIME: (&str, &str) = ("GATEPOST_AUTH_CHALLENGE_LIFETIME", "3s");

on_both!(
    mails_that_expire_while_the_mail_server_is_away_do_not_arrive_when_it_is_back,
    a_mail_that_expires_before_the_greeting_is_not_sent_after_it,
);

async fn have_ended(setup: &Setup, addresses: &[&str]) {
    let outbox = Rows::of(setup).await;
    eventually("mails to have ended", SOON, async || {
        let rows = outbox.all().await?;
        let of = |address: &&str| rows.iter().any(|row| row.recipient == **address && row.has_ended());
        addresses.iter().all(of).then_some(())
    })
    .await;
}

async fn mails_that_expire_while_the_mail_server_is_away_do_not_arrive_when_it_is_back(setup: Setup) {
    let mut setup = setup.with(&[LIFETIME]);
    let ledger = Ledger::without_codes();
    let server = setup.start().await;
    setup.sink().go_down().await;
    let late = ["one@a.test", "two@a.test", "three@a.test"];
    for address in late {
        ledger.accept(&server, address).await;
        ledger.ends(address, "expired");
    }
    have_ended(&setup, &late).await;
    setup.sink_mut().come_back().await;
    // The server was left alone for longer and longer: what is accepted before it is looked for again may be late, too.
    let outbox = Rows::of(&setup).await;
    for number in 0..10 {
        let address = format!("later{number}@a.test");
        ledger.accept(&server, &address).await;
        have_ended(&setup, &[&address]).await;
        if outbox.to(&address).await.expect("a row").status == "sent" {
            break;
        }
        ledger.ends(&address, "expired");
    }
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!(summary.sent, 1, "{summary:?}");
}

async fn a_mail_that_expires_before_the_greeting_is_not_sent_after_it(setup: Setup) {
    let setup = setup.with(&[LIFETIME]);
    let ledger = Ledger::without_codes();
    let server = setup.start().await;
    setup.sink().script(Fault::Hold { stage: Stage::Connect }.times(1));
    ledger.accept(&server, "held@a.test").await;
    ledger.ends("held@a.test", "expired");
    setup.sink().wait_until_held(1, SOON).await;
    let outbox = Rows::of(&setup).await;
    let row = outbox.to("held@a.test").await.expect("a row");
    eventually("its code to be over", SOON, async || (unix_ms(Duration::ZERO) > row.expires_at).then_some(())).await;
    setup.sink().release().await;
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!(summary.expired, 1, "{summary:?}");
    assert_eq!(setup.sink().reached(Stage::Mail), 0, "nothing was begun");
}
