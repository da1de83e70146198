//! `mail …`: an operator looks at the mail and steers it, whether or not a server runs.

use serde_json::{Value, json};

use crate::SOON;
use crate::run::{on, prepared};
use crate::setup::{Setup, dev_mails_to};
use crate::support::eventually;

const ANN: &str = "ann@example.com";
const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Accepts a mail to `email`, which waits while no server runs; gives its id.
async fn waiting(setup: &Setup, email: &str) -> String {
    on(setup, &["user", "invite", email]).await.done();
    let rows = on(setup, &["mail", "list", "--recipient", email, "--json"]).await.json();
    rows[0]["id"].as_str().unwrap().to_owned()
}

/// A mail that was given up.
async fn dead(setup: &Setup, email: &str) -> String {
    let id = waiting(setup, email).await;
    on(setup, &["mail", "bury", &id]).await.done();
    id
}

async fn shown(setup: &Setup, id: &str) -> Value {
    on(setup, &["mail", "show", id, "--json"]).await.json().remove(0)
}

async fn status(setup: &Setup) -> Value {
    on(setup, &["mail", "status", "--json"]).await.json().remove(0)
}

#[tokio::test]
async fn mails_are_listed_and_shown_in_text_and_json() {
    for setup in Setup::both().await {
        prepared(&setup).await;
        let (ann, bob) = (dead(&setup, ANN).await, waiting(&setup, "bob@example.com").await);
        let text = on(&setup, &["mail", "list"]).await.done();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].contains(&bob) && lines[0].contains("ready") && lines[0].ends_with("bob@example.com"),
            "{text}"
        );
        assert!(lines[1].contains(&ann) && lines[1].ends_with("ann@example.com  given up by an operator"), "{text}");
        for (arguments, count) in [
            (vec!["--status", "dead"], 1),
            (vec!["--status", "sent"], 0),
            (vec!["--kind", "invitation"], 2),
            (vec!["--kind", "code_and_link"], 0),
            (vec!["--recipient", "BOB@"], 1),
        ] {
            let rows = on(&setup, &[&["mail", "list", "--json"], arguments.as_slice()].concat()).await.json();
            assert_eq!(rows.len(), count, "{arguments:?}");
        }
        let one = on(&setup, &["mail", "list", "--limit", "1"]).await;
        assert!(one.stderr.contains("--limit"), "{one:?}");
        assert_eq!(one.done().lines().count(), 1);

        let row = shown(&setup, &ann).await;
        assert_eq!((&row["status"], &row["recipient"]), (&json!("dead"), &json!(ANN)));
        assert_eq!((&row["priority"], &row["kind"]), (&json!("normal"), &json!("invitation")));
        assert_eq!(row.as_object().unwrap().len(), 13, "{row}");
        let text = on(&setup, &["mail", "show", &ann]).await.done();
        assert!(text.contains("last answer  given up by an operator") && text.contains("status       dead"), "{text}");
    }
}

