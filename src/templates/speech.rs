//! The function `t` of the templates of mails: says a message in the language of the mail.
//!
//! `{{ t("approved-heading") }}` knows the values of the mail it is in; others can be given, as in
//! `{{ t("quoted", text=name) }}`. A message that does not exist, or names a value that the mail has not, is an error.
//!
//! In a language written from right to left, values such as addresses and names may run the other way. Fluent marks
//! them with invisible characters; in HTML these become `<bdi>`, and in plain text, where programs show them as boxes,
//! they are left out.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use fluent_bundle::{FluentArgs, FluentValue};
use minijinja::value::{Kwargs, Object, ObjectRepr, from_args};
use minijinja::{AutoEscape, Error, ErrorKind, State, Value};

use super::locales::{Bundle, Locale, in_pattern};
use super::{TemplateError, escape_html};
use crate::domain::Language;

/// Fluent's marks around a value: FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE.
const MARKS: [char; 2] = ['\u{2068}', '\u{2069}'];

/// The messages of one language, ready to be said. Most name nothing but the product, and are made once.
pub struct Speech {
    language: Language,
    bundle: Bundle,
    product: String,
    fixed: HashMap<String, Fixed>,
}

struct Fixed {
    text: Value,
    html: Value,
}

/// A value in a message.
#[derive(Clone, Debug)]
pub enum Said {
    /// A text.
    Text(String),
    /// A number, by which a message may choose its form.
    Number(i64),
}

/// [`Speech`] with the values of one mail: what templates call as `t`.
struct Speaker {
    speech: Arc<Speech>,
    values: Vec<(&'static str, Said)>,
}

impl Speech {
    pub(super) fn new(locale: Locale, product: &str) -> Self {
        let Locale { language, bundle, names } = locale;
        let mut speech = Self { language, bundle, product: without_marks(product), fixed: HashMap::new() };
        let fixed = names.into_iter().filter(|name| speech.is_fixed(name));
        let fixed = fixed.filter_map(|name| {
            let raw = speech.say(&name, &[], &[]).ok()?;
            let text = Value::from(speech.finish(&raw, false));
            let html = Value::from_safe_string(speech.finish(&raw, true));
            Some((name, Fixed { text, html }))
        });
        speech.fixed = fixed.collect();
        speech
    }

    /// The language spoken.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The function `t` for a mail with these values.
    pub fn about(self: &Arc<Self>, values: Vec<(&'static str, Said)>) -> Value {
        Value::from_object(Speaker { speech: Arc::clone(self), values })
    }

    /// The message `name` as plain text.
    pub fn text(&self, name: &str, values: &[(&'static str, Said)]) -> Result<String, TemplateError> {
        Ok(self.finish(&self.say(name, values, &[])?, false))
    }

    fn is_fixed(&self, name: &str) -> bool {
        let Some(pattern) = self.bundle.get_message(name).and_then(|message| message.value()) else { return false };
        let mut values = BTreeSet::new();
        in_pattern(pattern, &mut values);
        values.iter().all(|value| value == "product")
    }

    /// The message `name` with Fluent's marks.
    fn say(&self, name: &str, values: &[(&'static str, Said)], more: &[(&str, Said)]) -> Result<String, Error> {
        let message = self.bundle.get_message(name).and_then(|message| message.value());
        let pattern = message.ok_or_else(|| wrong(format!("there is no text called {name:?}")))?;
        let mut arguments = FluentArgs::with_capacity(values.len() + more.len() + 1);
        arguments.set("product", self.product.as_str());
        for (name, value) in values.iter().map(|(name, value)| (*name, value)).chain(more.iter().map(|(n, v)| (*n, v)))
        {
            arguments.set(name, FluentValue::from(value));
        }
        let mut errors = Vec::new();
        let said = self.bundle.format_pattern(pattern, Some(&arguments), &mut errors).into_owned();
        match errors.first() {
            Some(error) => Err(wrong(format!("the text {name:?} in {:?} is wrong: {error}", self.language))),
            None => Ok(said),
        }
    }

    /// `said` as it is shown: escaped for HTML, and with the marks as they are needed there.
    fn finish(&self, said: &str, html: bool) -> String {
        if !html {
            return if self.language.is_rtl() { said.replace(MARKS, "") } else { said.to_owned() };
        }
        let escaped = escape_html(said);
        if self.language.is_rtl() {
            escaped.replace(MARKS[0], "<bdi>").replace(MARKS[1], "</bdi>")
        } else {
            escaped.into_owned()
        }
    }
}

impl<'a> From<&'a Said> for FluentValue<'a> {
    fn from(said: &'a Said) -> Self {
        match said {
            Said::Text(text) if text.contains(MARKS) => without_marks(text).into(),
            Said::Text(text) => text.as_str().into(),
            Said::Number(number) => (*number).into(),
        }
    }
}

/// `text` without marks of its own, which would close or open ours.
pub fn without_marks(text: &str) -> String {
    text.replace(MARKS, "")
}

impl Object for Speaker {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        let html = matches!(state.auto_escape(), AutoEscape::Html);
        if let [name] = arguments
            && let Some(fixed) = name.as_str().and_then(|name| self.speech.fixed.get(name))
        {
            return Ok(if html { fixed.html.clone() } else { fixed.text.clone() });
        }
        let (name, given): (&str, Kwargs) = from_args(arguments)?;
        let mut more = Vec::new();
        for key in given.args() {
            let value: Value = given.peek(key)?;
            let number = value.is_number().then(|| i64::try_from(value.clone()).ok()).flatten();
            more.push((key, number.map_or_else(|| Said::Text(value.to_string()), Said::Number)));
        }
        let said = self.speech.say(name, &self.values, &more)?;
        let shown = self.speech.finish(&said, html);
        Ok(if html { Value::from_safe_string(shown) } else { Value::from(shown) })
    }
}

fn wrong(reason: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Speech({})", self.language)
    }
}

/// Shows no value: a code may be among them.
impl fmt::Debug for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Speaker({})", self.speech.language)
    }
}
