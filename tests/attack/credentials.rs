//! Credentials that were cut, changed, mixed or put in another's place: none is taken, by no instance, and the real ones
//! are none the worse for it.

use serde_json::json;

use crate::app::{Options, Setup, TestApp, Tokens, verify};
use crate::client::Client;

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";

/// `secret` with one bit flipped in each byte (of a long one in some hundred of them), cut short, repeated, in other letters, and in other wrapping. Texts that
/// no header could carry are left out.
pub(crate) fn mutants(secret: &str) -> Vec<String> {
    let mut mutants = Vec::new();
    for (at, byte) in secret.bytes().enumerate().step_by(secret.len().div_ceil(100)) {
        let mut bytes = secret.as_bytes().to_vec();
        bytes[at] = byte ^ (1 << (at % 5));
        mutants.push(String::from_utf8(bytes).expect("bits below the eighth keep ASCII ASCII"));
    }
    mutants.extend((1..secret.len()).step_by(7).map(|length| secret[..length].to_owned()));
    mutants.extend([
        format!("{secret}A"),
        format!("{secret}="),
        format!("{secret}{secret}"),
        format!("\"{secret}\""),
        secret.to_uppercase(),
        secret.to_lowercase(),
        secret.chars().rev().collect(),
        secret.replacen('_', "-", 1),
        format!("gps_{secret}"),
    ]);
    let is_another =
        |mutant: &String| mutant != secret && mutant.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b';');
    mutants.retain(is_another);
    mutants
}

/// The halves of two secrets of one form, put together.
fn crossed(one: &str, other: &str) -> Vec<String> {
    let halves = |text: &str| (text[..text.len() / 2].to_owned(), text[text.len() / 2..].to_owned());
    let ((a, b), (c, d)) = (halves(one), halves(other));
    vec![format!("{a}{d}"), format!("{c}{b}")]
}

/// Three instances of one server.
pub(crate) async fn three(app: TestApp) -> [TestApp; 3] {
    let (second, third) = (app.beside().await, app.beside().await);
    [app, second, third]
}

fn cookie(client: &Client, value: &str) -> Client {
    client.with("cookie", &format!("gatepost_session={value}"))
}

