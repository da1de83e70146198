//! Puts a mail into the form that goes over the wire (RFC 5322, MIME).
//!
//! Everything in it comes from the row, the boundary and the date too: a repeat has the same bytes. Bodies are
//! quoted-printable, so a relay needs no 8BITMIME; only an address with letters beyond ASCII needs SMTPUTF8 (RFC 6531).

use std::time::SystemTime;

use lettre::Address;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

use super::render::one_line;
use super::transport::Outgoing;
use crate::domain::EmailAddress;
use crate::settings;

/// A message and whom it goes to.
pub(super) struct Envelope {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) bytes: Vec<u8>,
    /// Whether the relay has to know SMTPUTF8.
    pub(super) international: bool,
}

/// Why a mail has no form on the wire. Trying again changes nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("an address cannot be written in a mail: {0}")]
    Address(#[from] lettre::address::AddressError),
    #[error("the mail cannot be put together: {0}")]
    Form(#[from] lettre::error::Error),
}

/// Builds the message of `outgoing`, sent by `from`.
pub(super) fn build(from: &settings::Mailbox, outgoing: &Outgoing<'_>) -> Result<Envelope, MessageError> {
    let (sender, recipient) = (address(&from.address)?, address(outgoing.recipient)?);
    let name = from.name.as_deref().map(one_line).filter(|name| !name.is_empty());
    let (mail, rendered) = (outgoing.mail, outgoing.rendered);
    let body = MultiPart::alternative()
        .boundary(format!("=_{}", mail.id.0.simple()))
        .singlepart(part(ContentType::TEXT_PLAIN, &rendered.text))
        .singlepart(part(ContentType::TEXT_HTML, &rendered.html));
    let message = Message::builder()
        .from(Mailbox::new(name, sender.clone()))
        .to(Mailbox::new(None, recipient.clone()))
        .subject(one_line(&rendered.subject))
        .date(SystemTime::from(mail.created_at))
        .message_id(Some(format!("<{}>", mail.message_id)))
        // RFC 3834: nobody's machine shall answer this one.
        .raw_header(header(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated"))
        .raw_header(header(HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"), "All"))
        .multipart(body)?;
    let international = !(from.address.as_str().is_ascii() && outgoing.recipient.as_str().is_ascii());
    Ok(Envelope { from: sender, to: recipient, bytes: message.formatted(), international })
}

fn address(address: &EmailAddress) -> Result<Address, lettre::address::AddressError> {
    Address::new(address.local_part(), address.domain())
}

fn header(name: HeaderName, value: &str) -> HeaderValue {
    HeaderValue::new(name, value.to_owned())
}

fn part(content_type: ContentType, text: &str) -> SinglePart {
    SinglePart::builder()
        .header(content_type)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(text.replace("\r\n", "\n").replace('\n', "\r\n"))
}
