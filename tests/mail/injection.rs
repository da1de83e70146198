//! What people write about themselves ends nobody's header, message or command.
//!
//! Everything hostile goes the whole way, to a relay that keeps every byte: past the types that would have refused most of
//! it, as though those were not there.

use gatepost::domain::{DisplayName, EmailAddress, MailContent, MailStatus, Note, Requested, UserId};
use gatepost::settings::Delivery;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use crate::rig::{Rig, relay_at};
use crate::script::{self, PIPELINING};

/// The longest line of a message, with its end (RFC 5322, 2.1.1).
const LONGEST: usize = 1000;

/// Text out of pieces that have broken mail systems, and of others.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just("\r\n.\r\n"),
        Just("\n.\n"),
        Just("\r.\r"),
        Just("\n.\r\n"),
        Just("\r\n.\n"),
        Just("."),
        Just(".."),
        Just("\0"),
        Just("\u{85}"),
        Just("\u{2028}"),
        Just("\u{7f}"),
        Just("\t"),
        Just(" "),
        Just("MAIL FROM:<evil@example.net>"),
        Just("RCPT TO:<victim@example.net>"),
        Just("DATA"),
        Just("QUIT"),
        Just("RSET"),
        Just("Bcc: victim@example.net"),
        Just("Content-Type: text/html"),
        Just("--=_"),
        Just("=?utf-8?q?x?="),
        Just("="),
        Just("<b>"),
        Just("\u{202e}"),
        Just("é"),
        Just("漢字"),
        Just("😀"),
        Just("ada"),
    ];
    let long = (1_usize..3000).prop_map(|length| "x".repeat(length));
    let piece = prop_oneof![20 => piece.prop_map(str::to_owned), 1 => long];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// What a relay heard, taken apart as RFC 5321 says: commands, and the messages between DATA and the final dot.
fn taken_apart(heard: &[u8]) -> (Vec<String>, Vec<Vec<u8>>) {
    let (mut commands, mut messages, mut rest) = (Vec::new(), Vec::new(), heard);
    while !rest.is_empty() {
        let end = find(rest, b"\r\n").expect("every command ends");
        let command = String::from_utf8(rest[..end].to_vec()).expect("commands are text");
        rest = &rest[end + 2..];
        if command == "DATA" {
            let end = find(rest, b"\r\n.\r\n").expect("every message ends");
            messages.push(rest[..end + 2].to_vec());
            rest = &rest[end + 5..];
        }
        commands.push(command);
    }
    (commands, messages)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The names of a message's headers, in order.
fn headers(message: &[u8]) -> Vec<String> {
    let end = find(message, b"\r\n\r\n").expect("headers end");
    let text = String::from_utf8(message[..end].to_vec()).expect("headers are text");
    let lines = text.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    lines.map(|line| line.split_once(':').expect("a header has a name").0.to_owned()).collect()
}

fn assert_sound(message: &[u8]) {
    assert!(message.is_ascii() && !message.contains(&0), "nothing that a relay could read in its own way");
    let text = std::str::from_utf8(message).unwrap();
    for line in text.split_inclusive("\r\n") {
        let inside = line.strip_suffix("\r\n").expect("every line ends in CRLF");
        assert!(!inside.contains(['\r', '\n']) && line.len() <= LONGEST, "{inside:?}");
        assert!(!inside.starts_with('.') || inside.starts_with(".."), "{inside:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_people_write_ends_a_header_a_message_or_a_command() {
    const MAILS: usize = 60;
    let rig = Rig::sqlite().await;
    let (port, mut reads) = script::start(PIPELINING).await;
    let worker = rig.worker_with(|settings| {
        settings.workers = 1;
        settings.delivery = Delivery::Smtp(vec![relay_at(port)]);
    });
    let (mut runner, strategy) = (TestRunner::deterministic(), hostile());
    let mut text = || strategy.new_tree(&mut runner).expect("a text").current();
    let mut expected = Vec::new();
    for number in 0..MAILS {
        let content = MailContent::RegistrationNotice {
            user_id: UserId(Uuid::from_u128(7)),
            // As long as an address may be: a word of a subject cannot be broken.
            email: text().chars().take(254).collect(),
            name: text(),
            note: text(),
            requested: Requested { device: text(), address: text(), at: rig.clock.now() },
        };
        let recipient = format!("admin{number}@example.org");
        let mail = rig.accept_content(&content, &recipient).await;
        rig.until(mail.id, MailStatus::Sent).await;
        expected.push(format!("RCPT TO:<{recipient}>"));
    }
    worker.shutdown(crate::SOON).await;
    let mut heard = Vec::new();
    while let Ok((number, read)) = reads.try_recv() {
        assert_eq!(number, 1, "one connection carries them all");
        heard.extend(read);
    }
    let (commands, messages) = taken_apart(&heard);
    let of = |verb: &str| commands.iter().filter(|command| command.starts_with(verb)).cloned().collect::<Vec<_>>();
    assert_eq!(of("RCPT"), expected, "each mail has its recipient and no other");
    assert_eq!((of("MAIL FROM:<no-reply@example.com>").len(), of("MAIL").len(), messages.len()), (MAILS, MAILS, MAILS));
    let known = ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"];
    assert!(commands.iter().all(|command| known.iter().any(|verb| command.starts_with(verb))), "{commands:?}");
    let names = headers(&messages[0]);
    assert!(
        ["From", "To", "Subject", "Date", "Message-ID"].iter().all(|name| names.contains(&(*name).to_owned())),
        "{names:?}"
    );
    for message in &messages {
        assert_sound(message);
        assert_eq!(headers(message), names, "no header comes or goes");
    }
}

proptest! {
    /// The types leave less than what the way above takes.
    #[test]
    fn what_the_types_let_through_has_no_controls(text in hostile(), local in "[ -~\r\n\0]{1,12}") {
        for typed in [format!("{local}@example.com"), format!("ada@{local}.com"), text.clone(), format!("{text}@example.com")] {
            if let Ok(email) = EmailAddress::parse(&typed) {
                let is_odd = |character: char| character.is_control() || character.is_whitespace() || "<>()[],;:\\\"".contains(character);
                prop_assert!(!email.as_str().contains(is_odd) && email.as_str().matches('@').count() == 1, "{:?}", email);
            }
        }
        if let Ok(name) = DisplayName::parse(&text) {
            prop_assert!(!name.as_str().contains(char::is_control), "{:?}", name);
        }
        if let Ok(note) = Note::parse(&text) {
            let is_odd = |character: char| character.is_control() && character != '\n';
            prop_assert!(!note.as_str().contains(is_odd), "{:?}", note);
        }
    }
}
