//! Bodies of requests, and what mail servers say.

use gatepost::http::fuzzing::json_bodies;
use gatepost::mail::fuzzing::refusal;

use super::headers::is_one_line;

/// A body is read, or refused as a client's mistake; what is read is an object.
pub(super) fn json(input: &[u8]) {
    for status in json_bodies(input) {
        assert!(matches!(status, 200 | 400), "{status}");
        assert!(status != 200 || input.trim_ascii().starts_with(b"{"), "no object was taken");
    }
}

/// What is kept of a reply is one line, not too long. Only a 5xx gives a mail up, and only such a one suppresses a mailbox.
pub(super) fn smtp(input: &[u8]) {
    let Ok(said) = std::str::from_utf8(input) else { return };
    let Some(refusal) = refusal(said) else { return };
    assert!(is_one_line(&refusal.reply) && refusal.reply.chars().count() <= 4000, "{refusal:?}");
    assert!((200..600).contains(&refusal.code), "{refusal:?}");
    assert_eq!(refusal.permanent, refusal.code >= 500, "{refusal:?}");
    assert!(refusal.permanent || !refusal.suppresses, "{refusal:?}");
}
