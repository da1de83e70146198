//! Asks from reverse proxies: nginx, Traefik and Caddy.

use url::Url;

use crate::app::Options;
use crate::client::{Answer, Client};

const ADA: &str = "ada@example.com";
const BROWSERS_ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn with_an_application() -> Options {
    Options::default().set("GATEPOST_SERVER_REDIRECT_ORIGINS", "https://app.example.com,http://localhost:3000")
}

/// Asks as Traefik and Caddy do for a browser's request.
async fn ask(client: &Client, method: &str, url: (&str, &str, &str), accept: &str) -> Answer {
    let (proto, host, uri) = url;
    let client = client
        .with("x-forwarded-method", method)
        .with("x-forwarded-proto", proto)
        .with("x-forwarded-host", host)
        .with("x-forwarded-uri", uri)
        .with("accept", accept);
    client.get("/forward-auth").await
}

/// The `next` of a redirect to the sign-in page.
fn next(answer: Answer) -> Option<String> {
    let answer = answer.expect(302);
    let url = Url::parse(answer.location()).expect("an absolute URL");
    assert_eq!(url.origin().ascii_serialization(), crate::app::PUBLIC_URL);
    assert_eq!(url.path(), "/login");
    url.query_pairs().find(|(name, _)| name == "next").map(|(_, value)| value.into_owned())
}

on_both_setups! {
    async fn who_is_signed_in_passes_and_is_named(app: TestApp = with_an_application()) {
        let browser = app.sign_in(ADA).await;
        let profile = serde_json::json!({ "name": "Zoë Bäcker", "username": "ada" });
        browser.put("/api/profile", profile).await.expect(200);
        let plain = browser.get("/forward-auth").await.expect(200);
        let asked = ask(&browser, "POST", ("https", "app.example.com", "/x"), BROWSERS_ACCEPT).await.expect(200);
        let program = app.program().bearer(&app.tokens(ADA).await.access).get("/forward-auth").await.expect(200);
        for answer in [plain, asked, program] {
            assert_eq!(answer.body, "");
            assert_eq!(answer.header("remote-user"), Some("ada"));
            assert_eq!(answer.header("remote-email"), Some(ADA));
            assert_eq!(answer.header("remote-name"), Some("Zoë Bäcker"));
            assert_eq!(answer.header("remote-groups"), Some("user"));
            assert_eq!(answer.header("x-gatepost-user-id"), Some(app.user_id(ADA).await.as_str()));
        }
        browser.head("/forward-auth").await.expect(200);
    }

    async fn nginx_gets_a_401(app: TestApp = with_an_application()) {
        for client in [app.program(), app.program().with("accept", BROWSERS_ACCEPT), app.program().bearer("nonsense")] {
            let answer = client.get("/forward-auth").await;
            answer.expect_problem(401, "unauthorized");
            assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("remote-")));
        }
    }

    async fn a_person_is_sent_to_sign_in_and_back_to_a_listed_application(app: TestApp = with_an_application()) {
        let program = app.program();
        for (url, expected) in [
            (("https", "app.example.com", "/a/b?c=d&e=%20f"), "https://app.example.com/a/b?c=d&e=%20f"),
            (("http", "localhost:3000", "/"), "http://localhost:3000/"),
            (("https", "app.example.com:443", "/x"), "https://app.example.com/x"),
        ] {
            for method in ["GET", "HEAD"] {
                let answer = ask(&program, method, url, BROWSERS_ACCEPT).await;
                assert_eq!(next(answer).as_deref(), Some(expected));
            }
        }
    }

    async fn a_person_is_never_sent_on_to_another_site(app: TestApp = with_an_application()) {
        for url in [
            ("https", "evil.example", "/"),
            ("http", "app.example.com", "/"),
            ("https", "app.example.com:444", "/"),
            ("https", "app.example.com.evil.example", "/"),
            ("https", "app.example.com@evil.example", "/"),
            ("https", "app.example.com", "@evil.example/"),
            ("https", "app.example.com", ".evil.example/"),
            ("https", "app.example.com", ":80@evil.example/"),
            ("javascript", "app.example.com", "/"),
            ("https", "evil.example\\.app.example.com", "/"),
            ("https", "evil.example/?app.example.com", "/"),
            ("https", "evil.example#app.example.com", "/"),
            ("", "", ""),
        ] {
            let found = next(ask(&app.program(), "GET", url, BROWSERS_ACCEPT).await);
            assert_eq!(found, None, "{url:?}");
        }
    }

    async fn what_is_not_a_look_at_a_page_gets_a_401(app: TestApp = with_an_application()) {
        let url = ("https", "app.example.com", "/");
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", ""] {
            ask(&app.program(), method, url, BROWSERS_ACCEPT).await.expect_problem(401, "unauthorized");
        }
        ask(&app.program(), "GET", url, "application/json").await.expect_problem(401, "unauthorized");
        let unfinished = app.program().with("x-forwarded-method", "GET").with("accept", BROWSERS_ACCEPT);
        unfinished.get("/forward-auth").await.expect_problem(401, "unauthorized");
        unfinished.with("x-forwarded-proto", "https").get("/forward-auth").await.expect_problem(401, "unauthorized");
    }

    async fn signing_in_leads_back_to_the_application(app: TestApp = with_an_application()) {
        let browser = app.browser();
        let wanted = "https://app.example.com/reports?year=2031";
        let sent = ask(&browser, "GET", ("https", "app.example.com", "/reports?year=2031"), BROWSERS_ACCEPT).await;
        let login = Url::parse(sent.location()).unwrap();
        let page = browser.page(&format!("/login?{}", login.query().unwrap())).await.expect_page(200);
        assert!(
            page.header("content-security-policy").unwrap().contains("https://app.example.com"),
            "the form may lead there"
        );
        let asked = browser.form("/login", &[("email", ADA), ("next", wanted)]).await.expect(303);
        let query = Url::parse(&format!("http://x{}", asked.location())).unwrap();
        let challenge = query.query_pairs().find(|(name, _)| name == "challenge").unwrap().1.into_owned();
        let code = app.sign_in_mail_to(ADA).await.code().to_owned();
        let fields = [("challenge_id", challenge.as_str()), ("code", &code), ("next", wanted)];
        browser.form("/login/code", &fields).await.expect_redirect(wanted);
        // Who is signed in already is sent straight on.
        browser.page(&format!("/login?{}", login.query().unwrap())).await.expect_redirect(wanted);
    }
}
