//! The texts of mails in every language, as Project Fluent messages (`locales/<language>/mail.ftl`).
//!
//! For each language up to four files lie upon each other, and of each message the topmost counts: the built-in English
//! one, the operator's English one, the built-in one of the language, and the operator's. So a text that a language
//! lacks is read in English, and an operator's file holds just what it changes. An operator's message that replaces none and does not start with
//! `x-`, which marks one for templates of the operator's own, stops the start: most likely its name is misspelt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fluent_bundle::FluentResource;
use fluent_bundle::concurrent::FluentBundle;
use fluent_syntax::ast;
use unic_langid::LanguageIdentifier;

use super::TemplateError;
use crate::domain::Language;

/// The messages of one language.
pub(super) type Bundle = FluentBundle<FluentResource>;

/// A language, its messages, and their names.
pub(super) struct Locale {
    pub(super) language: Language,
    pub(super) bundle: Bundle,
    pub(super) names: BTreeSet<String>,
}

/// What an operator's own messages start with.
const OWN: &str = "x-";

fn built_in(language: Language) -> &'static str {
    macro_rules! messages {
        ($tag:literal) => {
            include_str!(concat!("../../templates/locales/", $tag, "/mail.ftl"))
        };
    }
    match language {
        Language::English => messages!("en"),
        Language::German => messages!("de"),
        Language::French => messages!("fr"),
        Language::Spanish => messages!("es"),
        Language::Portuguese => messages!("pt"),
        Language::Japanese => messages!("ja"),
        Language::Arabic => messages!("ar"),
    }
}

/// Reads the built-in messages and those of `dir/locales` that replace them, for every language.
pub(super) fn load(dir: Option<&Path>) -> Result<Vec<Locale>, TemplateError> {
    let own = dir.map(replacements).transpose()?.unwrap_or_default();
    Language::ALL.iter().map(|&language| locale(language, &own)).collect()
}

fn locale(language: Language, own: &BTreeMap<String, PathBuf>) -> Result<Locale, TemplateError> {
    let mut bundle = Bundle::new_concurrent(vec![identifier(language)?]);
    // Marks around values are for languages written from right to left; see `speech.rs`.
    bundle.set_use_isolating(language.is_rtl());
    let mut names = BTreeSet::new();
    let languages: &[_] = if language == Language::English { &[language] } else { &[Language::English, language] };
    for layer in languages {
        let messages = parse(Path::new(layer.as_str()), built_in(*layer).to_owned())?;
        names.extend(placeables(&messages).into_keys());
        bundle.add_resource_overriding(messages);
        let Some(path) = own.get(layer.as_str()) else { continue };
        let unreadable = |error| TemplateError::Unreadable { path: path.clone(), error };
        let messages = parse(path, std::fs::read_to_string(path).map_err(unreadable)?)?;
        for name in placeables(&messages).into_keys() {
            if !name.starts_with(OWN) && !names.contains(&name) {
                return Err(wrong(path, format!("{name} replaces no message; call one of your own {OWN}{name}")));
            }
            names.insert(name);
        }
        bundle.add_resource_overriding(messages);
    }
    Ok(Locale { language, bundle, names })
}

fn identifier(language: Language) -> Result<LanguageIdentifier, TemplateError> {
    language.as_str().parse().map_err(|_| wrong(Path::new(language.as_str()), "no language tag".to_owned()))
}

fn parse(path: &Path, text: String) -> Result<FluentResource, TemplateError> {
    FluentResource::try_new(text).map_err(|(read, errors)| {
        let Some(first) = errors.first() else { return wrong(path, "it cannot be parsed".to_owned()) };
        let line = read.source().get(..first.pos.start).map_or(0, |before| before.matches('\n').count()) + 1;
        wrong(path, format!("line {line}: {first}"))
    })
}

fn wrong(path: &Path, reason: String) -> TemplateError {
    TemplateError::Messages { path: path.to_owned(), reason }
}

/// The operator's files by language. Anything else under `dir/locales` is misplaced.
fn replacements(dir: &Path) -> Result<BTreeMap<String, PathBuf>, TemplateError> {
    let folder = dir.join("locales");
    let mut found = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    for entry in entries(&folder)? {
        let tag = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if tag.parse::<Language>().is_err() {
            return Err(TemplateError::Unknown(entry));
        }
        for file in entries(&entry)? {
            if file.file_name().is_none_or(|name| name != "mail.ftl") {
                return Err(TemplateError::Unknown(file));
            }
            found.insert(tag.clone(), file);
        }
    }
    Ok(found)
}

