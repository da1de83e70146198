//! Signing in with a mailed link, by its page and by the API.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::json;

use crate::app::{CHROME, Challenge, FIREFOX, MINUTE, Options, TestApp, Tokens};
use crate::client::{Answer, Client};

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";

async fn answer(client: &Client, token: &str) -> Answer {
    client.post("/api/auth/magic-link/verify", json!({ "token": token })).await
}

/// Asks for a link on the page, as `browser`.
async fn ask(app: &TestApp, browser: &Client, email: &str) -> Challenge {
    let sent = browser.form("/login", &[("email", email)]).await.expect(303);
    let id = sent.location().strip_prefix("/login/code?challenge=").expect("the code page comes next").to_owned();
    Challenge { id, mail: app.sign_in_mail_to(email).await }
}

/// The value of a hidden field of a page.
fn hidden(page: &Answer, name: &str) -> String {
    let start = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = page.body.split_once(&start).unwrap_or_else(|| panic!("no field {name} in {}", page.body));
    rest.split_once('"').expect("a value ends").0.to_owned()
}

/// Opens the link and presses its button.
async fn press(browser: &Client, challenge: &Challenge) -> Answer {
    let page = browser.page(challenge.mail.link_path()).await.expect_page(200);
    assert!(page.body.contains("action=\"/login/link\""), "{}", page.body);
    browser.form("/login/link", &[("token", &hidden(&page, "token"))]).await
}

fn warns(page: &Answer) -> bool {
    page.body.contains("Another browser asked for this link")
}

