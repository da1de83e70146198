//! Becoming a user, or not.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::{FIREFOX, Options, ROOT, TestApp, verify};
use crate::client::Client;

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";

/// Asks for an account; gives the challenge's id.
async fn ask(client: &Client, email: &str, name: &str, note: &str) -> String {
    let body = json!({ "email": email, "name": name, "note": note });
    let answer = client.post("/api/auth/register", body).await.expect(202).json();
    answer["challenge_id"].as_str().unwrap().to_owned()
}

/// Proves the mailbox with a code asked for on the sign-in page; gives what the person is told.
async fn knock(app: &TestApp, email: &str) -> Value {
    let browser = app.browser();
    let challenge = app.challenge_with(&browser, email).await;
    let answer = verify(&browser, &challenge.id, challenge.code()).await.expect(200);
    let signed_in = answer.json()["status"] == "signed_in";
    assert_eq!(answer.set_cookie("gatepost_session").is_some(), signed_in);
    assert_eq!(browser.is_signed_in().await, signed_in);
    answer.json()
}

/// A server without an admin in its settings, on its loopback address.
fn nobody_named() -> Options {
    Options::registration("approval").without("GATEPOST_ADMINS")
}

/// Whether `email` is an admin after signing in.
async fn becomes_admin(app: &TestApp, email: &str) -> bool {
    knock(app, email).await["user"]["role"] == "admin"
}

