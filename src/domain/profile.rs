//! The parts of a profile that people write themselves.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Why a piece of profile text is refused. The message is fit to be shown beside the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Shorten it.
    #[error("too long")]
    TooLong,
    /// It has characters that the field cannot hold.
    #[error("contains characters that are not allowed here")]
    Characters,
    /// It has the wrong form.
    #[error("does not have the expected form")]
    Form,
    /// It is a name that nobody may choose.
    #[error("this name is reserved")]
    Reserved,
}

impl InvalidText {
    /// The stable code for API answers.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Characters => "invalid_characters",
            Self::Form => "invalid_format",
            Self::Reserved => "reserved",
        }
    }
}

/// Declares a text that is checked once, by `fn(&str) -> Result<String, InvalidText>`.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and tidies `text`.
            pub fn parse(text: &str) -> Result<Self, InvalidText> {
                $check(text).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidText;

            fn try_from(text: String) -> Result<Self, InvalidText> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text! {
    /// What a person is called: up to 100 characters on one line. May be empty.
    DisplayName, check_name
}
checked_text! {
    /// What a person tells the admin who decides: up to 500 characters, line breaks allowed. May be empty.
    Note, check_note
}
checked_text! {
    /// A short handle: 2 to 32 of `a-z`, `0-9`, `.`, `_`, `-`, starting with a letter; kept in lower case.
    Username, check_username
}
checked_text! {
    /// A telephone number in E.164 form: `+` and 7 to 15 digits.
    Phone, check_phone
}

fn check_name(text: &str) -> Result<String, InvalidText> {
    let name = text.trim().nfc().collect::<String>();
    if name.chars().count() > 100 {
        return Err(InvalidText::TooLong);
    }
    if name.chars().any(is_unprintable) {
        return Err(InvalidText::Characters);
    }
    Ok(name.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn check_note(text: &str) -> Result<String, InvalidText> {
    let note = text.trim().replace("\r\n", "\n").nfc().collect::<String>();
    if note.chars().count() > 500 {
        return Err(InvalidText::TooLong);
    }
    if note.chars().any(|character| character != '\n' && is_unprintable(character)) {
        return Err(InvalidText::Characters);
    }
    Ok(note)
}

/// Names that applications give rights to; since they learn the username from us, nobody may choose one.
const RESERVED: [&str; 24] = [
    "admin",
    "administrator",
    "anonymous",
    "api",
    "daemon",
    "gatepost",
    "guest",
    "hostmaster",
    "info",
    "mail",
    "moderator",
    "no-reply",
    "nobody",
    "noreply",
    "operator",
    "owner",
    "postmaster",
    "root",
    "security",
    "staff",
    "superuser",
    "support",
    "system",
    "webmaster",
];

fn check_username(text: &str) -> Result<String, InvalidText> {
    let name = text.trim().to_lowercase();
    if RESERVED.contains(&name.as_str()) {
        return Err(InvalidText::Reserved);
    }
    if name.len() > 32 {
        return Err(InvalidText::TooLong);
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)) {
        return Err(InvalidText::Characters);
    }
    let starts_with_letter = name.starts_with(|first: char| first.is_ascii_lowercase());
    if starts_with_letter && name.len() >= 2 { Ok(name) } else { Err(InvalidText::Form) }
}

fn check_phone(text: &str) -> Result<String, InvalidText> {
    if text.len() > 64 {
        return Err(InvalidText::TooLong);
    }
    let compact: String = text.chars().filter(|character| !" -()./\t".contains(*character)).collect();
    let digits = compact.strip_prefix('+').ok_or(InvalidText::Form)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidText::Characters);
    }
    if (7..=15).contains(&digits.len()) && !digits.starts_with('0') { Ok(compact) } else { Err(InvalidText::Form) }
}

/// Controls, and the marks that reorder or hide text and so help to deceive its reader.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_tidied() {
        assert_eq!(DisplayName::parse("  Ada   Lovelace ").unwrap().as_str(), "Ada Lovelace");
        assert!(DisplayName::parse("a\r\nBcc: x").is_err());
        assert!(DisplayName::parse("evil\u{202e}gnp.exe").is_err());
        assert_eq!(DisplayName::parse(&"x".repeat(101)), Err(InvalidText::TooLong));
    }

    #[test]
    fn usernames_and_phones_have_one_form() {
        assert_eq!(Username::parse(" Ada.L ").unwrap().as_str(), "ada.l");
        for bad in ["", "a", "1a", "a b", "ä1", "-ab", "Root"] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Phone::parse("+49 (30) 123-4567").unwrap().as_str(), "+49301234567");
        for bad in ["", "030123456", "+", "+123", "+0123456789", "+12345678901234567", "+12x45678"] {
            assert!(Phone::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_accepted_is_accepted_again_unchanged(text in "\\PC{0,40}") {
            if let Ok(name) = DisplayName::parse(&text) {
                prop_assert_eq!(DisplayName::parse(name.as_str()).unwrap(), name);
            }
            if let Ok(note) = Note::parse(&text) {
                prop_assert_eq!(Note::parse(note.as_str()).unwrap(), note);
            }
        }
    }
}
