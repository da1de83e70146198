//! What is told about a setting: where it came from, what is wrong with it, what is in force.

use std::fmt;
use std::path::PathBuf;

use super::keys;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `config/default.toml`, or a default computed from other settings.
    Default,
    /// The file of settings that was named on the command line or by `GATEPOST_CONFIG`.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
    /// A file that holds one secret.
    SecretFile {
        /// The environment variable that names the file, such as `GATEPOST_SECRET_FILE`.
        variable: String,
        /// The file.
        path: PathBuf,
    },
    /// An option of the command line.
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment(variable) => write!(f, "the environment variable {variable}"),
            Self::SecretFile { variable, path } => write!(f, "the file {} (named by {variable})", path.display()),
            Self::CommandLine => f.write_str("the command line"),
        }
    }
}

/// One wrong setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, such as `server.bind`, or the unknown name as it was written.
    pub key: String,
    /// Where the value came from.
    pub source: Source,
    /// The value, with passwords masked; `None` for secrets, for unknown names, and when there is none.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub reason: String,
    /// A line that would be accepted, in the form that fits the source.
    pub example: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            // Escaped, so that no value can paint the operator's terminal.
            write!(f, " = {value:?}")?;
        }
        write!(f, "\n    from:    {}\n    problem: {}\n    example: {}", self.source, self.reason, self.example)
    }
}

/// Why nothing was started: every wrong setting, not only the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub Vec<Problem>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 setting is wrong:")?,
            many => write!(f, "{many} settings are wrong:")?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n\n  {problem}"))
    }
}

impl std::error::Error for SettingsError {}

/// A setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The setting, such as `server.bind`.
    pub key: String,
    /// Its value: `[hidden]` for secrets, passwords in URLs masked, empty when it is unset.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
}

/// A line that sets `key` to `value` in the place that `source` is.
pub(super) fn example(key: &str, value: &str, source: &Source) -> String {
    match source {
        // A secret belongs in the environment, so the example does not show it in a file.
        Source::File(_) if !keys::is_secret(key) => {
            let bare = value.parse::<u64>().is_ok() || matches!(value, "true" | "false");
            let value = if bare { value.to_owned() } else { format!("{value:?}") };
            match key.split_once('.') {
                Some((section, name)) => format!("[{section}] {name} = {value}"),
                None => format!("{key} = {value}"),
            }
        }
        Source::CommandLine => format!("{key}={value}"),
        Source::Environment(variable) if keys::variables(key).contains(variable) => {
            format!("{variable}={}", quoted(value))
        }
        _ => format!("{}={}", keys::main_variable(key), quoted(value)),
    }
}

/// `value` as a shell wants it. What is a command in double quotes already stays as it is.
fn quoted(value: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:,@%+=[]".contains(character);
    if value.starts_with("\"$(") || (!value.is_empty() && value.chars().all(plain)) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_every_setting_its_source_and_an_example() {
        let problem = |key: &str, source, value: Option<&str>| Problem {
            key: key.to_owned(),
            source,
            value: value.map(str::to_owned),
            reason: "must be better".to_owned(),
            example: "a=b".to_owned(),
        };
        let error = SettingsError(vec![
            problem("server.bind", Source::Environment("GATEPOST_BIND".to_owned()), Some("\u{1b}[31mred")),
            problem("secret", Source::File("x.toml".into()), None),
        ]);
        assert_eq!(
            error.to_string(),
            "2 settings are wrong:\n\n  server.bind = \"\\u{1b}[31mred\"\n    \
             from:    the environment variable GATEPOST_BIND\n    problem: must be better\n    example: a=b\n\n  \
             secret\n    from:    the file x.toml\n    problem: must be better\n    example: a=b"
        );
    }

    #[test]
    fn an_example_has_the_form_of_the_source() {
        let file = Source::File("x.toml".into());
        assert_eq!(example("server.bind", "127.0.0.1:8080", &file), r#"[server] bind = "127.0.0.1:8080""#);
        assert_eq!(example("database.pool_size", "10", &file), "[database] pool_size = 10");
        assert_eq!(example("mail.from", "A <a@b.cd>", &Source::Default), "MAIL_FROM='A <a@b.cd>'");
        assert_eq!(example("database.url", "sqlite:x", &file), "DATABASE_URL=sqlite:x");
        assert_eq!(example("server.bind", "[::1]:80", &Source::CommandLine), "server.bind=[::1]:80");
        let private = Source::Environment("REDIS_PRIVATE_URL".to_owned());
        assert_eq!(example("redis.url", "redis://h:6379", &private), "REDIS_PRIVATE_URL=redis://h:6379");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
