//! The texts of pages and mails: embedded in the binary, and replaced by files of the same name in the operator's
//! directory (`templates.dir`). Mails speak several languages: their words are messages of `locales/<language>/mail.ftl`,
//! which templates say with the function `t` ([`Speech`]).
//!
//! All templates are parsed once, at start, so that a broken replacement stops the start and names itself instead of
//! failing the first person who needs it. Values are escaped in `.html` and left alone in `.txt`; a name that a
//! template uses and its context lacks is an error, not an empty place.

mod locales;
mod speech;

use std::borrow::Cow;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value};
use serde::Serialize;

pub use speech::{Said, Speech, without_marks};

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The operator's directory or a file in it cannot be read.
    #[error("cannot read the template {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The operator's directory holds a file that replaces nothing: most likely a misspelt name.
    #[error("{0} replaces no template; see `templates/` in the source for the names")]
    Unknown(PathBuf),
    /// A file of messages cannot be used.
    #[error("the messages in {path} cannot be used: {reason}")]
    Messages {
        /// The file; of a built-in one, its name.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A mail cannot be made with these templates.
    #[error("the mail {kind} in {language} cannot be made: {reason}")]
    Mail {
        /// The kind of mail.
        kind: &'static str,
        /// The language's tag.
        language: &'static str,
        /// Why, with the template's name.
        reason: String,
    },
    /// The template cannot be parsed, or failed while it was rendered.
    #[error("{0:#}")]
    Broken(#[from] minijinja::Error),
}

macro_rules! embedded {
    ($name:literal) => {
        ($name, include_str!(concat!("../../templates/", $name)))
    };
}

/// Every template of the product, with its text.
const EMBEDDED: &[(&str, &str)] = &[
    embedded!("mail/_macros.html"),
    embedded!("mail/_macros.txt"),
    embedded!("mail/account_approved.html"),
    embedded!("mail/account_approved.subject.txt"),
    embedded!("mail/account_approved.txt"),
    embedded!("mail/account_rejected.html"),
    embedded!("mail/account_rejected.subject.txt"),
    embedded!("mail/account_rejected.txt"),
    embedded!("mail/address_changed.html"),
    embedded!("mail/address_changed.subject.txt"),
    embedded!("mail/address_changed.txt"),
    embedded!("mail/base.html"),
    embedded!("mail/base.txt"),
    embedded!("mail/code.html"),
    embedded!("mail/code.subject.txt"),
    embedded!("mail/code.txt"),
    embedded!("mail/code_and_link.html"),
    embedded!("mail/code_and_link.subject.txt"),
    embedded!("mail/code_and_link.txt"),
    embedded!("mail/invitation.html"),
    embedded!("mail/invitation.subject.txt"),
    embedded!("mail/invitation.txt"),
    embedded!("mail/magic_link.html"),
    embedded!("mail/magic_link.subject.txt"),
    embedded!("mail/magic_link.txt"),
    embedded!("mail/new_device.html"),
    embedded!("mail/new_device.subject.txt"),
    embedded!("mail/new_device.txt"),
    embedded!("mail/notice.html"),
    embedded!("mail/notice.txt"),
    embedded!("mail/registration_digest.html"),
    embedded!("mail/registration_digest.subject.txt"),
    embedded!("mail/registration_digest.txt"),
    embedded!("mail/registration_notice.html"),
    embedded!("mail/registration_notice.subject.txt"),
    embedded!("mail/registration_notice.txt"),
    embedded!("mail/security_notice.html"),
    embedded!("mail/security_notice.subject.txt"),
    embedded!("mail/security_notice.txt"),
    embedded!("mail/sign_in.html"),
    embedded!("mail/sign_in.txt"),
    embedded!("pages/_admin_cache.html"),
    embedded!("pages/_admin_limits.html"),
    embedded!("pages/_admin_mail.html"),
    embedded!("pages/_flow.html"),
    embedded!("pages/_macros.html"),
    embedded!("pages/_wide.html"),
    embedded!("pages/account.html"),
    embedded!("pages/admin.html"),
    embedded!("pages/approval.html"),
    embedded!("pages/audit.html"),
    embedded!("pages/base.html"),
    embedded!("pages/code.html"),
    embedded!("pages/dev_mail.html"),
    embedded!("pages/docs.html"),
    embedded!("pages/error.html"),
    embedded!("pages/link.html"),
    embedded!("pages/link_invalid.html"),
    embedded!("pages/login.html"),
    embedded!("pages/pending.html"),
    embedded!("pages/register.html"),
    embedded!("pages/signed_out.html"),
];

/// The stylesheet of the pages.
pub const STYLESHEET: &str = include_str!("../../templates/assets/gatepost.css");
/// The icon of the pages.
pub const FAVICON: &str = include_str!("../../templates/assets/favicon.svg");

/// All templates, parsed. Clones share them.
#[derive(Clone)]
pub struct Templates(Arc<Parts>);

struct Parts {
    environment: Environment<'static>,
    dir: Option<PathBuf>,
}

impl Templates {
    /// Parses the embedded templates and those of `dir` that replace them.
    pub fn load(dir: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_formatter(format);
        for &(name, text) in EMBEDDED {
            environment.add_template(name, text)?;
        }
        for file in dir.map(replacements).transpose()?.unwrap_or_default() {
            let unreadable = |error| TemplateError::Unreadable { path: file.path.clone(), error };
            let text = std::fs::read_to_string(&file.path).map_err(unreadable)?;
            environment.add_template_owned(file.name, text)?;
        }
        Ok(Self(Arc::new(Parts { environment, dir: dir.map(Path::to_owned) })))
    }

    /// Reads the messages of mails, for each language, as mails of `product` say them.
    pub fn speeches(&self, product: &str) -> Result<Vec<Arc<Speech>>, TemplateError> {
        let locales = locales::load(self.0.dir.as_deref())?;
        Ok(locales.into_iter().map(|locale| Arc::new(Speech::new(locale, product))).collect())
    }

    /// Whether an operator has replaced something.
    pub fn are_replaced(&self) -> bool {
        self.0.dir.is_some()
    }

    /// Renders the template `name` (such as `pages/login.html`) with `context`.
    pub fn render(&self, name: &str, context: impl Serialize) -> Result<String, TemplateError> {
        self.render_value(name, Value::from(minijinja::value::Serde(context)))
    }

    /// As [`render`](Self::render), with a context that is made of values already.
    pub fn render_value(&self, name: &str, context: Value) -> Result<String, TemplateError> {
        Ok(self.0.environment.get_template(name)?.render(context)?)
    }
}

/// Writes a value. In HTML it is escaped, but for slashes: they do no harm, and a link stays readable in the source.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if matches!(state.auto_escape(), AutoEscape::Html) && !value.is_safe() => Ok(write_html(out, text)?),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// `text` as HTML shows it.
pub fn escape_html(text: &str) -> Cow<'_, str> {
    if !text.contains(['<', '>', '&', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    // Writing into a string cannot fail.
    let _ = write_html(&mut escaped, text);
    Cow::Owned(escaped)
}

/// Writes `text` so that HTML shows it, in an element or in a quoted attribute.
fn write_html(out: &mut impl Write, text: &str) -> std::fmt::Result {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            b'"' => "&quot;",
            b'\'' => "&#x27;",
            _ => continue,
        };
        out.write_str(text.get(plain..at).unwrap_or_default())?;
        out.write_str(escaped)?;
        plain = at + 1;
    }
    out.write_str(text.get(plain..).unwrap_or_default())
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Templates")
    }
}

