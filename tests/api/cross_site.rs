//! Writes that another site's page causes.

use reqwest::Method;
use serde_json::json;

use crate::app::{Options, PUBLIC_URL, verify};
use crate::client::Client;

const ADA: &str = "ada@example.com";
/// What is not this site, however much it looks like it.
const FOREIGN: [&str; 9] = [
    "https://evil.example",
    "null",
    "",
    "http://gatepost.localhost.evil.example",
    "https://gatepost.localhost",
    "http://gatepost.localhost:8080",
    "http://app.gatepost.localhost",
    "http://gatepost.localhost/",
    "HTTP://GATEPOST.LOCALHOST",
];

/// Every write that a cookie could authenticate.
const WRITES: [(Method, &str); 10] = [
    (Method::POST, "/api/auth/logout"),
    (Method::POST, "/api/auth/change-password"),
    (Method::PUT, "/api/profile"),
    (Method::DELETE, "/api/sessions"),
    (Method::DELETE, "/api/sessions/01890a5d-ac96-774b-bcce-b302099a8057"),
    (Method::POST, "/api/admin/users"),
    (Method::POST, "/api/admin/users/01890a5d-ac96-774b-bcce-b302099a8057/ban"),
    (Method::POST, "/api/admin/mail/pause"),
    (Method::DELETE, "/api/admin/mail/suppressions/a@example.com"),
    (Method::POST, "/logout"),
];

async fn expect_refusals(client: &Client) {
    for (method, path) in WRITES {
        let request = client.request(method, path).json(&json!({ "name": "Mallory" }));
        client.send(request).await.expect_problem(403, "cross_site");
    }
}

on_both_setups! {
    async fn a_write_with_a_cookie_has_to_say_where_it_comes_from(app: TestApp) {
        let browser = app.admin().await;
        let silent = browser.without_origin();
        for (method, path) in WRITES {
            let answer = silent.send(silent.request(method, path).json(&json!({ "name": "Mallory" }))).await;
            if path.starts_with("/api/") {
                answer.expect_problem(403, "cross_site");
            }
        }
        silent.form("/logout", &[]).await.expect_page(403);
        silent.form("/account/profile", &[("name", "Mallory")]).await.expect_page(403);
        assert!(browser.is_signed_in().await);
        assert_ne!(browser.get("/api/auth/me").await.json()["name"], "Mallory");
    }

    async fn a_write_from_another_origin_is_refused(app: TestApp) {
        let browser = app.admin().await;
        for origin in FOREIGN {
            expect_refusals(&browser.with_origin(origin)).await;
        }
        assert!(browser.is_signed_in().await);
        assert_ne!(browser.get("/api/auth/me").await.json()["name"], "Mallory");
    }

    async fn what_the_browser_says_of_the_site_counts_more_than_the_origin(app: TestApp) {
        let browser = app.admin().await;
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            expect_refusals(&browser.without_origin().with("sec-fetch-site", site)).await;
            expect_refusals(&browser.with_origin(PUBLIC_URL).with("sec-fetch-site", site)).await;
        }
        for site in ["same-origin", "none"] {
            for client in [browser.without_origin(), browser.with_origin("null")] {
                let written = client.with("sec-fetch-site", site).put("/api/profile", json!({ "name": site })).await;
                assert_eq!(written.expect(200).json()["name"], site);
            }
        }
        browser.put("/api/profile", json!({ "name": "By origin" })).await.expect(200);
    }

    async fn reading_needs_no_origin(app: TestApp) {
        let browser = app.admin().await;
        for client in
            [browser.without_origin(), browser.with("sec-fetch-site", "cross-site"), browser.with("origin", "null")]
        {
            assert!(client.is_signed_in().await);
            client.page("/account").await.expect_page(200);
            assert!(client.get("/api/auth/validate").await.header("access-control-allow-origin").is_none());
        }
    }

    async fn a_bearer_token_needs_no_origin(app: TestApp) {
        let (tokens, browser) = (app.tokens(ADA).await, app.sign_in(ADA).await);
        for token in [tokens.access, browser.session_token()] {
            let program = app.program().bearer(&token);
            program.put("/api/profile", json!({ "name": "Ada" })).await.expect(200);
            // Nobody can send the token who does not know it: an application may do so from its own origin.
            let application = program.with_origin("https://app.example.com");
            application.put("/api/profile", json!({ "name": "Ada" })).await.expect(200);
        }
    }

    async fn forms_of_other_sites_are_refused(app: TestApp) {
        let browser = app.admin().await;
        let id = app.user_id(crate::app::ROOT).await;
        let decide = format!("/admin/users/{id}/demote");
        for path in [
            "/login",
            "/login/code",
            "/login/link",
            "/login/password",
            "/register",
            "/logout",
            "/account/profile",
            "/account/password",
            "/account/sessions/end-others",
            "/admin/invite",
            &decide,
        ] {
            for origin in ["https://evil.example", "null"] {
                let page = browser.with_origin(origin).form(path, &[("email", ADA)]).await.expect_page(403);
                assert!(page.body.contains("cross_site") && page.header("set-cookie").is_none(), "{path}");
            }
            browser.without_origin().form(path, &[("email", ADA)]).await.expect_page(403);
        }
        assert_eq!(app.mails_to(ADA).await.len(), 0);
        assert_eq!(browser.get("/api/auth/me").await.expect(200).json()["role"], "admin");
    }

    async fn nobody_is_signed_in_by_another_sites_page(app: TestApp) {
        // Who could sign a browser in to their own account would read what is written there.
        let challenge = app.challenge(ADA).await;
        for origin in FOREIGN {
            let victim = app.browser().with_origin(origin);
            victim.post("/api/auth/otp/request", json!({ "email": ADA })).await.expect_problem(403, "cross_site");
            victim
                .post("/api/auth/magic-link/request", json!({ "email": ADA }))
                .await
                .expect_problem(403, "cross_site");
            let body = json!({ "email": ADA, "name": "Ada" });
            victim.post("/api/auth/register", body).await.expect_problem(403, "cross_site");
            verify(&victim, &challenge.id, challenge.code()).await.expect_problem(403, "cross_site");
            let link = json!({ "token": challenge.mail.token() });
            victim.post("/api/auth/magic-link/verify", link).await.expect_problem(403, "cross_site");
            assert!(victim.cookie("gatepost_session").is_none());
        }
        assert_eq!(app.mails_to(ADA).await.len(), 1);
        verify(&app.browser(), &challenge.id, challenge.code()).await.expect(200);
    }
}

