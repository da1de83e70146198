//! Passwords, where they are switched on.

use argon2::{Argon2, PasswordHasher as _};
use gatepost::domain::EmailAddress;
use gatepost::store::{Database, User, postgres, sqlite};
use serde_json::{Value, json};

use crate::app::{HOUR, MINUTE, Options, TestApp};
use crate::client::{Answer, Client};

const ADA: &str = "ada@example.com";
const SECRET: &str = "correct horse  Батарея";
const OTHER: &str = "staple the horse again";

fn passwords() -> Options {
    Options::methods("otp,magic_link,password").unlimited()
}

async fn log_in(client: &Client, email: &str, password: &str) -> Answer {
    client.post("/api/auth/login", json!({ "email": email, "password": password })).await
}

async fn change(client: &Client, current: Option<&str>, new: &str) -> Answer {
    client.post("/api/auth/change-password", json!({ "current": current, "new": new })).await
}

/// Ada's account and the hash of her password, as they are stored.
async fn stored(app: &TestApp) -> (User, String) {
    let ada = EmailAddress::parse(ADA).unwrap();
    let found = match app.store() {
        Database::Postgres { pool, .. } => {
            postgres::users::with_password_hash(&mut pool.get().await.unwrap(), &ada).await
        }
        Database::Sqlite { readers, .. } => {
            sqlite::users::with_password_hash(&mut readers.get().await.unwrap(), &ada).await
        }
    };
    let (user, hash) = found.unwrap().expect("Ada has an account");
    (user, hash.expect("Ada has a password"))
}

/// Stores another hash for Ada.
async fn set_hash(app: &TestApp, hash: &str) {
    let id = stored(app).await.0.id;
    match app.store() {
        Database::Postgres { pool, .. } => {
            postgres::users::set_password_hash(&mut pool.get().await.unwrap(), id, hash, app.now()).await
        }
        Database::Sqlite { writer, .. } => {
            sqlite::users::set_password_hash(&mut writer.get().await.unwrap(), id, hash, app.now()).await
        }
    }
    .unwrap();
}

/// Signs Ada in by mail and sets her password.
async fn with_password(app: &TestApp) -> Client {
    let browser = app.sign_in(ADA).await;
    change(&browser, None, SECRET).await.expect(204);
    browser
}

