//! Every stage of a conversation has a deadline, and it is one for the whole answer.

use std::time::Duration;

use gatepost::domain::{MailStatus, Redacted};
use gatepost::mail::{Transport, Worker, WorkerHandle};
use gatepost::settings::{Delivery, Relay, RelayTls};

use crate::SOON;
use crate::rig::{Rig, relay, relay_at};
use crate::script::{self, PIPELINING, Script};
use crate::support::{Stage, eventually};

fn worker(rig: &Rig, relay: Relay) -> (WorkerHandle, Transport) {
    let mut settings = rig.settings();
    settings.delivery = Delivery::Smtp(vec![relay]);
    settings.command_timeout = Duration::from_millis(200);
    let parts = rig.parts(settings);
    let transport = parts.transport.clone();
    (Worker::spawn(parts), transport)
}

/// Why the relay failed when a mail was to be sent over it.
async fn failure(rig: &Rig, relay: Relay) -> String {
    let (_worker, transport) = worker(rig, relay);
    rig.accept("ann@example.org").await;
    eventually("a failure", SOON, async || transport.relays().remove(0).last_failure).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_may_fall_silent_anywhere() {
    let tls = "250-relay.test\r\n250 STARTTLS";
    for (script, mode, stage) in [
        (Script { greeting: "", ..PIPELINING }, RelayTls::Implicit, "TLS failed: no answer in time"),
        (Script { greeting: "", ..PIPELINING }, RelayTls::None, "the greeting failed: no answer"),
        (Script { ehlo: "", ..PIPELINING }, RelayTls::None, "the greeting failed: no answer"),
        (Script { ehlo: tls, starttls: "", ..PIPELINING }, RelayTls::StartTls, "STARTTLS failed: no answer"),
        // The handshake gets no answer.
        (Script { ehlo: tls, ..PIPELINING }, RelayTls::StartTls, "STARTTLS failed: no answer"),
        (Script { mail: "", ..PIPELINING }, RelayTls::None, "no answer to MAIL FROM"),
        (Script { rcpt: "", ..PIPELINING }, RelayTls::None, "no answer to RCPT TO"),
        (Script { data: "", ..PIPELINING }, RelayTls::None, "no answer to DATA"),
        (Script { dot: "", ..PIPELINING }, RelayTls::None, "no answer to the message within 800ms"),
    ] {
        let rig = Rig::sqlite().await;
        let (port, _reads) = script::start(script).await;
        let failure = failure(&rig, Relay { tls: mode, ..relay_at(port) }).await;
        assert!(failure.starts_with(stage), "{stage}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_may_fall_silent_when_it_hears_the_password() {
    let rig = Rig::sqlite().await;
    let (port, _reads) =
        script::start(Script { ehlo: "250-relay.test\r\n250 AUTH PLAIN", auth: "", ..PIPELINING }).await;
    let mut relay = relay_at(port);
    (relay.user, relay.password) = (Some("ann".to_owned()), Some(Redacted::new("hunter2".to_owned())));
    let failure = failure(&rig, relay).await;
    assert!(failure.starts_with("AUTH failed: no answer"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_offers_nothing_but_spaces_fails_and_nothing_else_does() {
    let rig = Rig::sqlite().await;
    let (port, _reads) = script::start(Script { ehlo: "250-relay.test\r\n250   ", ..PIPELINING }).await;
    let mut settings = rig.settings();
    settings.delivery = Delivery::Smtp(vec![relay_at(port), relay(&rig.sink)]);
    let parts = rig.parts(settings);
    let (transport, mail) = (parts.transport.clone(), rig.accept("ann@example.org").await);
    let _worker = Worker::spawn(parts);
    rig.until(mail.id, MailStatus::Sent).await;
    let failure = transport.relays().remove(0).last_failure.unwrap();
    assert_eq!(failure, "what the relay says it offers cannot be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_trickles_in_wins_no_time() {
    for pipelining in [false, true] {
        for stage in [Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot] {
            let rig = Rig::sqlite().await;
            if pipelining {
                rig.sink.pipeline();
            }
            // Well under the deadline from byte to byte, well over it to the end.
            rig.sink.trickle(stage, Duration::from_millis(120));
            let failure = failure(&rig, relay(&rig.sink)).await;
            assert!(failure.contains("no answer"), "{stage:?}: {failure}");
        }
    }
}
