//! What admins see of accounts, and decide about them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Options, ROOT};
use crate::client::Client;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

async fn list(admin: &Client, query: &str) -> Value {
    admin.get(&format!("/api/admin/users{query}")).await.expect(200).json()
}

/// The addresses in a list, in its order.
fn addresses(listed: &Value) -> Vec<&str> {
    listed["users"].as_array().expect("a list").iter().map(|user| user["email"].as_str().unwrap()).collect()
}

on_both_setups! {
    async fn only_admins_may_look_and_decide(app: TestApp) {
        let user = app.sign_in(ADA).await;
        let id = app.user_id(ADA).await;
        for (method, path) in [
            (Method::GET, "/api/admin/users".to_owned()),
            (Method::POST, "/api/admin/users".to_owned()),
            (Method::GET, format!("/api/admin/users/{id}")),
            (Method::POST, format!("/api/admin/users/{id}/promote")),
        ] {
            let body = json!({ "email": "new@example.com" });
            for (client, status, code) in [(&user, 403, "forbidden"), (&app.program(), 401, "unauthorized")] {
                client.send(client.request(method.clone(), &path).json(&body)).await.expect_problem(status, code);
            }
        }
        assert!(!app.has_account("new@example.com").await);
        assert_eq!(user.get("/api/auth/me").await.json()["role"], "user");
    }

    async fn admins_see_who_asked_and_what_they_said(app: TestApp = Options::registration("approval")) {
        app.register(ADA, "Ada Lovelace").await;
        let admin = app.admin().await;
        let id = app.user_id(ADA).await;
        let shown = admin.get(&format!("/api/admin/users/{id}")).await.expect(200).json();
        for (field, value) in [
            ("id", json!(id)),
            ("email", json!(ADA)),
            ("name", json!("Ada Lovelace")),
            ("note", json!("It's me")),
            ("status", json!("pending")),
            ("role", json!("user")),
            ("address", json!("127.0.0.1")),
            ("last_sign_in_at", Value::Null),
            ("actions", json!(["approve", "reject", "ban"])),
        ] {
            assert_eq!(shown[field], value, "{field}");
        }
        assert!(shown["device"].as_str().is_some_and(|device| !device.is_empty()));
        assert!(list(admin, "").await["users"].as_array().unwrap().contains(&shown));
    }

    async fn the_list_is_filtered_and_searched(app: TestApp = Options::registration("approval").unlimited()) {
        app.register(ADA, "Ada Lovelace").await;
        app.register(BOB, "Bob 100% _Öz_").await;
        app.register("carol@elsewhere.example", "Carol").await;
        app.decide(BOB, "reject").await.expect(200);
        let admin = app.admin().await;
        for (query, expected) in [
            ("?status=pending", vec!["carol@elsewhere.example", ADA]),
            ("?status=rejected", vec![BOB]),
            ("?status=approved", vec![ROOT]),
            ("?status=banned", vec![]),
            ("?search=LOVELACE", vec![ADA]),
            ("?search=elsewhere", vec!["carol@elsewhere.example"]),
            ("?search=nobody", vec![]),
            ("?search=%25", vec![BOB]),
            ("?search=_", vec![BOB]),
            ("?search=%27%3B--", vec![]),
            ("?status=pending&search=a", vec!["carol@elsewhere.example", ADA]),
            ("?status=rejected&search=ada", vec![]),
        ] {
            assert_eq!(addresses(&list(admin, query).await), expected, "{query}");
        }
        for query in ["", "?status=all", "?status=", "?limit=0", "?limit=500", "?search="] {
            assert_eq!(list(admin, query).await["users"].as_array().unwrap().len(), 4, "{query}");
        }
        admin.put("/api/profile", json!({ "username": "gatekeeper" })).await.expect(200);
        assert_eq!(addresses(&list(admin, "?search=gateK").await), [ROOT]);
    }

    async fn the_list_comes_in_pages_newest_first(app: TestApp) {
        let admin = app.admin().await;
        for n in 0..6 {
            app.invite(&format!("user{n}@example.com")).await;
        }
        let (mut cursor, mut found, mut sizes) = (String::new(), Vec::new(), Vec::new());
        loop {
            let page = list(admin, &format!("?limit=3&cursor={cursor}")).await;
            sizes.push(addresses(&page).len());
            found.extend(addresses(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            next.clone_into(&mut cursor);
        }
        assert_eq!(sizes, [3, 3, 1]);
        let mut expected: Vec<String> = (0..6).rev().map(|n| format!("user{n}@example.com")).collect();
        expected.push(ROOT.to_owned());
        assert_eq!(found, expected);
        assert_eq!(list(admin, "?limit=7").await["next_cursor"], Value::Null, "a full last page is the last");
        admin.get("/api/admin/users?status=odd&cursor=nonsense").await.expect_wrong_fields(&["status", "cursor"]);
        for query in ["?limit=many", "?limit=-1", "?limit=99999999"] {
            admin.get(&format!("/api/admin/users{query}")).await.expect_problem(400, "invalid_request");
        }
    }

    async fn approving_lets_somebody_in_and_mails_the_note(app: TestApp = Options::registration("approval")) {
        assert_eq!(app.register(ADA, "Ada").await, json!({ "status": "pending_approval" }));
        let (admin, id) = (app.admin().await, app.user_id(ADA).await);
        let body = json!({ "note": "Welcome aboard <b>&" });
        let after = admin.post(&format!("/api/admin/users/{id}/approve"), body).await.expect(200).json();
        assert_eq!((&after["status"], &after["id"]), (&json!("approved"), &json!(id)));
        let mail = app.mail_about(ADA, "is approved").await;
        assert!(mail.text.contains("Welcome aboard <b>&"), "{}", mail.text);
        assert!(mail.html.contains("Welcome aboard &lt;b&gt;&amp;"), "{}", mail.html);
        assert!(app.sign_in(ADA).await.is_signed_in().await);
    }

    async fn each_action_has_its_effect_and_fits_only_some_accounts(
        app: TestApp = Options::registration("approval").unlimited()
    ) {
        app.register(ADA, "Ada").await;
        let (admin, id) = (app.admin().await, app.user_id(ADA).await);
        let all = ["approve", "reject", "ban", "unban", "promote", "demote"];
        for (action, status, role, fitting) in [
            ("reject", "rejected", "user", vec!["approve", "ban"]),
            ("approve", "approved", "user", vec!["ban", "promote"]),
            ("promote", "approved", "admin", vec!["ban", "demote"]),
            ("demote", "approved", "user", vec!["ban", "promote"]),
            ("ban", "banned", "user", vec!["unban"]),
            ("unban", "approved", "user", vec!["ban", "promote"]),
        ] {
            let after = app.decide(ADA, action).await.expect(200).json();
            assert_eq!((&after["status"], &after["role"]), (&json!(status), &json!(role)), "{action}");
            assert_eq!(after["actions"], json!(fitting), "after {action}");
            for other in all.iter().filter(|other| !fitting.contains(other)) {
                app.decide(ADA, other).await.expect_problem(409, "conflict");
            }
            assert_eq!(admin.get(&format!("/api/admin/users/{id}")).await.expect(200).json(), after);
            let next = app.challenge(ADA).await;
            let told = app.verify(&next.id, next.code()).await.expect(200).json();
            assert_eq!(told["status"], if status == "approved" { "signed_in" } else { "rejected" }, "after {action}");
        }
    }

    async fn rejecting_and_banning_send_no_mail_and_end_sessions(app: TestApp) {
        let (browser, tokens) = (app.sign_in(ADA).await, app.tokens(ADA).await);
        app.decide(ADA, "ban").await.expect(200);
        assert!(!browser.is_signed_in().await);
        assert!(!app.program().bearer(&tokens.access).is_signed_in().await);
        let about: Vec<String> = app.mails_to(ADA).await.into_iter().map(|mail| mail.subject).collect();
        assert!(about.iter().all(|subject| !subject.contains("ban")), "{about:?}");
        app.decide(ADA, "unban").await.expect(200);
        assert!(app.sign_in(ADA).await.is_signed_in().await);
    }

    async fn a_changed_role_is_told_by_mail_and_works_at_once(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        app.decide(ADA, "promote").await.expect(200);
        app.mail_about(ADA, "role was changed").await;
        list(&browser, "").await;
        app.decide(ADA, "demote").await.expect(200);
        browser.get("/api/admin/users").await.expect_problem(403, "forbidden");
        assert!(browser.is_signed_in().await, "a role is no reason to be signed out");
    }

    async fn unknown_accounts_and_actions_are_not_found(app: TestApp) {
        let (admin, id) = (app.admin().await, app.user_id(ROOT).await);
        let nobody = "01890a5d-ac96-774b-bcce-b302099a8057";
        for path in [
            format!("/api/admin/users/{nobody}/ban"),
            "/api/admin/users/nonsense/ban".to_owned(),
            format!("/api/admin/users/{id}/explode"),
            format!("/api/admin/users/{id}/Ban"),
        ] {
            admin.post(&path, json!({})).await.expect_problem(404, "not_found");
        }
        for id in [nobody, "nonsense", "%00", "1"] {
            admin.get(&format!("/api/admin/users/{id}")).await.expect_problem(404, "not_found");
        }
    }

    async fn a_note_is_optional_and_checked(app: TestApp) {
        app.sign_in(ADA).await;
        let (admin, id) = (app.admin().await, app.user_id(ADA).await);
        let path = |action| format!("/api/admin/users/{id}/{action}");
        admin.post(&path("ban"), json!({ "note": "x".repeat(501) })).await.expect_wrong_fields(&["note"]);
        admin.post(&path("ban"), json!({ "note": 5 })).await.expect_problem(400, "invalid_request");
        admin.send(admin.request(Method::POST, &path("ban")).body("{")).await.expect_problem(400, "invalid_request");
        admin.send(admin.request(Method::POST, &path("ban"))).await.expect(200);
        admin.post(&path("unban"), json!({ "note": null })).await.expect(200);
    }

    async fn an_invited_person_gets_a_mail_and_is_in(app: TestApp = Options::registration("closed")) {
        let admin = app.admin().await;
        let body = json!({ "email": "Grace@Example.com", "name": "Grace Hopper", "locale": "fr" });
        let made = admin.post("/api/admin/users", body.clone()).await.expect(201).json();
        for (field, value) in [("status", "approved"), ("role", "user"), ("name", "Grace Hopper"), ("locale", "fr")] {
            assert_eq!(made[field], value, "{field}");
        }
        let mail = app.mail_to("grace@example.com").await;
        assert!(mail.text.contains(crate::app::PUBLIC_URL) && mail.code.is_none(), "{}", mail.text);
        app.sign_in("grace@example.com").await;

        let problem = admin.post("/api/admin/users", body).await.expect_problem(409, "taken");
        assert_eq!(problem["errors"][0]["field"], "email");
        let wrong = json!({ "email": "grace", "name": "x".repeat(101) });
        admin.post("/api/admin/users", wrong).await.expect_wrong_fields(&["email", "name"]);
        admin.post("/api/admin/users", json!({})).await.expect_wrong_fields(&["email"]);
    }

    async fn inviting_somebody_who_waits_does_not_approve_them(app: TestApp = Options::registration("approval")) {
        app.register(ADA, "Ada").await;
        app.admin().await.post("/api/admin/users", json!({ "email": ADA })).await.expect_problem(409, "taken");
        let challenge = app.challenge(ADA).await;
        let told = app.verify(&challenge.id, challenge.code()).await.expect(200).json();
        assert_eq!(told["status"], "pending_approval");
    }

    async fn the_last_admin_stays(app: TestApp) {
        app.sign_in(ADA).await;
        let admin = app.admin().await;
        for action in ["ban", "demote"] {
            app.decide(ROOT, action).await.expect_problem(409, "last_admin");
        }
        assert_eq!(admin.get("/api/auth/me").await.expect(200).json()["role"], "admin");
        app.decide(ADA, "promote").await.expect(200);
        app.decide(ROOT, "demote").await.expect(200);
        admin.get("/api/admin/users").await.expect_problem(403, "forbidden");
    }

    async fn of_two_admins_who_demote_each_other_at_once_one_stays(app: TestApp) {
        let ada = app.sign_in(ADA).await;
        let (root, ada_id, root_id) = (app.admin().await, app.user_id(ADA).await, app.user_id(ROOT).await);
        app.decide(ADA, "promote").await.expect(200);
        let path = |id: &str| format!("/api/admin/users/{id}/demote");
        let (one, other) = (path(&ada_id), path(&root_id));
        let (first, second) = tokio::join!(root.post(&one, json!({})), ada.post(&other, json!({})));
        let mut outcome = [first.status, second.status];
        outcome.sort_unstable();
        assert!(matches!(outcome, [200, 403 | 409]), "{outcome:?}");
    }
}
