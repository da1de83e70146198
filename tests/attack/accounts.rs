//! Other people's accounts and sessions, more rights than were given, and names that look like others.

use serde_json::{Value, json};

use crate::app::{HOUR, Options};
use crate::credentials::three;

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";

/// What nobody may set about themselves, under every name it has.
fn greedy(more: &Value) -> Value {
    let mut body = json!({
        "role": "admin", "status": "approved", "is_admin": true, "admin": true, "approved": true, "version": 99,
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "user_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "password_hash": "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAA", "created_at": "2000-01-01T00:00:00Z",
        "avatar_url": "https://evil.example/x", "user": { "role": "admin", "status": "approved" }, "__proto__": { "role": "admin" },
    });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

on_both_setups! {
    async fn a_body_sets_no_more_than_its_route_is_for(app: TestApp = Options::registration("approval")) {
        // Registering.
        let body = greedy(&json!({ "email": EVE, "name": "Eve" }));
        let issued = app.program().post("/api/auth/register", body).await.expect(202).json();
        let mail = app.sign_in_mail_to(EVE).await;
        let answer = greedy(&json!({ "challenge_id": issued["challenge_id"], "code": mail.code() }));
        let told = app.program().post("/api/auth/otp/verify", answer).await.expect(200).json();
        assert_eq!(told, json!({ "status": "pending_approval" }));
        // Signing in, and one's own profile.
        app.invite(ADA).await;
        let ada = app.sign_in(ADA).await;
        let before = ada.get("/api/auth/me").await.expect(200).json();
        let after = ada.put("/api/profile", greedy(&json!({ "name": "Ada", "email": EVE }))).await.expect(200).json();
        for name in ["id", "email", "role", "status", "created_at", "avatar_url"] {
            assert_eq!(after[name], before[name], "{name}");
        }
        for email in [ADA, EVE] {
            let id = app.user_id(email).await;
            let user = app.admin().await.get(&format!("/api/admin/users/{id}")).await.expect(200).json();
            let expected = if email == ADA { "approved" } else { "pending" };
            assert_eq!((&user["role"], &user["status"], &user["email"]), (&json!("user"), &json!(expected), &json!(email)));
        }
        // Inviting makes users, no admins.
        let invited = app.admin().await.post("/api/admin/users", greedy(&json!({ "email": "bob@example.com" }))).await;
        assert_eq!(invited.expect(201).json()["role"], "user");
    }

    async fn profiles_show_no_more_than_they_should(app: TestApp = Options::registration("approval")) {
        app.register("pending@example.com", "Pending").await;
        for email in [ADA, EVE] {
            app.invite(email).await;
        }
        let (ada, eve) = (app.sign_in(ADA).await, app.sign_in(EVE).await);
        ada.put("/api/profile", json!({ "phone": "+49 30 1234567" })).await.expect(200);
        let id = app.user_id(ADA).await;
        for name in [id.as_str(), ADA] {
            let seen = eve.get(&format!("/api/users/{name}")).await.expect(200).json();
            assert_eq!(seen["phone"], Value::Null);
            for secret in ["password_hash", "note", "address", "device", "email_key", "abuse_key"] {
                assert!(seen.get(secret).is_none(), "{seen}");
            }
        }
        let hidden = app.user_id("pending@example.com").await;
        for name in [hidden.as_str(), "pending@example.com"] {
            eve.get(&format!("/api/users/{name}")).await.expect_problem(404, "not_found");
        }
        let listed = eve.get("/api/users/list?limit=200").await.expect(200).body;
        assert!(!listed.contains("pending@example.com") && !listed.contains("1234567"), "{listed}");
    }

    async fn addresses_that_imitate_others_get_no_account(app: TestApp = Options::without_limits()) {
        app.sign_in(ADA).await;
        for imitation in [
            "\u{430}da@example.com",      // a Cyrillic letter
            "ad\u{3b1}@example.com",      // a Greek one
            "ada@ex\u{430}mple.com",      // in the domain
            "ada@xn--exmple-4nf.com",     // the same, as ASCII
            "\u{202e}ada@example.com",    // written backwards
            "a\u{200b}da@example.com",    // with something invisible
            "a\u{ad}da@example.com",
            "ada\u{0}@example.com",
        ] {
            for (path, body) in [
                ("/api/auth/otp/request", json!({ "email": imitation })),
                ("/api/auth/magic-link/request", json!({ "email": imitation })),
                ("/api/auth/register", json!({ "email": imitation, "name": "Ada" })),
            ] {
                app.program().post(path, body).await.expect_wrong_fields(&["email"]);
            }
            let admin = app.admin().await;
            admin.post("/api/admin/users", json!({ "email": imitation })).await.expect_wrong_fields(&["email"]);
        }
        // Other spellings of the same mailbox are the same account.
        for same in ["ADA@EXAMPLE.COM", "\u{ff41}da@example.com", "ada@example\u{3002}com", " ada@\u{ff45}xample.com "] {
            let answer = app.program().post("/api/auth/otp/request", json!({ "email": same })).await.expect(202).json();
            let mail = app.sign_in_mail_to(ADA).await;
            let told = app.verify(answer["challenge_id"].as_str().unwrap(), mail.code()).await.expect(200).json();
            assert_eq!(told["user"]["email"], ADA, "{same:?}");
        }
        let accounts = app.admin().await.get("/api/admin/users?limit=200").await.expect(200).json();
        assert_eq!(accounts["users"].as_array().unwrap().len(), 2, "{accounts}");
    }
}

on_servers! {
    async fn nobody_ends_or_sees_the_sessions_of_others(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let (ada, eve) = (apps[0].sign_in(ADA).await, apps[1].sign_in(EVE).await);
        let body = ada.validate().await.expect(200).json();
        let id = body["session"]["id"].as_str().unwrap().to_owned();
        for app in &apps {
            let eve = eve.at(app);
            eve.delete(&format!("/api/sessions/{id}")).await.expect_problem(404, "not_found");
            eve.delete(&format!("/api/sessions/{}", id.to_uppercase())).await.expect_problem(404, "not_found");
            let page = eve.form(&format!("/account/sessions/{id}/end"), &[]).await;
            assert!(matches!(page.status, 303 | 404), "{}", page.status);
            assert!(!eve.get("/api/sessions").await.expect(200).body.contains(&id));
            eve.delete("/api/sessions").await.expect(200);
            assert!(!eve.page("/account").await.expect(200).body.contains(&id));
        }
        for app in &apps {
            assert!(ada.at(app).is_signed_in().await);
        }
        // Its owner can.
        ada.delete(&format!("/api/sessions/{id}")).await.expect(204);
    }

    async fn a_session_is_not_one_that_was_planted_before_signing_in(app: TestApp) {
        let apps = three(app).await;
        let planted = format!("gps_{}", "A".repeat(43));
        let browser = apps[0].browser();
        browser.set_cookie("gatepost_session", &planted);
        let browser = apps[0].sign_in_with(browser, ADA).await;
        assert_ne!(browser.session_token(), planted);
        for app in &apps {
            app.program().bearer(&planted).validate().await.expect_problem(401, "unauthorized");
            assert!(browser.at(app).is_signed_in().await);
        }
        // And each sign-in makes a new one.
        let first = browser.session_token();
        let again = apps[1].sign_in_with(browser.at(&apps[1]), ADA).await;
        assert_ne!(again.session_token(), first);
    }

    async fn a_challenge_does_not_outlive_its_time_on_any_instance(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let challenge = apps[0].challenge(ADA).await;
        for app in &apps {
            app.advance(HOUR);
        }
        for app in &apps {
            app.verify(&challenge.id, challenge.code()).await.expect_problem(401, "invalid_code");
            let link = json!({ "token": challenge.mail.token() });
            app.program().post("/api/auth/magic-link/verify", link).await.expect_problem(401, "invalid_link");
        }
    }
}
