//! Laying the sources over one another: the default, the file, the environment, the command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::problem::{Problem, Source, example};
use super::{Sources, keys};

/// The one list of settings and their defaults.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The problem with this setting has been recorded already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// A value that somebody gave, as text; every source is brought to this one form.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) source: Source,
}

/// For each setting, what the strongest source says.
pub(super) struct Layers {
    /// The text of each default, which is also the list of known keys. Empty when there is none.
    pub(super) defaults: BTreeMap<String, String>,
    /// What was found beyond the defaults.
    pub(super) given: BTreeMap<String, Result<Found, Reported>>,
    /// What was wrong with the sources themselves.
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    /// Reads every source. What is wrong with one does not keep the others from being read.
    pub(super) fn gather(sources: &Sources) -> Self {
        let mut layers = Self { defaults: BTreeMap::new(), given: BTreeMap::new(), problems: Vec::new() };
        for (key, value) in layers.parse(DEFAULTS, &Source::Default) {
            layers.defaults.insert(key, value.unwrap_or_default());
        }
        layers.add_file(sources);
        layers.problems.extend(keys::unknown_variables(&sources.environment, &layers.defaults));
        for key in layers.defaults.keys().cloned().collect::<Vec<_>>() {
            layers.add_variables(&key, &sources.environment);
        }
        for (key, text) in &sources.overrides {
            layers.add(key, Ok(text.clone()), Source::CommandLine);
        }
        layers
    }

    fn add_file(&mut self, sources: &Sources) {
        let named = sources.environment.get(keys::CONFIG_VARIABLE).filter(|path| !path.trim().is_empty());
        let (path, source) = match (&sources.file, named) {
            (Some(path), _) => (path.clone(), Source::CommandLine),
            (None, Some(path)) => (PathBuf::from(path), Source::Environment(keys::CONFIG_VARIABLE.to_owned())),
            (None, None) => return,
        };
        match fs::read_to_string(&path) {
            Ok(text) => {
                let source = Source::File(path);
                for (key, value) in self.parse(&text, &source) {
                    self.add(&key, value, source.clone());
                }
            }
            Err(error) => self.problems.push(Problem {
                key: "config".to_owned(),
                source,
                value: Some(path.display().to_string()),
                reason: format!("the file of settings cannot be read: {error}"),
                example: format!("{}=/etc/gatepost/production.toml", keys::CONFIG_VARIABLE),
            }),
        }
    }

    fn add_variables(&mut self, key: &str, environment: &BTreeMap<String, String>) {
        let set = |name: &str| environment.get(name).filter(|value| !value.trim().is_empty());
        for name in keys::variables(key) {
            let file_name = format!("{name}_FILE");
            let file = set(&file_name).filter(|_| keys::is_secret(key)).map(PathBuf::from);
            let (text, source) = match (set(&name), file) {
                (None, None) => continue,
                (Some(text), None) => (Ok(text.clone()), Source::Environment(name)),
                (None, Some(path)) => (read_secret(&path), Source::SecretFile { variable: file_name, path }),
                (Some(_), Some(_)) => {
                    let reason = format!("{name} and {file_name} are both set; keep one of them");
                    (Err(reason), Source::Environment(name))
                }
            };
            self.add(key, text, source);
            return;
        }
    }

    /// Puts a value over what weaker sources said, and records what is wrong with it as text.
    fn add(&mut self, key: &str, text: Result<String, String>, source: Source) {
        let Some(default) = self.defaults.get(key) else {
            let problem = keys::unknown_key(key, source, &self.defaults);
            self.problems.push(problem);
            return;
        };
        // A lossy conversion leaves this mark where a variable was not UTF-8.
        let text = text
            .and_then(|text| if text.contains('\u{fffd}') { Err("must be UTF-8 text".to_owned()) } else { Ok(text) });
        let value = match text {
            Ok(text) if text.trim().is_empty() => return,
            Ok(text) => Ok(Found { text, source }),
            Err(reason) => {
                let shown = if default.is_empty() { "…" } else { default };
                let example = match &source {
                    Source::SecretFile { variable, .. } => format!("{variable}=/run/secrets/gatepost"),
                    source => example(key, shown, source),
                };
                self.problems.push(Problem { key: key.to_owned(), source, value: None, reason, example });
                Err(Reported)
            }
        };
        self.given.insert(key.to_owned(), value);
    }

    fn parse(&mut self, text: &str, source: &Source) -> Vec<(String, Result<String, String>)> {
        let mut flat = Vec::new();
        match text.parse::<toml::Table>() {
            Ok(table) => flatten("", table, &mut flat),
            Err(error) => {
                // Only the place: the parser's own message quotes the line, which may hold a secret.
                let start = error.span().map_or(0, |span| span.start);
                let line = text.bytes().take(start).filter(|&byte| byte == b'\n').count() + 1;
                self.problems.push(Problem {
                    key: "config".to_owned(),
                    source: source.clone(),
                    value: None,
                    reason: format!("is not valid TOML in line {line}: {}", error.message()),
                    example: "[server] bind = \"127.0.0.1:8080\"".to_owned(),
                });
            }
        }
        flat
    }
}

fn flatten(section: &str, table: toml::Table, flat: &mut Vec<(String, Result<String, String>)>) {
    for (name, value) in table {
        let key = if section.is_empty() { name } else { format!("{section}.{name}") };
        match value {
            toml::Value::Table(table) => flatten(&key, table, flat),
            value => flat.push((key, plain_text(value))),
        }
    }
}

