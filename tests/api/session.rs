//! Sessions: what proves one, what it tells, and how it ends everywhere.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{CHROME, DAY, FIREFOX, HOUR, MINUTE, Options, PROMISED, SOON, verify};
use crate::client::{Answer, Client};
use crate::support::eventually;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// Waits until the server at the other end no longer takes the client for anybody, as long as is promised.
async fn expect_end(what: &str, client: &Client) {
    eventually(what, PROMISED, async || (!client.is_signed_in().await).then_some(())).await;
}

async fn devices(client: &Client) -> Vec<Value> {
    let listed = client.get("/api/sessions").await.expect(200).json();
    listed["sessions"].as_array().expect("a list").clone()
}

async fn session_id(client: &Client) -> String {
    client.validate().await.expect(200).json()["session"]["id"].as_str().expect("an id").to_owned()
}

on_both_setups! {
    async fn the_session_cookie_is_kept_from_scripts_and_from_other_sites(app: TestApp) {
        let browser = app.browser();
        let challenge = app.challenge_with(&browser, ADA).await;
        let answer = verify(&browser, &challenge.id, challenge.code()).await.expect(200);
        let cookie = answer.set_cookie("gatepost_session").expect("a session cookie");
        let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
            assert!(attributes.contains(&attribute), "{attribute} is missing in {cookie}");
        }
        assert!(!attributes.contains(&"Secure"), "the site is http: {cookie}");
        assert!(!attributes.iter().any(|attribute| attribute.starts_with("Domain")), "{cookie}");
        assert!(answer.json().get("access_token").is_none(), "a browser gets no tokens beside the cookie");
    }

    async fn the_session_token_works_as_a_cookie_and_as_a_bearer_token(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        let by_cookie = browser.validate().await.expect(200).json();
        let program = app.program().bearer(&browser.session_token());
        assert_eq!(program.validate().await.expect(200).json(), by_cookie);
        // The scheme has no case, and a bearer token that is wrong is not made good by a cookie.
        let lower = app.program().with("authorization", &format!("bearer {}", browser.session_token()));
        assert!(lower.is_signed_in().await);
        let other = format!("gps_{}", "A".repeat(43));
        let refused = browser.bearer(&other).validate().await;
        refused.expect_problem(401, "unauthorized");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }

    async fn validate_tells_applications_who_is_signed_in(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        let answer = browser.validate().await.expect(200);
        let who = answer.json();
        let user = who["user"].as_object().expect("a user");
        let mut fields: Vec<&str> = user.keys().map(String::as_str).collect();
        fields.sort_unstable();
        let expected = [
            "avatar_url",
            "created_at",
            "email",
            "id",
            "locale",
            "name",
            "phone",
            "role",
            "status",
            "updated_at",
            "username",
        ];
        assert_eq!(fields, expected);
        assert_eq!(user["id"], app.user_id(ADA).await);
        assert_eq!((&user["role"], &user["status"]), (&json!("user"), &json!("approved")));
        let expires: chrono::DateTime<chrono::Utc> = who["session"]["expires_at"].as_str().unwrap().parse().unwrap();
        assert!((expires - app.now() - chrono::TimeDelta::days(30)).abs() < chrono::TimeDelta::minutes(5));
        assert_eq!(answer.header("remote-user"), Some(ADA), "without a username, the address");

        let profile = json!({ "username": "ada", "name": "Ада Лавлейс 艾达" });
        browser.put("/api/profile", profile).await.expect(200);
        let answer = browser.validate().await.expect(200);
        let told = |name| answer.header(name).map(str::to_owned);
        assert_eq!(told("remote-user").as_deref(), Some("ada"));
        assert_eq!(told("remote-email").as_deref(), Some(ADA));
        assert_eq!(told("remote-name").as_deref(), Some("Ада Лавлейс 艾达"));
        assert_eq!(told("remote-groups").as_deref(), Some("user"));
        assert_eq!(told("x-gatepost-user-id"), Some(app.user_id(ADA).await));
        assert_eq!(browser.get("/api/auth/me").await.expect(200).json(), answer.json()["user"]);
    }

    async fn the_same_is_told_however_the_answer_is_found(app: TestApp) {
        let tokens = app.tokens(ADA).await;
        let clients = [app.sign_in(ADA).await, app.program().bearer(&tokens.access)];
        for (path, client) in ["/api/auth/validate", "/forward-auth"].iter().flat_map(|path| clients.iter().map(move |client| (path, client))) {
            let told = |answer: Answer| {
                let mut headers = answer.headers.clone();
                for varies in ["x-request-id", "date"] {
                    assert!(headers.remove(varies).is_some(), "{varies} is missing");
                }
                (answer.status, answer.body, headers)
            };
            // A query leads around nothing, another method around the short way.
            let first = told(client.get(path).await.expect(200));
            for _ in 0..3 {
                assert_eq!(told(client.get(path).await), first);
            }
            assert_eq!(told(client.get(&format!("{path}?x=1")).await), first);
            let (status, _, headers) = told(client.head(path).await);
            assert_eq!((status, &headers["content-security-policy"]), (200, &first.2["content-security-policy"]));
            let ids = [client.get(path).await, client.get(path).await].map(|answer| answer.header("x-request-id").map(str::to_owned));
            assert_ne!(ids[0], ids[1]);
        }
    }

    async fn a_token_counts_only_where_it_belongs(app: TestApp) {
        let (access, session) = (app.tokens(ADA).await.access, app.sign_in(ADA).await.session_token());
        assert!(app.program().bearer(&access).is_signed_in().await);
        let with_cookie = |cookies: &str| app.program().with("cookie", cookies);
        assert!(!with_cookie(&format!("gatepost_session={access}")).is_signed_in().await, "it is no cookie");
        for cookies in [
            format!("gatepost_session={session}"),
            format!("a=1;gatepost_session={session}; b=2"),
            format!("gatepost_sessions=gps_x; xgatepost_session=x; gatepost_session={session}"),
            format!("=; novalue; name=\u{e4}; gatepost_session={session}"),
        ] {
            for _ in 0..2 {
                assert!(with_cookie(&cookies).is_signed_in().await, "{cookies}");
            }
        }
        for cookies in [format!("gatepost_session={session}x"), format!("gatepost_session=x; gatepost_session={session}")] {
            assert!(!with_cookie(&cookies).is_signed_in().await, "{cookies}");
        }
    }

    async fn nobody_is_taken_for_somebody(app: TestApp) {
        app.program().validate().await.expect_problem(401, "unauthorized");
        for token in ["", " ", "gps_", "x", "gps_\u{e4}", &"a".repeat(5000)] {
            app.program().bearer(token).validate().await.expect_problem(401, "unauthorized");
        }
        let basic = app.program().with("authorization", "Basic YWRhOnB3");
        basic.validate().await.expect_problem(401, "unauthorized");
    }

    async fn every_sign_in_makes_a_new_session(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        let (token, id) = (browser.session_token(), session_id(&browser).await);
        let browser = app.sign_in_with(browser, ADA).await;
        assert_ne!(browser.session_token(), token, "a token from before a sign-in is not carried over");
        assert_ne!(session_id(&browser).await, id);
    }

    async fn logging_out_ends_the_session_and_clears_the_cookie(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        let token = browser.session_token();
        let answer = browser.post("/api/auth/logout", json!({})).await.expect(204);
        let cookie = answer.set_cookie("gatepost_session").expect("the cookie is taken away");
        assert!(cookie.starts_with("gatepost_session=;") && cookie.contains("Max-Age=0"), "{cookie}");
        assert!(browser.cookie("gatepost_session").is_none());
        browser.validate().await.expect_problem(401, "unauthorized");
        app.program().bearer(&token).validate().await.expect_problem(401, "unauthorized");
        app.program().bearer(&token).post("/api/auth/logout", json!({})).await.expect_problem(401, "unauthorized");
    }

    async fn the_list_of_devices_shows_where_somebody_is_signed_in(app: TestApp = Options::default().behind_a_proxy()) {
        let home = app.sign_in_with(app.browser_as(FIREFOX).with("x-forwarded-for", "203.0.113.7"), ADA).await;
        let work = app.sign_in_with(app.browser_as(CHROME).with("x-forwarded-for", "2001:db8::5"), ADA).await;
        app.sign_in(BOB).await;
        let listed = devices(&work).await;
        assert_eq!(listed.len(), 2, "{listed:?}");
        let of = |current: bool| listed.iter().find(|device| device["current"] == current).expect("one is current");
        assert_eq!(of(true)["id"], session_id(&work).await.as_str());
        assert_eq!(of(false)["id"], session_id(&home).await.as_str());
        let (device, address) = (|current| of(current)["device"].as_str().unwrap(), |current| &of(current)["address"]);
        assert!(device(true).contains("Chrome") && device(true).contains("Windows"), "{}", device(true));
        assert!(device(false).contains("Firefox") && device(false).contains("Linux"), "{}", device(false));
        assert_eq!((address(true), address(false)), (&json!("2001:db8::5"), &json!("203.0.113.7")));
        assert_eq!(of(true)["method"], "otp");
    }

    async fn a_device_can_be_signed_out_from_another(app: TestApp) {
        let (here, lost) = (app.sign_in(ADA).await, app.sign_in(ADA).await);
        let path = format!("/api/sessions/{}", session_id(&lost).await);
        here.delete(&path).await.expect(204);
        assert!(!lost.is_signed_in().await);
        assert!(here.is_signed_in().await);
        here.delete(&path).await.expect_problem(404, "not_found");
        assert_eq!(devices(&here).await.len(), 1);
    }

    async fn all_other_devices_can_be_signed_out_at_once(app: TestApp = Options::without_limits()) {
        let here = app.sign_in(ADA).await;
        let others = [app.sign_in(ADA).await, app.sign_in(ADA).await];
        let (bob, tokens) = (app.sign_in(BOB).await, app.tokens(ADA).await);
        assert_eq!(here.delete("/api/sessions").await.expect(200).json(), json!({ "ended": 3 }));
        for other in &others {
            assert!(!other.is_signed_in().await);
        }
        assert!(!app.program().bearer(&tokens.access).is_signed_in().await);
        assert!(here.is_signed_in().await && bob.is_signed_in().await);
        assert_eq!(here.delete("/api/sessions").await.expect(200).json(), json!({ "ended": 0 }));
    }

    async fn somebody_elses_session_cannot_be_ended_or_told_from_none(app: TestApp) {
        let (ada, bob) = (app.sign_in(ADA).await, app.sign_in(BOB).await);
        let bobs = session_id(&bob).await;
        for id in [bobs.as_str(), "01890a5d-ac96-774b-bcce-b302099a8057", "nonsense"] {
            ada.delete(&format!("/api/sessions/{id}")).await.expect_problem(404, "not_found");
        }
        assert!(bob.is_signed_in().await);
        assert!(devices(&ada).await.iter().all(|device| device["id"] != bobs.as_str()));
    }

    async fn a_session_that_is_not_used_ends_after_a_week(app: TestApp = Options::without_limits()) {
        let browser = app.sign_in(ADA).await;
        app.advance(6 * DAY + 23 * HOUR);
        assert!(browser.is_signed_in().await);
        let (resting, before) = (app.sign_in(BOB).await, app.now());
        // Using it counts from when it is written, which is done in batches.
        eventually("the use is noted", SOON, async || {
            let seen: chrono::DateTime<chrono::Utc> =
                devices(&browser).await[0]["last_seen_at"].as_str()?.parse().ok()?;
            (before - seen < chrono::TimeDelta::hours(1)).then_some(())
        })
        .await;
        app.advance(6 * DAY + 22 * HOUR);
        assert!(browser.is_signed_in().await, "it was used a week ago, less two hours");
        app.advance(2 * HOUR + MINUTE);
        assert!(!resting.is_signed_in().await, "it was never used");
        assert!(devices(&app.sign_in(BOB).await).await.len() == 1, "an idle session is no longer listed");
    }

    async fn no_use_keeps_a_session_beyond_its_absolute_lifetime(
        app: TestApp = Options::default()
            .set("GATEPOST_SESSION_ABSOLUTE_LIFETIME", "2h")
            .set("GATEPOST_SESSION_IDLE_LIFETIME", "2h")
    ) {
        let browser = app.sign_in(ADA).await;
        for _ in 0..7 {
            app.advance(17 * MINUTE);
            assert!(browser.is_signed_in().await);
        }
        app.advance(MINUTE + Duration::from_secs(1));
        assert!(!browser.is_signed_in().await, "it was used two minutes ago");
    }
}

