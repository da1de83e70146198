//! A mail server that hangs or crawls: nobody's mail waits for another's, and none is lost.

use std::time::Instant;

use super::ledger::Ledger;
use super::{PROMPT, on_both};
use crate::SOON;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{Fault, Script, Stage};

on_both!(
    a_hang_at_any_stage_is_given_up_and_tried_again,
    one_byte_at_a_time_is_too_slow_and_is_tried_again,
    nobody_waits_for_a_domain_that_hangs,
    nobody_waits_for_a_domain_that_crawls,
);

/// A mail that nothing is wrong with arrives soon.
async fn a_good_mail_arrives(setup: &Setup, server: &ServerProcess, ledger: &Ledger, number: usize) {
    let address = format!("p@good{number}.test");
    let begun = Instant::now();
    ledger.accept(server, &address).await;
    setup.sink().wait_for(|mail| mail.is_to(&address), PROMPT).await;
    eprintln!("a good mail arrived {:?} after it was asked for", begun.elapsed());
}

async fn a_hang_at_any_stage_is_given_up_and_tried_again(setup: Setup) {
    let mut setup = setup.with(&[("GATEPOST_MAIL_COMMAND_TIMEOUT", "1s"), ("GATEPOST_MAIL_LEASE", "10s")]);
    let ledger = Ledger::new();
    let server = setup.start().await;
    for (number, stage) in [Stage::Connect, Stage::Ehlo, Stage::Mail].into_iter().enumerate() {
        // A connection that is open already would not come by the first stages.
        setup.sink().go_down().await;
        setup.sink_mut().come_back().await;
        let before = setup.sink().reached(stage);
        // Nobody knows yet whom it is about: it hits whoever comes first.
        setup.sink().script(Fault::Hang { stage }.times(1));
        ledger.accept(&server, &format!("a@{stage:?}.test").to_lowercase()).await;
        setup.sink().wait_until_reached(stage, before + 1, SOON).await;
        a_good_mail_arrives(&setup, &server, &ledger, number).await;
    }
    for stage in [Stage::Rcpt, Stage::Data, Stage::Dot] {
        let domain = format!("{stage:?}.test").to_lowercase();
        setup.sink().script(Fault::Hang { stage }.for_domain(&domain).times(1));
        ledger.accept(&server, &format!("a@{domain}")).await;
    }
    a_good_mail_arrives(&setup, &server, &ledger, 3).await;
    ledger.settle(&setup, &server).await;
}

/// Each byte of an answer comes in time, the answer does not.
async fn one_byte_at_a_time_is_too_slow_and_is_tried_again(setup: Setup) {
    let setup = setup.with(&[("GATEPOST_MAIL_COMMAND_TIMEOUT", "1s"), ("GATEPOST_MAIL_LEASE", "10s")]);
    let ledger = Ledger::new();
    let server = setup.start().await;
    let sink = setup.sink();
    sink.script(Fault::Trickle { bytes_per_second: 1 }.for_domain("trickle.test").times(2));
    ledger.accept(&server, "a@trickle.test").await;
    // Reads so slowly that the attempt ends before the message has been read; the dot is on the wire all the same.
    sink.script(Fault::Slow { bytes_per_second: 1000 }.for_domain("slow.test").times(1));
    ledger.accept(&server, "a@slow.test").await;
    ledger.may_repeat_unread("a@slow.test");
    // Reads slowly, but no slower than may be.
    sink.script(Fault::Slow { bytes_per_second: 8000 }.for_domain("leisurely.test"));
    ledger.accept(&server, "a@leisurely.test").await;
    a_good_mail_arrives(&setup, &server, &ledger, 0).await;
    ledger.settle(&setup, &server).await;
}

/// More mails to one domain than there are workers run into `fault`; the others are not held up by it.
async fn a_domain_fails(setup: &Setup, server: &ServerProcess, ledger: &Ledger, number: usize, fault: Script) {
    let sink = setup.sink();
    sink.script(fault);
    for mail in 0..12 {
        ledger.accept(server, &format!("p{mail}@bad{number}.test")).await;
    }
    sink.wait_until_held(1, SOON).await;
    a_good_mail_arrives(setup, server, ledger, number).await;
    sink.clear();
    sink.release().await;
}

async fn nobody_waits_for_a_domain_that_hangs(setup: Setup) {
    let setup = setup.with(&[("GATEPOST_MAIL_COMMAND_TIMEOUT", "60s"), ("GATEPOST_MAIL_LEASE", "10s")]);
    let ledger = Ledger::new();
    let server = setup.start().await;
    for (number, stage) in [Stage::Rcpt, Stage::Data, Stage::Dot].into_iter().enumerate() {
        let fault = Fault::Hold { stage }.for_domain(&format!("bad{number}.test"));
        a_domain_fails(&setup, &server, &ledger, number, fault).await;
    }
    ledger.settle(&setup, &server).await;
}

async fn nobody_waits_for_a_domain_that_crawls(setup: Setup) {
    let mut setup = setup.with(&[("GATEPOST_MAIL_COMMAND_TIMEOUT", "60s"), ("GATEPOST_MAIL_LEASE", "10s")]);
    let ledger = Ledger::new();
    let server = setup.start().await;
    // An answer takes eight seconds, a message minutes. Nobody waits for either here.
    for (domain, fault) in
        [("trickle.test", Fault::Trickle { bytes_per_second: 1 }), ("slow.test", Fault::Slow { bytes_per_second: 50 })]
    {
        setup.sink().script(fault.for_domain(domain));
        a_domain_crawls(&setup, &server, &ledger, domain).await;
        setup.sink().clear();
        setup.sink().go_down().await;
        setup.sink_mut().come_back().await;
        for mail in 0..12 {
            setup.sink().wait_for(|received| received.is_to(&format!("p{mail}@{domain}")), SOON).await;
        }
    }
    ledger.settle(&setup, &server).await;
}

async fn a_domain_crawls(setup: &Setup, server: &ServerProcess, ledger: &Ledger, domain: &str) {
    let before = setup.sink().reached(Stage::Rcpt);
    for mail in 0..12 {
        ledger.accept(server, &format!("p{mail}@{domain}")).await;
    }
    setup.sink().wait_until_reached(Stage::Rcpt, before + 1, SOON).await;
    a_good_mail_arrives(setup, server, ledger, usize::from(domain == "slow.test")).await;
}