const HTTPS: &str = "https://gatepost.localhost";

fn on_https() -> Options {
    Options::default().set("GATEPOST_PUBLIC_URL", HTTPS)
}

on_both_setups! {
    async fn on_https_a_cookie_counts_only_by_the_name_that_no_neighbour_can_set(app: TestApp = on_https()) {
        let browser = app.browser().with_origin(HTTPS);
        let asked = browser.post("/api/auth/otp/request", json!({ "email": ADA })).await.expect(202);
        let flow = asked.set_cookie("__Host-gatepost_flow").expect("a flow cookie").to_owned();
        let code = app.sign_in_mail_to(ADA).await;
        let id = asked.json()["challenge_id"].as_str().unwrap().to_owned();
        let answer = verify(&browser, &id, code.code()).await.expect(200);
        let session = answer.set_cookie("__Host-gatepost_session").expect("a session cookie").to_owned();
        for cookie in [&flow, &session] {
            let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
            for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(attributes.contains(&attribute), "{cookie}");
            }
            assert!(!cookie.contains("Domain"), "{cookie}");
        }
        let token = session.split(['=', ';']).nth(1).unwrap();
        let with = |name: &str| browser.with("cookie", &format!("a=b; {name}={token}; c=d"));
        // Twice: the second time it is recognised.
        for _ in 0..2 {
            assert!(with("__Host-gatepost_session").is_signed_in().await);
            for other in ["gatepost_session", "__host-gatepost_session", "__Secure-gatepost_session", "x__Host-gatepost_session"] {
                assert!(!with(other).is_signed_in().await, "{other}");
            }
        }
        // The link knows the browser that asked for it by its flow cookie, and by no other.
        let flow = flow.split(';').next().unwrap();
        let known = browser.with("cookie", flow);
        let mail = app.challenge_with(&known, ADA).await.mail;
        let link = mail.link.as_deref().and_then(|link| link.strip_prefix(HTTPS)).expect("a link to this site");
        let planted = browser.with("cookie", flow.trim_start_matches("__Host-"));
        let warns = async |client: &Client| {
            client.page(link).await.expect_page(200).body.contains("Another browser asked for this link")
        };
        assert!(!warns(&known).await && warns(&planted).await);

        let left = with("__Host-gatepost_session").post("/api/auth/logout", json!({})).await.expect(204);
        let removed = left.set_cookie("__Host-gatepost_session").expect("the cookie is removed");
        assert!(removed.contains("Secure") && removed.contains("Max-Age=0"), "browsers pass over any other: {removed}");
        assert_eq!(left.header("clear-site-data"), Some(r#""cache", "storage""#));
        assert!(!with("__Host-gatepost_session").is_signed_in().await);
    }

    async fn a_sign_in_ends_the_session_whose_cookie_it_replaces(app: TestApp = Options::without_limits()) {
        let browser = app.sign_in(ADA).await;
        let former = app.program().bearer(&browser.session_token());
        assert!(former.is_signed_in().await);
        let browser = app.sign_in_with(browser, "bob@example.com").await;
        assert_eq!(browser.get("/api/auth/me").await.expect(200).json()["email"], "bob@example.com");
        assert!(!former.is_signed_in().await, "nobody could end it from that browser any more");
        // By the pages, too.
        let kept = app.program().bearer(&browser.session_token());
        let asked = browser.form("/login", &[("email", ADA)]).await.expect(303);
        let id = asked.location().split("challenge=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let code = app.sign_in_mail_to(ADA).await;
        browser.form("/login/code", &[("challenge_id", &id), ("code", code.code())]).await.expect_redirect("/account");
        assert!(!kept.is_signed_in().await && browser.is_signed_in().await);
    }

    async fn a_planted_session_does_not_become_anybodys(app: TestApp = Options::without_limits()) {
        let planted = app.sign_in("mallory@example.com").await.session_token();
        let victim = app.browser();
        victim.set_cookie("gatepost_session", &planted);
        let victim = app.sign_in_with(victim, ADA).await;
        assert_ne!(victim.session_token(), planted);
        assert!(!app.program().bearer(&planted).is_signed_in().await);
        // One that was never anybody's is not made somebody's either.
        let made_up = format!("gps_{}", "A".repeat(43));
        let victim = app.browser();
        victim.set_cookie("gatepost_session", &made_up);
        let victim = app.sign_in_with(victim, ADA).await;
        assert!(victim.is_signed_in().await && victim.session_token() != made_up);
        assert!(!app.program().bearer(&made_up).is_signed_in().await);
    }

    async fn a_sign_in_that_replaces_no_cookie_ends_no_session(app: TestApp = Options::without_limits()) {
        let browser = app.sign_in(ADA).await;
        let challenge = app.challenge(ADA).await;
        let body = json!({ "challenge_id": challenge.id, "code": challenge.code(), "mode": "token" });
        browser.post("/api/auth/otp/verify", body).await.expect(200);
        assert!(browser.is_signed_in().await, "tokens are held beside it");
        // Nor does one of which nobody knows where it comes from.
        let token = browser.session_token();
        let silent = app.program().with("cookie", &format!("gatepost_session={token}"));
        let challenge = app.challenge(ADA).await;
        verify(&silent, &challenge.id, challenge.code()).await.expect(200);
        assert!(browser.is_signed_in().await);
        // Nor one that fails.
        let challenge = app.challenge(ADA).await;
        verify(&browser, &challenge.id, &challenge.wrong_code(0)).await.expect_problem(401, "invalid_code");
        assert!(browser.is_signed_in().await);
    }

    async fn no_way_of_signing_in_can_be_used_from_another_site(
        app: TestApp = Options::methods("otp,magic_link,password").unlimited()
    ) {
        let challenge = app.challenge(ADA).await;
        let (id, code, token) = (challenge.id.as_str(), challenge.code(), challenge.mail.token());
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            let victim = app.browser().with("sec-fetch-site", site);
            let proofs = [
                ("/api/auth/otp/verify", json!({ "challenge_id": id, "code": code })),
                ("/api/auth/magic-link/verify", json!({ "token": token })),
                ("/api/auth/login", json!({ "email": ADA, "password": "correct horse battery" })),
            ];
            for (path, body) in proofs {
                let answer = victim.post(path, body).await;
                answer.expect_problem(403, "cross_site");
                assert!(answer.header("set-cookie").is_none(), "{path} {site}");
            }
            let forms: [(&str, &[(&str, &str)]); 4] = [
                ("/login", &[("email", ADA)]),
                ("/login/code", &[("challenge_id", id), ("code", code)]),
                ("/login/link", &[("token", token)]),
                ("/login/password", &[("email", ADA), ("password", "correct horse battery")]),
            ];
            for (path, fields) in forms {
                let page = victim.form(path, fields).await.expect_page(403);
                assert!(page.header("set-cookie").is_none(), "{path} {site}");
            }
        }
        verify(&app.browser(), id, code).await.expect(200);
    }
}
