//! Everything that a mail server can say: 4xx and 421 are tried again, 5xx is final, at every stage, and none of it is
//! the next mail's business.

use super::PROMPT;
use super::ledger::Ledger;
use super::on_both;
use super::rows::Rows;
use crate::SOON;
use crate::setup::Setup;
use crate::support::{Fault, Stage, eventually};

const CODES: [u16; 5] = [421, 450, 451, 550, 552];

on_both!(every_refusal_at_every_stage_ends_as_it_should, every_break_of_the_connection_is_tried_again);

fn end(code: u16) -> &'static str {
    if code < 500 { "sent" } else { "dead" }
}

async fn every_refusal_at_every_stage_ends_as_it_should(setup: Setup) {
    let ledger = Ledger::new();
    let server = setup.start().await;
    let sink = setup.sink();
    // At MAIL nobody knows yet whom it is about: one after the other.
    for code in CODES {
        let address = format!("a@mail-{code}.test");
        // A 421 is worth another connection at once; this one comes twice to be worth another attempt.
        sink.script(Fault::Reply { stage: Stage::Mail, code, text: "no" }.times(if code == 421 { 2 } else { 1 }));
        ledger.accept(&server, &address).await;
        ledger.ends(&address, end(code));
        has_ended(&setup, &address).await;
        sink.clear();
    }
    for stage in [Stage::Rcpt, Stage::Data, Stage::Dot] {
        for code in CODES {
            let domain = format!("{stage:?}-{code}.test").to_lowercase();
            sink.script(Fault::Reply { stage, code, text: "no" }.for_domain(&domain).times(2));
            ledger.accept(&server, &format!("a@{domain}")).await;
            ledger.ends(&format!("a@{domain}"), end(code));
        }
    }
    ledger.accept(&server, "a@good.test").await;
    sink.wait_for(|mail| mail.is_to("a@good.test"), PROMPT).await;
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!((summary.sent, summary.dead), (13, 8), "{summary:?}");
}

async fn has_ended(setup: &Setup, address: &str) {
    let outbox = Rows::of(setup).await;
    eventually(&format!("the mail to {address} to have ended"), SOON, async || {
        outbox.to(address).await?.has_ended().then_some(())
    })
    .await;
}

/// Without a word, at each stage. After the dot the mail server has the mail, and gets it again.
async fn every_break_of_the_connection_is_tried_again(mut setup: Setup) {
    let ledger = Ledger::new();
    let server = setup.start().await;
    for stage in [Stage::Connect, Stage::Ehlo, Stage::Mail] {
        let address = format!("a@{stage:?}.test").to_lowercase();
        // A connection that is open already would not come by the first stages.
        setup.sink().go_down().await;
        setup.sink_mut().come_back().await;
        let before = setup.sink().reached(stage);
        // Twice, to be worth more than another connection.
        setup.sink().script(Fault::DropAfter { stage }.times(2));
        ledger.accept(&server, &address).await;
        has_ended(&setup, &address).await;
        // A connection that holds says EHLO twice (see `smtp::connect`).
        let times = if stage == Stage::Ehlo { 4 } else { 3 };
        assert_eq!(setup.sink().reached(stage), before + times, "{stage:?}");
        setup.sink().clear();
    }
    let sink = setup.sink();
    // One after the other: breaks about three domains in a row would be the relay's own fault, which is then left alone.
    for stage in [Stage::Rcpt, Stage::Data, Stage::Dot] {
        let domain = format!("{stage:?}.test").to_lowercase();
        let address = format!("a@{domain}");
        sink.script(Fault::DropAfter { stage }.for_domain(&domain).times(2));
        ledger.accept(&server, &address).await;
        if stage == Stage::Dot {
            eventually("two dots to be out", SOON, async || (sink.dots_to(&address) >= 2).then_some(())).await;
            ledger.may_repeat(&setup, &address);
            ledger.may_repeat(&setup, &address);
        }
        has_ended(&setup, &address).await;
    }
    ledger.accept(&server, "a@good.test").await;
    sink.wait_for(|mail| mail.is_to("a@good.test"), PROMPT).await;
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!(summary.repeats, 2, "{summary:?}");
}
