//! Changing the secret while people sign in: nobody is refused, nobody gets guesses back.

use serde_json::{Value, json};

use crate::app::{Options, TestApp, Tokens, verify};

const ADA: &str = "ada@example.com";
/// What `TestApp` gives to all instances that stand on servers.
const OLD: &str = "a secret that all instances of one test share";
const NEW: &str = "the new secret, of thirty-two bytes";

fn with_old() -> Options {
    Options::without_limits().set("GATEPOST_SECRET", OLD).set("GATEPOST_AUTH_GUESSES_AT_ONCE", "20")
}

/// The first step: every instance gets to know the new secret.
fn announced() -> Options {
    with_old().set("GATEPOST_SECRET_NEXT", NEW)
}

/// The second step: the new secret makes, the old one checks.
async fn switched(app: &TestApp) -> TestApp {
    let change = |options: Options| options.set("GATEPOST_SECRET", NEW).set("GATEPOST_SECRET_PREVIOUS", OLD);
    app.beside_with(|options| change(options).without("GATEPOST_SECRET_NEXT")).await
}

/// The last step: the old secret is gone.
async fn finished(app: &TestApp) -> TestApp {
    app.beside_with(|options| options.set("GATEPOST_SECRET", NEW).without("GATEPOST_SECRET_NEXT")).await
}

async fn answer_link(app: &TestApp, token: &str) -> crate::client::Answer {
    app.program().post("/api/auth/magic-link/verify", json!({ "token": token })).await
}

on_both_setups! {
    async fn in_two_steps_every_instance_takes_what_any_other_made(app: TestApp = announced()) {
        let switched = switched(&app).await;
        for (maker, checker) in [(&switched, &app), (&app, &switched)] {
            let challenge = maker.challenge(ADA).await;
            checker.verify(&challenge.id, challenge.code()).await.expect(200);
            let challenge = maker.challenge(ADA).await;
            answer_link(checker, challenge.mail.token()).await.expect(200);
            let tokens = maker.tokens(ADA).await;
            assert!(checker.program().bearer(&tokens.access).is_signed_in().await);
            let body = json!({ "refresh_token": tokens.refresh });
            let here = Tokens::of(&maker.program().post("/api/auth/refresh", body.clone()).await.expect(200).json());
            let there = Tokens::of(&checker.program().post("/api/auth/refresh", body).await.expect(200).json());
            assert_eq!(here.refresh, there.refresh, "there is one chain of refresh tokens");
        }
        let kids = async |app: &TestApp| {
            let set = app.program().get("/.well-known/jwks.json").await.json();
            let mut kids: Vec<Value> = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
            kids.sort_by_key(Value::to_string);
            kids
        };
        assert_eq!(kids(&app).await, kids(&switched).await);
        assert_eq!(kids(&switched).await.len(), 2);
    }

    async fn a_key_that_has_not_arrived_costs_no_guess(
        // Either instance may come to send the mail, and only one of them can.
        app: TestApp = with_old().set("GATEPOST_MAIL_BACKOFF", "100ms").set("GATEPOST_MAIL_MAX_ATTEMPTS", "50")
    ) {
        // In one step, against the advice: this instance does not know the new secret.
        let switched = switched(&app).await;
        let challenge = switched.challenge(ADA).await;
        for _ in 0..7 {
            let answer = app.verify(&challenge.id, challenge.code()).await;
            answer.expect_problem(503, "unavailable");
            assert!(answer.header("retry-after").is_some());
        }
        answer_link(&app, challenge.mail.token()).await.expect_problem(503, "unavailable");
        switched.verify(&challenge.id, challenge.code()).await.expect(200);
    }

    async fn a_changed_secret_gives_no_guesses_back(app: TestApp = announced()) {
        // Before the first step and after it the same is counted: the unit tests of the keys show that.
        let switched = switched(&app).await;
        for maker in [&app, &switched, &app, &switched] {
            let challenge = maker.challenge(ADA).await;
            for n in 0..5 {
                maker.verify(&challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
            }
        }
        for instance in [&app, &switched] {
            let challenge = instance.challenge(ADA).await;
            instance.verify(&challenge.id, challenge.code()).await.expect_problem(429, "too_many_guesses");
        }
        // Taking the old secret away gives one fresh budget, and one only.
        let finished = finished(&app).await;
        for _ in 0..4 {
            let challenge = finished.challenge(ADA).await;
            for n in 0..5 {
                finished.verify(&challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
            }
        }
        let challenge = finished.challenge(ADA).await;
        finished.verify(&challenge.id, challenge.code()).await.expect_problem(429, "too_many_guesses");
    }

    async fn a_known_browser_stays_known_as_long_as_its_secret_is_kept(app: TestApp = announced()) {
        let browser = app.sign_in(ADA).await;
        let (switched, finished) = (switched(&app).await, finished(&app).await);
        for instance in [&switched, &finished] {
            for _ in 0..4 {
                let challenge = instance.challenge(ADA).await;
                for n in 0..5 {
                    instance.verify(&challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
                }
            }
        }
        let challenge = finished.challenge(ADA).await;
        let known = browser.at(&finished);
        verify(&known, &challenge.id, challenge.code()).await.expect_problem(429, "too_many_guesses");
        let challenge = switched.challenge(ADA).await;
        verify(&browser.at(&switched), &challenge.id, challenge.code()).await.expect(200);
        // That sign-in has marked it anew, with the new secret.
        let challenge = finished.challenge(ADA).await;
        verify(&known, &challenge.id, challenge.code()).await.expect(200);
    }
}
