//! Nobody learns who has an account: every kind of address gets the same answer from every public endpoint.
//!
//! The same status, the same headers with the same values, the same body. Only what differs between two requests about
//! one address may differ: ids, the time, the value of a cookie, what is left of the client's limits.

use std::collections::BTreeMap;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::app::{Options, TestApp};
use crate::client::{Answer, Client};

const PASSWORD: &str = "correct horse battery staple";

/// An answer without what differs between any two requests.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: String,
}

impl Shape {
    /// `email` is whom the request was about: pages repeat what was typed, with room to break before the @.
    fn of(answer: &Answer, email: &str) -> Self {
        let (name, _) = email.split_once('@').expect("an address");
        let body = without_ids(&answer.body.replace(name, "NAME"));
        Self { status: answer.status, headers: headers(&answer.headers), body }
    }
}

fn headers(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut shape: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = value.to_str().expect("ASCII");
        let value = match name.as_str() {
            "date" | "x-request-id" => String::new(),
            "set-cookie" => {
                let (cookie, attributes) = value.split_once(';').expect("a cookie has attributes");
                let (name, value) = cookie.split_once('=').expect("a cookie has a value");
                format!("{name}={};{attributes}", value.len())
            }
            "ratelimit" => value.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect(),
            _ => without_ids(value),
        };
        shape.entry(name.to_string()).or_default().push(value);
    }
    shape
}

/// `text` with every id replaced.
fn without_ids(text: &str) -> String {
    let is_id = |word: &&str| word.len() == 36 && word.parse::<uuid::Uuid>().is_ok();
    let words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    let mut shape = text.to_owned();
    for id in words.filter(is_id) {
        shape = shape.replace(id, "ID");
    }
    shape
}

/// Fails unless `ask` gets the same answer about all addresses. All are of one length, so that lengths compare too.
async fn assert_alike(what: &str, emails: &[&str], status: u16, ask: impl AsyncFn(String) -> Answer) {
    let mut first: Option<Shape> = None;
    for email in emails {
        let answer = ask((*email).to_owned()).await.expect(status);
        let shape = Shape::of(&answer, email);
        match &first {
            None => first = Some(shape),
            Some(first) => {
                for (line, expected) in shape.body.lines().zip(first.body.lines()) {
                    assert_eq!(line, expected, "{what}: {email} and {}", emails[0]);
                }
                assert_eq!(&shape, first, "{what}: {email} and {}", emails[0]);
            }
        }
    }
}

fn body(email: &str) -> Value {
    json!({ "email": email, "name": "Somebody", "password": "not the right one, this" })
}

/// Fails unless all public endpoints answer alike about all addresses.
async fn assert_all_alike(app: &TestApp, emails: &[&str]) {
    for path in ["/api/auth/otp/request", "/api/auth/magic-link/request", "/api/auth/register"] {
        assert_alike(path, emails, 202, async |email| app.program().post(path, body(&email)).await).await;
        // Also for a browser that has been here before.
        let browser = app.browser();
        browser.form("/login", &[("email", "passer-by@example.com")]).await.expect(303);
        assert_alike(path, emails, 202, async |email| browser.post(path, body(&email)).await).await;
    }
    let login = async |email: String| app.program().post("/api/auth/login", body(&email)).await;
    assert_alike("/api/auth/login", emails, 401, login).await;
    let page = async |email: String| app.browser().form("/login", &[("email", &email)]).await;
    assert_alike("/login", emails, 303, page).await;
    let next = async |email: String| app.browser().form("/login", &[("email", &email), ("next", "/account")]).await;
    assert_alike("/login with next", emails, 303, next).await;
    let code_page = async |email: String| {
        let browser = app.browser();
        let sent = browser.form("/login", &[("email", &email)]).await.expect(303);
        browser.page(sent.location()).await
    };
    assert_alike("/login/code", emails, 200, code_page).await;
    let wrong_password =
        async |email: String| app.browser().form("/login/password", &[("email", &email), ("password", "wrong")]).await;
    assert_alike("/login/password", emails, 401, wrong_password).await;
    let wrong_code = async |email: String| {
        let id = app.request_code(&email).await;
        app.verify(&id, "000000").await
    };
    assert_alike("/api/auth/otp/verify", emails, 401, wrong_code).await;
    assert_alike("/login/code with a wrong code", emails, 401, async |email| {
        let browser = app.browser();
        let sent = browser.form("/login", &[("email", &email)]).await.expect(303);
        let id = sent.location().split_once("challenge=").unwrap().1.to_owned();
        browser.form("/login/code", &[("challenge_id", &id), ("code", "000000")]).await
    })
    .await;
}

/// Signs `email` in and gives it a password.
async fn set_password(app: &TestApp, email: &str) -> Client {
    let browser = app.sign_in(email).await;
    browser.post("/api/auth/change-password", json!({ "new": PASSWORD })).await.expect(204);
    browser
}

