//! Writes that another site's page causes.

use reqwest::Method;
use serde_json::json;

use crate::app::{PUBLIC_URL, verify};
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
