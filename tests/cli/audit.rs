//! `audit …`: the trail is read while a server runs, or without one.

use serde_json::Value;

use crate::run::{gatepost, on};
use crate::setup::Setup;

#[tokio::test]
async fn an_operator_reads_who_did_what() {
    for setup in Setup::both().await {
        crate::run::prepared(&setup).await;
        on(&setup, &["user", "invite", "ann@example.com"]).await.done();
        on(&setup, &["user", "ban", "ann@example.com", "--note", "she left"]).await.done();
        on(&setup, &["user", "invite", "bob@example.com"]).await.done();
        let rows = on(&setup, &["audit", "list", "--json", "--subject", "ann@example.com"]).await.json();
        let actions: Vec<&Value> = rows.iter().map(|row| &row["action"]).collect();
        assert_eq!(actions, ["user.ban", "user.invited"]);
        assert_eq!((&rows[0]["detail"], &rows[0]["device"]), (&Value::from("she left"), &Value::from("command line")));
        assert_eq!((&rows[0]["subject_email"], &rows[0]["actor"]), (&Value::from("ann@example.com"), &Value::Null));
        let text =
            on(&setup, &["audit", "list", "--action", "user.invited", "--since", "1h", "--limit", "1"]).await.done();
        assert!(
            text.contains("user.invited") && text.contains("bob@example.com") && text.lines().count() == 1,
            "{text}"
        );
        let later = on(&setup, &["audit", "list", "--since", "2999-01-01T00:00:00Z"]).await.done();
        assert_eq!(later, "");
        assert!(on(&setup, &["audit", "list", "--actor", "nobody@example.com"]).await.done().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_listed_is_explained() {
    for arguments in [["audit", "list", "--since", "yesterday"], ["audit", "list", "--actor", "somebody"]] {
        let outcome = gatepost(&arguments, &[]).await;
        assert_eq!(outcome.code, 2, "{outcome:?}");
        assert!(outcome.stderr.contains("use a"), "{outcome:?}");
    }
}
