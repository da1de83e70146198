//! `user …`: an operator decides about accounts, whether or not a server runs.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::SOON;
use crate::person::Person;
use crate::run::on;
use crate::setup::{Setup, dev_mails_to};
use crate::support::eventually;

/// Within this a revocation is enforced everywhere.
const PROMISED: Duration = Duration::from_secs(2);

async fn standing(setup: &Setup, email: &str) -> (String, String) {
    let rows = on(setup, &["user", "list", "--json", "--search", email]).await.json();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["email"], email);
    let text = |field: &str| rows[0][field].as_str().unwrap().to_owned();
    (text("status"), text("role"))
}

fn is(standing: &(String, String), status: &str, role: &str) -> bool {
    (standing.0.as_str(), standing.1.as_str()) == (status, role)
}

#[tokio::test]
async fn accounts_are_made_and_decided_about_in_text_and_json() {
    for setup in Setup::both().await {
        crate::run::prepared(&setup).await;
        let line = on(&setup, &["user", "promote", "root@example.com"]).await.done();
        assert!(line.contains("root@example.com") && line.contains("admin") && line.contains("approved"), "{line}");
        let invited = on(&setup, &["user", "invite", "Ann@Example.com", "--name", "Ann Ask", "--json"]).await.json();
        assert_eq!(invited[0]["name"], "Ann Ask");
        let ann = invited[0]["email"].as_str().unwrap().to_owned();
        assert!(ann.eq_ignore_ascii_case("ann@example.com"), "{ann}");

        let steps = [
            ("ban", "banned", "user"),
            ("unban", "approved", "user"),
            ("promote", "approved", "admin"),
            ("demote", "approved", "user"),
        ];
        for (action, status, role) in steps {
            let row = on(&setup, &["user", action, "ann@example.com", "--note", "why", "--json"]).await.json();
            assert_eq!((&row[0]["status"], &row[0]["role"]), (&status.into(), &role.into()), "{action}");
            assert!(is(&standing(&setup, &ann).await, status, role), "{action}");
        }
        let text = on(&setup, &["user", "list"]).await.done();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().next().unwrap().contains("Ann Ask"), "newest first: {text}");
        assert_eq!(on(&setup, &["user", "list", "--status", "banned"]).await.done(), "");
        let one = on(&setup, &["user", "list", "--limit", "1"]).await;
        assert!(one.stderr.contains("--limit"), "{one:?}");
        assert_eq!(one.done().lines().count(), 1);
    }
}

#[tokio::test]
async fn who_waits_is_approved_or_rejected() {
    let setup = Setup::embedded();
    crate::run::prepared(&setup).await;
    on(&setup, &["user", "promote", "root@example.com"]).await.done();
    let server = setup.start_with(&[("GATEPOST_REGISTRATION", "approval")]).await;
    for email in ["ann@example.com", "bob@example.com"] {
        let person = Person::new(email);
        let challenge = person.ask(&server).await;
        let code = setup.next_code_to(&server, email).await.code().unwrap();
        let proof = serde_json::json!({ "challenge_id": challenge, "code": code });
        let answer: Value = person.post(&server, "/api/auth/otp/verify", &proof).await.json().await.unwrap();
        assert_eq!(answer["status"], "pending_approval");
    }
    assert_eq!(on(&setup, &["user", "list", "--status", "pending", "--json"]).await.json().len(), 2);
    on(&setup, &["user", "approve", "ann@example.com", "--note", "Welcome aboard"]).await.done();
    on(&setup, &["user", "reject", "bob@example.com"]).await.done();
    assert!(is(&standing(&setup, "ann@example.com").await, "approved", "user"));
    assert!(is(&standing(&setup, "bob@example.com").await, "rejected", "user"));
    // The command has ended; the server sends the mail that it left.
    eventually("the mail of the approval", SOON, async || {
        let mails = dev_mails_to(&server, "ann@example.com").await;
        mails.iter().any(|(_, mail)| mail.text().unwrap().contains("Welcome aboard")).then_some(())
    })
    .await;
    Person::signed_in(&setup, &server, "ann@example.com").await;
}

#[tokio::test]
async fn the_last_admin_stays() {
    let setup = Setup::embedded();
    crate::run::prepared(&setup).await;
    on(&setup, &["user", "promote", "root@example.com"]).await.done();
    for action in ["demote", "ban"] {
        let outcome = on(&setup, &["user", action, "root@example.com"]).await;
        assert!(outcome.failed_with(1).contains("last admin"), "{outcome:?}");
    }
    assert!(is(&standing(&setup, "root@example.com").await, "approved", "admin"));
    on(&setup, &["user", "promote", "second@example.com"]).await.done();
    on(&setup, &["user", "demote", "root@example.com"]).await.done();
}

#[tokio::test]
async fn what_cannot_be_done_is_one_line_and_exit_code_1() {
    let setup = Setup::embedded();
    crate::run::prepared(&setup).await;
    for action in ["approve", "reject", "ban", "unban", "demote"] {
        let outcome = on(&setup, &["user", action, "nobody@example.com"]).await;
        assert!(outcome.failed_with(1).contains("nobody@example.com"), "{outcome:?}");
    }
    on(&setup, &["user", "invite", "ann@example.com"]).await.done();
    let twice = on(&setup, &["user", "invite", "ann@example.com"]).await;
    assert!(twice.failed_with(1).contains("taken"), "{twice:?}");
    let again = on(&setup, &["user", "approve", "ann@example.com"]).await;
    assert!(again.failed_with(1).contains("status"), "{again:?}");
}

#[tokio::test]
async fn a_ban_ends_the_sessions_at_a_running_server_at_once() {
    for setup in Setup::both().await {
        crate::run::prepared(&setup).await;
        on(&setup, &["user", "promote", "root@example.com"]).await.done();
        let server = setup.start().await;
        let person = Person::signed_in(&setup, &server, "ann@example.com").await;
        let other = Person::signed_in(&setup, &server, "bob@example.com").await;
        assert!(person.is_known(&server).await);
        on(&setup, &["user", "ban", "ann@example.com"]).await.done();
        let banned = Instant::now();
        eventually("the ban to be enforced", PROMISED, async || (!person.is_known(&server).await).then_some(())).await;
        eprintln!("enforced {:?} after the command had ended", banned.elapsed());
        assert!(other.is_known(&server).await, "nobody else");
        // A ban taken back does not bring the session back.
        on(&setup, &["user", "unban", "ann@example.com"]).await.done();
        Person::signed_in(&setup, &server, "ann@example.com").await;
        assert!(!person.is_known(&server).await);
    }
}

#[tokio::test]
async fn a_promotion_reaches_a_running_server_at_once() {
    let setup = Setup::embedded();
    crate::run::prepared(&setup).await;
    on(&setup, &["user", "promote", "root@example.com"]).await.done();
    let server = setup.start().await;
    let person = Person::signed_in(&setup, &server, "ann@example.com").await;
    on(&setup, &["user", "promote", "ann@example.com"]).await.done();
    eventually("the promotion", PROMISED, async || {
        let body: Value = person.validate(&server).await.json().await.ok()?;
        (body["user"]["role"] == "admin").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_command_in_the_wrong_place_makes_nothing() {
    for setup in [Setup::embedded(), Setup::on_fresh_servers().await] {
        let outcome = on(&setup, &["user", "promote", "root@example.com"]).await;
        let line = outcome.failed_with(1);
        assert!(line.contains("gatepost migrate"), "{line}");
        assert_eq!(on(&setup, &["mail", "status"]).await.code, 1);
    }
}