on_servers! {
    async fn a_changed_session_token_is_nobodys(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let (ada, eve) = (apps[0].sign_in(ADA).await.session_token(), apps[1].sign_in(EVE).await.session_token());
        let tokens = apps[2].tokens(ADA).await;
        let mut forged = mutants(&ada);
        forged.extend(crossed(&ada, &eve));
        forged.push(tokens.refresh);
        for (number, forged) in forged.iter().enumerate() {
            let client = apps[number % 3].program();
            cookie(&client, forged).validate().await.expect_problem(401, "unauthorized");
            client.bearer(forged).validate().await.expect_problem(401, "unauthorized");
            client.bearer(forged).get("/forward-auth").await.expect_problem(401, "unauthorized");
        }
        // An access token is none in a cookie, and a session token is no refresh token.
        cookie(&apps[0].program(), &tokens.access).validate().await.expect_problem(401, "unauthorized");
        let refresh = apps[0].program().post("/api/auth/refresh", json!({ "refresh_token": ada })).await;
        refresh.expect_problem(401, "invalid_refresh_token");
        for app in &apps {
            assert!(cookie(&app.program(), &ada).is_signed_in().await);
        }
    }

    async fn the_first_of_two_session_cookies_decides_and_a_bearer_token_more_than_either(app: TestApp = Options::without_limits()) {
        // Whoever can plant a cookie must not find a server that takes one where its applications see the other.
        let apps = three(app).await;
        let (ada, eve) = (apps[0].sign_in(ADA).await.session_token(), apps[0].sign_in(EVE).await.session_token());
        for app in &apps {
            let both = app.program().with("cookie", &format!("gatepost_session={ada}; gatepost_session={eve}"));
            for path in ["/api/auth/validate", "/api/auth/me"] {
                let body = both.get(path).await.expect(200).body;
                assert!(body.contains(ADA) && !body.contains(EVE), "{body}");
            }
            let body = both.bearer(&eve).validate().await.expect(200).body;
            assert!(body.contains(EVE) && !body.contains(ADA), "{body}");
            both.bearer("gps_nonsense").validate().await.expect_problem(401, "unauthorized");
        }
    }

    async fn a_changed_refresh_token_buys_nothing_and_ends_nothing(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let (ada, eve) = (apps[0].tokens(ADA).await, apps[1].tokens(EVE).await);
        let mut forged = mutants(&ada.refresh);
        forged.extend(crossed(&ada.refresh, &eve.refresh));
        forged.extend([ada.access.clone(), ada.refresh.replace("gpr_", "gps_")]);
        for (number, forged) in forged.iter().enumerate() {
            let answer = apps[number % 3].program().post("/api/auth/refresh", json!({ "refresh_token": forged })).await;
            answer.expect_problem(401, "invalid_refresh_token");
            apps[number % 3].program().bearer(&ada.refresh).validate().await.expect_problem(401, "unauthorized");
        }
        for (app, tokens) in apps.iter().zip([&ada, &eve]) {
            let body = json!({ "refresh_token": tokens.refresh });
            let next = Tokens::of(&app.program().post("/api/auth/refresh", body).await.expect(200).json());
            assert!(app.program().bearer(&next.access).is_signed_in().await);
        }
    }

    async fn a_changed_link_opens_nothing_and_leaves_the_real_one_good(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let (ada, eve) = (apps[0].challenge(ADA).await, apps[1].challenge(EVE).await);
        let (good, other) = (ada.mail.token(), eve.mail.token());
        let mut forged = mutants(good);
        forged.extend(crossed(good, other));
        // The id of one challenge with the MAC of another.
        forged.extend([format!("{}{}", &good[..21], &other[21..]), format!("{}{}", &good[..22], &other[22..])]);
        for (number, forged) in forged.iter().enumerate() {
            let app = &apps[number % 3];
            let answer = app.program().post("/api/auth/magic-link/verify", json!({ "token": forged })).await;
            assert!(matches!(answer.status, 400 | 401), "{forged}: {}", answer.body);
            answer.problem();
            let page = app.browser().page(&format!("/login/link?token={}", forged.replace('%', "%25"))).await;
            assert!(!page.body.contains(ADA) && !page.body.contains(EVE) && page.status < 500, "{forged}");
        }
        let answer = apps[2].program().post("/api/auth/magic-link/verify", json!({ "token": good })).await;
        assert_eq!(answer.expect(200).json()["user"]["email"], ADA);
        for app in &apps {
            let again = app.program().post("/api/auth/magic-link/verify", json!({ "token": good })).await;
            again.expect_problem(401, "invalid_link");
            app.verify(&ada.id, ada.code()).await.expect_problem(401, "invalid_code");
        }
    }

    async fn a_changed_flow_cookie_is_that_of_a_stranger(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let browser = apps[0].browser();
        let challenge = apps[0].challenge_with(&browser, ADA).await;
        let flow = browser.cookie("gatepost_flow").expect("a flow token");
        let page = format!("/login/code?challenge={}", challenge.id);
        assert!(browser.page(&page).await.expect(200).body.contains(ADA), "the browser that asked sees for whom");
        let other = apps[0].browser();
        apps[0].request_code_with(&other, EVE).await;
        let mut forged = mutants(&flow);
        // A cookie's value may stand in quotes (RFC 6265, 4.1.1).
        forged.retain(|forged| !forged.starts_with('"'));
        forged.push(other.cookie("gatepost_flow").expect("a flow token"));
        for (number, forged) in forged.iter().enumerate() {
            let stranger = apps[number % 3].program().with("cookie", &format!("gatepost_flow={forged}"));
            let shown = stranger.page(&page).await;
            assert!(shown.status < 500 && !shown.body.contains(ADA), "{forged}");
        }
    }

    async fn what_was_used_or_revoked_stays_so_on_every_instance(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let browser = apps[0].sign_in(ADA).await;
        let (session, tokens) = (browser.session_token(), apps[0].tokens(ADA).await);
        browser.post("/api/auth/logout", json!({})).await.expect(204);
        apps[1].program().bearer(&tokens.access).post("/api/auth/logout", json!({})).await.expect(204);
        crate::support::eventually("no instance knows the sessions", crate::app::PROMISED, async || {
            for app in &apps {
                for token in [&session, &tokens.access] {
                    if app.program().bearer(token).validate().await.status != 401 {
                        return None;
                    }
                }
            }
            Some(())
        })
        .await;
        // A flushed Redis, too, brings nothing back.
        apps[0].redis().flush().await;
        for app in &apps {
            for token in [&session, &tokens.access] {
                app.program().bearer(token).validate().await.expect_problem(401, "unauthorized");
            }
            let body = json!({ "refresh_token": tokens.refresh });
            app.program().post("/api/auth/refresh", body).await.expect_problem(401, "invalid_refresh_token");
        }
    }

    async fn a_copied_refresh_token_ends_the_session_of_both(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let stolen = apps[0].tokens(ADA).await;
        let refresh = async |app: &TestApp, token: &str| {
            app.program().post("/api/auth/refresh", json!({ "refresh_token": token })).await
        };
        let owner = Tokens::of(&refresh(&apps[1], &stolen.refresh).await.expect(200).json());
        // The thief comes after the grace that clients have.
        for app in &apps {
            app.advance(std::time::Duration::from_secs(30));
        }
        refresh(&apps[2], &stolen.refresh).await.expect_problem(401, "invalid_refresh_token");
        refresh(&apps[0], &owner.refresh).await.expect_problem(401, "invalid_refresh_token");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_belongs_to_its_challenge_alone() {
    let app = TestApp::start(Setup::Embedded, Options::without_limits()).await;
    let (ada, eve) = (app.challenge(ADA).await, app.challenge(EVE).await);
    assert_ne!(ada.code(), eve.code(), "one in a million");
    verify(&app.program(), &ada.id, eve.code()).await.expect_problem(401, "invalid_code");
    verify(&app.program(), &eve.id, ada.code()).await.expect_problem(401, "invalid_code");
    let next = app.challenge(ADA).await;
    assert_ne!(ada.code(), next.code(), "one in a million");
    verify(&app.program(), &next.id, ada.code()).await.expect_problem(401, "invalid_code");
    verify(&app.program(), &next.id, next.code()).await.expect(200);
}
