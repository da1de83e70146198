//! `--help`, `--version`, and arguments that are wrong.

use std::process::Stdio;

use crate::run::gatepost;
use crate::server::program;
use crate::setup::Setup;

#[tokio::test]
async fn help_says_what_each_command_is_for() {
    let commands: [(&[&str], &[&str]); 17] = [
        (
            &[],
            &[
                "Passwordless",
                "serve",
                "worker",
                "migrate",
                "config",
                "user",
                "mail",
                "health",
                "--set",
                "--json",
                "Exit codes",
            ],
        ),
        (&["serve"], &["server", "mail worker", "--config"]),
        (&["worker"], &["mail worker", "Redis"]),
        (&["migrate"], &["database up to date"]),
        (&["config"], &["settings", "secrets hidden"]),
        (&["health"], &["ready", "container"]),
        (&["doctor"], &["wrong", "what to do", "--json"]),
        (&["mail"], &["status", "list", "retry", "pause", "suppress", "preview", "test", "dkim"]),
        (&["mail", "status"], &["how many mails"]),
        (&["user"], &["list", "approve", "reject", "ban", "unban", "promote", "demote", "invite"]),
        (&["user", "list"], &["--status", "pending", "--search", "--limit"]),
        (&["user", "approve"], &["EMAIL", "--note", "mails its owner"]),
        (&["user", "reject"], &["EMAIL", "--note"]),
        (&["user", "ban"], &["EMAIL", "all its sessions"]),
        (&["user", "promote"], &["EMAIL", "admin"]),
        (&["user", "demote"], &["EMAIL", "ordinary user"]),
        (&["user", "invite"], &["EMAIL", "--name", "invitation"]),
    ];
    for (command, words) in commands {
        let help = gatepost(&[command, &["--help"]].concat(), &[]).await.done();
        for word in words {
            assert!(help.contains(word), "the help of {command:?} says nothing of {word:?}:\n{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
        assert!(!gatepost(&[command, &["-h"]].concat(), &[]).await.done().is_empty());
    }
}

#[tokio::test]
async fn help_needs_no_right_settings_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = [("GATEPOST_BIND", "nowhere")];
    let help = crate::run::gatepost_in(directory.path(), &["user", "--help"], &wrong).await.done();
    assert!(help.contains("approve"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_version_is_the_packages() {
    for arguments in [&["--version"][..], &["-V"], &["user", "--version"]] {
        let version = gatepost(arguments, &[]).await.done();
        assert!(version.trim().ends_with(env!("CARGO_PKG_VERSION")) && version.starts_with("gatepost"), "{version}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_exit_code_2_and_named() {
    let wrong: [(&[&str], &str); 11] = [
        (&["sevre"], "serve"),
        (&["--colour"], "--colour"),
        (&["user"], "Usage"),
        (&["user", "aprove", "a@example.com"], "approve"),
        (&["user", "approve"], "EMAIL"),
        (&["user", "approve", "nobody"], "nobody"),
        (&["user", "list", "--status", "odd"], "pending, approved, rejected or banned"),
        (&["user", "list", "--limit", "many"], "many"),
        (&["mail", "sattus"], "status"),
        (&["--set", "server.bind"], "key=value"),
        (&["migrate", "now"], "now"),
    ];
    for (arguments, word) in wrong {
        let outcome = gatepost(arguments, &[]).await;
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{arguments:?} {outcome:?}");
        assert!(outcome.stderr.contains(word), "{arguments:?} should be told of {word:?}: {outcome:?}");
    }
}

/// Every command that the files of settings tell people to type is one.
#[tokio::test]
async fn commands_that_the_settings_mention_exist() {
    let texts = [include_str!("../../config/default.toml"), include_str!("../../config/production.toml")].join("\n");
    let mentioned = texts.split("`gatepost ").skip(1).map(|rest| rest.split('`').next().unwrap());
    for mentioned in mentioned {
        let words: Vec<&str> = mentioned.split(' ').take_while(|word| word.chars().all(char::is_lowercase)).collect();
        let outcome = gatepost(&[words.as_slice(), &["--help"]].concat(), &[]).await;
        assert_eq!(outcome.code, 0, "config/ says `gatepost {mentioned}`: {}", outcome.stderr);
    }
}

/// `gatepost config | head -1` closes the pipe early.
#[tokio::test]
async fn a_reader_that_leaves_early_causes_no_panic() {
    let setup = Setup::embedded();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program();
    command.arg("config").envs(setup.environment()).stdout(writer).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.stderr(Stdio::piped()).output()).await.unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}
