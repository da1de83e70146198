//! Commands that go out together (RFC 2920), and what is on the wire after them.

use gatepost::domain::{MailContent, MailStatus, UserId};
use gatepost::settings::Delivery;

use crate::SOON;
use crate::rig::{Rig, relay_at};
use crate::script::{self, PIPELINING, Script};
use crate::support::{Fault, Stage};

fn through(port: u16) -> impl FnOnce(&mut gatepost::settings::Mail) {
    move |settings| {
        settings.delivery = Delivery::Smtp(vec![relay_at(port)]);
        settings.workers = 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_goes_out_in_two_writes() {
    let rig = Rig::sqlite().await;
    let (port, mut reads) = script::start(PIPELINING).await;
    let _worker = rig.worker_with(through(port));
    let mail = rig.accept("ann@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
    let heard = script::all(&mut reads);
    let commands = heard.iter().position(|(_, bytes)| bytes.starts_with(b"MAIL")).unwrap();
    let expected = "MAIL FROM:<no-reply@example.com>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n";
    assert_eq!(String::from_utf8_lossy(&heard[commands].1), expected);
    let [(_, message)] = &heard[commands + 1..] else { panic!("{} more reads", heard.len() - commands - 1) };
    assert!(message.starts_with(b"From: ") && message.ends_with(b"--\r\n.\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_not_offered_each_command_waits_for_its_answer() {
    let rig = Rig::sqlite().await;
    let (port, mut reads) = script::start(Script { ehlo: "250 relay.test", ..PIPELINING }).await;
    let _worker = rig.worker_with(through(port));
    let mail = rig.accept("ann@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
    let heard = script::all(&mut reads);
    let lines: Vec<_> = heard.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
    let at = lines.iter().position(|line| line.starts_with("MAIL")).unwrap();
    assert_eq!(lines[at], "MAIL FROM:<no-reply@example.com>\r\n");
    assert_eq!(lines[at + 1..at + 3], ["RCPT TO:<ann@example.org>\r\n", "DATA\r\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_gets_no_message_even_if_data_is_granted() {
    for (script, reply) in [
        (Script { mail: "550 5.7.1 not you", ..PIPELINING }, "550 5.7.1 not you"),
        (Script { rcpt: "550 5.1.1 nobody", ..PIPELINING }, "550 5.1.1 nobody"),
    ] {
        let rig = Rig::sqlite().await;
        let (port, mut reads) = script::start(script).await;
        let _worker = rig.worker_with(through(port));
        let (first, second) = (rig.accept("first@example.org").await, rig.accept("second@example.org").await);
        for mail in [first, second] {
            assert_eq!(rig.until(mail.id, MailStatus::Dead).await.last_error.as_deref(), Some(reply));
        }
        let heard = script::all(&mut reads);
        for connection in [1, 2] {
            let of_this: Vec<u8> =
                heard.iter().filter(|(number, _)| *number == connection).flat_map(|(_, bytes)| bytes.clone()).collect();
            assert!(of_this.ends_with(b"\r\nDATA\r\n"), "nothing follows, on a connection that is used once");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_out_of_step_ends_the_conversation() {
    let rig = Rig::sqlite().await;
    let (port, mut reads) = script::start(Script { data: "250 ok", ..PIPELINING }).await;
    let _worker = rig.worker_with(|settings| {
        through(port)(settings);
        settings.max_attempts = 1;
    });
    let mail = rig.accept("ann@example.org").await;
    let error = rig.until(mail.id, MailStatus::Dead).await.last_error.unwrap();
    assert!(error.ends_with("DATA was answered with 250 ok"), "{error}");
    assert!(script::all(&mut reads).last().unwrap().1.ends_with(b"DATA\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_within_a_group_keeps_the_connection() {
    for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot] {
        let rig = Rig::sqlite().await;
        rig.sink.pipeline();
        rig.sink.script(Fault::Reply { stage, code: 554, text: "5.7.1 no" }.times(1));
        let _worker = rig.worker_with(|settings| settings.workers = 1);
        let (first, second) = (rig.accept("first@example.org").await, rig.accept("second@example.org").await);
        assert_eq!(rig.until(first.id, MailStatus::Dead).await.last_error.as_deref(), Some("554 5.7.1 no"));
        rig.until(second.id, MailStatus::Sent).await;
        assert_eq!((rig.sink.count(), rig.sink.connections()), (1, 1), "{stage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_hangs_up_within_a_group_is_called_again_at_once() {
    for stage in [Stage::Mail, Stage::Rcpt, Stage::Data] {
        let rig = Rig::sqlite().await;
        rig.sink.pipeline();
        rig.sink.script(Fault::Reply { stage, code: 421, text: "too much, try again" }.times(1));
        let _worker = rig.worker();
        let mail = rig.accept("ann@example.org").await;
        let row = rig.until(mail.id, MailStatus::Sent).await;
        assert_eq!((row.attempts, rig.sink.connections(), rig.sink.count()), (1, 2, 1), "{stage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_mail_ends_it_early_or_looks_like_its_end() {
    let evil = [
        "\r\n.\r\n",
        "\n.\n",
        "\r.\r",
        "\n.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        ".",
        "\r",
        "\n",
        "\r\n..\r\n",
        "\n.MAIL FROM:<x@y.zz>\r\n",
    ];
    let hostile = format!("{}From a\u{2028}ü{}", evil.concat(), "x\r\n.\r\n".repeat(20));
    let rig = Rig::sqlite().await;
    let (port, mut reads) = script::start(PIPELINING).await;
    let _worker = rig.worker_with(|settings| {
        through(port)(settings);
        settings.from.name = Some(hostile.clone());
    });
    let notice = MailContent::RegistrationNotice {
        user_id: UserId(uuid::Uuid::from_u128(7)),
        email: hostile.clone(),
        name: hostile.clone(),
        note: hostile.clone(),
        requested: rig.requested(),
    };
    let mail = rig.accept_content(&notice, "admin@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
    let heard: Vec<u8> = script::all(&mut reads).into_iter().flat_map(|(_, bytes)| bytes).collect();
    let heard = String::from_utf8(heard).unwrap();
    let (_, message) = heard.split_once("\r\nDATA\r\n").unwrap();
    let message = message.strip_suffix("\r\n.\r\n").expect("the dot is the last that was sent");
    for line in message.split("\r\n") {
        assert!(!line.contains(['\r', '\n']) && !line.starts_with('.') && line.len() <= 998, "{line:?}");
    }
    assert!(message.is_ascii());
    // It is long: each hostile line of the content has become one of the text.
    assert!(message.matches("\r\n=2E\r\n").count() > 20, "{message}");
    assert_eq!(rig.sink.wait_for_count(0, SOON).await.len(), 0);
}
