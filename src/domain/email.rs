//! E-mail addresses, parsed once at the edge.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_security::RestrictionLevel;
use unicode_security::restriction_level::RestrictionLevelDetection;

/// A mailbox that mail can be sent to and an account can be found by.
///
/// Parsing trims, normalises to NFKC, and turns the domain into lower-case ASCII (IDNA, UTS 46). Two spellings of one
/// mailbox have the same [`key`](Self::key). The local part keeps the case it was written in, for the mail itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    address: String,
    at: usize,
    key: String,
}

/// Why a text is not an address that Gatepost takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailAddressError {
    /// Nothing was given.
    #[error("enter an e-mail address")]
    Empty,
    /// It is longer than SMTP carries: 254 bytes in all, 64 before the @ (RFC 5321, 4.5.3.1).
    #[error("the address is too long")]
    TooLong,
    /// It does not have the form `name@example.com`. Quoted names and address literals count as malformed.
    #[error("enter an address like name@example.com")]
    Malformed,
    /// It mixes scripts in a way that people use to imitate other addresses (UTS 39).
    #[error("the address mixes letters of different scripts that look alike")]
    Confusable,
}

impl EmailAddressError {
    /// The stable code for API answers.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "required",
            Self::TooLong => "too_long",
            Self::Malformed => "invalid_email",
            Self::Confusable => "confusable_email",
        }
    }
}

impl EmailAddress {
    /// Parses `text` as a person typed it.
    pub fn parse(text: &str) -> Result<Self, EmailAddressError> {
        use EmailAddressError::{Confusable, Empty, Malformed, TooLong};
        if text.len() > 1024 {
            return Err(TooLong);
        }
        let normal: String = text.trim().nfkc().collect();
        if normal.is_empty() {
            return Err(Empty);
        }
        let (local, domain) = normal.split_once('@').ok_or(Malformed)?;
        if !is_dot_atom(local) {
            return Err(Malformed);
        }
        let domain = ascii_domain(domain).ok_or(Malformed)?;
        if local.len() > 64 || local.len() + 1 + domain.len() > 254 {
            return Err(TooLong);
        }
        let (shown_domain, _) = idna::domain_to_unicode(&domain);
        if imitates(local) || shown_domain.split('.').any(imitates) {
            return Err(Confusable);
        }
        let key: String = format!("{}@{domain}", local.to_lowercase()).nfkc().collect();
        Ok(Self { address: format!("{local}@{domain}"), at: local.len(), key })
    }

    /// The address to write to.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// What accounts are found by: the address in lower case.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The part before the @, in the case it was written in.
    pub fn local_part(&self) -> &str {
        &self.address[..self.at]
    }

    /// The domain, in lower-case ASCII.
    pub fn domain(&self) -> &str {
        &self.address[self.at + 1..]
    }

    /// What aliases of one mailbox share: without a `+tag`, and at providers that ignore dots, or dashes and underscores too, or
    /// have several domains, without what makes no difference there. For counting abuse only: two people may share one elsewhere,
    /// so accounts are never found by it. Sources: <https://support.google.com/mail/answer/7436150>,
    /// <https://proton.me/support/addresses-and-aliases> and <https://proton.me/support/change-username>.
    pub fn abuse_key(&self) -> String {
        let (local, domain) = self.key.rsplit_once('@').unwrap_or((&self.key, ""));
        let base = match local.split_once('+') {
            Some((base, _)) if !base.is_empty() => base,
            _ => local,
        };
        match domain {
            "gmail.com" | "googlemail.com" => format!("{}@gmail.com", base.replace('.', "")),
            "proton.me" | "protonmail.com" | "protonmail.ch" | "pm.me" => {
                format!("{}@proton.me", base.replace(['.', '-', '_'], ""))
            }
            _ => format!("{base}@{domain}"),
        }
    }
}

/// RFC 5322 dot-atom, with the letters of any script (RFC 6532) but no spaces or controls of any.
fn is_dot_atom(local: &str) -> bool {
    let allowed = |character: char| match character {
        character if character.is_ascii() => {
            character.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(character)
        }
        character => character.is_alphanumeric() || unicode_normalization::char::is_combining_mark(character),
    };
    !local.is_empty() && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(allowed))
}

fn ascii_domain(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let labels_fit = ascii.split('.').all(|label| (1..=63).contains(&label.len()));
    let top_level = ascii.rsplit('.').next()?;
    let numeric_top = top_level.bytes().all(|byte| byte.is_ascii_digit());
    let dotted = ascii.contains('.') || ascii == "localhost";
    (labels_fit && dotted && !numeric_top && ascii.len() <= 253).then_some(ascii)
}

