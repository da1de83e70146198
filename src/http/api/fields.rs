//! Reads the fields of a body, and collects what is wrong with all of them before anything is refused.

use crate::domain::{DisplayName, EmailAddress, InvalidText, Language, NextPath, Note, Redacted};
use crate::http::error::{ApiError, FieldError};

/// What was wrong so far.
#[derive(Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// Notes that `field` is wrong.
    pub fn wrong(&mut self, field: &'static str, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError { field, code, detail: detail.into() });
    }

    /// Fails if anything was wrong.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.0)) }
    }

    /// What was wrong.
    pub fn into_errors(self) -> Vec<FieldError> {
        self.0
    }

    /// An address that has to be there.
    pub fn email(&mut self, field: &'static str, text: Option<&str>) -> Option<EmailAddress> {
        EmailAddress::parse(text.unwrap_or_default())
            .map_err(|error| self.wrong(field, error.code(), sentence(&error.to_string())))
            .ok()
    }

    /// A text that has to be there and not be blank.
    pub fn required(&mut self, field: &'static str, text: Option<&str>) -> Option<String> {
        let text = text.filter(|text| !text.trim().is_empty()).map(str::to_owned);
        if text.is_none() {
            self.wrong(field, "required", "This is needed.");
        }
        text
    }

    /// A secret that has to be there.
    pub fn secret(&mut self, field: &'static str, text: Option<&str>) -> Option<Redacted<String>> {
        let text = text.filter(|text| !text.is_empty()).map(|text| Redacted::new(text.to_owned()));
        if text.is_none() {
            self.wrong(field, "required", "This is needed.");
        }
        text
    }

    /// A text of a checked kind; `None` where it is absent or wrong.
    pub fn checked<T>(
        &mut self,
        field: &'static str,
        text: Option<&str>,
        parse: impl Fn(&str) -> Result<T, InvalidText>,
    ) -> Option<T> {
        parse(text?).map_err(|error| self.wrong(field, error.code(), sentence(&error.to_string()))).ok()
    }

    /// A name; an absent one is empty.
    pub fn name(&mut self, field: &'static str, text: Option<&str>) -> DisplayName {
        self.checked(field, text, DisplayName::parse).unwrap_or_default()
    }

    /// A note; an absent one is empty.
    pub fn note(&mut self, field: &'static str, text: Option<&str>) -> Note {
        self.checked(field, text, Note::parse).unwrap_or_default()
    }

    /// A language; an absent or unknown one is `otherwise`.
    pub fn locale(&mut self, text: Option<&str>, otherwise: Language) -> Language {
        text.and_then(Language::from_tag).unwrap_or(otherwise)
    }

    /// An id of any kind.
    pub fn id<T: std::str::FromStr>(&mut self, field: &'static str, text: Option<&str>) -> Option<T> {
        let parsed = text.and_then(|text| text.parse().ok());
        if parsed.is_none() {
            self.wrong(field, "invalid_id", "This is not a valid id.");
        }
        parsed
    }

    /// Where to go afterwards: somewhere safe, or it is refused.
    pub fn next(&mut self, text: Option<&str>, allowed_origins: &[String]) -> Option<NextPath> {
        let text = text.filter(|text| !text.is_empty())?;
        let next = NextPath::parse(text, allowed_origins);
        if next.is_none() {
            self.wrong("next", "invalid_next", "Only a path of this site or a listed origin is taken.");
        }
        next
    }
}

/// `text` as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// For callers that have made sure that the collector is empty: a field that passed is there.
pub fn present<T>(value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::internal("a checked field is missing"))
}
