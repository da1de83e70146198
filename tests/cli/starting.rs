//! Settings that are right where the world is not: one line, soon.

use std::net::TcpListener;
use std::time::Duration;

use crate::SOON;
use crate::run::gatepost;
use crate::server::program;
use crate::setup::{SECRET, Setup, joined};
use crate::support::{Server, eventually, free_port};

const QUIET: (&str, &str) = ("RUST_LOG", "warn");

#[tokio::test]
async fn a_port_in_use_is_named() {
    let setup = Setup::embedded();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let environment = setup.environment();
    let outcome = gatepost(&[], &joined(&environment, &[QUIET, ("GATEPOST_BIND", &address)])).await;
    let line = outcome.failed_with(1);
    assert!(line.contains(&address) && line.contains("in use") && line.contains("GATEPOST_BIND"), "{line}");
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used_is_named() {
    // Not even root makes a directory there.
    let outcome = gatepost(&[], &[QUIET, ("GATEPOST_DATA_DIR", "/proc/gatepost/data")]).await;
    let line = outcome.failed_with(1);
    assert!(line.contains("/proc/gatepost/data") && line.contains("GATEPOST_DATA_DIR"), "{line}");

    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("data");
    let outcome = gatepost(&[], &[QUIET, ("GATEPOST_DATA_DIR", below.to_str().unwrap())]).await;
    assert!(outcome.failed_with(1).contains(below.to_str().unwrap()));

    // That a file has the name can be seen before anything is started.
    let outcome = gatepost(&[], &[QUIET, ("GATEPOST_DATA_DIR", file.path().to_str().unwrap())]).await;
    assert!(outcome.refused().contains("must be a directory"));
}

#[tokio::test]
async fn a_postgres_that_cannot_be_reached_is_one_line_soon() {
    // Nobody listens on the first; on the second somebody takes the connection and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        let setup = Setup::embedded();
        let url = format!("postgres://gate:hunter2@127.0.0.1:{port}/gatepost");
        let environment = setup.environment();
        let more = [QUIET, ("DATABASE_URL", url.as_str()), ("GATEPOST_SECRET", SECRET)];
        for command in [&["serve"][..], &["migrate"], &["user", "list"]] {
            let outcome = gatepost(command, &joined(&environment, &more)).await;
            let line = outcome.failed_with(1);
            assert!(line.contains("Postgres") && line.contains("DATABASE_URL"), "{line}");
            assert!(!line.contains("hunter2"), "{line}");
            assert!(outcome.took < Duration::from_secs(10), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_one_line() {
    let setup = Setup::embedded();
    std::fs::create_dir_all(setup.data_dir()).unwrap();
    std::fs::write(setup.data_dir().join("gatepost.db"), "This is no database. ".repeat(100)).unwrap();
    let outcome = gatepost(&[], &joined(&setup.environment(), &[QUIET, ("GATEPOST_BIND", "127.0.0.1:0")])).await;
    let line = outcome.failed_with(1);
    assert!(line.contains("gatepost.db") && line.contains("not a database"), "{line}");
}

/// Redis makes things fast; a server starts without it.
#[tokio::test]
async fn a_redis_that_cannot_be_reached_does_not_keep_the_server_from_starting() {
    let setup = Setup::embedded();
    let redis = format!("redis://127.0.0.1:{}", free_port());
    let server = setup.start_with(&[("REDIS_URL", &redis)]).await;
    let body: serde_json::Value = reqwest::get(server.url("/health/ready")).await.unwrap().json().await.unwrap();
    assert!(body["checks"]["redis"] != "none", "{body}");
    crate::person::Person::signed_in(&setup, &server, "ann@example.com").await;
}

/// The first minute of somebody who has just built it: no settings but a port that is free for certain.
#[tokio::test]
async fn without_settings_it_says_where_it_is_who_becomes_admin_and_where_mails_are() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = program();
    command.current_dir(directory.path()).env("GATEPOST_BIND", "127.0.0.1:0");
    let mut server = Server::spawn(&mut command).without_grace();
    let url = eventually("the server to say where it is", SOON, async || {
        let log = server.log();
        let rest = log.lines().find(|line| line.contains("ready after"))?.split("open ").nth(1)?.to_owned();
        Some(rest.trim().to_owned())
    })
    .await;
    assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"), "{url}");
    assert_eq!(reqwest::get(format!("{url}/login")).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(format!("{url}/dev/mail")).await.unwrap().status(), 200);
    let log = eventually("the rest of it", SOON, async || {
        let log = server.log();
        log.contains("/dev/mail").then_some(log)
    })
    .await;
    assert!(log.contains(&format!("the first person to sign in at {url} becomes one")), "{log}");
    assert!(log.contains(&format!("{url}/dev/mail")) && log.contains("SMTP_URL"), "{log}");
    assert!(log.contains("keep it to yourself") && log.contains("secret"), "a secret was made: {log}");
    let made: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made, ["data"], "everything is in one place");
    server.terminate();
    assert!(server.wait(SOON).await.success());
}

/// With an admin there is nobody to be made one, and the log says nothing of it.
#[tokio::test]
async fn with_an_admin_nobody_is_told_to_become_one() {
    let setup = Setup::embedded();
    crate::run::prepared(&setup).await;
    crate::run::on(&setup, &["user", "promote", "root@example.com"]).await.done();
    let server = setup.start().await;
    assert!(!server.log().contains("there is no admin"), "{}", server.log());
    let person = crate::person::Person::new("ann@example.com");
    let challenge = person.ask(&server).await;
    let code = setup.next_code_to(&server, &person.email).await.code().unwrap();
    let signed_in = person.answer(&server, &challenge, &code, "cookie").await;
    assert_eq!(signed_in.body["user"]["role"], "user");
}

#[tokio::test]
async fn a_worker_of_its_own_needs_a_relay() {
    let setup = Setup::embedded();
    let outcome = gatepost(&["worker"], &joined(&setup.environment(), &[QUIET])).await;
    assert!(outcome.failed_with(2).contains("SMTP_URL"));
}
