//! Puts a mail into the form that goes over the wire (RFC 5322, MIME).
//!
//! Everything in it comes from the row, the boundary, the date and the signature's time too: a repeat has the same bytes.
//! Bodies are ASCII, as they are or quoted-printable, so a relay needs no 8BITMIME; only an address with letters beyond ASCII needs SMTPUTF8
//! (RFC 6531).
//!
//! lettre writes the headers that hold names and addresses, which is the intricate part; the rest is appended to one
//! buffer, which goes to the relay as it is. A reader must not see the end of the message, or another header, where there
//! is none: whatever came to be in the buffer, a message with a lone CR or LF, or a line that begins with a dot, is not sent.

use std::fmt::Write as _;
use std::time::SystemTime;

use lettre::Address;
use lettre::message::header::{Date, From, Headers, MessageId, Subject, To};
use lettre::message::{Mailbox, Mailboxes};

use super::dkim::Signer;
use super::quoted;
use super::render::one_line;
use super::transport::Outgoing;
use crate::domain::{EmailAddress, Language};
use crate::settings;

/// What quoted-printable and headers add to a mail, generously, in bytes.
const OVERHEAD: usize = 4096;

/// A message and whom it goes to.
pub(super) struct Envelope {
    pub(super) from: Address,
    pub(super) to: Address,
    /// The whole message, then the line with the dot that ends it on the wire.
    with_dot: String,
    /// Whether the relay has to know SMTPUTF8.
    pub(super) international: bool,
}

/// The line that ends a message on the wire.
const DOT: &str = ".\r\n";

impl Envelope {
    /// The whole message. Every line ends in CRLF, the last one too, and none begins with a dot.
    pub(super) fn message(&self) -> &str {
        self.with_dot.strip_suffix(DOT).unwrap_or_default()
    }

    /// The message and the line with the dot that ends it.
    pub(super) fn message_with_dot(&self) -> &str {
        &self.with_dot
    }
}

/// Why a mail has no form on the wire. Trying again changes nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("an address cannot be written in a mail: {0}")]
    Address(#[from] lettre::address::AddressError),
    #[error("the mail cannot be signed")]
    Signature,
    #[error("the mail has a line that must not go over the wire")]
    Line,
}

/// Builds the message of `outgoing`, sent by `from` and signed by `signer`.
pub(super) fn build(
    from: &settings::Mailbox,
    outgoing: &Outgoing<'_>,
    signer: &Signer,
) -> Result<Envelope, MessageError> {
    let (sender, recipient) = (address(&from.address)?, address(outgoing.recipient)?);
    let boundary = format!("=_{}", outgoing.mail.id.0.simple());
    let mut message = headers(from, outgoing, &sender, &recipient, &boundary).into_bytes();
    let body_at = message.len();
    append_body(&mut message, outgoing, &boundary);
    if !is_sound(&message) {
        return Err(MessageError::Line);
    }
    message.extend_from_slice(DOT.as_bytes());
    let mut with_dot = String::from_utf8(message).map_err(|_| MessageError::Line)?;
    let (headers, body) = with_dot.split_at(body_at);
    let body = body.strip_suffix(DOT).unwrap_or_default();
    let signatures = signer.sign(headers, body, outgoing.mail.created_at).map_err(|_| MessageError::Signature)?;
    with_dot.insert_str(0, &signatures);
    let international = !(from.address.as_str().is_ascii() && outgoing.recipient.as_str().is_ascii());
    Ok(Envelope { from: sender, to: recipient, with_dot, international })
}

fn headers(
    from: &settings::Mailbox,
    outgoing: &Outgoing<'_>,
    sender: &Address,
    recipient: &Address,
    boundary: &str,
) -> String {
    let mail = outgoing.mail;
    let name = from.name.as_deref().map(one_line).filter(|name| !name.is_empty());
    let mut named = Headers::with_capacity(5);
    named.set(From::from(Mailboxes::from(Mailbox::new(name, sender.clone()))));
    named.set(To::from(Mailboxes::from(Mailbox::new(None, recipient.clone()))));
    named.set(Subject::from(one_line(&outgoing.rendered.subject)));
    named.set(Date::from(SystemTime::from(mail.created_at)));
    named.set(MessageId::from(format!("<{}>", mail.message_id)));
    let mut headers = named.to_string();
    // RFC 3834: nobody's machine shall answer this one.
    headers.push_str("Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n");
    if let Some(language) = Language::from_tag(&mail.locale) {
        let _ = write!(headers, "Content-Language: {language}\r\n");
    }
    let _ = write!(headers, "Content-Type: multipart/alternative;\r\n boundary=\"{boundary}\"\r\n");
    headers
}

/// Appends the empty line after the headers, and all that follows, as ASCII.
fn append_body(message: &mut Vec<u8>, outgoing: &Outgoing<'_>, boundary: &str) {
    let rendered = outgoing.rendered;
    message.reserve(OVERHEAD + rendered.text.len() + rendered.html.len());
    message.extend_from_slice(b"\r\n");
    for (subtype, text) in [("plain", &rendered.text), ("html", &rendered.html)] {
        message
            .extend_from_slice(format!("--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n").as_bytes());
        // Most mails need no encoding, which is shorter, and readable as it is.
        if quoted::is_plain(text) {
            message.extend_from_slice(b"Content-Transfer-Encoding: 7bit\r\n\r\n");
            quoted::append_plain(message, text);
        } else {
            message.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
            quoted::append(message, text);
        }
        // This line's end belongs to the boundary.
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
}

fn address(address: &EmailAddress) -> Result<Address, lettre::address::AddressError> {
    Address::new(address.local_part(), address.domain())
}

/// Whether CR and LF come only together, no line begins with a dot, and the last one is ended.
fn is_sound(message: &[u8]) -> bool {
    let byte = |at: usize| message.get(at).copied();
    let is_paired = |at: usize| match byte(at) {
        Some(b'\r') => byte(at + 1) == Some(b'\n'),
        _ => at > 0 && byte(at - 1) == Some(b'\r') && byte(at + 1) != Some(b'.'),
    };
    message.ends_with(b"\n") && !message.starts_with(b".") && memchr::memchr2_iter(b'\r', b'\n', message).all(is_paired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_that_begin_with_no_dot_are_sound() {
        for message in ["a: b\r\n\r\nc.\r\n", "\r\n", "a\r\n\r\n"] {
            assert!(is_sound(message.as_bytes()), "{message:?}");
        }
        for message in [
            "",
            "a",
            "a\n",
            "a\r",
            ".\r\n",
            "a\r\n.\r\n",
            "a\r\n.b\r\n",
            "a\rb\r\n",
            "a\nb\r\n",
            "\n\r\n",
            "a\r\r\n",
            "a\n\r\n",
        ] {
            assert!(!is_sound(message.as_bytes()), "{message:?}");
        }
    }
}