#[tokio::test]
async fn mails_are_given_up_and_tried_again_and_a_server_sends_them() {
    for setup in Setup::both().await {
        prepared(&setup).await;
        let (ann, bob) = (dead(&setup, ANN).await, dead(&setup, "bob@example.com").await);
        assert_eq!(status(&setup).await["dead"], 2);
        let lines = on(&setup, &["mail", "retry", &ann, &bob]).await.done();
        assert_eq!(lines.lines().filter(|line| line.contains("ready")).count(), 2, "{lines}");
        let row = on(&setup, &["mail", "bury", &bob, "--json"]).await.json().remove(0);
        assert_eq!(row["status"], "dead");
        let twice = on(&setup, &["mail", "bury", &bob]).await;
        assert!(twice.failed_with(1).contains("dead already"), "{twice:?}");

        let server = setup.start().await;
        eventually("the mail to be sent", SOON, async || (shown(&setup, &ann).await["status"] == "sent").then_some(()))
            .await;
        match &setup.servers {
            Some(servers) => drop(servers.sink.next_to(ANN).await),
            None => assert_eq!(dev_mails_to(&server, ANN).await.len(), 1),
        }
        for action in ["retry", "bury"] {
            let outcome = on(&setup, &["mail", action, &ann]).await;
            assert!(outcome.failed_with(1).contains("has been sent"), "{outcome:?}");
        }
        // The server takes what a command has made ready.
        on(&setup, &["mail", "retry", &bob]).await.done();
        eventually("the other to be sent", SOON, async || {
            (shown(&setup, &bob).await["status"] == "sent").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn one_mail_that_stays_as_it_is_does_not_hold_up_others() {
    let setup = Setup::embedded();
    prepared(&setup).await;
    let ann = dead(&setup, ANN).await;
    let outcome = on(&setup, &["mail", "retry", NOBODY, &ann]).await;
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(NOBODY) && outcome.stderr.contains("no such mail"), "{outcome:?}");
    assert!(outcome.stdout.contains(&ann) && outcome.stdout.contains("ready"), "{outcome:?}");
    let outcome = on(&setup, &["mail", "show", NOBODY]).await;
    assert!(outcome.failed_with(1).contains("no such mail"), "{outcome:?}");
}

#[tokio::test]
async fn all_dead_mails_are_tried_again_in_batches() {
    let setup = Setup::on_servers().await;
    prepared(&setup).await;
    dead(&setup, ANN).await;
    let client = setup.servers().database.client().await;
    let copies = "INSERT INTO outbox SELECT gen_random_uuid(), kind, CASE WHEN n % 100 = 0 THEN 'no@example.com' \
                  ELSE recipient END, locale, content, challenge_id, priority, status, attempts, fence, message_id, \
                  created_at, next_attempt_at, queued_until, lease_until, CASE WHEN n > 500 THEN now() ELSE expires_at \
                  END, finished_at, last_error, fold FROM outbox, generate_series(1, 510) n";
    assert_eq!(client.execute(copies, &[]).await.unwrap(), 510);
    on(&setup, &["mail", "suppress", "No@Example.com"]).await.done();
    let outcome = on(&setup, &["mail", "retry", "--all", "--kind", "code_and_link"]).await;
    assert_eq!(outcome.done(), "0 mails are on their way again.\n");
    let outcome = on(&setup, &["mail", "retry", "--all"]).await;
    assert_eq!(outcome.stderr, "", "a bar is for terminals");
    assert_eq!(
        outcome.done(),
        "496 mails are on their way again; 5 stay dead, their mailboxes are suppressed.\n",
        "500 copies and the one, but for every hundredth"
    );
    let counts = status(&setup).await;
    assert_eq!((&counts["dead"], &counts["queued"]["normal"]), (&json!(15), &json!(496)));
    let again = on(&setup, &["mail", "retry", "--all", "--json"]).await.json().remove(0);
    assert_eq!(again, json!({ "retried": 0, "suppressed": 5 }));
}

#[tokio::test]
async fn sending_is_stopped_and_let_go_on() {
    for setup in Setup::both().await {
        prepared(&setup).await;
        assert_eq!(on(&setup, &["mail", "pause", "--json"]).await.json(), [json!({ "paused": true })]);
        assert!(on(&setup, &["mail", "pause"]).await.done().contains("stopped already"));
        assert_eq!(status(&setup).await["paused"], true);
        assert!(on(&setup, &["mail", "status"]).await.done().starts_with("Sending is stopped"));
        assert!(on(&setup, &["mail", "resume"]).await.done().contains("sent again"));
        assert_eq!(on(&setup, &["mail", "resume", "--json"]).await.json(), [json!({ "paused": false })]);
        assert_eq!(status(&setup).await["paused"], false);
        assert!(on(&setup, &["mail", "status"]).await.done().starts_with("queued"));
    }
}

#[tokio::test]
async fn mailboxes_are_suppressed_and_lifted() {
    for setup in Setup::both().await {
        prepared(&setup).await;
        let ann = dead(&setup, ANN).await;
        let arguments =
            ["mail", "suppress", "Ann@example.com", "--reason", "complaint", "--detail", "asked us to", "--days", "9"];
        let line = on(&setup, &arguments).await.done();
        assert!(
            line.contains("Ann@example.com") && line.contains("complaint") && line.contains("asked us to"),
            "{line}"
        );
        on(&setup, &["mail", "suppress", "bob@example.com"]).await.done();
        let rows = on(&setup, &["mail", "suppressions", "--json"]).await.json();
        let told: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["email"], &row["reason"])).collect();
        assert_eq!(
            told,
            [(&json!("Ann@example.com"), &json!("complaint")), (&json!("bob@example.com"), &json!("manual"))]
        );
        let first = on(&setup, &["mail", "suppressions", "--limit", "1"]).await;
        assert!(first.stderr.contains("--after ann@example.com"), "{first:?}");
        let rest = on(&setup, &["mail", "suppressions", "--after", ANN]).await.done();
        assert!(rest.starts_with("bob@example.com") && rest.lines().count() == 1, "{rest}");
        assert_eq!(status(&setup).await["suppressed"], 2);

        let outcome = on(&setup, &["mail", "retry", &ann]).await;
        assert!(outcome.failed_with(1).contains("suppressed"), "{outcome:?}");
        assert!(on(&setup, &["mail", "unsuppress", ANN]).await.done().contains("gets mail again"));
        on(&setup, &["mail", "retry", &ann]).await.done();
        let outcome = on(&setup, &["mail", "unsuppress", ANN]).await;
        assert!(outcome.failed_with(1).contains("not suppressed"), "{outcome:?}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_told_and_change_nothing() {
    let setup = Setup::embedded();
    prepared(&setup).await;
    for (arguments, told) in [
        (vec!["list", "--status", "odd"], "use ready, sending, sent, expired, dead"),
        (vec!["list", "--kind", "odd"], "registration_notice"),
        (vec!["show", "odd"], "invalid"),
        (vec!["retry"], "required"),
        (vec!["retry", NOBODY, "--all"], "cannot be used with"),
        (vec!["retry", NOBODY, "--kind", "code_and_link"], "cannot be used with"),
        (vec!["bury"], "required"),
        (vec!["suppress", "odd"], "name@example.com"),
        (vec!["suppress", ANN, "--reason", "odd"], "use bounce, complaint, manual"),
        (vec!["suppress", ANN, "--days", "0"], "1..=3650"),
        (vec!["suppress", ANN, "--detail", &"x".repeat(501)], "the detail"),
    ] {
        let outcome = on(&setup, &[&["mail"], arguments.as_slice()].concat()).await;
        assert_eq!(outcome.code, 2, "{outcome:?}");
        assert!(outcome.stderr.contains(told), "{told}: {outcome:?}");
    }
    assert_eq!(on(&setup, &["mail", "suppressions"]).await.done(), "");
}