fn options(registration: &str) -> Options {
    Options::registration(registration)
        .set("LOGIN_METHOD", "otp,magic_link,password")
        .set("GATEPOST_LIMITS_OTP_REQUEST_EMAIL", "100/300s")
        .set("GATEPOST_LIMITS_OTP_REQUEST_EMAIL_DAY", "100/1d")
        .set("GATEPOST_LIMITS_OTP_REQUEST_ABUSE_KEY", "100/1d")
        .set("GATEPOST_LIMITS_REQUEST_ADDRESS", "1000/300s")
        .set("GATEPOST_LIMITS_REGISTER_ADDRESS", "1000/300s")
        .set("GATEPOST_LIMITS_VERIFY_ADDRESS", "1000/300s")
        .set("GATEPOST_LIMITS_LOGIN_EMAIL", "100/300s")
        .set("GATEPOST_LIMITS_LOGIN_ADDRESS", "1000/300s")
}

on_both_setups! {
    async fn every_kind_of_address_gets_the_same_answers(app: TestApp = options("approval")) {
        let emails = ["unknown@example.com", "invited@example.com", "withpwd@example.com", "pending@example.com",
            "refused@example.com", "banned1@example.com", "banned2@example.com", "admin01@example.com"];
        app.invite(emails[1]).await;
        app.invite(emails[2]).await;
        set_password(&app, emails[2]).await;
        for email in &emails[3..6] {
            assert_eq!(app.register(email, "Somebody").await["status"], "pending_approval");
        }
        app.decide(emails[4], "reject").await.expect(200);
        app.decide(emails[5], "ban").await.expect(200);
        app.invite(emails[6]).await;
        set_password(&app, emails[6]).await;
        app.decide(emails[6], "ban").await.expect(200);
        app.invite(emails[7]).await;
        app.decide(emails[7], "promote").await.expect(200);
        assert_all_alike(&app, &emails).await;
    }

    async fn closed_registration_tells_no_more(app: TestApp = options("closed")) {
        let emails = ["unknown@example.com", "invited@example.com", "banned1@example.com", "withpwd@example.com"];
        for email in &emails[1..] {
            app.invite(email).await;
        }
        app.decide(emails[2], "ban").await.expect(200);
        set_password(&app, emails[3]).await;
        assert_all_alike(&app, &emails).await;
    }

    async fn a_refused_domain_tells_no_more(
        app: TestApp = options("open").set("GATEPOST_ABUSE_DENY_DOMAINS", "example.com")
    ) {
        let emails = ["unknown@example.com", "invited@example.com", "banned1@example.com", "withpwd@example.com"];
        for email in &emails[1..] {
            app.invite(email).await;
        }
        app.decide(emails[2], "ban").await.expect(200);
        set_password(&app, emails[3]).await;
        assert_all_alike(&app, &emails).await;
    }

    async fn the_refusals_of_the_limiter_are_the_same(
        app: TestApp = options("approval")
            .set("GATEPOST_LIMITS_OTP_REQUEST_EMAIL", "2/3600s")
            .set("GATEPOST_LIMITS_LOGIN_EMAIL", "1/3600s")
    ) {
        let emails = ["unknown@example.com", "invited@example.com", "pending@example.com"];
        app.invite(emails[1]).await;
        app.register(emails[2], "Somebody").await;
        // The registration was the first.
        for email in [emails[0], emails[0], emails[1], emails[1], emails[2]] {
            app.request_code(email).await;
        }
        for email in emails {
            app.program().post("/api/auth/login", body(email)).await.expect(401);
        }
        let login = async |email: String| without_wait(app.program().post("/api/auth/login", body(&email)).await);
        assert_alike("login", &emails, 429, login).await;
        for path in ["/api/auth/otp/request", "/api/auth/magic-link/request", "/api/auth/register"] {
            let ask = async |email: String| without_wait(app.program().post(path, body(&email)).await);
            assert_alike(path, &emails, 429, ask).await;
        }
    }

    async fn the_right_password_tells_how_the_account_stands(app: TestApp = options("approval")) {
        app.invite("banned1@example.com").await;
        let browser = set_password(&app, "banned1@example.com").await;
        app.decide("banned1@example.com", "ban").await.expect(200);
        let right = json!({ "email": "banned1@example.com", "password": PASSWORD });
        let answer = app.program().post("/api/auth/login", right).await.expect(200);
        assert_eq!(answer.json(), json!({ "status": "rejected" }));
        assert!(answer.headers.get("set-cookie").is_none());
        assert!(!browser.is_signed_in().await);
    }
}

/// The answer without the seconds to wait, which go down while the test runs.
fn without_wait(mut answer: Answer) -> Answer {
    let wait = answer.headers.remove("retry-after").expect("when to come back");
    answer.headers.remove("content-length");
    answer.body = answer.body.replace(&format!("in {} seconds", wait.to_str().unwrap()), "later");
    answer
}
