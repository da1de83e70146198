//! Signs mails, so that receivers can tell whose they are (DKIM: RFC 6376, RFC 8301; Ed25519: RFC 8463).
//!
//! Headers and body are brought to the relaxed form, which survives what relays do to blanks. The time of a signature is
//! the row's, and both algorithms give one signature for one text, so a repeated mail has the same bytes. `From` is
//! named once more than it occurs: nobody can put another one above it.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::domain::Instant;
use crate::settings::{Dkim, DkimKey, SigningKey};

/// The headers that are signed, if the mail has them, in the order in which they are hashed.
const SIGNED: &[&str] = &[
    "from",
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "auto-submitted",
];
/// How many characters of a signature stand on a line.
const WIDTH: usize = 72;

/// A DNS record that receivers look for: the public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimRecord {
    /// The name, such as `gatepost._domainkey.example.com`.
    pub name: String,
    /// The text, which may be longer than the 255 bytes that one string of a TXT record holds.
    pub value: String,
}

/// The records to publish for these keys (RFC 6376, 3.6.1; RFC 8463, 4.2).
pub fn records(dkim: &Dkim) -> Result<Vec<DkimRecord>, Unspecified> {
    let record = |key: &DkimKey| {
        let (kind, public) = match &key.key {
            SigningKey::Rsa(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
                ("rsa", BASE64.encode(der.as_ref()))
            }
            SigningKey::Ed25519(pair) => ("ed25519", BASE64.encode(pair.public_key().as_ref())),
        };
        let name = format!("{}._domainkey.{}", key.selector, dkim.domain);
        Ok(DkimRecord { name, value: format!("v=DKIM1; k={kind}; p={public}") })
    };
    dkim.keys.iter().map(record).collect()
}

/// Signs with each of the keys; with none, not at all.
pub(super) struct Signer(Option<Dkim>);

impl Signer {
    pub(super) fn new(dkim: Option<Dkim>) -> Self {
        Self(dkim)
    }

    /// The `DKIM-Signature` headers to put above `headers`, whose lines end in CRLF. `body` begins with the empty line that
    /// ends the headers. Fails only if the system has no memory or the key is not what it was.
    pub(super) fn sign(&self, headers: &str, body: &str, at: Instant) -> Result<String, Unspecified> {
        let Some(dkim) = &self.0 else { return Ok(String::new()) };
        let body_hash = BASE64.encode(digest(&SHA256, &relaxed_body(body.strip_prefix("\r\n").unwrap_or(body))));
        let fields = fields(headers);
        let names: Vec<&str> =
            SIGNED.iter().copied().filter(|name| fields.iter().any(|field| is_named(field, name))).collect();
        let signed = signed_headers(&fields, &names);
        let names = names.join(":").replace(":mime-version", ":\r\n mime-version");
        let mut signatures = String::new();
        for key in &dkim.keys {
            let unsigned = unsigned(key, &dkim.domain, at, &names, &body_hash);
            let hashed = format!("{signed}{}", relaxed_header(&unsigned));
            let signature = BASE64.encode(signature(&key.key, hashed.as_bytes())?);
            signatures.push_str(&unsigned);
            fold(&mut signatures, &signature);
            signatures.push_str("\r\n");
        }
        Ok(signatures)
    }
}

/// The signature's header up to the signature itself, without the line's end.
fn unsigned(key: &DkimKey, domain: &str, at: Instant, names: &str, body_hash: &str) -> String {
    let algorithm = match key.key {
        SigningKey::Rsa(_) => "rsa-sha256",
        SigningKey::Ed25519(_) => "ed25519-sha256",
    };
    format!(
        "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; t={};\r\n d={domain};\r\n s={};\r\n h={names};\r\n \
         bh={body_hash};\r\n b=",
        at.timestamp(),
        key.selector
    )
}

/// Writes a long word over several lines.
fn fold(header: &mut String, word: &str) {
    for (number, character) in word.chars().enumerate() {
        if number > 0 && number % WIDTH == 0 {
            header.push_str("\r\n ");
        }
        header.push(character);
    }
}

fn signature(key: &SigningKey, text: &[u8]) -> Result<Vec<u8>, Unspecified> {
    match key {
        SigningKey::Rsa(pair) => {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)?;
            Ok(signature)
        }
        // Of the hash, not of the text (RFC 8463, 3).
        SigningKey::Ed25519(pair) => Ok(pair.try_sign(digest(&SHA256, text).as_ref())?.as_ref().to_vec()),
    }
}

