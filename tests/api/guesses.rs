//! What wrong guesses cost: five a challenge, then pauses that double, then nothing more for an hour; and whose they are.

use std::time::Duration;

use futures_util::future::join_all;
use gatepost::store::{Database, postgres, sqlite};
use serde_json::json;

use crate::app::{Challenge, DAY, HOUR, Options, Setup, TestApp, verify};
use crate::client::{Answer, Client};

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";
const PASSWORD: &str = "correct horse battery";
const COOKIE: &str = "gatepost_device";

/// No pauses before the twenty guesses are used up.
fn without_pauses() -> Options {
    Options::methods("otp,magic_link,password").unlimited().set("GATEPOST_AUTH_GUESSES_AT_ONCE", "20")
}

/// Many requests at once queue for a few connections, and the machine may be busy.
fn patient(options: Options) -> Options {
    options.set("GATEPOST_DATABASE_POOL_TIMEOUT", "10s")
}

/// Uses up the twenty codes that `client` may get wrong for `email`.
async fn use_up_codes(app: &TestApp, client: &Client, email: &str) {
    for _ in 0..4 {
        let challenge = app.challenge(email).await;
        for n in 0..5 {
            verify(client, &challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
        }
    }
}

async fn right_code(app: &TestApp, client: &Client, email: &str) -> Answer {
    let challenge = app.challenge(email).await;
    verify(client, &challenge.id, challenge.code()).await
}

async fn log_in(client: &Client, password: &str) -> Answer {
    client.post("/api/auth/login", json!({ "email": ADA, "password": password })).await
}

async fn use_up_passwords(client: &Client) {
    for n in 0..20 {
        log_in(client, &format!("a wrong one, number {n}")).await.expect_problem(401, "invalid_credentials");
    }
}

/// A browser that shows `cookie` and nothing else.
fn showing(app: &TestApp, cookie: &str) -> Client {
    let browser = app.browser();
    browser.set_cookie(COOKIE, cookie);
    browser
}

/// The guesses that have been counted for a challenge.
async fn attempts(app: &TestApp, id: &str) -> i32 {
    let id = id.parse().expect("an id");
    let found = match app.store() {
        Database::Postgres { pool, .. } => {
            postgres::challenges::by_id(&mut pool.get().await.expect("a connection"), id).await
        }
        Database::Sqlite { readers, .. } => {
            sqlite::challenges::by_id(&mut readers.get().await.expect("a connection"), id).await
        }
    };
    found.expect("the database answers").expect("the challenge is there").attempts
}

/// Seconds that a refusal tells to wait.
fn wait(refused: &Answer) -> u64 {
    refused.expect_problem(429, "too_many_guesses");
    refused.header("retry-after").expect("when to come back").parse().expect("seconds")
}

on_both_setups! {
    async fn four_hundred_guesses_and_resends_on_every_instance_get_five_tries(
        app: TestApp = patient(without_pauses())
    ) {
        let others = match app.setup {
            Setup::Servers => vec![app.beside().await, app.beside().await],
            Setup::Embedded => Vec::new(),
        };
        let instances: Vec<&TestApp> = std::iter::once(&app).chain(&others).collect();
        let challenge = app.challenge(ADA).await;
        let clients: Vec<Client> = instances.iter().map(|instance| instance.program()).collect();
        let guesses = (0..400_u32).map(|n| {
            let (client, challenge) = (&clients[n as usize % clients.len()], &challenge);
            async move {
                if n % 20 == 0 {
                    let again = json!({ "email": ADA, "challenge_id": challenge.id });
                    let answer = client.post("/api/auth/otp/request", again).await.expect(202).json();
                    assert_eq!(answer["challenge_id"], challenge.id.as_str());
                }
                verify(client, &challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
            }
        });
        join_all(guesses).await;
        assert_eq!(attempts(&app, &challenge.id).await, 5);
        for client in &clients {
            verify(client, &challenge.id, challenge.code()).await.expect_problem(401, "invalid_code");
        }
        // Five of the account's twenty are spent, and no more.
        for _ in 0..3 {
            let challenge = app.challenge(ADA).await;
            for n in 0..5 {
                app.verify(&challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
            }
        }
        wait(&right_code(&app, &app.program(), ADA).await);
    }

    async fn each_failure_after_the_first_few_makes_the_next_guess_wait_twice_as_long(
        app: TestApp = Options::without_limits()
    ) {
        app.sign_in(ADA).await;
        for email in [ADA, "nobody@example.com"] {
            let fail = async || {
                let challenge = app.challenge(email).await;
                app.verify(&challenge.id, &challenge.wrong_code(0)).await.expect_problem(401, "invalid_code");
            };
            for _ in 0..10 {
                fail().await;
            }
            for seconds in [1, 2, 4, 8, 16, 32] {
                app.advance(Duration::from_secs(seconds));
                fail().await;
            }
            // Long enough that the test itself does not wait them out.
            for seconds in [64, 128, 256] {
                let challenge = app.challenge(email).await;
                let told = wait(&app.verify(&challenge.id, challenge.code()).await);
                assert!((seconds - 30..=seconds).contains(&told), "{told} of {seconds}");
                assert_eq!(attempts(&app, &challenge.id).await, 0, "a refused guess is none");
                app.advance(Duration::from_secs(seconds));
                fail().await;
            }
        }
    }

    async fn parallel_guesses_do_not_get_around_a_pause(app: TestApp = patient(Options::without_limits())) {
        for _ in 0..8 {
            let challenge = app.challenge(ADA).await;
            for n in 0..2 {
                app.advance(Duration::from_secs(64));
                app.verify(&challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
            }
        }
        app.advance(Duration::from_secs(64));
        let challenges = [app.challenge(ADA).await, app.challenge(ADA).await, app.challenge(ADA).await];
        let guesses = (0..30_usize).map(|n| {
            let (app, challenge): (&TestApp, &Challenge) = (&app, &challenges[n % 3]);
            async move { app.verify(&challenge.id, &challenge.wrong_code(n.try_into().unwrap())).await }
        });
        let answers = join_all(guesses).await;
        let (counted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 401);
        assert_eq!(counted.len(), 1);
        assert!(refused.iter().all(|answer| wait(answer) > 60));
    }

    async fn strangers_lock_nobody_out_of_a_known_browser(app: TestApp = without_pauses()) {
        let browser = app.sign_in(ADA).await;
        use_up_codes(&app, &app.program(), ADA).await;
        assert!(wait(&right_code(&app, &app.program(), ADA).await) > 3000);
        right_code(&app, &browser, ADA).await.expect(200);
        // On the page likewise.
        let sent = browser.form("/login", &[("email", ADA)]).await.expect(303);
        let id = sent.location().split_once("challenge=").unwrap().1.to_owned();
        let mail = app.sign_in_mail_to(ADA).await;
        let form = [("challenge_id", id.as_str()), ("code", mail.code())];
        app.browser().form("/login/code", &form).await.expect_page(429);
        browser.form("/login/code", &form).await.expect_redirect("/account");
    }

    async fn strangers_lock_nobody_out_of_a_known_browser_with_a_password(app: TestApp = without_pauses()) {
        let browser = app.sign_in(ADA).await;
        browser.post("/api/auth/change-password", json!({ "new": PASSWORD })).await.expect(204);
        use_up_passwords(&app.program()).await;
        wait(&log_in(&app.program(), PASSWORD).await);
        log_in(&browser, PASSWORD).await.expect(200);
        let form = [("email", ADA), ("password", PASSWORD)];
        app.browser().form("/login/password", &form).await.expect_page(429);
        browser.form("/login/password", &form).await.expect_redirect("/account");
        // Who is signed in may change the password, however many strangers have guessed.
        let body = json!({ "current": PASSWORD, "new": "staple the horse again" });
        browser.post("/api/auth/change-password", body).await.expect(204);
    }

    async fn a_known_browser_has_a_budget_too_and_takes_nothing_from_strangers(app: TestApp = without_pauses()) {
        let browser = app.sign_in(ADA).await;
        use_up_codes(&app, &browser, ADA).await;
        wait(&right_code(&app, &browser, ADA).await);
        right_code(&app, &app.program(), ADA).await.expect(200);
        // Signing in again does not make it another browser.
        let challenge = app.challenge(ADA).await;
        let before = browser.cookie(COOKIE).unwrap();
        app.advance(Duration::from_secs(2));
        browser.post("/api/auth/magic-link/verify", json!({ "token": challenge.mail.token() })).await.expect(200);
        assert_ne!(browser.cookie(COOKIE).unwrap(), before);
        wait(&right_code(&app, &browser, ADA).await);
        app.advance(HOUR);
        right_code(&app, &browser, ADA).await.expect(200);
    }

    async fn only_the_browsers_own_mark_makes_it_known(app: TestApp = without_pauses()) {
        let of_ada = app.sign_in(ADA).await.cookie(COOKIE).unwrap();
        let of_eve = app.sign_in(EVE).await.cookie(COOKIE).unwrap();
        use_up_codes(&app, &app.program(), ADA).await;
        let flipped = |place: usize| {
            let mut text = of_ada.clone().into_bytes();
            text[place] = if text[place] == b'A' { b'B' } else { b'A' };
            String::from_utf8(text).unwrap()
        };
        let half = of_ada.len() / 2;
        let forged = [
            of_eve.clone(),
            format!("{}{}", &of_ada[..half], &of_eve[half..]),
            format!("{}{}", &of_eve[..half], &of_ada[half..]),
            of_ada[..of_ada.len() - 1].to_owned(),
            of_ada[1..].to_owned(),
            format!("{of_ada}A"),
            flipped(0),
            flipped(20),
            flipped(half),
            "A".repeat(of_ada.len()),
            String::new(),
            // A genuine one comes too late behind so many.
            format!("{}{of_ada}", "x.".repeat(5)),
        ];
        for cookie in &forged {
            wait(&right_code(&app, &showing(&app, cookie), ADA).await);
        }
        // The genuine one among others is found.
        right_code(&app, &showing(&app, &format!("{of_eve}.{of_ada}")), ADA).await.expect(200);
    }

    async fn a_mark_signs_nobody_in_and_a_stolen_one_guesses_no_more_than_its_owner(app: TestApp = without_pauses()) {
        let browser = app.sign_in(ADA).await;
        let thief = showing(&app, &browser.cookie(COOKIE).unwrap());
        assert!(!thief.is_signed_in().await);
        use_up_codes(&app, &thief, ADA).await;
        // Two browsers with one mark have one budget, and those without it have theirs.
        wait(&right_code(&app, &thief, ADA).await);
        wait(&right_code(&app, &browser, ADA).await);
        right_code(&app, &app.program(), ADA).await.expect(200);
    }

    async fn a_browser_knows_several_accounts(app: TestApp = without_pauses()) {
        let browser = app.sign_in(ADA).await;
        app.sign_in_with(browser.clone(), EVE).await;
        for email in [ADA, EVE] {
            use_up_codes(&app, &app.program(), email).await;
            right_code(&app, &browser, email).await.expect(200);
        }
    }

    async fn a_browser_that_has_not_signed_in_for_half_a_year_is_a_stranger(app: TestApp = without_pauses()) {
        let browser = app.sign_in(ADA).await;
        app.advance(181 * DAY);
        use_up_codes(&app, &app.program(), ADA).await;
        wait(&right_code(&app, &browser, ADA).await);
    }

    async fn only_a_browser_that_signed_in_is_marked(app: TestApp = without_pauses()) {
        let browser = app.browser();
        let challenge = app.challenge_with(&browser, ADA).await;
        verify(&browser, &challenge.id, &challenge.wrong_code(0)).await.expect_problem(401, "invalid_code");
        assert!(browser.cookie(COOKIE).is_none());
        let answer = verify(&browser, &challenge.id, challenge.code()).await.expect(200);
        let cookie = answer.set_cookie(COOKIE).expect("a mark");
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=15552000"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!cookie.contains("example"), "it does not say whose it is: {cookie}");
        let challenge = app.challenge(ADA).await;
        let body = json!({ "challenge_id": challenge.id, "code": challenge.code(), "mode": "token" });
        let program = app.program().post("/api/auth/otp/verify", body).await.expect(200);
        assert!(program.set_cookie(COOKIE).is_none(), "a program that keeps tokens keeps no cookies");
    }
}
