//! What a request may claim about itself without being believed.

use reqwest::Method;
use serde_json::json;

use crate::app::{Options, Setup, TestApp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_development_mailbox_is_shown_under_names_of_this_machine_only() {
    let app = TestApp::start(Setup::Embedded, Options::default()).await;
    app.challenge("ada@example.com").await;
    let port = app.address.port();
    let own =
        ["localhost".to_owned(), format!("127.0.0.1:{port}"), format!("[::1]:{port}"), "gatepost.localhost".into()];
    for host in own {
        app.program().with("host", &host).get("/dev/mail/messages").await.expect(200);
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "", "a b"] {
        let rebound = app.program().with("host", host);
        for path in ["/dev/mail", "/dev/mail/messages", "/dev/mail/messages/x/html"] {
            assert!((400..=404).contains(&rebound.get(path).await.status), "{host:?} {path}");
        }
    }
}

on_both_setups! {
    async fn made_up_methods_make_no_metrics_of_their_own(app: TestApp) {
        let client = app.program();
        for number in 0..20 {
            let method = Method::from_bytes(format!("MADEUP{number}").as_bytes()).unwrap();
            client.send(client.request(method, "/login")).await.expect_problem(405, "method_not_allowed");
        }
        let metrics = client.get("/metrics").await.expect(200).body;
        assert!(!metrics.contains("MADEUP"), "{metrics}");
        assert!(metrics.contains(r#"method="other""#), "{metrics}");
    }

    async fn a_token_in_hand_needs_no_origin(app: TestApp) {
        let tokens = app.tokens("ada@example.com").await;
        let elsewhere = app.program().with_origin("https://app.example.com");
        let body = json!({ "refresh_token": tokens.refresh });
        elsewhere.post("/api/auth/refresh", body).await.expect(200);
        elsewhere.bearer(&tokens.access).put("/api/profile", json!({ "name": "Ada" })).await.expect(200);
        let asked = elsewhere.post("/api/auth/otp/request", json!({ "email": "bob@example.com" })).await;
        asked.expect_problem(403, "cross_site");
    }

    async fn an_admin_signs_an_account_out_everywhere(app: TestApp) {
        let ada = app.sign_in("ada@example.com").await;
        let id = app.user_id("ada@example.com").await;
        let path = format!("/api/admin/users/{id}/sessions");
        ada.delete(&path).await.expect_problem(403, "forbidden");
        assert_eq!(app.admin().await.delete(&path).await.expect(200).json()["ended"], 1);
        assert!(!ada.is_signed_in().await);
        app.mail_about("ada@example.com", "signed out").await;
        assert_eq!(app.admin().await.delete(&path).await.expect(200).json()["ended"], 0);
    }
}
