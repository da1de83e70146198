//! Signatures of mails, checked as a receiver checks them (RFC 6376, 6): by what is on the wire and in the DNS, with
//! canonicalization written anew from the RFC.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepost::domain::MailStatus;
use gatepost::mail::dkim_records;
use gatepost::settings::{Dkim, DkimKey, SigningKey};

use crate::SOON;
use crate::rig::Rig;
use crate::support::{Fault, Stage};

/// Both kinds of key at once.
fn dkim() -> Dkim {
    let rsa = SigningKey::Rsa(Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
    let ed25519 = SigningKey::Ed25519(Arc::new(Ed25519KeyPair::generate().unwrap()));
    let key = |selector: &str, key| DkimKey { selector: selector.to_owned(), key };
    Dkim { domain: "example.com".to_owned(), keys: vec![key("one", rsa), key("two", ed25519)] }
}

/// The header fields and the body.
fn split(raw: &str) -> (Vec<String>, &str) {
    let (headers, body) = raw.split_once("\r\n\r\n").unwrap();
    let mut fields: Vec<String> = Vec::new();
    for line in headers.split("\r\n") {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => *field = format!("{field}\r\n{line}"),
            _ => fields.push(line.to_owned()),
        }
    }
    (fields, body)
}

fn relaxed(field: &str) -> String {
    let (name, value) = field.split_once(':').unwrap();
    let words: Vec<&str> = value.split_whitespace().collect();
    format!("{}:{}", name.to_lowercase().trim(), words.join(" "))
}

fn relaxed_body(body: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in body.split("\r\n") {
        let mut short = line.replace('\t', " ");
        while short.contains("  ") {
            short = short.replace("  ", " ");
        }
        lines.push(short.trim_end().to_owned());
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect()
}

/// The tags of a `tag=value; …` list, without blanks.
fn tags(list: &str) -> BTreeMap<String, String> {
    let pairs = list.split(';').filter_map(|pair| pair.split_once('='));
    pairs.map(|(tag, value)| (tag.trim().to_owned(), value.split_whitespace().collect())).collect()
}

/// Checks every signature of a message; their selectors, or what is wrong with one.
fn verify(raw: &[u8], dkim: &Dkim) -> Result<Vec<String>, String> {
    let raw = std::str::from_utf8(raw).unwrap();
    let (fields, body) = split(raw);
    let zone: BTreeMap<String, String> =
        dkim_records(dkim).unwrap().into_iter().map(|record| (record.name, record.value)).collect();
    let mut selectors = Vec::new();
    for field in fields.iter().filter(|field| field.starts_with("DKIM-Signature:")) {
        assert!(field.split("\r\n").all(|line| line.len() < 78), "{field}");
        let tags = tags(field.split_once(':').unwrap().1);
        assert_eq!((tags["v"].as_str(), tags["c"].as_str()), ("1", "relaxed/relaxed"));
        if BASE64.encode(digest(&SHA256, relaxed_body(body).as_bytes())) != tags["bh"] {
            return Err("the body has been changed".to_owned());
        }
        let mut left = fields.clone();
        let mut signed = String::new();
        for name in tags["h"].split(':') {
            let found = left.iter().rposition(|field| field.to_lowercase().starts_with(&format!("{name}:")));
            if let Some(at) = found {
                signed.push_str(&relaxed(&left.remove(at)));
                signed.push_str("\r\n");
            }
        }
        let (unsigned, _) = field.rsplit_once("b=").unwrap();
        signed.push_str(&relaxed(&format!("{unsigned}b=")));
        let record = self::tags(&zone[&format!("{}._domainkey.{}", tags["s"], tags["d"])]);
        let public = BASE64.decode(&record["p"]).unwrap();
        let signature = BASE64.decode(&tags["b"]).unwrap();
        let verified = match (tags["a"].as_str(), record["k"].as_str()) {
            ("rsa-sha256", "rsa") => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(signed.as_bytes(), &signature)
            }
            ("ed25519-sha256", "ed25519") => {
                UnparsedPublicKey::new(&ED25519, public).verify(digest(&SHA256, signed.as_bytes()).as_ref(), &signature)
            }
            other => panic!("{other:?}"),
        };
        verified.map_err(|_| "the headers have been changed".to_owned())?;
        selectors.push(tags["s"].clone());
    }
    Ok(selectors)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_signed_with_each_key_and_a_repeat_has_the_same_signatures() {
    let rig = Rig::sqlite().await;
    let dkim = dkim();
    rig.sink.script(Fault::DropAfter { stage: Stage::Dot }.times(1));
    let _worker = rig.worker_with(|settings| settings.dkim = Some(dkim.clone()));
    let mail = rig.accept("ann@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
    let twice = rig.sink.wait_for_count(2, SOON).await;
    assert_eq!(twice[0].raw, twice[1].raw);
    assert_eq!(verify(&twice[0].raw, &dkim).unwrap(), ["one", "two"]);
    let raw = std::str::from_utf8(&twice[0].raw).unwrap();
    assert!(raw.starts_with("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; t="), "{raw}");
    assert!(raw.contains(&format!("; t={};", mail.created_at.timestamp())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_on_the_way_is_noticed() {
    let rig = Rig::sqlite().await;
    let dkim = dkim();
    let _worker = rig.worker_with(|settings| settings.dkim = Some(dkim.clone()));
    rig.accept("алиса@example.org").await;
    let raw = String::from_utf8(rig.sink.next_to("алиса@example.org").await.raw).unwrap();
    assert_eq!(verify(raw.as_bytes(), &dkim).unwrap().len(), 2);
    for (from, to, noticed) in [
        ("for 10 minutes", "for 90 minutes", Err("the body has been changed")),
        ("Subject: ", "Subject: Re: ", Err("the headers have been changed")),
        ("Auto-Submitted: auto-generated", "Auto-Submitted: no", Err("the headers have been changed")),
        ("\r\nTo: ", "\r\nFrom: evil@example.com\r\nTo: ", Err("the headers have been changed")),
        ("\r\nDate: ", "\r\nReceived: by relay.test\r\nDATE :   ", Ok(2)),
    ] {
        let changed = raw.replacen(from, to, 1);
        assert_ne!(changed, raw, "{from}");
        let changed = changed.replace("DATE :", "DATE:");
        let found = verify(changed.as_bytes(), &dkim).map(|selectors| selectors.len());
        assert_eq!(found, noticed.map_err(str::to_owned), "{to}");
    }
}