/// UTS 39: more than one script, other than the mixtures that languages are written in.
fn imitates(part: &str) -> bool {
    !part.is_ascii() && !part.check_restriction_level(RestrictionLevel::HighlyRestrictive)
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// Addresses are personal: logs show the domain and the first letter.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.address.chars().next().unwrap_or('?');
        write!(f, "{first}…@{}", self.domain())
    }
}

impl std::str::FromStr for EmailAddress {
    type Err = EmailAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl serde::Serialize for EmailAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.address)
    }
}

impl<'de> serde::Deserialize<'de> for EmailAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> String {
        EmailAddress::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).key().to_owned()
    }

    #[test]
    fn spellings_of_one_mailbox_share_a_key() {
        for text in ["alice@example.com", "  Alice@Example.COM\n", "ＡＬＩＣＥ＠example.com", "alice@EXAMPLE。com"]
        {
            assert_eq!(key(text), "alice@example.com", "{text:?}");
        }
        assert_eq!(key("zoë@bücher.example"), "zoë@xn--bcher-kva.example");
        assert_eq!(key("zoe\u{308}@bücher.example"), key("zoë@BÜCHER.example"));
    }

    #[test]
    fn the_written_case_is_kept_for_the_mail() {
        assert_eq!(EmailAddress::parse("Alice@Example.com").unwrap().as_str(), "Alice@example.com");
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "alice",
            "@b.c",
            "a@",
            "a@b",
            "a b@c.de",
            "a@b@c.de",
            ".a@b.cd",
            "a.@b.cd",
            "a..b@c.de",
            "\"a b\"@c.de",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@-b.cd",
            "a@b..cd",
            "a\r\nBcc: x@y.zz@c.de",
            "a\0@b.cd",
            "a@b.cd\u{202e}",
            "<a@b.cd>",
            "a,b@c.de",
            "a@b_c.de",
        ] {
            assert!(EmailAddress::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(EmailAddress::parse(" \t "), Err(EmailAddressError::Empty));
        assert_eq!(EmailAddress::parse(&format!("{}@b.cd", "a".repeat(65))), Err(EmailAddressError::TooLong));
        assert_eq!(EmailAddress::parse(&"a".repeat(100_000)), Err(EmailAddressError::TooLong));
    }

    #[test]
    fn imitations_are_refused_and_languages_are_not() {
        // The first letter is Cyrillic.
        assert_eq!(EmailAddress::parse("\u{430}lice@example.com"), Err(EmailAddressError::Confusable));
        assert_eq!(EmailAddress::parse("alice@ex\u{430}mple.com"), Err(EmailAddressError::Confusable));
        for text in ["алиса@пример.рф", "田中@例え.jp", "josé@example.es"] {
            assert!(EmailAddress::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn aliases_share_an_abuse_key() {
        let abuse = |text: &str| EmailAddress::parse(text).unwrap().abuse_key();
        assert_eq!(abuse("a.l.ice+spam@googlemail.com"), "alice@gmail.com");
        for address in ["a.l-i_ce+spam@protonmail.com", "Alice@pm.me", "al-ice@protonmail.ch", "alice@proton.me"] {
            assert_eq!(abuse(address), "alice@proton.me");
        }
        assert_ne!(abuse("al-ice@gmail.com"), abuse("alice@gmail.com"));
        assert_ne!(abuse("a.lice@example.com"), abuse("alice@example.com"));
        assert_eq!(abuse("a.lice+spam@example.com"), "a.lice@example.com");
        assert_eq!(abuse("+tag@example.com"), "+tag@example.com");
    }

    #[test]
    fn debug_does_not_show_the_whole_address() {
        assert_eq!(format!("{:?}", EmailAddress::parse("alice@example.com").unwrap()), "a…@example.com");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in "\\PC{0,80}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert!(!address.as_str().contains(['\r', '\n', ' ', '<', '>']));
                let again = EmailAddress::parse(address.as_str()).unwrap();
                prop_assert_eq!(again.as_str(), address.as_str());
                prop_assert_eq!(again.key(), address.key());
                let by_key = EmailAddress::parse(address.key()).unwrap();
                prop_assert_eq!(by_key.key(), address.key());
            }
        }

        #[test]
        fn plausible_addresses_parse(local in "[a-zA-Z0-9_+.-]{1,20}", domain in "[a-z]{1,10}\\.[a-z]{2,5}") {
            prop_assume!(!local.starts_with('.') && !local.ends_with('.') && !local.contains(".."));
            let text = format!("{local}@{domain}");
            prop_assert!(EmailAddress::parse(&text).is_ok());
        }
    }
}