on_servers! {
    async fn on_https_the_cookie_is_kept_to_https(
        app: TestApp = Options::default().set("GATEPOST_PUBLIC_URL", "https://login.example.com")
    ) {
        let browser = app.browser().with_origin("https://login.example.com");
        let challenge = app.challenge_with(&browser, ADA).await;
        let answer = verify(&browser, &challenge.id, challenge.code()).await.expect(200);
        let cookie = answer.set_cookie("__Host-gatepost_session").expect("a session cookie");
        assert!(cookie.split("; ").any(|attribute| attribute == "Secure"), "{cookie}");
        assert!(answer.header("strict-transport-security").is_some());
    }

    async fn an_ended_session_is_refused_by_every_instance(app: TestApp) {
        let other = app.beside().await;
        let browser = app.sign_in(ADA).await;
        let there = browser.at(&other);
        assert!(there.is_signed_in().await);
        browser.post("/api/auth/logout", json!({})).await.expect(204);
        let stolen = app.program().bearer(&app.sign_in(ADA).await.session_token());
        assert!(stolen.at(&other).is_signed_in().await);
        stolen.post("/api/auth/logout", json!({})).await.expect(204);
        assert!(!stolen.is_signed_in().await, "where it was ended, it ends at once");
        expect_end("the other instance refuses it", &stolen.at(&other)).await;
        assert!(!there.is_signed_in().await);
    }

    async fn an_ended_session_is_refused_by_every_instance_without_redis(app: TestApp) {
        let other = app.beside().await;
        let browser = app.sign_in(ADA).await;
        let token = app.program().bearer(&browser.session_token());
        assert!(token.is_signed_in().await && token.at(&other).is_signed_in().await);
        app.kill_redis().await;
        browser.post("/api/auth/logout", json!({})).await.expect(204);
        expect_end("the instance that ended it refuses it", &token).await;
        expect_end("the other instance refuses it", &token.at(&other)).await;
    }

    async fn a_ban_ends_the_sessions_on_every_instance(app: TestApp) {
        let other = app.beside().await;
        let (browser, tokens) = (app.sign_in(ADA).await, app.tokens(ADA).await);
        let program = app.program().bearer(&tokens.access);
        for client in [&browser, &program] {
            assert!(client.at(&other).is_signed_in().await);
        }
        app.decide(ADA, "ban").await.expect(200);
        for client in [&browser, &program] {
            assert!(!client.is_signed_in().await);
            expect_end("the other instance refuses the banned person", &client.at(&other)).await;
        }
        app.decide(ADA, "unban").await.expect(200);
        assert!(!browser.is_signed_in().await, "what was ended stays ended");
    }

    async fn a_changed_role_is_seen_by_every_instance(app: TestApp) {
        let other = app.beside().await;
        let browser = app.sign_in(ADA).await;
        let there = browser.at(&other);
        there.get("/api/admin/users").await.expect_problem(403, "forbidden");
        app.decide(ADA, "promote").await.expect(200);
        eventually("the other instance knows the admin", PROMISED, async || {
            (there.get("/api/admin/users").await.status == 200).then_some(())
        })
        .await;
        assert_eq!(there.validate().await.header("remote-groups"), Some("admin"));
        app.decide(ADA, "demote").await.expect(200);
        eventually("the other instance knows who is no admin", PROMISED, async || {
            (there.get("/api/admin/users").await.status == 403).then_some(())
        })
        .await;
    }
}