/// The header fields, each with the lines it is folded into, without the last line's end.
fn fields(headers: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut begin = 0;
    for (at, end) in headers.match_indices("\r\n") {
        let next = at + end.len();
        if !headers[next..].starts_with([' ', '\t']) {
            fields.push(&headers[begin..at]);
            begin = next;
        }
    }
    fields
}

fn is_named(field: &str, name: &str) -> bool {
    field.split_once(':').is_some_and(|(known, _)| known.trim_end().eq_ignore_ascii_case(name))
}

/// The named fields in relaxed form. A name that comes again means the next field of that name from the bottom up, or none
/// (RFC 6376, 5.4.2).
fn signed_headers(fields: &[&str], names: &[&str]) -> String {
    let mut left: Vec<&str> = fields.to_vec();
    let mut signed = String::new();
    for name in names {
        if let Some(found) = left.iter().rposition(|field| is_named(field, name)) {
            signed.push_str(&relaxed_header(left.remove(found)));
            signed.push_str("\r\n");
        }
    }
    signed
}

/// RFC 6376, 3.4.2, without the line's end.
fn relaxed_header(field: &str) -> String {
    let (name, value) = field.split_once(':').unwrap_or((field, ""));
    let mut relaxed = name.trim_end().to_ascii_lowercase();
    relaxed.push(':');
    for (number, word) in value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).enumerate() {
        let _ = write!(relaxed, "{}{word}", if number == 0 { "" } else { " " });
    }
    relaxed
}

/// RFC 6376, 3.4.4.
fn relaxed_body(body: &str) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(body.len());
    let mut empty_lines = 0;
    for line in body.split_terminator("\r\n") {
        let line = line.trim_end_matches([' ', '\t']);
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        (0..std::mem::take(&mut empty_lines)).for_each(|_| relaxed.extend_from_slice(b"\r\n"));
        let mut after_blank = false;
        for &byte in line.as_bytes() {
            let blank = matches!(byte, b' ' | b'\t');
            if !blank {
                relaxed.push(byte);
            } else if !after_blank {
                relaxed.push(b' ');
            }
            after_blank = blank;
        }
        relaxed.extend_from_slice(b"\r\n");
    }
    relaxed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::signature::Ed25519KeyPair;

    use super::*;

    #[test]
    fn headers_and_bodies_are_relaxed_as_in_rfc_6376_3_4_5() {
        let headers = "A: X \r\nB : Y\t\r\n\tZ  \r\n";
        let relaxed: Vec<String> = fields(headers).into_iter().map(relaxed_header).collect();
        assert_eq!(relaxed, ["a:X", "b:Y Z"]);
        assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
        assert_eq!(relaxed_body("a\r\n\r\n \r\nb"), b"a\r\n\r\n\r\nb\r\n");
        // The hash of a body that is empty (3.4.4).
        let hash = BASE64.encode(digest(&SHA256, &relaxed_body("\r\n\r\n")));
        assert_eq!(hash, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    /// The message, key and signature of RFC 8463, appendix A.
    #[test]
    fn the_example_of_rfc_8463_gets_the_signature_printed_there() {
        let headers = "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n\
                       Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
                       Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n";
        let body = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
        assert_eq!(BASE64.encode(digest(&SHA256, &relaxed_body(body))), "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
        let names = ["from", "to", "subject", "date", "message-id", "from", "subject", "date"];
        let unsigned = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; \
                        i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : \
                        message-id : from : subject : date;\r\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
        let text = format!("{}{}", signed_headers(&fields(headers), &names), relaxed_header(unsigned));
        let seed = BASE64.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap();
        let key = SigningKey::Ed25519(Arc::new(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()));
        assert_eq!(
            BASE64.encode(signature(&key, text.as_bytes()).unwrap()),
            "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
        );
        let dkim = Dkim {
            domain: "football.example.com".to_owned(),
            keys: vec![DkimKey { selector: "brisbane".to_owned(), key }],
        };
        let record = &records(&dkim).unwrap()[0];
        assert_eq!(record.name, "brisbane._domainkey.football.example.com");
        assert_eq!(record.value, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    }

    #[test]
    fn without_a_key_nothing_is_added() {
        assert_eq!(Signer::new(None).sign("From: a\r\n", "\r\n", Instant::UNIX_EPOCH).unwrap(), "");
    }
}
