//! The sender of the mails, as `MAIL_FROM` writes it.

use std::fmt;

use crate::domain::{DisplayName, EmailAddress};

/// An address and perhaps a name to show beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The name, on one line, unquoted.
    pub name: Option<String>,
    /// The address.
    pub address: EmailAddress,
}

impl Mailbox {
    /// Reads `name@example.com`, `Name <name@example.com>` or `"Name, Inc." <name@example.com>`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (name.trim(), address),
            None => ("", text),
        };
        let address = EmailAddress::parse(address)
            .map_err(|error| format!("must be name@example.com or Name <name@example.com>: {error}"))?;
        let name = DisplayName::parse(&unquoted(name)).map_err(|error| format!("has a name that is wrong: {error}"))?;
        Ok(Self { name: Some(name.as_str().to_owned()).filter(|name| !name.is_empty()), address })
    }
}

/// As RFC 5322 writes it, the name in quotes where it needs them.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => write!(f, "{}", self.address),
            Some(name) if name.contains(|character| "()<>[]:;@\\,.\"".contains(character)) => {
                write!(f, "\"{}\" <{}>", name.replace('\\', r"\\").replace('"', "\\\""), self.address)
            }
            Some(name) => write!(f, "{name} <{}>", self.address),
        }
    }
}

/// `name` without the quotes around it and the backslashes inside them.
fn unquoted(name: &str) -> String {
    let Some(inner) = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) else { return name.to_owned() };
    let mut escaped = false;
    inner
        .chars()
        .filter(|&character| {
            escaped = character == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> (Option<String>, String) {
        let mailbox = Mailbox::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        (mailbox.name, mailbox.address.to_string())
    }

    #[test]
    fn a_mailbox_is_an_address_with_or_without_a_name() {
        for (text, name, address) in [
            ("a@b.cd", None, "a@b.cd"),
            ("<a@b.cd>", None, "a@b.cd"),
            ("Gate  Post <a@b.cd>", Some("Gate Post"), "a@b.cd"),
            ("\"Post, Inc. \\\"Gate\\\"\" <a@b.cd>", Some("Post, Inc. \"Gate\""), "a@b.cd"),
            ("Tor <schließer> <a@b.cd>", Some("Tor <schließer>"), "a@b.cd"),
        ] {
            assert_eq!(parts(text), (name.map(str::to_owned), address.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_could_forge_a_header_is_refused() {
        for text in
            ["", "Gatepost", "a@b.cd>", "x\r\nBcc: y <a@b.cd>", "x <a@b.cd\r\n>y", "<a@b.cd", "a@b.cd, c@d.ef", "x <>"]
        {
            assert!(Mailbox::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_mailbox_reads_back(name in "\\PC{0,20}") {
            let Ok(mailbox) = Mailbox::parse(&format!("{name} <a@b.cd>")) else { return Ok(()) };
            prop_assert_eq!(Mailbox::parse(&mailbox.to_string()), Ok(mailbox));
        }
    }
}
