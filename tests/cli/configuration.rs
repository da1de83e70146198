//! `config`: what is in force, where it comes from, and no secrets.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::run::{Outcome, gatepost};

const PASSWORDS: [(&str, &str); 9] = [
    ("GATEPOST_SECRET", "hunter2-hunter2-hunter2-hunter2-hunter2"),
    ("GATEPOST_SECRET_PREVIOUS", "hunter2-hunter2-hunter2-hunter2-hunter1"),
    ("GATEPOST_SECRET_PREVIOUS_2", "hunter2-hunter2-hunter2-hunter2-hunter0"),
    ("GATEPOST_SECRET_NEXT", "hunter2-hunter2-hunter2-hunter2-hunter3"),
    ("DATABASE_URL", "postgres://gate:hunter2@db.example.com:5432/gatepost?sslmode=require"),
    ("REDIS_URL", "rediss://default:hunter2@redis.example.com:6379"),
    ("SMTP_URL", "smtp://mailer:hunter2@smtp.example.com:587?tls=required,smtps://b:hunter2@two.example.com"),
    ("GATEPOST_PUBLIC_URL", "https://sign-in.example.com"),
    ("GATEPOST_ADMINS", "ann@example.com,bob@example.com"),
];

fn hides(outcome: Outcome) -> String {
    assert!(!outcome.stdout.contains("hunter") && !outcome.stderr.contains("hunter"), "{outcome:?}");
    outcome.done()
}

#[tokio::test]
async fn settings_in_force_are_shown_with_their_sources_and_without_secrets() {
    let text = hides(gatepost(&["config", "--set", "server.workers=3"], &PASSWORDS).await);
    let row = |key: &str| {
        let found = text.lines().find(|line| line.split(' ').next() == Some(key));
        found.unwrap_or_else(|| panic!("no {key} in:\n{text}"))
    };
    assert!(row("secret").contains("[hidden]") && row("secret_previous").contains("[hidden]"));
    assert!(row("secret_next").contains("[hidden]") && row("secret_previous_2").contains("[hidden]"));
    assert!(row("database.url").contains("gate:[hidden]@db.example.com:5432/gatepost"));
    assert!(row("redis.url").contains("redis.example.com") && row("mail.smtp_url").contains("smtp.example.com"));
    assert!(row("server.workers").contains("= 3") && row("server.workers").contains("command line"));
    assert!(row("auth.admins").contains("ann@example.com") && row("auth.admins").contains("GATEPOST_ADMINS"));
    assert!(row("session.absolute_lifetime").contains("30d") && row("session.absolute_lifetime").contains("default"));
}

#[tokio::test]
async fn as_json_it_is_one_object_with_every_setting() {
    let text = hides(gatepost(&["config", "--json"], &PASSWORDS).await);
    let rows: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(rows["server.public_url"]["value"], "https://sign-in.example.com");
    assert_eq!(rows["secret"]["value"], "[hidden]");
    assert!(rows["secret"]["source"].as_str().unwrap().contains("GATEPOST_SECRET"));
    let defaults: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    for (section, settings) in defaults {
        let keys = match settings {
            toml::Value::Table(table) => table.keys().map(|key| format!("{section}.{key}")).collect(),
            _ => vec![section],
        };
        for key in keys {
            assert!(rows.contains_key(&key), "{key} is a setting and not shown");
        }
    }
}

#[tokio::test]
async fn without_settings_the_defaults_are_shown_and_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let text = crate::run::gatepost_in(directory.path(), &["config"], &[]).await.done();
    assert!(text.contains("127.0.0.1:8080") && text.contains("sqlite:data/gatepost.db"), "{text}");
    assert!(text.contains("generated in data/secret"), "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_later_source_wins_and_is_named() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(&file, "[server]\nworkers = 2\nshutdown_timeout = \"7s\"\n[mail]\nworkers = 2\n").unwrap();
    let path = file.path().to_str().unwrap();
    let environment = [("GATEPOST_CONFIG", path), ("GATEPOST_WORKERS", "3"), ("GATEPOST_MAIL_WORKERS", "3")];
    let rows = gatepost(&["--json", "--set", "mail.workers=4", "config"], &environment).await.json().remove(0);
    assert_eq!(
        (&rows["server.shutdown_timeout"]["value"], &rows["server.workers"]["value"]),
        (&"7s".into(), &"3".into())
    );
    assert_eq!(rows["mail.workers"]["value"], "4");
    assert!(rows["server.shutdown_timeout"]["source"].as_str().unwrap().contains(path));
}
