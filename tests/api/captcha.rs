//! The CAPTCHA on the way to a mail, checked by a small server that answers as the providers do.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::app::{MINUTE, Options, TestApp};
use crate::client::Answer;
use crate::pages::Form;

const ADA: &str = "ada@example.com";

/// A provider: takes the token `solved`, and answers oddly to some others.
struct Provider {
    url: String,
    /// The bodies of the questions so far.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/siteverify?v=1", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, heard.clone()));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn options(&self, when: &str) -> Options {
        Options::default()
            .set("GATEPOST_ABUSE_CAPTCHA", when)
            .set("GATEPOST_ABUSE_CAPTCHA_SECRET", "our/secret=")
            .set("GATEPOST_ABUSE_CAPTCHA_SITE_KEY", "our-site-key")
            .set("GATEPOST_ABUSE_CAPTCHA_VERIFY_URL", self.url.as_str())
            .unlimited()
    }
}

async fn answer(mut stream: TcpStream, heard: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut text = Vec::new();
    let body = loop {
        let mut read = [0; 4096];
        let count = stream.read(&mut read).await?;
        if count == 0 {
            return Ok(());
        }
        text.extend_from_slice(&read[..count]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((above, body)) = whole.split_once("\r\n\r\n") else { continue };
        let above = above.to_ascii_lowercase();
        assert!(above.starts_with("post /siteverify?v=1 http/1.1"), "{above}");
        assert!(
            above.contains("content-type: application/x-www-form-urlencoded") && above.contains("host: 127.0.0.1:")
        );
        let length: usize = above.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        if body.len() >= length {
            break body.to_owned();
        }
    };
    let token =
        url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "response").unwrap().1.into_owned();
    heard.lock().unwrap().push(body);
    let (status, json) = match token.as_str() {
        "solved" => ("200 OK", r#"{"success":true,"hostname":"example.com"}"#),
        "misconfigured" => ("200 OK", r#"{"success":false,"error-codes":["invalid-input-secret"]}"#),
        "broken" => ("500 Internal Server Error", "{}"),
        "nonsense" => ("200 OK", "<html>"),
        _ => ("200 OK", r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#),
    };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}", json.len());
    stream.write_all(answer.as_bytes()).await
}

async fn ask(app: &TestApp, path: &str, token: Option<&str>) -> Answer {
    let body = json!({ "email": ADA, "name": "Ada", "captcha_token": token });
    app.program().post(path, body).await
}

const PATHS: [&str; 3] = ["/api/auth/otp/request", "/api/auth/magic-link/request", "/api/auth/register"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_solved_one_there_is_no_mail() {
    let provider = Provider::start().await;
    let app = TestApp::start(crate::app::Setup::Embedded, provider.options("always")).await;
    for path in PATHS {
        for nothing in [None, Some(""), Some("  ")] {
            ask(&app, path, nothing).await.expect_problem(400, "captcha_required");
        }
    }
    assert!(provider.asked().is_empty(), "there is nothing to ask about");
    for path in PATHS {
        ask(&app, path, Some("wrong")).await.expect_problem(400, "captcha_failed");
    }
    assert_eq!(provider.asked().len(), 3);
    ask(&app, PATHS[0], Some(&"x".repeat(8193))).await.expect_problem(400, "captcha_failed");
    assert_eq!(provider.asked().len(), 3, "no provider makes such tokens");
    assert!(app.mails().await.is_empty());

    let answer = ask(&app, PATHS[0], Some("solved")).await.expect(202).json();
    assert_eq!(provider.asked().last().unwrap(), "secret=our%2Fsecret%3D&response=solved&remoteip=127.0.0.1");
    let mail = app.sign_in_mail_to(ADA).await;
    app.verify(answer["challenge_id"].as_str().unwrap(), mail.code()).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_solves_none_uses_up_nothing_but_limits_of_their_own() {
    let provider = Provider::start().await;
    let options = provider.options("always").behind_a_proxy().without("GATEPOST_RATE_LIMITS");
    let options = options.set("GATEPOST_LIMITS_REQUEST_ADDRESS", "3/300s");
    let app = TestApp::start(crate::app::Setup::Embedded, options).await;
    let ask = async |from: &str, token: Option<&str>| {
        let body = json!({ "email": ADA, "captcha_token": token });
        app.program().with("x-forwarded-for", from).post(PATHS[0], body).await
    };
    for attacker in 0..5 {
        let from = format!("203.0.113.{attacker}");
        for token in [None, Some("wrong"), None] {
            ask(&from, token).await.expect(400);
        }
        ask(&from, Some("wrong")).await.expect_problem(429, "rate_limited");
    }
    assert_eq!(provider.asked().len(), 5, "the limit of an address bounds how often the provider is asked");
    for _ in 0..3 {
        ask("198.51.100.1", Some("solved")).await.expect(202);
    }
    for _ in 0..2 {
        ask("198.51.100.2", Some("solved")).await.expect(202);
    }
    ask("198.51.100.2", Some("solved")).await.expect_problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_answer_lets_nobody_through() {
    let provider = Provider::start().await;
    let app = TestApp::start(crate::app::Setup::Embedded, provider.options("always")).await;
    for token in ["broken", "nonsense", "misconfigured"] {
        let answer = ask(&app, PATHS[0], Some(token)).await;
        answer.expect_problem(503, "captcha_unavailable");
        assert!(answer.header("retry-after").is_some() && !answer.body.contains("secret"), "{}", answer.body);
    }
    let nobody = format!("http://127.0.0.1:{}/", crate::support::free_port());
    let away = provider.options("always").set("GATEPOST_ABUSE_CAPTCHA_VERIFY_URL", nobody);
    let app = TestApp::start(crate::app::Setup::Embedded, away).await;
    ask(&app, PATHS[0], Some("solved")).await.expect_problem(503, "captcha_unavailable");
    assert!(app.mails().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attack_switches_it_on_for_a_while() {
    let provider = Provider::start().await;
    let options = provider.options("under_attack").set("GATEPOST_ABUSE_ATTACK", "3/60s");
    let app = TestApp::start(crate::app::Setup::Embedded, options).await;
    assert!(!app.browser().page("/login").await.body.contains("our-site-key"));
    for _ in 0..3 {
        ask(&app, PATHS[0], None).await.expect(202);
    }
    ask(&app, PATHS[0], None).await.expect_problem(400, "captcha_required");
    ask(&app, PATHS[0], Some("solved")).await.expect(202);
    assert!(app.browser().page("/login").await.body.contains("our-site-key"));
    app.advance(MINUTE * 11);
    ask(&app, PATHS[0], None).await.expect(202);
    assert!(!app.browser().page("/login").await.body.contains("our-site-key"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_show_it_and_load_a_script_from_nowhere_else() {
    let provider = Provider::start().await;
    for (name, field, script, host) in [
        (
            "turnstile",
            "cf-turnstile-response",
            "https://challenges.cloudflare.com/turnstile/",
            "challenges.cloudflare.com",
        ),
        ("hcaptcha", "h-captcha-response", "https://js.hcaptcha.com/1/api.js", "hcaptcha.com"),
    ] {
        let options = provider.options("always").set("GATEPOST_ABUSE_CAPTCHA_PROVIDER", name);
        let app = TestApp::start(crate::app::Setup::Embedded, options).await;
        let browser = app.browser();
        for path in ["/login", "/register"] {
            let page = browser.page(path).await.expect_page(200);
            assert!(
                page.body.contains(r#"data-sitekey="our-site-key""#) && page.body.contains(script),
                "{}",
                page.body
            );
            assert!(page.body.contains("<noscript>") && page.body.contains("Switch JavaScript on"), "{}", page.body);
            let policy = page.header("content-security-policy").unwrap();
            assert!(policy.contains(&format!("script-src https://{host}")), "{policy}");
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        }
        let other = browser.page("/signed-out").await.expect_page(200);
        assert!(!other.header("content-security-policy").unwrap().contains("script-src"), "nothing else may");
        let login = browser.page("/login").await;
        let refused = Form::of(&login, "/login").set("email", ADA).submit(&browser).await.expect_page(400);
        assert!(refused.body.contains("A CAPTCHA has to be solved first") && refused.body.contains(ADA));
        let sent = Form::of(&login, "/login").set("email", ADA).set(field, "solved").submit(&browser).await.expect(303);
        // So that nobody gets mails by asking for the same one again and again.
        let code = browser.page(sent.location()).await.expect_page(200);
        assert!(code.body.contains("our-site-key"));
        let again = Form::of(&code, "/login").submit(&browser).await.expect_page(400);
        assert!(again.body.contains("A CAPTCHA has to be solved first"));
        let register = browser.page("/register").await;
        let form = Form::of(&register, "/register").set("email", ADA).set("name", "Ada").set(field, "wrong");
        assert!(form.submit(&browser).await.expect_page(400).body.contains("was not solved"));
    }
}

on_both_setups! {
    async fn where_none_is_set_up_pages_load_no_script(app: TestApp) {
        for path in ["/login", "/register"] {
            let page = app.browser().page(path).await.expect_page(200);
            assert!(!page.body.contains("<script") && !page.body.contains("<noscript"), "{}", page.body);
            assert!(!page.header("content-security-policy").unwrap().contains("script-src"));
        }
    }
}
