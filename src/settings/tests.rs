//! The settings as a whole. Each feature's own rules are tested beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

/// A secret of exactly the least length.
pub(super) const SECRET: &str = "an example secret of 32 bytes...";

fn sources(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Sources { environment, ..Sources::default() }
}

/// The settings that these variables give.
pub(super) fn load(variables: &[(&str, &str)]) -> Settings {
    Settings::load(&sources(variables)).unwrap_or_else(|error| panic!("{error}"))
}

/// The problems that these variables have.
pub(super) fn refused(variables: &[(&str, &str)]) -> Vec<Problem> {
    Settings::load(&sources(variables)).expect_err("these settings should be refused").0
}

#[test]
fn it_starts_with_nothing() {
    let settings = load(&[]);
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    assert!(settings.redis.is_none() && settings.server.is_loopback_bind());
}

#[test]
fn every_mistake_is_told_at_once() {
    let mut sources = sources(&[
        ("GATEPOST_BIND", "nowhere"),
        ("GATEPOST_SECRET", "hunter2"),
        ("DATABASE_URL", "mysql://u:hunter2@h"),
        ("REDIS_POOL_SIZE", "0"),
        ("GATEPOST_BNID", "x"),
        ("RUST_LOG", "a=b"),
        ("GATEPOST_LIMITS_API_ADDRESS", "many"),
        ("LOGIN_METHOD", "fax"),
        ("GATEPOST_SESSION_REFRESH_GRACE", "1d"),
        ("SMTP_URL", "smtp://"),
    ]);
    sources.overrides.push(("log.fromat".to_owned(), "json".to_owned()));
    let error = Settings::load(&sources).unwrap_err();
    let mut keys: Vec<&str> = error.0.iter().map(|problem| problem.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "GATEPOST_BNID",
            "auth.methods",
            "database.url",
            "limits.api_address",
            "log.filter",
            "log.fromat",
            "mail.smtp_url",
            "redis.pool_size",
            "secret",
            "server.bind",
            "session.refresh_grace",
        ]
    );
    let message = error.to_string();
    assert!(message.starts_with("11 settings are wrong:"), "{message}");
    for problem in &error.0 {
        assert!(message.contains(&problem.reason) && !problem.example.is_empty(), "{problem:?}");
    }
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn an_example_in_a_problem_is_itself_valid() {
    let wrong: Vec<(String, String)> = layers::Layers::gather(&Sources::default())
        .defaults
        .keys()
        .filter(|key| !keys::is_opaque(key) && !matches!(key.as_str(), "server.data_dir" | "templates.dir"))
        .map(|key| (key.clone(), "\u{1}=\u{1}".to_owned()))
        .collect();
    let error = Settings::load(&Sources { overrides: wrong.clone(), ..Sources::default() }).unwrap_err();
    assert_eq!(error.0.len(), wrong.len(), "{error}");
    let mut examples: Vec<(String, String)> = error
        .0
        .iter()
        .map(|problem| problem.example.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    examples.push(("mail.from".to_owned(), "a@b.cd".to_owned()));
    Settings::load(&Sources { overrides: examples, ..Sources::default() }).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn every_key_of_the_list_is_read_and_shown() {
    let listed: BTreeSet<String> = layers::Layers::gather(&Sources::default()).defaults.into_keys().collect();
    let shown: BTreeSet<String> = load(&[]).effective().into_iter().map(|effective| effective.key).collect();
    assert_eq!(listed, shown);
    assert!(listed.len() > 50);
}

#[test]
fn every_key_of_the_list_is_documented_with_its_variables() {
    let (mut section, mut comment, mut keys) = (String::new(), String::new(), BTreeSet::new());
    for line in layers::DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
            comment.push('\n');
        } else if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((name, _)) = line.split_once(" = ") {
            let key = format!("{section}{name}");
            let (meaning, variables) =
                comment.split_once(" Variable: ").unwrap_or_else(|| panic!("{key}: no variable"));
            assert!(meaning.trim().len() > 10, "{key} is not described");
            let named: BTreeSet<String> = variables
                .split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .filter(|word| word.len() > 4)
                .map(str::to_owned)
                .collect();
            let mut expected: BTreeSet<String> = keys::variables(&key).into_iter().collect();
            if keys::is_secret(&key) {
                expected.extend(keys::variables(&key).into_iter().map(|name| format!("{name}_FILE")));
            }
            assert_eq!(named, expected, "{key}");
            keys.insert(key);
        }
        if line.is_empty() || !line.starts_with('#') {
            comment.clear();
        }
    }
    assert_eq!(keys, layers::Layers::gather(&Sources::default()).defaults.into_keys().collect());
}

