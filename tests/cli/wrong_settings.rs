//! Settings that are wrong or dangerous: nothing starts, and one message says all of it.

use crate::run::{Outcome, gatepost};
use crate::setup::SECRET;

const PUBLIC: (&str, &str) = ("GATEPOST_PUBLIC_URL", "https://sign-in.example.com");
const SMTP: (&str, &str) = ("SMTP_URL", "smtp://127.0.0.1:2525");

/// What is refused has touched nothing, whatever the command.
async fn refused(environment: &[(&str, &str)]) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let outcome = crate::run::gatepost_in(directory.path(), &[], environment).await;
    outcome.refused();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "something was made");
    outcome
}

fn assert_names(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(outcome.stderr.contains(word), "nothing of {word:?} in:\n{}", outcome.stderr);
    }
}

#[tokio::test]
async fn one_message_names_every_wrong_setting() {
    let outcome = refused(&[
        ("GATEPOST_BIND", "nowhere"),
        ("GATEPOST_WORKERS", "many"),
        ("REDIS_POOL_SIZE", "0"),
        ("LOGIN_METHOD", "telepathy"),
        ("GATEPOST_LOG_FORMAT", "xml"),
    ])
    .await;
    assert_names(
        &outcome,
        &[
            "5 settings are wrong",
            "GATEPOST_BIND",
            "GATEPOST_WORKERS",
            "REDIS_POOL_SIZE",
            "LOGIN_METHOD",
            "GATEPOST_LOG_FORMAT",
        ],
    );
    assert_eq!(outcome.stderr.matches("example:").count(), 5, "each with an example");
}

#[tokio::test]
async fn every_command_that_reads_settings_refuses_wrong_ones() {
    for command in
        [&["serve"][..], &["worker"], &["migrate"], &["config"], &["user", "list"], &["mail", "status"], &["health"]]
    {
        let outcome = gatepost(command, &[("GATEPOST_BIND", "nowhere")]).await;
        assert_names(&outcome, &["GATEPOST_BIND"]);
        outcome.refused();
    }
}

#[tokio::test]
async fn a_database_of_another_kind_is_refused_without_showing_its_password() {
    let outcome = refused(&[("DATABASE_URL", "mysql://gate:hunter2@db/gatepost")]).await;
    assert_names(&outcome, &["DATABASE_URL", "postgres://", "sqlite:"]);
    assert!(!outcome.stderr.contains("hunter2"));
}

#[tokio::test]
async fn the_address_of_a_rest_interface_is_not_redis() {
    let rest = ("UPSTASH_REDIS_REST_URL", "https://eu1-fine-1.upstash.io");
    assert_names(&refused(&[rest]).await, &["UPSTASH_REDIS_REST_URL", "REDIS_URL", "rediss://"]);
    assert_names(&refused(&[("REDIS_URL", rest.1)]).await, &["REDIS_URL", "rediss://"]);
}

#[tokio::test]
async fn what_is_dangerous_in_public_is_refused() {
    let off = ("GATEPOST_RATE_LIMITS", "off");
    let outcome = refused(&[off, ("GATEPOST_BIND", "0.0.0.0:8080"), PUBLIC, SMTP]).await;
    assert_names(&outcome, &["1 setting is wrong", "GATEPOST_RATE_LIMITS", "GATEPOST_BIND", "0.0.0.0:8080"]);

    let outcome = refused(&[PUBLIC]).await;
    assert_names(&outcome, &["1 setting is wrong", "SMTP_URL", "GATEPOST_PUBLIC_URL", "/dev/mail"]);

    let outcome = refused(&[PUBLIC, SMTP, ("GATEPOST_SERVER_COOKIE_SECURE", "off")]).await;
    assert_names(&outcome, &["1 setting is wrong", "GATEPOST_SERVER_COOKIE_SECURE", "https"]);

    let outcome = refused(&[("GATEPOST_BIND", "0.0.0.0:8080"), SMTP]).await;
    assert_names(&outcome, &["1 setting is wrong", "GATEPOST_PUBLIC_URL"]);
}

#[tokio::test]
async fn a_secret_is_long_and_given_once_and_never_shown() {
    let outcome = refused(&[("GATEPOST_SECRET", "hunter2-hunter2")]).await;
    assert_names(&outcome, &["secret", "32 bytes", "has 15", "openssl rand"]);
    assert!(!outcome.stderr.contains("hunter2"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, SECRET).unwrap();
    let path = file.path().to_str().unwrap();
    let outcome = refused(&[("GATEPOST_SECRET", SECRET), ("GATEPOST_SECRET_FILE", path)]).await;
    assert_names(&outcome, &["GATEPOST_SECRET and GATEPOST_SECRET_FILE are both set"]);
    assert!(!outcome.stderr.contains(SECRET));

    let outcome = refused(&[("GATEPOST_SECRET_FILE", "/nowhere/secret")]).await;
    assert_names(&outcome, &["/nowhere/secret", "GATEPOST_SECRET_FILE"]);
}

#[tokio::test]
async fn an_unknown_variable_is_told_its_nearest() {
    let outcome = refused(&[("GATEPOST_REGISTRATON", "open"), ("GATEPOST_SECERT", "hunter2")]).await;
    assert_names(
        &outcome,
        &["2 settings are wrong", "did you mean GATEPOST_REGISTRATION?", "did you mean GATEPOST_SECRET?"],
    );
    assert!(!outcome.stderr.contains("hunter2"), "it may be a secret under a wrong name");
}

#[tokio::test]
async fn a_wrong_file_and_a_wrong_option_are_named_as_such() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(&file, "[server]\nbnid = \"127.0.0.1:1\"\nworkers = 0\n").unwrap();
    let path = file.path().to_str().unwrap();
    let outcome = gatepost(&["--config", path, "--set", "mail.workers=none", "config"], &[]).await;
    outcome.refused();
    assert_names(
        &outcome,
        &["3 settings are wrong", path, "did you mean server.bind?", "server.workers", "command line"],
    );
    let outcome = gatepost(&["config"], &[("GATEPOST_CONFIG", "/nowhere/gatepost.toml")]).await;
    assert_names(&outcome, &["/nowhere/gatepost.toml"]);
    outcome.refused();
}