on_both_setups! {
    async fn passwords_are_off_unless_switched_on(app: TestApp) {
        let browser = app.sign_in(ADA).await;
        log_in(&app.program(), ADA, SECRET).await.expect_problem(404, "method_disabled");
        change(&browser, None, SECRET).await.expect_problem(404, "method_disabled");
    }

    async fn who_set_a_password_signs_in_with_it(app: TestApp = passwords()) {
        with_password(&app).await;
        let browser = app.browser();
        let answer = log_in(&browser, " Ada@EXAMPLE.com ", SECRET).await.expect(200).json();
        assert_eq!((&answer["status"], &answer["user"]["email"]), (&json!("signed_in"), &json!(ADA)));
        assert!(browser.is_signed_in().await);
        let listed = browser.get("/api/sessions").await.json();
        let methods: Vec<_> = listed["sessions"].as_array().unwrap().iter().map(|device| &device["method"]).collect();
        assert!(methods.contains(&&json!("password")) && methods.contains(&&json!("otp")), "{listed}");

        let body = json!({ "email": ADA, "password": SECRET, "mode": "token" });
        let tokens = app.program().post("/api/auth/login", body).await.expect(200).json();
        assert!(app.program().bearer(tokens["access_token"].as_str().unwrap()).is_signed_in().await);
    }

    async fn a_wrong_password_and_an_unknown_account_are_the_same(app: TestApp = passwords()) {
        with_password(&app).await;
        app.sign_in("without@example.com").await;
        let like = |answer: &Answer| {
            let mut problem = answer.expect_problem(401, "invalid_credentials");
            problem["request_id"] = Value::Null;
            let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort_unstable();
            (problem, names)
        };
        let wrong = like(&log_in(&app.program(), ADA, OTHER).await);
        for (email, password) in [
            (ADA, "x".to_owned()),
            (ADA, SECRET.to_uppercase()),
            (ADA, SECRET.trim_end_matches('я').to_owned()),
            (ADA, format!("{SECRET} ")),
            (ADA, "x".repeat(5000)),
            ("without@example.com", SECRET.to_owned()),
            ("nobody@example.com", SECRET.to_owned()),
        ] {
            assert_eq!(like(&log_in(&app.program(), email, &password).await), wrong, "{email} {password}");
        }
        assert!(!app.has_account("nobody@example.com").await);
    }

    async fn a_weak_password_is_refused(app: TestApp = passwords()) {
        let browser = app.sign_in(ADA).await;
        for weak in ["elevenchars", ADA, "ADA@example.com!", &"long".repeat(300)] {
            let problem = change(&browser, None, weak).await.expect_wrong_fields(&["new"]);
            assert_eq!(problem["errors"][0]["code"], "weak_password");
            assert!(!problem.to_string().contains(weak), "the answer repeats the password");
            log_in(&app.program(), ADA, weak).await.expect_problem(401, "invalid_credentials");
        }
        browser.post("/api/auth/change-password", json!({})).await.expect_wrong_fields(&["new"]);
        browser.post("/api/auth/change-password", json!({ "new": "" })).await.expect_wrong_fields(&["new"]);
        change(&browser, None, "twelve chars").await.expect(204);
    }

    async fn a_password_that_is_guessed_first_is_refused(app: TestApp = passwords()) {
        let browser = app.sign_in(ADA).await;
        for common in ["password1234", "aaaaaaaaaaaaaaaa", "AaAaAaAaAaAaAa", "1q2w3e4r5t6y", "ｐａｓｓｗｏｒｄ１２３４"] {
            let problem = change(&browser, None, common).await.expect_wrong_fields(&["new"]);
            assert_eq!(problem["errors"][0]["code"], "password_too_common", "{common}");
            assert!(!problem.to_string().contains(common), "the answer repeats the password");
        }
        let page = browser.form("/account/password", &[("new", "password1234")]).await.expect_page(400);
        assert!(page.body.contains("tried first"), "{}", page.body);
    }

    async fn the_same_password_from_another_keyboard_is_the_same(app: TestApp = passwords()) {
        let browser = app.sign_in(ADA).await;
        change(&browser, None, "Amélie ﬁnds a garden").await.expect(204);
        for typed in ["Ame\u{301}lie finds a garden", "Amélie ﬁnds a garden"] {
            log_in(&app.program(), ADA, typed).await.expect(200);
        }
        // How a version hashed it that did not normalise.
        let raw = Argon2::default().hash_password("Ame\u{301}lie ﬁnds no garden".as_bytes()).unwrap().to_string();
        set_hash(&app, &raw).await;
        log_in(&app.program(), ADA, "Ame\u{301}lie ﬁnds no garden").await.expect(200);
        log_in(&app.program(), ADA, "Amélie finds no garden").await.expect_problem(401, "invalid_credentials");
    }

    async fn a_sign_in_renews_a_hash_that_was_made_with_less(app: TestApp = passwords()) {
        with_password(&app).await;
        let weak = stored(&app).await.1;
        let stronger = app.beside_with(|options| options.set("GATEPOST_AUTH_PASSWORD_ITERATIONS", "2")).await;
        log_in(&stronger.program(), ADA, OTHER).await.expect_problem(401, "invalid_credentials");
        assert_eq!(stored(&app).await.1, weak);
        let version = stored(&app).await.0.version;
        log_in(&stronger.program(), ADA, SECRET).await.expect(200);
        let renewed = stored(&app).await.1;
        assert!(weak.contains("t=1") && renewed.contains("t=2"), "{weak} {renewed}");
        assert_eq!(stored(&app).await.0.version, version + 1, "the sign-in counts as a change, and nothing else does");
        // It is the same password, and less than that is never gone back to.
        log_in(&app.program(), ADA, SECRET).await.expect(200);
        assert_eq!(stored(&app).await.1, renewed);
    }

    async fn what_is_missing_is_named(app: TestApp = passwords()) {
        let login = async |body| app.program().post("/api/auth/login", body).await;
        login(json!({})).await.expect_wrong_fields(&["email", "password"]);
        login(json!({ "email": "ada", "password": "" })).await.expect_wrong_fields(&["email", "password"]);
        change(&app.program(), None, SECRET).await.expect_problem(401, "unauthorized");
    }

    async fn a_change_needs_the_present_password(app: TestApp = passwords()) {
        let browser = with_password(&app).await;
        for current in [None, Some(""), Some(OTHER)] {
            change(&browser, current, OTHER).await.expect_problem(401, "invalid_credentials");
        }
        log_in(&app.program(), ADA, SECRET).await.expect(200);
        change(&browser, Some(SECRET), OTHER).await.expect(204);
        log_in(&app.program(), ADA, SECRET).await.expect_problem(401, "invalid_credentials");
        log_in(&app.program(), ADA, OTHER).await.expect(200);
    }

    async fn a_change_signs_out_other_devices_and_is_told_by_mail(app: TestApp = passwords()) {
        let (here, other, tokens) = (app.sign_in(ADA).await, app.sign_in(ADA).await, app.tokens(ADA).await);
        let bob = app.sign_in("bob@example.com").await;
        change(&here, None, SECRET).await.expect(204);
        assert!(here.is_signed_in().await && bob.is_signed_in().await);
        assert!(!other.is_signed_in().await);
        assert!(!app.program().bearer(&tokens.access).is_signed_in().await);
        let refresh = json!({ "refresh_token": tokens.refresh });
        app.program().post("/api/auth/refresh", refresh).await.expect_problem(401, "invalid_refresh_token");
        let notice = app.mail_about(ADA, "password was changed").await;
        assert!(!notice.text.contains(SECRET) && !notice.html.contains(SECRET));
    }

    async fn how_an_account_stands_is_told_only_after_the_right_password(app: TestApp = passwords()) {
        with_password(&app).await;
        app.decide(ADA, "ban").await.expect(200);
        let browser = app.browser();
        log_in(&browser, ADA, OTHER).await.expect_problem(401, "invalid_credentials");
        assert_eq!(log_in(&browser, ADA, SECRET).await.expect(200).json(), json!({ "status": "rejected" }));
        assert!(browser.cookie("gatepost_session").is_none());
        app.decide(ADA, "unban").await.expect(200);
        assert_eq!(log_in(&browser, ADA, SECRET).await.expect(200).json()["status"], "signed_in");
    }

    async fn twenty_wrong_passwords_lock_the_password_for_an_hour(
        app: TestApp = passwords().set("GATEPOST_AUTH_GUESSES_AT_ONCE", "20")
    ) {
        let browser = with_password(&app).await;
        for email in [ADA, "nobody@example.com"] {
            for n in 0..20 {
                let wrong = format!("{OTHER} {n}");
                log_in(&app.program(), email, &wrong).await.expect_problem(401, "invalid_credentials");
            }
            let refused = log_in(&app.program(), email, SECRET).await;
            refused.expect_problem(429, "too_many_guesses");
            let wait: u64 = refused.header("retry-after").expect("how long to wait").parse().unwrap();
            assert!((1..=3600).contains(&wait), "{wait}");
        }
        // A session has as many to itself.
        for _ in 0..20 {
            change(&browser, Some("not this one"), OTHER).await.expect_problem(401, "invalid_credentials");
        }
        change(&browser, Some(SECRET), OTHER).await.expect_problem(429, "too_many_guesses");
        app.sign_in(ADA).await;
        app.advance(HOUR + MINUTE);
        log_in(&app.program(), ADA, SECRET).await.expect(200);
    }

    async fn a_right_password_gives_its_guess_back(app: TestApp = passwords()) {
        with_password(&app).await;
        for _ in 0..25 {
            log_in(&app.program(), ADA, SECRET).await.expect(200);
        }
    }

    async fn passwords_can_be_the_only_way(app: TestApp = passwords()) {
        with_password(&app).await;
        let strict = app.beside_with(|options| options.set("LOGIN_METHOD", "password")).await;
        let browser = strict.browser();
        assert_eq!(log_in(&browser, ADA, SECRET).await.expect(200).json()["status"], "signed_in");
        for path in ["/api/auth/otp/request", "/api/auth/magic-link/request"] {
            browser.post(path, json!({ "email": ADA })).await.expect_problem(404, "method_disabled");
        }
    }
}
