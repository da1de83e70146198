//! `mail preview`: an example of a mail as the settings make it, without a database or a server.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::{kind, one_of};
use crate::cli::{Cli, Failure, say};
use crate::domain::{KeyRing, Language, MailKind};
use crate::mail::{Rendered, Renderer};
use crate::settings::Settings;
use crate::templates::Templates;

/// What examples have their codes and links from: nobody's real ones.
const SECRET: &[u8] = b"the secret of examples, not of anybody";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Preview {
    /// The kind of mail, such as invitation
    #[arg(value_parser = kind)]
    kind: MailKind,
    /// The language, such as de
    #[arg(long, default_value = "en", value_parser = language)]
    locale: Language,
    /// What of it to print
    #[arg(long, value_enum, default_value = "all")]
    format: Format,
    /// Writes to this file instead, to open it in a browser, say
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Html,
    Subject,
    All,
}

pub(super) fn language(text: &str) -> Result<Language, String> {
    one_of(text, Language::ALL, Language::as_str)
}

/// What makes examples, with the templates and texts in force.
pub(super) fn renderer(settings: &Settings) -> Result<Renderer, Failure> {
    let templates = Templates::load(settings.templates.dir.as_deref()).map_err(|error| failed(&error))?;
    let keys = Arc::new(KeyRing::new(SECRET, &[]).map_err(|error| failed(&error))?);
    Renderer::new(templates, &settings.auth.product_name, &settings.server.public_url, keys)
        .map_err(|error| failed(&error))
}

pub(super) fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

/// Prints the example.
pub(in crate::cli) fn print(cli: &Cli, preview: &Preview) -> Result<(), Failure> {
    let example = renderer(&cli.settings(false)?)?.sample(preview.kind, preview.locale);
    let (_, Rendered { subject, text, html, .. }) = example.map_err(|error| failed(&error))?;
    let shown = if cli.json {
        serde_json::json!({ "subject": subject, "text": text, "html": html }).to_string()
    } else {
        match preview.format {
            Format::Text => text,
            Format::Html => html,
            Format::Subject => subject,
            Format::All => format!("{subject}\n\n{text}\n\n{html}"),
        }
    };
    match &preview.out {
        Some(file) => std::fs::write(file, shown + "\n")
            .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", file.display()))),
        None => say(shown),
    }
}