on_both_setups! {
    async fn nobody_has_an_account_before_the_mailbox_is_proved(app: TestApp) {
        let id = ask(&app.program(), ADA, "Ada Lovelace", "").await;
        let mail = app.sign_in_mail_to(ADA).await;
        assert!(!app.has_account(ADA).await);
        let wrong = if mail.code() == "123456" { "654321" } else { "123456" };
        app.verify(&id, wrong).await.expect_problem(401, "invalid_code");
        assert!(!app.has_account(ADA).await);
        let told = app.verify(&id, mail.code()).await.expect(200).json();
        assert_eq!((&told["status"], &told["user"]["name"]), (&json!("signed_in"), &json!("Ada Lovelace")));
        assert!(app.has_account(ADA).await);
    }

    async fn who_registers_says_who_they_are(app: TestApp) {
        let register = async |body: Value| app.program().post("/api/auth/register", body).await;
        register(json!({})).await.expect_wrong_fields(&["email", "name"]);
        register(json!({ "email": ADA, "name": " " })).await.expect_wrong_fields(&["name"]);
        let long = json!({ "email": "ada", "name": "n".repeat(101), "note": "n".repeat(501) });
        register(long).await.expect_wrong_fields(&["email", "name", "note"]);
        let answer = register(json!({ "email": ADA, "name": "Ada", "locale": "de" })).await.expect(202).json();
        let names: Vec<_> = answer.as_object().unwrap().keys().collect();
        assert_eq!(names, ["challenge_id", "expires_in", "resend_in"]);
        let mail = app.sign_in_mail_to(ADA).await;
        let told = app.verify(answer["challenge_id"].as_str().unwrap(), mail.code()).await.expect(200).json();
        assert_eq!(told["user"]["locale"], "de");
    }

    async fn the_link_registers_as_the_code_does(app: TestApp = Options::registration("approval")) {
        ask(&app.program(), ADA, "Ada Lovelace", "").await;
        let token = json!({ "token": app.sign_in_mail_to(ADA).await.token() });
        let told = app.program().post("/api/auth/magic-link/verify", token).await.expect(200);
        assert_eq!(told.json(), json!({ "status": "pending_approval" }));
        assert!(app.mail_about(ROOT, ADA).await.text.contains("Ada Lovelace"));
    }

    async fn with_approval_a_person_waits_until_let_in(app: TestApp = Options::registration("approval")) {
        let browser = app.browser_as(FIREFOX);
        let id = ask(&browser, ADA, "Ada Lovelace", "Hello").await;
        let mail = app.sign_in_mail_to(ADA).await;
        let answer = verify(&browser, &id, mail.code()).await.expect(200);
        assert_eq!(answer.json(), json!({ "status": "pending_approval" }));
        assert!(answer.headers.get("set-cookie").is_none());
        assert!(!browser.is_signed_in().await);
        assert_eq!(knock(&app, ADA).await, json!({ "status": "pending_approval" }));
        app.approve(ADA).await;
        assert_eq!(knock(&app, ADA).await["user"]["name"], "Ada Lovelace");
    }

    async fn who_just_signs_in_waits_as_well(app: TestApp = Options::registration("approval")) {
        assert_eq!(knock(&app, ADA).await, json!({ "status": "pending_approval" }));
        app.mail_about(ROOT, ADA).await;
        app.approve(ADA).await;
        assert_eq!(knock(&app, ADA).await["status"], "signed_in");
    }

    async fn a_waiting_person_gets_no_tokens(app: TestApp = Options::registration("approval")) {
        let challenge = app.challenge(ADA).await;
        let body = json!({ "challenge_id": challenge.id, "code": challenge.code(), "mode": "token" });
        let answer = app.program().post("/api/auth/otp/verify", body).await.expect(200);
        assert_eq!(answer.json(), json!({ "status": "pending_approval" }));
    }

    async fn who_was_turned_down_is_told_after_proving_the_mailbox(app: TestApp = Options::registration("approval")) {
        for (email, action) in [(ADA, "reject"), (EVE, "ban")] {
            app.register(email, "Somebody").await;
            app.decide(email, action).await.expect(200);
            assert_eq!(knock(&app, email).await, json!({ "status": "rejected" }));
        }
        // Registering once more is no way around it.
        assert_eq!(app.register(ADA, "Somebody else").await, json!({ "status": "rejected" }));
        app.approve(ADA).await;
        assert_eq!(knock(&app, ADA).await["user"]["name"], "Somebody");
    }

    async fn open_to_everybody(app: TestApp = Options::registration("open")) {
        assert_eq!(knock(&app, ADA).await["user"]["status"], "approved");
        assert_eq!(app.register(EVE, "Eve").await["user"]["name"], "Eve");
        app.challenge("later@example.com").await;
        assert!(app.mails_to(ROOT).await.is_empty());
    }

    async fn closed_to_strangers_who_are_not_told(app: TestApp = Options::registration("closed")) {
        app.invite(EVE).await;
        let body = json!({ "email": ADA, "name": "Ada" });
        let mut ids = Vec::new();
        for path in ["/api/auth/otp/request", "/api/auth/magic-link/request", "/api/auth/register"] {
            let answer = app.program().post(path, body.clone()).await.expect(202).json();
            assert_eq!((&answer["expires_in"], &answer["resend_in"]), (&json!(600), &json!(30)));
            ids.push(answer["challenge_id"].as_str().unwrap().to_owned());
        }
        // Neither does the resend bring one.
        let again = json!({ "email": ADA, "challenge_id": ids[0] });
        app.program().post("/api/auth/otp/request", again).await.expect(202);
        app.verify(&ids[0], "123456").await.expect_problem(401, "invalid_code");
        for _ in 0..3 {
            assert_eq!(knock(&app, EVE).await["status"], "signed_in");
        }
        assert_eq!(knock(&app, ROOT).await["user"]["role"], "admin");
        assert!(app.mails_to(ADA).await.is_empty());
        assert!(!app.has_account(ADA).await);
    }

    async fn listed_domains_are_approved_at_once(app: TestApp = Options::registration("example.com,bücher.example")) {
        for email in ["ada@EXAMPLE.com", "eve@bücher.example"] {
            let id = app.request_code(email).await;
            let to = email.to_lowercase().replace("bücher", "xn--bcher-kva");
            let code = app.sign_in_mail_to(&to).await;
            assert_eq!(app.verify(&id, code.code()).await.expect(200).json()["status"], "signed_in", "{email}");
        }
        for email in ["ada@sub.example.com", "ada@notexample.com", "example.com@evil.example"] {
            assert_eq!(knock(&app, email).await, json!({ "status": "pending_approval" }), "{email}");
        }
    }

    async fn without_named_admins_the_first_person_on_loopback_is_admin(app: TestApp = nobody_named()) {
        assert!(becomes_admin(&app, ADA).await);
        assert_eq!(knock(&app, EVE).await, json!({ "status": "pending_approval" }));
        assert!(app.mail_about(ADA, EVE).await.text.contains(EVE));
        assert!(becomes_admin(&app, ADA).await);
    }

    async fn where_admins_are_named_only_they_are(app: TestApp = Options::registration("open")) {
        assert!(!becomes_admin(&app, ADA).await);
        assert!(becomes_admin(&app, "Root@Example.com").await);
        assert!(!becomes_admin(&app, EVE).await);
    }

    async fn of_two_first_people_at_once_one_is_admin(app: TestApp = nobody_named()) {
        let people = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];
        let challenges = join_all(people.map(|email| app.challenge(email))).await;
        let answers = join_all(challenges.iter().map(|challenge| app.verify(&challenge.id, challenge.code()))).await;
        let told: Vec<_> = answers.into_iter().map(|answer| answer.expect(200).json()).collect();
        let admins = told.iter().filter(|told| told["user"]["role"] == "admin").count();
        let waiting = told.iter().filter(|told| **told == json!({ "status": "pending_approval" })).count();
        assert_eq!((admins, waiting), (1, 3), "{told:?}");
    }

    async fn two_answers_for_one_new_mailbox_make_one_account(app: TestApp) {
        let challenges = [app.challenge(ADA).await, app.challenge("ADA@example.com").await, app.challenge(ADA).await];
        let answers = join_all(challenges.iter().map(|challenge| app.verify(&challenge.id, challenge.code()))).await;
        let ids: Vec<_> = answers.into_iter().map(|answer| answer.expect(200).json()["user"]["id"].clone()).collect();
        assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    async fn what_people_write_is_text_to_the_admin(app: TestApp = Options::registration("approval")) {
        let (name, note) = ("Ada <img src=x>", "</td><script>alert(1)</script>\r\nSubject: \"x\" & more {{ 7*7 }}");
        let id = ask(&app.program(), ADA, name, note).await;
        let code = app.sign_in_mail_to(ADA).await;
        app.verify(&id, code.code()).await.expect(200);
        let notice = app.mail_about(ROOT, ADA).await;
        assert_eq!(notice.subject, format!("{ADA} asks for a Gatepost account"));
        assert!(!notice.html.contains("<img") && !notice.html.contains("<script"), "{}", notice.html);
        assert!(notice.html.contains("Ada &lt;img src=x&gt;"), "{}", notice.html);
        assert!(notice.html.contains("&lt;script&gt;alert(1)&lt;") && notice.html.contains("{{ 7*7 }}"));
        assert!(notice.text.contains("> </td><script>alert(1)</script>\n> Subject: \"x\" & more"), "{}", notice.text);
        let user = app.user_id(ADA).await;
        let page = app.admin().await.page(&format!("/admin/approvals/{user}")).await.expect_page(200);
        assert!(!page.body.contains("<script") && !page.body.contains("<img src=x"), "{}", page.body);
    }

    async fn the_page_registers_too(app: TestApp = Options::registration("approval")) {
        let browser = app.browser();
        browser.page("/register").await.expect_page(200);
        browser.form("/register", &[("email", ADA), ("name", "")]).await.expect_page(400);
        let sent = browser.form("/register", &[("email", ADA), ("name", "Ada"), ("note", "Hi")]).await.expect(303);
        let id = sent.location().strip_prefix("/login/code?challenge=").unwrap().to_owned();
        let code = app.sign_in_mail_to(ADA).await;
        let fields = [("challenge_id", id.as_str()), ("code", code.code())];
        browser.form("/login/code", &fields).await.expect_redirect("/pending");
        app.mail_about(ROOT, ADA).await;
        app.approve(ADA).await;
        assert_eq!(knock(&app, ADA).await["user"]["name"], "Ada");
    }
}

on_servers! {
    async fn on_the_internet_the_first_person_is_nobody_special(
        app: TestApp = nobody_named().set("GATEPOST_PUBLIC_URL", "https://sign-in.example.com")
    ) {
        let challenge = app.challenge(ADA).await;
        let told = app.verify(&challenge.id, challenge.code()).await.expect(200).json();
        assert_eq!(told, json!({ "status": "pending_approval" }));
    }
}
