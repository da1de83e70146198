//! What a request claims of where it comes from and of whom it is for.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{Options, PUBLIC_URL};
use crate::client::Client;

const ADA: &str = "ada@example.com";
/// Headers in which proxies of all kinds name the client.
const CLAIMS: [&str; 8] = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
];

/// What operators look at: counts of mails that were sent, and that were not, tell who has an account.
const FOR_OPERATORS: [&str; 3] = ["/metrics", "/health/cache", "/api/health/redis"];

/// `client`, which claims in every known way to be the client `number`.
fn claiming(client: &Client, number: usize) -> Client {
    let address = format!("198.51.{}.{}", number / 250, number % 250);
    CLAIMS.into_iter().fold(client.clone(), |client, name| {
        let value = if name == "forwarded" { format!("for={address}") } else { address.clone() };
        client.with(name, &value)
    })
}

on_both_setups! {
    async fn a_stranger_gets_no_new_limit_by_claiming_another_address(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_VERIFY_ADDRESS", "5/300s")
    ) {
        let body = json!({ "challenge_id": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "123456" });
        for number in 0..20 {
            let client = claiming(&app.program(), number);
            let answer = client.post("/api/auth/otp/verify", body.clone()).await;
            let expected = if number < 5 { (401, "invalid_code") } else { (429, "rate_limited") };
            answer.expect_problem(expected.0, expected.1);
        }
    }

    async fn a_stranger_is_remembered_by_the_address_it_has(app: TestApp) {
        let browser = claiming(&app.browser(), 7);
        let ada = app.sign_in_with(browser, ADA).await;
        let sessions = ada.get("/api/sessions").await.expect(200).body;
        assert!(sessions.contains("127.0.0.1") && !sessions.contains("198.51"), "{sessions}");
        let mail = app.mails_to(ADA).await.remove(0);
        assert!(mail.text.contains("127.0.0.1") && !mail.text.contains("198.51"), "{}", mail.text);
    }

    async fn what_is_counted_is_told_to_operators_alone(app: TestApp) {
        for path in FOR_OPERATORS {
            app.program().get(path).await.expect(200);
            // Passed on by a proxy that nobody has heard of: for whom, its own address does not tell.
            for (name, value) in
                [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("via", "1.1 p")]
            {
                app.program().with(name, value).get(path).await.expect_problem(403, "forbidden");
            }
        }
        for path in ["/health", "/health/live", "/health/ready"] {
            claiming(&app.program(), 1).get(path).await.expect(200);
        }
    }

    async fn what_is_counted_is_told_to_nobody_through_a_proxy(app: TestApp = Options::default().behind_a_proxy()) {
        for path in FOR_OPERATORS {
            app.program().get(path).await.expect(200);
            let claims = ["203.0.113.9", "127.0.0.1, 203.0.113.9", "203.0.113.9, 127.0.0.1", "127.0.0.1", "unknown", "", ","];
            for claim in claims.into_iter().chain(["::1", "203.0.113.9, ::1", "127.0.0.2", "::ffff:127.0.0.2"]) {
                app.program().with("x-forwarded-for", claim).get(path).await.expect_problem(403, "forbidden");
            }
        }
    }

    async fn operators_are_whom_the_settings_name(
        app: TestApp = Options::default().behind_a_proxy().set("GATEPOST_SERVER_OPERATOR_NETWORKS", "203.0.113.0/24")
    ) {
        for path in FOR_OPERATORS {
            app.program().with("x-forwarded-for", "203.0.113.9").get(path).await.expect(200);
            app.program().with("x-forwarded-for", "203.0.113.9, 198.51.100.7").get(path).await.expect_problem(403, "forbidden");
            app.program().with("x-forwarded-for", "198.51.100.7").get(path).await.expect_problem(403, "forbidden");
        }
    }

    async fn behind_a_proxy_only_its_own_word_counts(
        app: TestApp = Options::default().behind_a_proxy().set("GATEPOST_LIMITS_VERIFY_ADDRESS", "5/300s")
    ) {
        let body = json!({ "challenge_id": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "123456" });
        for number in 0..20 {
            // The client wrote the first address, the proxy the second.
            let client = app.program().with("x-forwarded-for", &format!("198.51.100.{number}, 203.0.113.9"));
            let status = client.post("/api/auth/otp/verify", body.clone()).await.status;
            assert_eq!(status, if number < 5 { 401 } else { 429 }, "{number}");
        }
        let another = app.program().with("x-forwarded-for", "203.0.113.10");
        another.post("/api/auth/otp/verify", body).await.expect(401);
    }

    async fn links_and_redirects_lead_to_the_public_url_whatever_the_host(app: TestApp = Options::without_limits()) {
        for host in ["evil.example", "evil.example:80", "gatepost.localhost.evil.example", "evil.example@gatepost.localhost"] {
            let forged = ["host", "x-forwarded-host", "x-host", "x-original-host", "x-forwarded-server"]
                .into_iter()
                .fold(app.browser(), |client, name| client.with(name, host));
            let answer = forged.post("/api/auth/otp/request", json!({ "email": ADA })).await;
            assert!(matches!(answer.status, 202 | 400), "{host}: {}", answer.body);
            assert!(!answer.body.contains("evil") && answer.headers.values().all(|v| !v.to_str().unwrap_or("").contains("evil")));
            if answer.status == 202 {
                let mail = app.sign_in_mail_to(ADA).await;
                assert!(mail.link.as_ref().is_some_and(|link| link.starts_with(PUBLIC_URL)), "{}", mail.text);
                assert!(!mail.text.contains("evil") && !mail.html.contains("evil"), "{}", mail.text);
            }
            for path in ["/login", "/account", "/", "/admin", "/openapi.json"] {
                let page = forged.page(path).await;
                let location = page.header("location").unwrap_or_default();
                assert!(page.status < 500 && !page.body.contains("evil") && !location.contains("evil"), "{path} for {host}");
            }
            let asked = app.program().with("x-forwarded-method", "GET").with("x-forwarded-proto", "https");
            let sent = asked.with("x-forwarded-host", host).with("x-forwarded-uri", "/x").get("/forward-auth").await;
            assert_eq!(sent.status, 302);
            assert_eq!(sent.location(), format!("{PUBLIC_URL}/login"), "an origin that is not listed is not gone back to");
        }
    }

    async fn an_absolute_target_changes_nothing(app: TestApp = Options::without_limits()) {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        let request = "GET http://evil.example/account HTTP/1.1\r\nHost: gatepost.localhost\r\naccept: text/html\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.contains("evil") && !answer.starts_with("HTTP/1.1 5"), "{answer}");
    }

    async fn no_answer_lets_scripts_of_other_sites_read_it(app: TestApp = Options::without_limits()) {
        let ada = app.sign_in(ADA).await;
        for path in ["/api/auth/validate", "/api/auth/me", "/api/users/list", "/forward-auth", "/login", "/openapi.json"] {
            for origin in ["https://evil.example", "null", "http://gatepost.localhost.evil.example"] {
                let answer = ada.with("origin", origin).get(path).await;
                for name in ["access-control-allow-origin", "access-control-allow-credentials"] {
                    assert!(answer.header(name).is_none(), "{path} for {origin}");
                }
                assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
                let policy = answer.header("content-security-policy");
                assert!(policy.is_some_and(|policy| policy.contains("frame-ancestors 'none'")), "{path}");
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
            }
        }
    }
}
