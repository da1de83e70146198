//! Which strangers get no mail, and that nobody can tell.

use serde_json::{Value, json};

use crate::app::{Options, SOON, TestApp};
use crate::support::eventually;

fn refusing() -> Options {
    Options::registration("open")
        .set("GATEPOST_ABUSE_DISPOSABLE", "refuse")
        .set("GATEPOST_ABUSE_DENY_DOMAINS", "denied.example,*.top")
        .set("GATEPOST_ABUSE_ALLOW_DOMAINS", "welcome.top")
        .unlimited()
}

/// Waits until every mail to this address has come to its end; gives how they ended, newest first.
async fn ends(app: &TestApp, email: &str) -> Vec<String> {
    eventually(&format!("the mails to {email} to end"), SOON, async || {
        let admin = app.admin().await;
        let listed = admin.get(&format!("/api/admin/mail?recipient={email}")).await.expect(200).json();
        let status = |mail: &Value| mail["status"].as_str().unwrap().to_owned();
        let ends: Vec<String> = listed["mails"].as_array().unwrap().iter().map(status).collect();
        (!ends.is_empty() && ends.iter().all(|end| end == "sent" || end == "expired")).then_some(ends)
    })
    .await
}

on_both_setups! {
    async fn strangers_at_refused_domains_get_the_same_answer_and_no_mail(app: TestApp = refusing()) {
        for email in ["eve@mailinator.com", "eve@sub.mailinator.com", "eve@denied.example", "eve@new.top"] {
            for path in ["/api/auth/otp/request", "/api/auth/magic-link/request", "/api/auth/register"] {
                let body = json!({ "email": email, "name": "Eve" });
                let answer = app.program().post(path, body).await.expect(202).json();
                assert!(answer["challenge_id"].is_string() && answer["expires_in"] == 600, "{answer}");
            }
            assert_eq!(ends(&app, email).await, ["expired"; 3], "{email}");
            assert!(app.mails_to(email).await.is_empty(), "{email}");
        }
    }

    async fn others_get_theirs(app: TestApp = refusing()) {
        for email in ["ada@example.com", "ada@welcome.top", "ada@sub.denied.example"] {
            app.sign_in(email).await;
        }
    }

    async fn who_has_an_account_or_is_invited_is_not_asked_about_the_domain(app: TestApp = refusing()) {
        let admin = app.admin().await;
        let invitation = json!({ "email": "ada@denied.example", "name": "Ada" });
        admin.post("/api/admin/users", invitation).await.expect(201);
        app.mail_about("ada@denied.example", "invited").await;
        app.sign_in("ada@denied.example").await;
        app.request_code("eve@denied.example").await;
        assert_eq!(ends(&app, "eve@denied.example").await, ["expired"]);
    }
}
