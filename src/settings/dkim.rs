//! The keys that sign mails (DKIM, RFC 6376).
//!
//! One key of either kind signs; with a second one, each mail carries two signatures. Not every receiver knows Ed25519
//! (RFC 8463) yet, and a key that is being replaced has to stay valid for mails on their way.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::Ed25519KeyPair;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::mailbox::Mailbox;
use super::reader::{Read, Reader, name};
use crate::domain::EmailAddress;

const EXAMPLE: &str = "\"$(openssl genpkey -algorithm ed25519)\"";

/// Who signs mails, and with what.
#[derive(Clone, Debug)]
pub struct Dkim {
    /// The domain that answers for the mails (`d=`), in lower case and ASCII.
    pub domain: String,
    /// One key or two, under different selectors.
    pub keys: Vec<DkimKey>,
}

/// A key and where its public half is published: `{selector}._domainkey.{domain}`.
#[derive(Clone, Debug)]
pub struct DkimKey {
    /// The selector (`s=`).
    pub selector: String,
    /// The key.
    pub key: SigningKey,
}

/// A private key. Clones share it.
#[derive(Clone)]
pub enum SigningKey {
    /// RSA, of 2048 to 8192 bits.
    Rsa(Arc<RsaKeyPair>),
    /// Ed25519.
    Ed25519(Arc<Ed25519KeyPair>),
}

/// The kind only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa(_) => "SigningKey(RSA)",
            Self::Ed25519(_) => "SigningKey(Ed25519)",
        })
    }
}

impl Dkim {
    /// The setting; none without a key. `from` is who sends the mails, as far as that is known.
    pub(super) fn read(reader: &mut Reader, from: Option<&Mailbox>) -> Read<Option<Self>> {
        let domain = reader.optional("mail.dkim_domain", "example.com", domain);
        let mut selectors = Vec::new();
        let mut keys = Vec::new();
        for suffix in ["", "_2"] {
            let selector = reader.required(&format!("mail.dkim_selector{suffix}"), selector);
            let key = reader.optional(&format!("mail.dkim_private_key{suffix}"), EXAMPLE, SigningKey::parse);
            selectors.push(selector);
            keys.push(key);
        }
        let domain = domain?;
        let mut pairs = Vec::new();
        for (selector, key) in selectors.into_iter().zip(keys) {
            pairs.push((selector?, key?));
        }
        let keys: Vec<DkimKey> =
            pairs.into_iter().filter_map(|(selector, key)| Some(DkimKey { selector, key: key? })).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        if keys.iter().skip(1).any(|key| key.selector == keys[0].selector) {
            let reason = format!("must differ from {}: each key has its own", name("mail.dkim_selector"));
            return Err(reader.refuse("mail.dkim_selector_2", &reason, "gatepost2"));
        }
        let own = from.map(|from| from.address.domain().to_owned());
        let Some(domain) = domain.or_else(|| own.clone()) else { return Ok(None) };
        reader.show("mail.dkim_domain", domain.clone());
        if own.is_some_and(|own| !is_within(&own, &domain)) {
            reader.note(format!(
                "{} is {domain}, which is not the domain that mails come from: receivers that check DMARC do not count \
                 its signatures",
                name("mail.dkim_domain")
            ));
        }
        Ok(Some(Self { domain, keys }))
    }
}

impl SigningKey {
    fn parse(text: &str) -> Result<Self, String> {
        // A variable that cannot have line breaks has them written out.
        let pem = text.replace("\\n", "\n");
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "must be a private key in PEM, as openssl genpkey prints it".to_owned())?;
        let rsa = match &der {
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                if let Ok(key) = Ed25519KeyPair::from_pkcs8(der) {
                    return Ok(Self::Ed25519(Arc::new(key)));
                }
                RsaKeyPair::from_pkcs8(der)
            }
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err("must be an RSA or Ed25519 key".to_owned()),
        };
        rsa.map(|key| Self::Rsa(Arc::new(key)))
            .map_err(|error| format!("must be an Ed25519 key, or an RSA key of 2048 to 8192 bits: {error}"))
    }
}

fn domain(text: &str) -> Result<String, String> {
    let address = EmailAddress::parse(&format!("postmaster@{text}"));
    address.map(|address| address.domain().to_owned()).map_err(|_| "must be a domain".to_owned())
}