#[test]
fn what_is_in_force_is_shown_with_its_source_and_without_secrets() {
    let settings = load(&[
        ("GATEPOST_SECRET", SECRET),
        ("DATABASE_URL", "postgres://gate:hunter2@db/x"),
        ("REDIS_URL", "redis://:hunter2@h"),
        ("SMTP_URL", "smtp://u:hunter2@localhost,smtps://v:hunter2@localhost"),
        ("GATEPOST_WORKERS", "3"),
    ]);
    let effective = settings.effective();
    let shown = |key: &str| {
        let entry = effective.iter().find(|entry| entry.key == key).unwrap();
        (entry.value.as_str(), entry.source.to_string())
    };
    let variable = |name: &str| format!("the environment variable {name}");
    assert_eq!(shown("secret"), ("[hidden]", variable("GATEPOST_SECRET")));
    assert_eq!(shown("database.url"), ("postgres://gate:[hidden]@db/x", variable("DATABASE_URL")));
    assert_eq!(shown("redis.url"), ("redis://:[hidden]@h", variable("REDIS_URL")));
    let relays = "smtp://u:[hidden]@localhost:587,smtps://v:[hidden]@localhost:465";
    assert_eq!(shown("mail.smtp_url"), (relays, variable("SMTP_URL")));
    assert_eq!(shown("server.workers"), ("3", variable("GATEPOST_WORKERS")));
    assert_eq!(shown("server.public_url"), ("http://127.0.0.1:8080", "the default".to_owned()));
    assert_eq!(shown("secret_previous"), ("", "the default".to_owned()));
    for text in [format!("{effective:?}"), format!("{settings:?}")] {
        assert!(!text.contains("hunter2") && !text.contains(SECRET), "{text}");
    }
}

#[test]
fn the_summary_tells_what_was_set_and_no_secret() {
    let settings =
        load(&[("GATEPOST_SECRET", SECRET), ("GATEPOST_REGISTRATION", "open"), ("GATEPOST_BIND", "127.0.0.1:1")]);
    assert_eq!(settings.summary(), "auth.registration = open; secret = [hidden]");
    assert_eq!(load(&[]).summary(), "");
}

#[test]
fn sources_do_not_show_values() {
    let mut sources = sources(&[("GATEPOST_SECRET", "hunter2")]);
    sources.overrides.push(("secret".to_owned(), "hunter2".to_owned()));
    assert!(!format!("{sources:?}").contains("hunter2"));
}

#[test]
fn a_variable_that_is_not_utf8_is_reported() {
    assert_eq!(refused(&[("MAIL_FROM", "a\u{fffd}@b.cd")])[0].reason, "must be UTF-8 text");
}

#[test]
fn the_process_gives_its_variables() {
    let sources = Sources::from_process(Some("x.toml".into()));
    assert_eq!(sources.environment.get("CARGO_MANIFEST_DIR").map(String::as_str), Some(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(sources.file.as_deref(), Some(Path::new("x.toml")));
}

#[test]
fn the_production_example_works() {
    let dir = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, format!("{text}\n")).unwrap();
        path.display().to_string()
    };
    let environment = [
        ("GATEPOST_SECRET_FILE", secret("secret", SECRET)),
        ("DATABASE_URL_FILE", secret("database", "postgres://gatepost:p@db.internal:5432/gatepost")),
        ("REDIS_URL_FILE", secret("redis", "rediss://default:p@redis.internal:6379")),
        ("SMTP_URL_FILE", secret("smtp", "smtp://u:p@smtp.example.com:587?tls=required")),
    ]
    .map(|(name, path)| (name.to_owned(), path))
    .into();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/production.toml");
    let mut sources = Sources { file: Some(file), environment, ..Sources::default() };
    let settings = Settings::load(&sources).unwrap_or_else(|error| panic!("{error}"));
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    assert!(settings.server.cookie_secure && settings.redis.is_some() && !settings.auth.first_person_is_admin);
    assert_eq!(settings.auth.registration, Registration::Domains(vec!["example.com".to_owned()]));
    assert_eq!(settings.log.format, LogFormat::Json);

    sources.environment.clear();
    let problems = Settings::load(&sources).unwrap_err().0;
    assert_eq!(problems[0].key, "mail.smtp_url", "a server that others reach needs a relay");
}