struct Replacement {
    name: String,
    path: PathBuf,
}

/// The files under `dir/mail` and `dir/pages`, each of which must have the name of an embedded template.
fn replacements(dir: &Path) -> Result<Vec<Replacement>, TemplateError> {
    let mut found = Vec::new();
    for group in ["mail", "pages"] {
        let folder = dir.join(group);
        if !folder.exists() && dir.is_dir() {
            continue;
        }
        for path in locales::entries(&folder)? {
            let name = format!("{group}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            if !EMBEDDED.iter().any(|(embedded, _)| *embedded == name) {
                return Err(TemplateError::Unknown(path));
            }
            found.push(Replacement { name, path });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_the_source_tree_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        for group in ["mail", "pages"] {
            for entry in std::fs::read_dir(root.join(group)).unwrap() {
                let name = format!("{group}/{}", entry.unwrap().file_name().to_string_lossy());
                assert!(EMBEDDED.iter().any(|(embedded, _)| *embedded == name), "{name} is not in EMBEDDED");
            }
        }
    }

    #[test]
    fn an_operators_file_replaces_the_embedded_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mail")).unwrap();
        std::fs::write(dir.path().join("mail/code.subject.txt"), "Hello {{ who }}").unwrap();
        let templates = Templates::load(Some(dir.path())).unwrap();
        let text = templates.render("mail/code.subject.txt", serde_json::json!({"who": "<you>"})).unwrap();
        assert_eq!(text, "Hello <you>");
    }

    #[test]
    fn a_broken_or_misnamed_replacement_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let pages = dir.path().join("pages");
        std::fs::create_dir(&pages).unwrap();
        std::fs::write(pages.join("logon.html"), "").unwrap();
        assert!(matches!(Templates::load(Some(dir.path())), Err(TemplateError::Unknown(_))));
        std::fs::rename(pages.join("logon.html"), pages.join("login.html")).unwrap();
        std::fs::write(pages.join("login.html"), "{% if %}").unwrap();
        assert!(matches!(Templates::load(Some(dir.path())), Err(TemplateError::Broken(_))));
        assert!(matches!(Templates::load(Some(&dir.path().join("none"))), Err(TemplateError::Unreadable { .. })));
    }

    #[test]
    fn html_is_escaped_and_links_stay_readable() {
        let written = escape_html("<a href=\"https://x/?a=b&c='d'\">é</a>");
        assert_eq!(written, "&lt;a href=&quot;https://x/?a=b&amp;c=&#x27;d&#x27;&quot;&gt;é&lt;/a&gt;");
    }

    #[test]
    fn a_missing_value_is_an_error() {
        let templates = Templates::load(None).unwrap();
        assert!(templates.render("mail/code.subject.txt", serde_json::json!({})).is_err());
    }
}
