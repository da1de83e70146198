//! The profile that people write themselves.

use serde_json::{Value, json};

use crate::app::{Options, PROMISED};
use crate::client::Client;
use crate::support::eventually;

const ADA: &str = "ada@example.com";

async fn update(client: &Client, fields: Value) -> Value {
    client.put("/api/profile", fields).await.expect(200).json()
}

on_both_setups! {
    async fn each_field_can_be_changed_on_its_own(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        let before = browser.get("/api/auth/me").await.expect(200).json();
        let mut expected = before.clone();
        for (field, given, kept) in [
            ("name", "  Ada   Lovelace ", "Ada Lovelace"),
            ("username", "Ada.L", "ada.l"),
            ("phone", "+49 (30) 123-4567", "+49301234567"),
            ("locale", "de", "de"),
        ] {
            let after = update(&browser, json!({ field: given })).await;
            expected[field] = kept.into();
            expected["updated_at"] = after["updated_at"].clone();
            assert_eq!(after, expected, "{field}");
        }
        assert!(expected["updated_at"].as_str() > before["updated_at"].as_str());
        assert_eq!(update(&browser, json!({})).await["name"], "Ada Lovelace");
        let all = json!({ "name": "Ada", "username": "ada", "phone": "+4930999999", "locale": "fr" });
        let after = update(&browser, all.clone()).await;
        for (field, value) in all.as_object().unwrap() {
            assert_eq!(&after[field], value);
        }
    }

    async fn what_a_profile_says_of_itself_is_fixed(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        let before = browser.get("/api/auth/me").await.expect(200).json();
        let more = json!({ "id": "x", "email": "root@example.com", "role": "admin", "status": "banned", "note": 1 });
        let after = update(&browser, more).await;
        for field in ["id", "email", "role", "status", "created_at"] {
            assert_eq!(after[field], before[field], "{field}");
        }
    }

    async fn username_and_phone_can_be_removed(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        for nothing in [json!(null), json!(""), json!("  ")] {
            update(&browser, json!({ "username": "ada", "phone": "+49301234567" })).await;
            let after = update(&browser, json!({ "username": nothing })).await;
            assert_eq!((&after["username"], &after["phone"]), (&Value::Null, &json!("+49301234567")));
            assert_eq!(update(&browser, json!({ "phone": nothing })).await["phone"], Value::Null);
        }
        let name = update(&browser, json!({ "name": "Ada" })).await;
        assert_eq!(
            update(&browser, json!({ "name": null })).await["name"],
            name["name"],
            "a name is not removed by null"
        );
        assert_eq!(update(&browser, json!({ "name": "" })).await["name"], "");
    }

    async fn each_wrong_field_is_named(app: TestApp = Options::without_limits()) {
        let browser = app.sign_in(ADA).await;
        let wrong = async |body: Value, fields: &[&str]| {
            browser.put("/api/profile", body).await.expect_wrong_fields(fields);
        };
        for name in ["x".repeat(101), "a\r\nBcc: b".to_owned(), "evil\u{202e}exe".to_owned(), "nul\u{0}".to_owned()] {
            wrong(json!({ "name": name }), &["name"]).await;
        }
        for username in ["a", "1ada", "a b", "ädä", "ada@example.com", "-ada", &"a".repeat(33)] {
            wrong(json!({ "username": username }), &["username"]).await;
        }
        for phone in ["030123456", "+", "+123", "+0123456789", "+12345678901234567", "+12x45678", &"+1".repeat(40)] {
            wrong(json!({ "phone": phone }), &["phone"]).await;
        }
        for locale in ["", "xx", "klingon", "../en"] {
            wrong(json!({ "locale": locale }), &["locale"]).await;
        }
        let all = json!({ "name": "x".repeat(101), "username": "1", "phone": "1", "locale": "xx" });
        wrong(all, &["name", "username", "phone", "locale"]).await;
        let untouched = browser.get("/api/auth/me").await.expect(200).json();
        assert_eq!((&untouched["username"], &untouched["phone"]), (&Value::Null, &Value::Null));
    }

    async fn a_username_and_a_phone_belong_to_one_person(app: TestApp) {
        let (ada, bob) = (app.sign_in(ADA).await, app.sign_in("bob@example.com").await);
        update(&ada, json!({ "username": "ada", "phone": "+49301234567" })).await;
        for (field, value) in [("username", "ADA"), ("phone", "+49 30 1234567")] {
            let problem =
                bob.put("/api/profile", json!({ field: value, "name": "Bob" })).await.expect_problem(409, "taken");
            assert_eq!(
                (&problem["errors"][0]["field"], &problem["errors"][0]["code"]),
                (&json!(field), &json!("taken"))
            );
        }
        assert_ne!(bob.get("/api/auth/me").await.json()["name"], "Bob", "half of a change was made");
        update(&ada, json!({ "username": "ada", "phone": "+49301234567" })).await;
        update(&ada, json!({ "username": null, "phone": null })).await;
        update(&bob, json!({ "username": "ada", "phone": "+49301234567" })).await;
    }

    async fn a_change_is_seen_at_once(app: TestApp) {
        let (browser, tokens) = (app.sign_in(ADA).await, app.tokens(ADA).await);
        let program = app.program().bearer(&tokens.access);
        for n in 0..5 {
            let changed = update(&browser, json!({ "name": format!("Ada {n}") })).await;
            for client in [&browser, &program] {
                assert_eq!(client.validate().await.expect(200).json()["user"], changed);
            }
        }
    }

    async fn the_language_of_the_mails_follows_the_profile(app: TestApp = Options::without_limits()) {
        let browser = app.sign_in(ADA).await;
        update(&browser, json!({ "locale": "de-AT" })).await;
        assert_eq!(browser.get("/api/auth/me").await.json()["locale"], "de");
    }

    async fn a_profile_is_changed_by_its_owner_only(app: TestApp) {
        app.program().put("/api/profile", json!({ "name": "x" })).await.expect_problem(401, "unauthorized");
        app.program().get("/api/auth/me").await.expect_problem(401, "unauthorized");
    }
}

on_servers! {
    async fn a_change_is_seen_by_every_instance(app: TestApp) {
        let other = app.beside().await;
        let browser = app.sign_in(ADA).await;
        assert!(browser.at(&other).is_signed_in().await);
        update(&browser, json!({ "username": "ada" })).await;
        eventually("the other instance tells the new name", PROMISED, async || {
            (browser.at(&other).validate().await.header("remote-user") == Some("ada")).then_some(())
        })
        .await;
    }
}