fn plain_text(value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(switch) => Ok(switch.to_string()),
        toml::Value::Array(members) => {
            Ok(members.into_iter().map(plain_text).collect::<Result<Vec<_>, _>>()?.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            Err("must be a text in quotes, a whole number, true or false, or a list of those".to_owned())
        }
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "the file must be UTF-8 text".to_owned())?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() { Err("the file is empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(layers: &Layers, key: &str) -> Option<(String, Source)> {
        let found = layers.given.get(key)?.as_ref().ok()?;
        Some((found.text.clone(), found.source.clone()))
    }

    fn with_file(text: &str) -> (tempfile::NamedTempFile, Sources) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
        (file, sources)
    }

    #[test]
    fn later_sources_win() {
        let (file, mut sources) = with_file("[server]\nbind = \"1.1.1.1:1\"\n");
        assert_eq!(Layers::gather(&Sources::default()).defaults["server.bind"], "127.0.0.1:8080");
        let from_file = given(&Layers::gather(&sources), "server.bind");
        assert_eq!(from_file, Some(("1.1.1.1:1".to_owned(), Source::File(file.path().to_owned()))));
        sources.environment.insert("GATEPOST_BIND".to_owned(), "2.2.2.2:2".to_owned());
        let from_environment = given(&Layers::gather(&sources), "server.bind");
        assert_eq!(from_environment, Some(("2.2.2.2:2".to_owned(), Source::Environment("GATEPOST_BIND".to_owned()))));
        sources.overrides.push(("server.bind".to_owned(), "3.3.3.3:3".to_owned()));
        let from_command_line = given(&Layers::gather(&sources), "server.bind");
        assert_eq!(from_command_line, Some(("3.3.3.3:3".to_owned(), Source::CommandLine)));
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        let (_file, mut sources) = with_file("[log]\nformat = \"json\"\n[server]\nbind = \"\"\n");
        sources.environment.insert("GATEPOST_LOG_FORMAT".to_owned(), "  ".to_owned());
        let layers = Layers::gather(&sources);
        assert_eq!(given(&layers, "log.format").unwrap().0, "json");
        assert_eq!(given(&layers, "server.bind"), None);
    }

    #[test]
    fn the_file_may_be_named_by_a_variable() {
        let (file, _) = with_file("[log]\nformat = \"json\"\n");
        let path = file.path().display().to_string();
        let sources = Sources { environment: [("GATEPOST_CONFIG".to_owned(), path)].into(), ..Sources::default() };
        assert_eq!(given(&Layers::gather(&sources), "log.format").unwrap().0, "json");
        let sources = Sources { file: Some("/nowhere/x.toml".into()), ..Sources::default() };
        let problems = Layers::gather(&sources).problems;
        assert!(problems[0].reason.starts_with("the file of settings cannot be read"), "{problems:?}");
    }

    #[test]
    fn a_broken_file_is_reported_without_quoting_it() {
        let (_file, sources) = with_file("\nsecret = \"hunter2\n");
        let problems = Layers::gather(&sources).problems;
        assert!(problems[0].reason.starts_with("is not valid TOML in line 2"), "{problems:?}");
        assert!(!format!("{problems:?}").contains("hunter2"));
        let (_file, sources) = with_file("[database]\npool_size = 1.5\n[mail]\nworker = 3\n");
        let reasons: Vec<String> =
            Layers::gather(&sources).problems.into_iter().map(|problem| problem.reason).collect();
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert_eq!(reasons[1], "there is no setting mail.worker; did you mean mail.workers?");
    }

    #[test]
    fn a_secret_may_come_from_a_file_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "redis://:pass@h:6379\r\n").unwrap();
        let path = file.path().display().to_string();
        let mut sources = Sources::default();
        sources.environment.insert("REDIS_PRIVATE_URL_FILE".to_owned(), path.clone());
        let (text, source) = given(&Layers::gather(&sources), "redis.url").unwrap();
        assert_eq!(text, "redis://:pass@h:6379");
        let variable = "REDIS_PRIVATE_URL_FILE".to_owned();
        assert_eq!(source, Source::SecretFile { variable, path: file.path().to_owned() });

        sources.environment.insert("REDIS_URL".to_owned(), "redis://first".to_owned());
        assert_eq!(given(&Layers::gather(&sources), "redis.url").unwrap().0, "redis://first");

        sources.environment.insert("REDIS_URL_FILE".to_owned(), path);
        let problems = Layers::gather(&sources).problems;
        assert_eq!(problems[0].reason, "REDIS_URL and REDIS_URL_FILE are both set; keep one of them");
    }

    #[test]
    fn what_is_no_secret_is_not_read_from_a_file() {
        let environment = [("RUST_LOG_FILE".to_owned(), "/nowhere/log".to_owned())].into();
        let layers = Layers::gather(&Sources { environment, ..Sources::default() });
        assert!(layers.problems.is_empty() && layers.given.is_empty(), "{:?}", layers.problems);
    }

    #[test]
    fn an_unusable_secret_file_is_reported() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let binary = tempfile::NamedTempFile::new().unwrap();
        fs::write(binary.path(), [0xff, 0xfe]).unwrap();
        let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
        for (value, reason) in [
            (path(&empty), "the file is empty"),
            (path(&binary), "the file must be UTF-8 text"),
            ("/nowhere/secret".to_owned(), "the file cannot be read"),
        ] {
            let environment = [("GATEPOST_SECRET_FILE".to_owned(), value)].into();
            let layers = Layers::gather(&Sources { environment, ..Sources::default() });
            assert!(layers.problems[0].reason.starts_with(reason), "{:?}", layers.problems);
            assert!(matches!(layers.given["secret"], Err(Reported)));
        }
    }
}
