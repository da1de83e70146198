//! Connections to relays: kept, replaced, and chosen between.

use std::time::Duration;

use gatepost::domain::{MailStatus, Redacted};
use gatepost::settings::Delivery;

use crate::SOON;
use crate::rig::{Rig, relay, relay_at};
use crate::support::{Fault, SmtpSink, Stage, eventually, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_many_mails() {
    let rig = Rig::sqlite().await;
    let _worker = rig.worker_with(|settings| settings.workers = 1);
    for number in 0..20 {
        rig.accept(&format!("p{number}@example.org")).await;
    }
    rig.sink.wait_for_count(20, SOON).await;
    assert_eq!(rig.sink.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_was_closed_costs_no_attempt() {
    let mut rig = Rig::sqlite().await;
    let _worker = rig.worker();
    let first = rig.accept("first@example.org").await;
    rig.until(first.id, MailStatus::Sent).await;
    rig.sink.go_down().await;
    rig.sink.come_back().await;
    let second = rig.accept("second@example.org").await;
    assert_eq!(rig.until(second.id, MailStatus::Sent).await.attempts, 1);
    assert_eq!(rig.counters.snapshot().retried, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_hangs_up_is_called_again_at_once() {
    for stage in [Stage::Mail, Stage::Rcpt, Stage::Data] {
        let rig = Rig::sqlite().await;
        rig.sink.script(Fault::Reply { stage, code: 421, text: "too much, try again" }.times(1));
        let _worker = rig.worker();
        let mail = rig.accept("ann@example.org").await;
        let row = rig.until(mail.id, MailStatus::Sent).await;
        assert_eq!((row.attempts, rig.sink.connections()), (1, 2), "{stage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stage_may_hang_or_break_and_the_mail_arrives_once() {
    let stages = [Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data];
    let faults = stages.into_iter().flat_map(|stage| [Fault::Hang { stage }, Fault::DropAfter { stage }]);
    for fault in faults.chain([Fault::Hang { stage: Stage::Dot }]) {
        let rig = Rig::sqlite().await;
        // Where no conversation could be opened, no attempt was made.
        let attempts = match fault {
            Fault::Hang { stage } | Fault::DropAfter { stage } if matches!(stage, Stage::Connect | Stage::Ehlo) => 1,
            _ => 2,
        };
        rig.sink.script(fault.clone().times(1));
        let _worker = rig.worker_with(|settings| settings.command_timeout = Duration::from_millis(300));
        let mail = rig.accept("ann@example.org").await;
        let row = rig.until(mail.id, MailStatus::Sent).await;
        assert_eq!((row.attempts, rig.sink.count()), (attempts, 1), "{fault:?}");
        // What broke is closed, what worked is kept.
        eventually("one open connection", SOON, async || (rig.sink.open_connections() == 1).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_any_stage_is_kept_and_the_connection_too() {
    for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot] {
        let rig = Rig::sqlite().await;
        rig.sink.script(Fault::Reply { stage, code: 554, text: "5.7.1 no" }.times(1));
        let _worker = rig.worker_with(|settings| settings.workers = 1);
        let (first, second) = (rig.accept("first@example.org").await, rig.accept("second@example.org").await);
        assert_eq!(rig.until(first.id, MailStatus::Dead).await.last_error.as_deref(), Some("554 5.7.1 no"));
        rig.until(second.id, MailStatus::Sent).await;
        assert_eq!((rig.sink.count(), rig.sink.connections()), (1, 1), "{stage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_turns_everybody_away_kills_no_mail() {
    let rig = Rig::sqlite().await;
    rig.sink.script(Fault::Reply { stage: Stage::Connect, code: 554, text: "no service" }.times(2));
    let _worker = rig.worker();
    let mail = rig.accept("ann@example.org").await;
    assert_eq!(rig.until(mail.id, MailStatus::Sent).await.attempts, 1, "it was not about this mail");
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_are_tried_in_order() {
    let rig = Rig::sqlite().await;
    let second = SmtpSink::start().await;
    rig.sink.script(Fault::DropAfter { stage: Stage::Rcpt });
    let relays = vec![relay_at(free_port()), relay(&rig.sink), relay(&second)];
    let _worker = rig.worker_with(|settings| settings.delivery = Delivery::Smtp(relays));
    let mail = rig.accept("ann@example.org").await;
    assert_eq!(rig.until(mail.id, MailStatus::Sent).await.attempts, 1);
    assert_eq!((rig.sink.count(), second.count()), (0, 1));

    rig.sink.clear();
    rig.accept("bob@example.org").await;
    rig.sink.next_to("bob@example.org").await;
    assert_eq!(second.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_relay_answers_the_row_says_what_each_did() {
    let rig = Rig::sqlite().await;
    rig.sink.script(Fault::DropAfter { stage: Stage::Mail });
    let port = free_port();
    let relays = vec![relay_at(port), relay(&rig.sink)];
    let _worker = rig.worker_with(|settings| {
        settings.delivery = Delivery::Smtp(relays);
        settings.max_attempts = 1;
    });
    let mail = rig.accept("ann@example.org").await;
    let error = rig.until(mail.id, MailStatus::Dead).await.last_error.unwrap();
    let (first, second) = error.split_once("; ").unwrap();
    assert!(first.starts_with(&format!("smtp://127.0.0.1:{port}: cannot connect: ")), "{error}");
    assert!(second.starts_with(&format!("{}: ", rig.sink.url())), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_told_who_we_are() {
    let rig = Rig::sqlite().await;
    let mut signed_in = relay(&rig.sink);
    (signed_in.user, signed_in.password) = (Some("ann".to_owned()), Some(Redacted::new("hunter2".to_owned())));
    let _worker = rig.worker_with(|settings| settings.delivery = Delivery::Smtp(vec![signed_in]));
    let mail = rig.accept("ann@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_every_script_are_reached() {
    let rig = Rig::sqlite().await;
    let _worker = rig.worker();
    let mail = rig.accept("алиса@пример.рф").await;
    let received = rig.sink.wait_for_count(1, SOON).await.remove(0);
    assert_eq!(received.to, ["алиса@xn--e1afmkfd.xn--p1ai"]);
    assert_eq!(received.header("To").as_deref(), Some("алиса@xn--e1afmkfd.xn--p1ai"));
    assert_eq!(received.code(), Some(rig.code(&mail)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_quotes_of_a_mail_is_not_kept() {
    let rig = Rig::sqlite().await;
    let mail = rig.commit("ann@example.org").await;
    let code = rig.code(&mail);
    let text: &'static str = format!("spam: {} {} is your code", &code[..3], &code[3..]).leak();
    rig.sink.script(Fault::Reply { stage: Stage::Dot, code: 554, text });
    rig.outbox.enqueue(std::slice::from_ref(&mail)).await;
    let _worker = rig.worker();
    let row = rig.until(mail.id, MailStatus::Dead).await;
    assert_eq!(row.last_error.as_deref(), Some("554 spam: [redacted] is your code"));
}
