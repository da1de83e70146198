//! Relays that keep failing: left alone, passed by, and gone back to.

use std::time::Duration;

use gatepost::domain::MailStatus;
use gatepost::mail::{RelayStatus, Transport, Worker, WorkerHandle};
use gatepost::settings::Delivery;

use crate::SOON;
use crate::rig::{Rig, relay};
use crate::support::{Fault, SmtpSink, Stage, eventually};

/// A worker for these relays that sends one mail at a time, and its transport.
fn worker(rig: &Rig, sinks: &[&SmtpSink]) -> (WorkerHandle, Transport) {
    let mut settings = rig.settings();
    settings.delivery = Delivery::Smtp(sinks.iter().map(|sink| relay(sink)).collect());
    settings.command_timeout = Duration::from_millis(200);
    settings.workers = 1;
    let parts = rig.parts(settings);
    let transport = parts.transport.clone();
    (Worker::spawn(parts), transport)
}

fn first(transport: &Transport) -> RelayStatus {
    transport.relays().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_keeps_failing_is_passed_by_and_gone_back_to() {
    let (rig, second) = (Rig::sqlite().await, SmtpSink::start().await);
    rig.sink.script(Fault::Hang { stage: Stage::Connect });
    let (_worker, transport) = worker(&rig, &[&rig.sink, &second]);
    for number in 0..3 {
        let mail = rig.accept(&format!("p{number}@example.org")).await;
        assert_eq!(rig.until(mail.id, MailStatus::Sent).await.attempts, 1);
    }
    let status = first(&transport);
    assert_eq!((status.label, status.sent, status.failures, status.is_open), (rig.sink.url(), 0, 3, true));
    assert!(status.last_failure.unwrap().starts_with("the greeting failed: no answer within"));
    assert!(transport.is_ready(), "there is another one");
    let mail = rig.accept("passes@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
    assert_eq!((rig.sink.connections(), second.count()), (3, 4));

    rig.sink.clear();
    let mut number = 0;
    eventually("the first relay to be preferred again", SOON, async || {
        number += 1;
        let mail = rig.accept(&format!("q{number}@example.org")).await;
        rig.until(mail.id, MailStatus::Sent).await;
        (rig.sink.count() > 0).then_some(())
    })
    .await;
    let before = second.count();
    assert!(!first(&transport).is_open);
    let mail = rig.accept("last@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
    assert_eq!((second.count(), transport.relays()[1].sent), (before, u64::try_from(before).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_relay_no_attempt_counts_and_the_mail_goes_when_one_is_back() {
    let mut rig = Rig::sqlite().await;
    rig.sink.go_down().await;
    let (_worker, transport) = worker(&rig, &[&rig.sink]);
    let mail = rig.accept("ann@example.org").await;
    eventually("the breaker to open", SOON, async || (!transport.is_ready()).then_some(())).await;
    assert_eq!(first(&transport).failures, 3);
    let row = rig.until(mail.id, MailStatus::Ready).await;
    assert_eq!(row.attempts, 0);
    assert!(row.last_error.unwrap().contains("cannot connect"));

    rig.sink.come_back().await;
    tokio::time::timeout(SOON, transport.ready()).await.unwrap();
    assert_eq!(rig.until(mail.id, MailStatus::Sent).await.attempts, 1);
    assert!(transport.is_ready() && !first(&transport).is_open);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_mails_are_no_reason_to_leave_a_relay_alone() {
    let rig = Rig::sqlite().await;
    rig.sink.script(Fault::Reply { stage: Stage::Rcpt, code: 550, text: "5.1.1 nobody" });
    let (_worker, transport) = worker(&rig, &[&rig.sink]);
    for number in 0..4 {
        let mail = rig.accept(&format!("p{number}@example.org")).await;
        rig.until(mail.id, MailStatus::Dead).await;
    }
    let status = first(&transport);
    assert_eq!((status.sent, status.failures, status.is_open), (0, 0, false));
}
