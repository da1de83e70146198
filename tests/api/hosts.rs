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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_only_goes_as_far_as_the_settings_say_and_not_without_https() {
    let https = || Options::default().set("GATEPOST_PUBLIC_URL", "https://gatepost.localhost");
    for (options, expected) in [
        (https(), Some("max-age=63072000")),
        (https().set("GATEPOST_SERVER_HSTS", "subdomains"), Some("max-age=63072000; includeSubDomains")),
        (https().set("GATEPOST_SERVER_HSTS", "preload"), Some("max-age=63072000; includeSubDomains; preload")),
        (https().set("GATEPOST_SERVER_HSTS", "off"), None),
        (Options::default().set("GATEPOST_SERVER_HSTS", "preload"), None),
    ] {
        let app = TestApp::start(Setup::Embedded, options).await;
        for path in ["/login", "/health", "/nowhere"] {
            assert_eq!(app.program().get(path).await.header("strict-transport-security"), expected, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_from_memory_has_the_headers_that_it_had_before() {
    let options = Options::default().set("GATEPOST_PUBLIC_URL", "https://gatepost.localhost");
    let app = TestApp::start(Setup::Embedded, options).await;
    for path in ["/api/auth/validate", "/forward-auth"] {
        let program = app.program().bearer(&app.tokens("ada@example.com").await.access);
        let headers = async || {
            let answer = program.get(path).await.expect(200);
            let lines = answer.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.clone()));
            let mut lines: Vec<_> = lines.filter(|(name, _)| name != "date").collect();
            lines.sort_by(|one, other| one.0.cmp(&other.0));
            let ids = lines.extract_if(.., |(name, _)| name == "x-request-id").count();
            assert_eq!(ids, 1, "{path}");
            lines
        };
        let first = headers().await;
        assert!(first.iter().any(|(name, _)| name == "strict-transport-security"), "{first:?}");
        for _ in 0..3 {
            assert_eq!(headers().await, first, "{path}");
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

    async fn no_answer_and_no_mail_repeats_a_made_up_host(app: TestApp = Options::without_limits()) {
        const MADE_UP: &str = "evil.example";
        let lied_to = app
            .browser()
            .with("host", MADE_UP)
            .with("x-forwarded-host", MADE_UP)
            .with("x-forwarded-proto", "https")
            .with("x-original-url", "https://evil.example/")
            .with("forwarded", "host=evil.example;proto=https");
        for path in [
            "/",
            "/login",
            "/register",
            "/pending",
            "/signed-out",
            "/account",
            "/admin",
            "/docs",
            "/openapi.json",
            "/.well-known/jwks.json",
            "/forward-auth",
            "/health/ready",
            "/api/auth/validate",
            "/nowhere",
        ] {
            for answer in [lied_to.get(path).await, lied_to.page(path).await] {
                assert!(answer.status < 500 && !answer.body.contains(MADE_UP), "{path}: {}", answer.body);
                assert!(answer.headers.values().all(|value| !value.as_bytes().ends_with(b"evil.example")), "{path}");
                assert!(answer.header("location").is_none_or(|location| !location.contains("evil")), "{path}");
            }
        }
        let asked = lied_to.form("/login", &[("email", "ada@example.com")]).await.expect(303);
        assert!(asked.location().starts_with("/login/code?"), "{}", asked.location());
        let mail = app.sign_in_mail_to("ada@example.com").await;
        assert!(!mail.text.contains(MADE_UP) && !mail.html.contains(MADE_UP), "{}", mail.text);
        // It begins with the public URL, or this fails.
        lied_to.page(mail.link_path()).await.expect_page(200);
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