/// RFC 6376, 3.1: labels with dots between.
fn selector(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 128 && text.split('.').all(is_label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("must be letters, digits and hyphens, perhaps with dots between".to_owned())
}

/// Whether one of the two domains is the other or lies in it.
fn is_within(one: &str, other: &str) -> bool {
    let lies_in =
        |inner: &str, outer: &str| inner == outer || inner.strip_suffix(outer).is_some_and(|rest| rest.ends_with('.'));
    lies_in(one, other) || lies_in(other, one)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::super::tests::{load, refused};
    use super::*;

    const KEY: &str = "GATEPOST_MAIL_DKIM_PRIVATE_KEY";
    const FROM: (&str, &str) = ("MAIL_FROM", "door@mail.example.com");

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", BASE64.encode(der))
    }

    fn ed25519() -> String {
        pem("PRIVATE KEY", Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref())
    }

    fn rsa() -> String {
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> =
            RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        pem("PRIVATE KEY", der.as_ref())
    }

    #[test]
    fn without_a_key_mails_are_not_signed() {
        assert!(load(&[FROM]).mail.dkim.is_none());
        assert!(load(&[FROM, ("GATEPOST_MAIL_DKIM_SELECTOR", "s")]).mail.dkim.is_none());
    }

    #[test]
    fn a_key_signs_for_the_senders_domain() {
        let settings = load(&[FROM, (KEY, &ed25519())]);
        let dkim = settings.mail.dkim.as_ref().unwrap();
        assert_eq!((dkim.domain.as_str(), dkim.keys[0].selector.as_str()), ("mail.example.com", "gatepost"));
        assert!(matches!(dkim.keys[..], [DkimKey { key: SigningKey::Ed25519(_), .. }]));
        assert!(settings.notes.is_empty(), "{:?}", settings.notes);
        let shown = settings.effective();
        let value = |key: &str| shown.iter().find(|entry| entry.key == key).unwrap().value.clone();
        assert_eq!(
            (value("mail.dkim_private_key"), value("mail.dkim_domain")),
            ("[hidden]".into(), "mail.example.com".into())
        );
    }

    #[test]
    fn two_keys_sign_under_selectors_of_their_own() {
        let (one, two) = (rsa(), ed25519().replace('\n', "\\n"));
        let second = ("GATEPOST_MAIL_DKIM_PRIVATE_KEY_2", two.as_str());
        let domain = ("GATEPOST_MAIL_DKIM_DOMAIN", "Example.COM");
        let dkim =
            load(&[FROM, domain, (KEY, &one), second, ("GATEPOST_MAIL_DKIM_SELECTOR", "a.b-1")]).mail.dkim.unwrap();
        assert_eq!(dkim.domain, "example.com");
        assert_eq!(format!("{:?}", dkim.keys[0]), "DkimKey { selector: \"a.b-1\", key: SigningKey(RSA) }");
        assert_eq!(format!("{:?}", dkim.keys[1]), "DkimKey { selector: \"gatepost2\", key: SigningKey(Ed25519) }");
        let problems = refused(&[FROM, (KEY, &one), second, ("GATEPOST_MAIL_DKIM_SELECTOR_2", "gatepost")]);
        assert_eq!((problems.len(), problems[0].key.as_str()), (1, "mail.dkim_selector_2"));
        let alone = load(&[FROM, second]).mail.dkim.unwrap();
        assert_eq!(alone.keys[0].selector, "gatepost2");
    }

    #[test]
    fn what_cannot_sign_is_refused_and_not_shown() {
        for key in ["hunter2", &pem("PRIVATE KEY", b"hunter2"), &pem("EC PRIVATE KEY", b"hunter2")] {
            let problems = refused(&[(KEY, key)]);
            assert_eq!((problems.len(), problems[0].key.as_str()), (1, "mail.dkim_private_key"), "{key}");
            assert!(problems[0].value.is_none() && problems[0].example.starts_with(KEY), "{problems:?}");
        }
        let problems = refused(&[
            ("GATEPOST_MAIL_DKIM_SELECTOR", "no blanks"),
            ("GATEPOST_MAIL_DKIM_SELECTOR_2", "-x"),
            ("GATEPOST_MAIL_DKIM_DOMAIN", "x@y"),
        ]);
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn a_signature_that_says_nothing_about_the_sender_is_remarked() {
        let key = ed25519();
        let notes = load(&[FROM, (KEY, &key), ("GATEPOST_MAIL_DKIM_DOMAIN", "example.org")]).notes;
        assert!(notes.iter().any(|note| note.contains("GATEPOST_MAIL_DKIM_DOMAIN")), "{notes:?}");
        assert!(load(&[FROM, (KEY, &key), ("GATEPOST_MAIL_DKIM_DOMAIN", "example.com")]).notes.is_empty());
    }
}
