//! Signing in with a mailed code.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::{Challenge, FIREFOX, HOUR, MINUTE, Options, TestApp, verify};
use crate::client::Answer;

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";

/// The names in a JSON object.
fn names(object: &Value) -> Vec<&str> {
    object.as_object().unwrap_or_else(|| panic!("{object} is no object")).keys().map(String::as_str).collect()
}

/// Asks for the mail of a challenge again; gives the id in the answer.
async fn resend(app: &TestApp, email: &str, challenge_id: &str) -> String {
    let body = json!({ "email": email, "challenge_id": challenge_id });
    let answer = app.program().post("/api/auth/otp/request", body).await.expect(202).json();
    answer["challenge_id"].as_str().unwrap().to_owned()
}

async fn guess_wrong(app: &TestApp, challenge: &Challenge, times: u32) {
    for n in 0..times {
        app.verify(&challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
    }
}

fn assert_signed_in(answer: Answer) {
    assert_eq!(answer.expect(200).json()["status"], "signed_in");
}

on_both_setups! {
    async fn a_code_signs_in_once(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        assert_signed_in(app.verify(&challenge.id, challenge.code()).await);
        app.verify(&challenge.id, challenge.code()).await.expect_problem(401, "invalid_code");
    }

    async fn the_answer_to_a_request_says_what_a_client_needs(app: TestApp) {
        let answer = app.browser().post("/api/auth/otp/request", json!({ "email": ADA })).await.expect(202);
        let body = answer.json();
        assert_eq!(names(&body), ["challenge_id", "expires_in", "resend_in"]);
        assert!(body["challenge_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok_and(|id| id.get_version_num() == 7));
        assert_eq!((&body["expires_in"], &body["resend_in"]), (&json!(600), &json!(30)));
        assert!(answer.set_cookie("gatepost_session").is_none());
    }

    async fn a_browser_gets_a_cookie_and_no_tokens(app: TestApp) {
        let browser = app.browser();
        let challenge = app.challenge_with(&browser, ADA).await;
        let answer = verify(&browser, &challenge.id, challenge.code()).await.expect(200);
        let cookie = answer.set_cookie("gatepost_session").expect("a session cookie");
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let body = answer.json();
        assert_eq!(names(&body), ["session", "status", "user"]);
        assert_eq!(names(&body["session"]), ["expires_at", "id"]);
        let user = ["avatar_url", "created_at", "email", "id", "locale", "name", "phone", "role", "status",
            "updated_at", "username"];
        assert_eq!(names(&body["user"]), user);
        let told = (&body["user"]["email"], &body["user"]["role"], &body["user"]["status"]);
        assert_eq!(told, (&json!(ADA), &json!("user"), &json!("approved")));
        assert_eq!(browser.validate().await.expect(200).json()["session"]["id"], body["session"]["id"]);
    }

    async fn a_program_gets_tokens_and_no_cookie(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        let body = json!({ "challenge_id": challenge.id, "code": challenge.code(), "mode": "token" });
        let answer = app.program().post("/api/auth/otp/verify", body).await.expect(200);
        assert!(answer.set_cookie("gatepost_session").is_none());
        let body = answer.json();
        let known = ["access_token", "expires_in", "refresh_token", "session", "status", "token_type", "user"];
        assert_eq!(names(&body), known);
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
        assert!(app.program().bearer(body["access_token"].as_str().unwrap()).is_signed_in().await);
    }

    async fn five_wrong_guesses_burn_the_code_but_not_the_link(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        guess_wrong(&app, &challenge, 5).await;
        let refused = app.verify(&challenge.id, challenge.code()).await;
        refused.expect_problem(401, "invalid_code");
        let link = json!({ "token": challenge.mail.token() });
        assert_signed_in(app.program().post("/api/auth/magic-link/verify", link).await);
    }

    async fn four_wrong_guesses_leave_one(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        guess_wrong(&app, &challenge, 4).await;
        assert_signed_in(app.verify(&challenge.id, challenge.code()).await);
    }

    async fn parallel_guesses_get_no_more_tries_than_one_after_another(
        app: TestApp = Options::without_limits().set("GATEPOST_AUTH_GUESSES_AT_ONCE", "20")
    ) {
        for _ in 0..3 {
            let challenge = app.challenge(ADA).await;
            let codes: Vec<_> = (0..40).map(|n| challenge.wrong_code(n)).collect();
            for answer in join_all(codes.iter().map(|code| app.verify(&challenge.id, code))).await {
                answer.expect_problem(401, "invalid_code");
            }
            app.verify(&challenge.id, challenge.code()).await.expect_problem(401, "invalid_code");
        }
        // Of the account's twenty guesses fifteen are spent, if each challenge took five: the last one is the right one.
        let challenge = app.challenge(ADA).await;
        guess_wrong(&app, &challenge, 4).await;
        assert_signed_in(app.verify(&challenge.id, challenge.code()).await);
    }

    async fn parallel_right_answers_sign_in_once(app: TestApp) {
        app.sign_in(ADA).await;
        let challenge = app.challenge(ADA).await;
        // As many as one challenge takes guesses.
        let answers = join_all((0..5).map(|_| app.verify(&challenge.id, challenge.code()))).await;
        let (right, wrong): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(right.len(), 1);
        for answer in wrong {
            answer.expect_problem(401, "invalid_code");
        }
    }

    async fn a_code_works_for_ten_minutes(app: TestApp) {
        let (in_time, late) = (app.challenge(ADA).await, app.challenge(ADA).await);
        app.advance(9 * MINUTE);
        assert_signed_in(app.verify(&in_time.id, in_time.code()).await);
        app.advance(MINUTE);
        app.verify(&late.id, late.code()).await.expect_problem(401, "invalid_code");
    }

    async fn a_resend_repeats_the_code_and_keeps_the_guesses(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        guess_wrong(&app, &challenge, 3).await;
        assert_eq!(resend(&app, ADA, &challenge.id).await, challenge.id);
        let again = app.sign_in_mail_to(ADA).await;
        assert_eq!((again.code(), again.token()), (challenge.code(), challenge.mail.token()));
        // In another spelling it is the same mailbox.
        assert_eq!(resend(&app, "ADA@Example.COM", &challenge.id).await, challenge.id);
        guess_wrong(&app, &challenge, 2).await;
        app.verify(&challenge.id, challenge.code()).await.expect_problem(401, "invalid_code");
        assert_eq!(resend(&app, ADA, &challenge.id).await, challenge.id);
        app.verify(&challenge.id, challenge.code()).await.expect_problem(401, "invalid_code");
    }

    async fn a_resend_tells_what_is_left_of_the_ten_minutes(app: TestApp) {
        let id = app.request_code(ADA).await;
        app.advance(4 * MINUTE);
        let body = json!({ "email": ADA, "challenge_id": id });
        let answer = app.program().post("/api/auth/otp/request", body).await.expect(202).json();
        assert_eq!(answer["challenge_id"], id.as_str());
        let left = answer["expires_in"].as_u64().unwrap();
        assert!((300..=360).contains(&left), "{left}");
    }

    async fn a_resend_of_anything_else_is_a_new_challenge(app: TestApp) {
        let of_ada = app.challenge(ADA).await;
        let for_eve = resend(&app, EVE, &of_ada.id).await;
        assert_ne!(for_eve, of_ada.id);
        let mail = app.sign_in_mail_to(EVE).await;
        assert_ne!(mail.token(), of_ada.mail.token());
        assert_signed_in(app.verify(&for_eve, mail.code()).await);
        let unknown = "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21";
        assert_ne!(resend(&app, ADA, unknown).await, unknown);
        assert_signed_in(app.verify(&of_ada.id, of_ada.code()).await);
        assert_ne!(resend(&app, ADA, &of_ada.id).await, of_ada.id);
        let expired = app.request_code(ADA).await;
        app.advance(10 * MINUTE);
        assert_ne!(resend(&app, ADA, &expired).await, expired);
        let malformed = json!({ "email": ADA, "challenge_id": "1" });
        app.program().post("/api/auth/otp/request", malformed).await.expect_wrong_fields(&["challenge_id"]);
    }

    async fn a_code_is_taken_as_people_write_it(app: TestApp = Options::without_limits()) {
        let full_width = |digit: char| char::from_u32(u32::from(digit) - u32::from('0') + 0xff10).unwrap();
        for style in ["spaces", "dash", "rich text", "full width"] {
            let challenge = app.challenge(ADA).await;
            let (left, right) = challenge.code().split_at(3);
            let typed = match style {
                "spaces" => format!(" {left} {right}\n"),
                "dash" => format!("{left}-{right}"),
                "rich text" => format!("{left}\u{a0}\u{2013}\u{a0}{right}"),
                _ => challenge.code().chars().map(full_width).collect(),
            };
            assert_signed_in(app.verify(&challenge.id, &typed).await);
        }
    }

    async fn what_cannot_be_a_code_costs_no_guess(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        for typed in ["1", "12345", "1234567", "abcdef", "12345x", "½½½½½½", "------", "🙂"] {
            app.verify(&challenge.id, typed).await.expect_problem(401, "invalid_code");
        }
        app.verify(&challenge.id, " ").await.expect_wrong_fields(&["code"]);
        assert_signed_in(app.verify(&challenge.id, challenge.code()).await);
    }

    async fn a_challenge_is_named_or_refused(app: TestApp) {
        app.verify("01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21", "123456").await.expect_problem(401, "invalid_code");
        for malformed in ["", "1", "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b2", "' OR 1=1 --"] {
            app.verify(malformed, "123456").await.expect_wrong_fields(&["challenge_id"]);
        }
        app.program().post("/api/auth/otp/verify", json!({})).await.expect_wrong_fields(&["challenge_id", "code"]);
    }

    async fn a_code_fits_its_own_challenge_only(app: TestApp) {
        let (of_ada, of_eve) = (app.challenge(ADA).await, app.challenge(EVE).await);
        app.verify(&of_ada.id, of_eve.code()).await.expect_problem(401, "invalid_code");
        let second = app.challenge(ADA).await;
        app.verify(&second.id, of_ada.code()).await.expect_problem(401, "invalid_code");
        assert_signed_in(app.verify(&of_ada.id, of_ada.code()).await);
    }

    async fn twenty_failures_in_an_hour_stop_the_guessing_for_one_account(
        app: TestApp = Options::without_limits().set("GATEPOST_AUTH_GUESSES_AT_ONCE", "20")
    ) {
        // A right answer in between gives nothing back but itself.
        app.sign_in(ADA).await;
        for _ in 0..4 {
            let challenge = app.challenge(ADA).await;
            guess_wrong(&app, &challenge, 5).await;
        }
        let challenge = app.challenge("Ada@example.com").await;
        let refused = app.verify(&challenge.id, challenge.code()).await;
        refused.expect_problem(429, "too_many_guesses");
        let wait: u64 = refused.header("retry-after").expect("when to come back").parse().unwrap();
        assert!((3000..=3600).contains(&wait), "{wait}");
        // Nobody else is stopped, and neither is who has the mail.
        app.sign_in(EVE).await;
        let link = json!({ "token": challenge.mail.token() });
        assert_signed_in(app.program().post("/api/auth/magic-link/verify", link).await);
        app.advance(HOUR);
        app.sign_in(ADA).await;
    }

    async fn the_language_of_a_request_becomes_the_accounts(app: TestApp) {
        let languages = [("de", "de"), ("pt-BR", "pt"), ("tlh", "fr"), ("", "fr")];
        for (position, (asked, expected)) in languages.into_iter().enumerate() {
            let email = format!("reader{position}@example.com");
            let browser = app.browser_as(FIREFOX).with("accept-language", "fr-CA, en;q=0.5");
            let body = json!({ "email": email, "locale": asked });
            let issued = browser.post("/api/auth/otp/request", body).await.expect(202).json();
            let mail = app.sign_in_mail_to(&email).await;
            let answer = verify(&browser, issued["challenge_id"].as_str().unwrap(), mail.code()).await.expect(200);
            assert_eq!(answer.json()["user"]["locale"], expected, "{asked}");
        }
    }

    async fn only_safe_places_are_taken_as_next(
        app: TestApp = Options::without_limits().set("GATEPOST_SERVER_REDIRECT_ORIGINS", "https://app.example.com")
    ) {
        let ask = async |next: &str| {
            app.program().post("/api/auth/otp/request", json!({ "email": ADA, "next": next })).await
        };
        for next in ["//evil.example", "https://evil.example/", "javascript:alert(1)", "/\\evil.example", "account",
            "https://app.example.com.evil.example/", "https://app.example.com@evil.example/", "/\t/evil.example"] {
            ask(next).await.expect_wrong_fields(&["next"]);
        }
        for next in ["/account", "/account?tab=devices", "https://app.example.com/inbox", ""] {
            ask(next).await.expect(202);
        }
    }

    async fn without_the_method_there_is_no_code(app: TestApp = Options::methods("magic_link")) {
        let answer = app.program().post("/api/auth/otp/request", json!({ "email": ADA })).await;
        answer.expect_problem(404, "method_disabled");
        let id = "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21";
        app.verify(id, "123456").await.expect_problem(404, "method_disabled");
    }
}

on_servers! {
    async fn the_guesses_of_all_instances_count_together(app: TestApp) {
        let other = app.beside().await;
        let challenge = app.challenge(ADA).await;
        guess_wrong(&app, &challenge, 3).await;
        guess_wrong(&other, &challenge, 2).await;
        for instance in [&app, &other] {
            instance.verify(&challenge.id, challenge.code()).await.expect_problem(401, "invalid_code");
        }
    }
}
