//! Decisions that meet in the middle: whichever comes last, nothing that was taken away is left standing.

use serde_json::json;

use crate::app::{Options, SOON, verify};
use crate::support::eventually;

const PASSWORD: &str = "correct horse battery";

on_servers! {
    async fn a_password_that_changes_while_it_is_checked_opens_nothing(
        app: TestApp = Options::methods("otp,password")
            .set("GATEPOST_AUTH_PASSWORD_MEMORY_KIB", "65536")
            .set("GATEPOST_AUTH_PASSWORD_ITERATIONS", "12")
    ) {
        let ada = app.sign_in("ada@example.com").await;
        ada.post("/api/auth/change-password", json!({ "new": PASSWORD })).await.expect(204);
        let database = app.database().client().await;
        let client = app.program();
        let login = tokio::spawn(async move {
            client.post("/api/auth/login", json!({ "email": "ada@example.com", "password": PASSWORD })).await
        });
        // The guess is counted before the password is looked at, which takes a while.
        eventually("the password is being checked", SOON, async || {
            let query = "SELECT 1 FROM guess_budgets WHERE subject LIKE 'password:%' AND failures > 0";
            database.query_opt(query, &[]).await.unwrap()
        })
        .await;
        // Another good hash, which may also be what is read: no password is known for it.
        let changed = "UPDATE users SET password_hash = left(password_hash, -4) || 'AAAA'";
        database.execute(changed, &[]).await.unwrap();
        login.await.unwrap().expect_problem(401, "invalid_credentials");
        let open = database.query_one("SELECT count(*) FROM sessions WHERE revoked_at IS NULL", &[]).await.unwrap();
        assert_eq!(open.get::<_, i64>(0), 1);
    }

    async fn a_change_of_password_that_meets_the_end_of_its_session_changes_nothing(
        app: TestApp = Options::methods("otp,password")
    ) {
        let (thief, ada) = (app.sign_in("ada@example.com").await, app.sign_in("ada@example.com").await);
        let mut database = app.database().client().await;
        let held = database.transaction().await.unwrap();
        held.execute("SELECT 1 FROM users WHERE email_key = 'ada@example.com' FOR UPDATE", &[]).await.unwrap();
        let change = tokio::spawn(async move {
            thief.post("/api/auth/change-password", json!({ "new": PASSWORD })).await
        });
        let watcher = app.database().client().await;
        eventually("the change waits", SOON, async || {
            let waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'";
            watcher.query_opt(waiting, &[]).await.unwrap()
        })
        .await;
        ada.delete("/api/sessions").await.expect(200);
        held.commit().await.unwrap();
        change.await.unwrap().expect_problem(401, "invalid_credentials");
        let hashes = "SELECT count(*) FROM users WHERE password_hash IS NOT NULL";
        assert_eq!(watcher.query_one(hashes, &[]).await.unwrap().get::<_, i64>(0), 0);
        ada.get("/api/auth/me").await.expect(200);
    }

    async fn a_ban_that_meets_a_sign_in_wins(app: TestApp) {
        app.sign_in("ada@example.com").await;
        let challenge = app.challenge("ada@example.com").await;
        let mut database = app.database().client().await;
        let ban = database.transaction().await.unwrap();
        ban.execute("UPDATE users SET status = 'banned' WHERE email_key = 'ada@example.com'", &[]).await.unwrap();
        let (client, id, code) = (app.program(), challenge.id.clone(), challenge.code().to_owned());
        let answer = tokio::spawn(async move { verify(&client, &id, &code).await });
        let watcher = app.database().client().await;
        eventually("the sign-in waits for the decision", SOON, async || {
            let waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'";
            watcher.query_opt(waiting, &[]).await.unwrap()
        })
        .await;
        ban.commit().await.unwrap();
        assert_eq!(answer.await.unwrap().expect(200).json()["status"], "rejected");
        let sessions = watcher.query_one("SELECT count(*) FROM sessions", &[]).await.unwrap();
        assert_eq!(sessions.get::<_, i64>(0), 1);
    }
}