/// What lies in a folder, but for hidden files.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let unreadable = |error| TemplateError::Unreadable { path: folder.to_owned(), error };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Every message with the names of the values in it.
pub(super) fn placeables(messages: &FluentResource) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for entry in messages.entries() {
        if let ast::Entry::Message(message) = entry {
            let mut names = BTreeSet::new();
            if let Some(pattern) = &message.value {
                in_pattern(pattern, &mut names);
            }
            all.insert(message.id.name.to_owned(), names);
        }
    }
    all
}

/// The names of the values that `pattern` shows or chooses by. What it refers to, messages and terms, is among them
/// with its sigil, so that nobody takes such a pattern for a fixed text.
pub(super) fn in_pattern(pattern: &ast::Pattern<&str>, names: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        if let ast::PatternElement::Placeable { expression } = element {
            in_expression(expression, names);
        }
    }
}

fn in_expression(expression: &ast::Expression<&str>, names: &mut BTreeSet<String>) {
    match expression {
        ast::Expression::Inline(inline) => in_inline(inline, names),
        ast::Expression::Select { selector, variants } => {
            in_inline(selector, names);
            for variant in variants {
                in_pattern(&variant.value, names);
            }
        }
    }
}

fn in_inline(inline: &ast::InlineExpression<&str>, names: &mut BTreeSet<String>) {
    use ast::InlineExpression as Inline;
    match inline {
        Inline::StringLiteral { .. } | Inline::NumberLiteral { .. } => {}
        Inline::VariableReference { id } => {
            names.insert(id.name.to_owned());
        }
        Inline::MessageReference { id, .. } => {
            names.insert(format!("{{{}}}", id.name));
        }
        Inline::TermReference { id, .. } => {
            names.insert(format!("-{}", id.name));
        }
        Inline::FunctionReference { id, arguments } => {
            names.insert(format!("{}()", id.name));
            arguments.positional.iter().for_each(|argument| in_inline(argument, names));
        }
        Inline::Placeable { expression } => in_expression(expression, names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_says_everything_with_the_same_values() {
        let of = |language| placeables(&parse(Path::new("built-in"), built_in(language).to_owned()).unwrap());
        let english = of(Language::English);
        for &language in Language::ALL {
            let messages = of(language);
            let names = |messages: &BTreeMap<String, _>| messages.keys().cloned().collect::<BTreeSet<_>>();
            let (ours, theirs) = (names(&english), names(&messages));
            assert_eq!(ours.difference(&theirs).collect::<Vec<_>>(), Vec::<&String>::new(), "{language} lacks these");
            assert_eq!(
                theirs.difference(&ours).collect::<Vec<_>>(),
                Vec::<&String>::new(),
                "{language} alone has these"
            );
            for (name, values) in &english {
                assert_eq!(values, &messages[name], "{language}: {name}");
            }
        }
    }

    #[test]
    fn every_form_of_placeable_is_seen() {
        let text = "a = { $n ->\n [one] { $x }\n *[other] { NUMBER($y) }\n } { b } { -c } { \"d\" }\nb = B\n-c = C\n";
        let seen = placeables(&parse(Path::new("here"), text.to_owned()).unwrap());
        let names: Vec<_> = seen["a"].iter().map(String::as_str).collect();
        assert_eq!(names, ["-c", "NUMBER()", "n", "x", "y", "{b}"]);
    }

    #[test]
    fn a_broken_or_misnamed_file_stops_the_start_and_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let german = dir.path().join("locales/de");
        std::fs::create_dir_all(&german).unwrap();
        let failure = || load(Some(dir.path())).err().map(|error| error.to_string()).unwrap_or_default();
        let file = german.join("mail.ftl");
        std::fs::write(&file, "greeting = Servus { $name }\nx-own = Eigenes\n").unwrap();
        assert_eq!(failure(), "");
        std::fs::write(&file, "greeting = Servus\n\nbroken { = }\n").unwrap();
        assert!(failure().contains("de/mail.ftl") && failure().contains("line 3"), "{}", failure());
        std::fs::write(&file, "greetign = Servus\n").unwrap();
        assert!(failure().contains("greetign replaces no message"), "{}", failure());
        std::fs::rename(&file, german.join("mails.ftl")).unwrap();
        assert!(failure().contains("mails.ftl"), "{}", failure());
        std::fs::remove_file(german.join("mails.ftl")).unwrap();
        std::fs::create_dir(dir.path().join("locales/xx")).unwrap();
        assert!(failure().contains("locales/xx"), "{}", failure());
    }
}