/// The token with its bytes changed.
fn changed(token: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).expect("a token is base64");
    change(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

on_both_setups! {
    async fn a_link_signs_in_once(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        let signed_in = answer(&app.program(), challenge.mail.token()).await.expect(200);
        assert!(signed_in.set_cookie("gatepost_session").is_some());
        assert_eq!(signed_in.json()["status"], "signed_in");
        answer(&app.program(), challenge.mail.token()).await.expect_problem(401, "invalid_link");
    }

    async fn a_program_gets_tokens(app: TestApp) {
        let asked = app.program().post("/api/auth/magic-link/request", json!({ "email": ADA })).await.expect(202);
        let names: Vec<_> = asked.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["challenge_id", "expires_in", "resend_in"]);
        let mail = app.sign_in_mail_to(ADA).await;
        let body = json!({ "token": mail.token(), "mode": "token" });
        let signed_in = app.program().post("/api/auth/magic-link/verify", body).await.expect(200);
        assert!(signed_in.set_cookie("gatepost_session").is_none());
        assert!(app.program().bearer(&Tokens::of(&signed_in.json()).access).is_signed_in().await);
    }

    async fn following_the_link_changes_nothing(app: TestApp) {
        let asking = app.browser();
        let challenge = ask(&app, &asking, ADA).await;
        let path = challenge.mail.link_path();
        for scanner in [app.program(), app.browser_as(CHROME), asking.clone()] {
            for _ in 0..5 {
                let page = scanner.page(path).await.expect_page(200);
                assert!(page.set_cookie("gatepost_session").is_none());
                scanner.get(path).await.expect(200);
                let head = scanner.head(path).await.expect(200);
                assert!(head.body.is_empty());
            }
            assert!(!scanner.is_signed_in().await);
        }
        assert!(!app.has_account(ADA).await);
        press(&asking, &challenge).await.expect_redirect("/account");
        assert!(asking.is_signed_in().await);
    }

    async fn the_button_signs_in_the_browser_that_asked_without_a_warning(app: TestApp) {
        let asking = app.browser();
        let challenge = ask(&app, &asking, ADA).await;
        let page = asking.page(challenge.mail.link_path()).await.expect_page(200);
        assert!(!warns(&page) && page.body.contains("Finish signing in"), "{}", page.body);
        press(&asking, &challenge).await.expect_redirect("/account");
        assert!(asking.is_signed_in().await);
        // It worked once, here too.
        asking.page(challenge.mail.link_path()).await.expect_page(401);
        asking.form("/login/link", &[("token", challenge.mail.token())]).await.expect_page(401);
    }

    async fn another_browser_is_told_first_and_signs_in_alone(app: TestApp) {
        let asking = app.browser_as(FIREFOX);
        let other = app.browser_as(CHROME);
        let challenge = ask(&app, &asking, ADA).await;
        let page = other.page(challenge.mail.link_path()).await.expect_page(200);
        assert!(warns(&page));
        for told in [ADA, "Firefox on Linux", "127.0.0.1"] {
            assert!(page.body.contains(told), "no {told} in {}", page.body);
        }
        press(&other, &challenge).await.expect_redirect("/account");
        assert!(other.is_signed_in().await);
        assert!(!asking.is_signed_in().await);
    }

    async fn a_browser_that_asked_for_something_else_is_told_too(app: TestApp) {
        let (asking, other) = (app.browser(), app.browser());
        let challenge = ask(&app, &asking, ADA).await;
        ask(&app, &other, EVE).await;
        assert!(warns(&other.page(challenge.mail.link_path()).await));
        other.set_cookie("gatepost_flow", "gpf_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert!(warns(&other.page(challenge.mail.link_path()).await));
        assert!(!warns(&asking.page(challenge.mail.link_path()).await));
    }

    async fn the_button_leads_where_the_person_wanted_to_go(app: TestApp) {
        let browser = app.browser();
        let body = json!({ "email": ADA, "next": "/account?tab=devices" });
        browser.post("/api/auth/magic-link/request", body).await.expect(202);
        let mail = app.sign_in_mail_to(ADA).await;
        let pressed = browser.form("/login/link", &[("token", mail.token())]).await;
        pressed.expect_redirect("/account?tab=devices");
    }

    async fn the_button_works_on_this_sites_page_only(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        let fields = [("token", challenge.mail.token())];
        let foreign = app.browser().with_origin("https://evil.example").form("/login/link", &fields).await.expect(403);
        assert!(foreign.set_cookie("gatepost_session").is_none());
        app.program().form("/login/link", &fields).await.expect(403);
        answer(&app.program(), challenge.mail.token()).await.expect(200);
    }

    async fn code_and_link_of_one_mail_work_once_together(app: TestApp) {
        let by_code = app.challenge(ADA).await;
        app.verify(&by_code.id, by_code.code()).await.expect(200);
        answer(&app.program(), by_code.mail.token()).await.expect_problem(401, "invalid_link");
        app.browser().page(by_code.mail.link_path()).await.expect_page(401);
        let by_link = app.challenge(ADA).await;
        answer(&app.program(), by_link.mail.token()).await.expect(200);
        app.verify(&by_link.id, by_link.code()).await.expect_problem(401, "invalid_code");
    }

    async fn code_and_link_at_the_same_time_sign_in_once(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        let program = app.program();
        let links = join_all((0..4).map(|_| answer(&program, challenge.mail.token())));
        let codes = join_all((0..4).map(|_| app.verify(&challenge.id, challenge.code())));
        let (links, codes) = tokio::join!(links, codes);
        let statuses: Vec<_> = links.iter().chain(&codes).map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 7, "{statuses:?}");
    }

    async fn a_token_that_was_tampered_with_is_refused(app: TestApp) {
        let (of_ada, of_eve) = (app.challenge(ADA).await, app.challenge(EVE).await);
        let (token, other) = (of_ada.mail.token(), of_eve.mail.token());
        let other_bytes = URL_SAFE_NO_PAD.decode(other).unwrap();
        let mut bad = vec![
            "A".repeat(64),
            token[..63].to_owned(),
            token[..32].to_owned(),
            format!("{token}A"),
            format!("{token}="),
            of_ada.id.clone(),
            changed(token, |bytes| bytes[16..].fill(0)),
            changed(token, |bytes| bytes[..16].copy_from_slice(&other_bytes[..16])),
            changed(token, |bytes| bytes[16..].copy_from_slice(&other_bytes[16..])),
        ];
        bad.extend([0, 15, 16, 31, 47].map(|place| changed(token, |bytes| bytes[place] ^= 1)));
        for token in &bad {
            answer(&app.program(), token).await.expect_problem(401, "invalid_link");
            app.browser().page(&format!("/login/link?token={token}")).await.expect_page(401);
            let pressed = app.browser().form("/login/link", &[("token", token)]).await.expect_page(401);
            assert!(pressed.set_cookie("gatepost_session").is_none());
        }
        answer(&app.program(), " ").await.expect_wrong_fields(&["token"]);
        app.browser().page("/login/link").await.expect_page(401);
        // Both still work, also when copied with the line's end.
        answer(&app.program(), &format!("{token}\n")).await.expect(200);
        answer(&app.program(), other).await.expect(200);
    }

    async fn a_link_works_for_ten_minutes(app: TestApp) {
        let (in_time, late) = (app.challenge(ADA).await, app.challenge(ADA).await);
        app.advance(9 * MINUTE);
        answer(&app.program(), in_time.mail.token()).await.expect(200);
        app.advance(MINUTE);
        answer(&app.program(), late.mail.token()).await.expect_problem(401, "invalid_link");
        app.browser().page(late.mail.link_path()).await.expect_page(401);
    }

    async fn without_the_method_there_is_no_link(app: TestApp = Options::methods("otp")) {
        let asked = app.program().post("/api/auth/magic-link/request", json!({ "email": ADA })).await;
        asked.expect_problem(404, "method_disabled");
        let token = "A".repeat(64);
        answer(&app.program(), &token).await.expect_problem(404, "method_disabled");
        app.browser().page(&format!("/login/link?token={token}")).await.expect_page(404);
    }
}
