//! What is logged, and how a line looks.

use super::reader::{Read, Reader};

/// The log.
#[derive(Clone, Debug)]
pub struct Log {
    /// What is logged, in the language of `env_logger`: `info,gatepost::mail=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl Log {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let filter = reader.required("log.filter", filter);
        let format = reader.required("log.format", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be text or json".to_owned()),
        });
        Ok(Self { filter: filter?, format: format? })
    }
}

/// Finds levels that do not exist. `env_logger` would log that and go on without the directive.
fn filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |level: &str| level.is_empty() || LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known));
    // What follows a slash is a pattern for the messages.
    let directives = text.split('/').next().unwrap_or_default();
    let wrong = directives
        .split(',')
        .find_map(|directive| directive.split_once('=').filter(|(_, level)| !is_level(level.trim())));
    match wrong {
        Some((module, level)) => {
            Err(format!("has the level {level:?} for {module:?}; a level is one of {}", LEVELS.join(", ")))
        }
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn the_defaults_are_for_people() {
        let log = load(&[]).log;
        assert_eq!((log.filter.as_str(), log.format), ("info", LogFormat::Text));
    }

    #[test]
    fn a_filter_may_name_modules() {
        for text in ["warn,gatepost::mail=debug", "gatepost=TRACE", "gatepost", "info/a=b", "off", "gatepost="] {
            assert_eq!(load(&[("RUST_LOG", text)]).log.filter, text);
        }
        let reason = &refused(&[("RUST_LOG", "info,gatepost=loud")])[0].reason;
        assert!(reason.contains("\"loud\"") && reason.contains("error, warn, info, debug, trace"), "{reason}");
    }

    #[test]
    fn a_format_is_text_or_json() {
        assert_eq!(load(&[("GATEPOST_LOG_FORMAT", "json")]).log.format, LogFormat::Json);
        assert_eq!(refused(&[("GATEPOST_LOG_FORMAT", "xml")])[0].reason, "must be text or json");
    }
}
