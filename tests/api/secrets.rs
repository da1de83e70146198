//! What a thief of the databases or a reader of the logs gets: nothing to sign in with.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gatepost::app::App;
use gatepost::domain::{
    ChallengeId, Clock, DeviceId, DeviceMarks, Entropy, FlowToken, KeyRing, Redacted, RefreshToken, SessionToken,
};
use gatepost::settings::{Settings, Sources};
use serde_json::json;

use crate::app::{Options, Setup, TestApp, Tokens};
use crate::client::Client;
use crate::logs;

const ADA: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Everything under a directory, the embedded database with its journal among it; not the server's own secret.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the directory can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().is_none_or(|name| name != "secret") {
            found.push((path.display().to_string(), std::fs::read(&path).expect("the file can be read")));
        }
    }
    found
}

/// Everything that is stored, each piece with its place.
async fn stored(app: &TestApp) -> Vec<(String, Vec<u8>)> {
    let mut found = files(app.directory());
    if app.setup == Setup::Servers {
        let rows = app.database().dump().await;
        assert!(rows.iter().any(|row| row.contains(ADA)), "the dump has the accounts");
        found.extend(rows.into_iter().map(|row| ("Postgres".to_owned(), row.into_bytes())));
        let values = app.redis().dump().await;
        assert!(values.iter().any(|value| value.starts_with("session:")), "the dump has the cache: {values:?}");
        found.extend(values.into_iter().map(|value| ("Redis".to_owned(), value.into_bytes())));
    } else {
        let has_ada = |bytes: &[u8]| bytes.windows(ADA.len()).any(|window| window == ADA.as_bytes());
        assert!(found.iter().any(|(_, bytes)| has_ada(bytes)), "the files have the accounts");
    }
    found
}

/// Hexadecimal, as Postgres shows bytes.
fn hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The forms in which a secret could be stored and still be of use.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec(), STANDARD.encode(secret).into_bytes()];
    forms.push(hex(secret.as_bytes()));
    // A token's random part: as text without its prefix, as bytes, and as Postgres shows bytes.
    let body = secret.split_once('_').filter(|(prefix, _)| prefix.len() == 3).map_or(secret, |(_, body)| body);
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode(body)
        && bytes.len() >= 32
    {
        // The last bytes: a link's token starts with the challenge's id, which is no secret.
        let random = bytes[bytes.len() - 32..].to_vec();
        forms.extend([hex(&random), body.as_bytes().to_vec(), random]);
    }
    forms
}

async fn expect_none_of(app: &TestApp, secrets: &[(&str, String)]) {
    let stored = stored(app).await;
    for (what, secret) in secrets {
        assert!(!secret.is_empty(), "there is no {what}");
        for form in forms(secret) {
            for (place, bytes) in &stored {
                let found = bytes.windows(form.len()).any(|window| window == form);
                assert!(!found, "{place} has the {what} {secret} as {:?}", String::from_utf8_lossy(&form));
            }
        }
    }
}

/// A code stands alone: six digits within a longer number are none.
async fn expect_no_codes(app: &TestApp, codes: &[&str]) {
    for (place, bytes) in stored(app).await {
        for code in codes {
            let spaced = format!("{} {}", &code[..3], &code[3..]);
            for form in [*code, &spaced] {
                let alone = bytes.windows(form.len()).enumerate().any(|(at, window)| {
                    let digit =
                        |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
                    let fraction = at.checked_sub(1).and_then(|at| bytes.get(at)) == Some(&b'.');
                    window == form.as_bytes() && !digit(at.checked_sub(1)) && !digit(Some(at + form.len())) && !fraction
                });
                assert!(!alone, "{place} has the code {code}");
            }
        }
    }
}

/// Fails if a line of the log has one of the secrets, at whatever level it was logged.
fn expect_not_logged(secrets: &[(&str, String)], codes: &[&str]) {
    let lines = logs::kept();
    let of_gatepost: Vec<&String> = lines.iter().filter(|line| line.starts_with("gatepost")).collect();
    assert!(
        of_gatepost.iter().any(|line| line.contains("a wrong code was entered")),
        "the log is kept: {} lines",
        lines.len()
    );
    for (what, secret) in secrets {
        let found = lines.iter().find(|line| line.contains(secret.as_str()));
        assert!(found.is_none(), "the {what} is in the log: {found:?}");
    }
    for code in codes {
        let has = |line: &&&String| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == *code);
        let found = of_gatepost.iter().find(has);
        assert!(found.is_none(), "the code {code} is in the log: {found:?}");
    }
}

/// A server's settings with a secret in every place that takes one.
fn settings_full_of_secrets() -> Settings {
    let environment = [
        ("GATEPOST_SECRET", "hunter2-hunter2-hunter2-hunter2-hunter2"),
        ("GATEPOST_SECRET_NEXT", "hunter2-hunter2-hunter2-hunter2-hunter3"),
        ("GATEPOST_SECRET_PREVIOUS", "hunter2-hunter2-hunter2-hunter2-hunter1"),
        ("GATEPOST_SECRET_PREVIOUS_2", "hunter2-hunter2-hunter2-hunter2-hunter0"),
        // Nobody listens there.
        ("DATABASE_URL", "postgres://gate:hunter2@127.0.0.1:9/gatepost?sslmode=disable"),
        ("GATEPOST_DATABASE_CONNECT_TIMEOUT", "2s"),
        ("REDIS_URL", "rediss://default:hunter2@127.0.0.1:9"),
        ("SMTP_URL", "smtp://mailer:hunter2@127.0.0.1:9,smtps://other:hunter2@127.0.0.1:9"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let sources = Sources { environment, ..Sources::default() };
    assert!(!format!("{sources:?}").contains("hunter"), "{sources:?}");
    Settings::load(&sources).expect("the settings are right")
}

#[test]
fn settings_print_no_secret() {
    let settings = settings_full_of_secrets();
    let printed = format!("{settings:?}{settings:#?}{:?}", settings.effective());
    assert!(printed.contains("127.0.0.1") && !printed.contains("hunter"), "{printed}");
}

#[tokio::test]
async fn a_start_that_fails_prints_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings_full_of_secrets();
    settings.server.data_dir = directory.path().to_owned();
    let error = App::build(settings).await.err().expect("there is no database");
    let printed = format!("{error}{error:?}{error:#?}");
    assert!(printed.contains("Postgres") && !printed.contains("hunter"), "{printed}");
}

#[test]
fn nothing_that_proves_something_prints_itself() {
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let keys = KeyRing::new(secret.as_bytes(), &[]).unwrap();
    let challenge = ChallengeId::new(&clock, &entropy);
    let (session, refresh, flow) =
        (SessionToken::generate(&entropy), RefreshToken::generate(&entropy), FlowToken::generate(&entropy));
    let (code, link) =
        (keys.code(keys.current_id(), challenge).unwrap(), keys.link(keys.current_id(), challenge).unwrap());
    let marks = DeviceMarks::default().with(keys.device_mark(ADA, DeviceId::generate(&entropy), clock.now()));
    let printed = format!(
        "{keys:?} {session:?} {refresh:?} {flow:?} {code:?} {link:?} {marks:?} {:?}",
        Redacted::new(PASSWORD.to_owned())
    );
    let secrets = [secret, session.expose(), refresh.expose(), flow.expose(), code.expose(), PASSWORD];
    for hidden in secrets.map(str::to_owned).into_iter().chain([link.expose(), marks.text()]) {
        // The start of a link or a mark is an id, and no secret.
        let hidden = if hidden.len() > 60 { &hidden[hidden.len() - 40..] } else { &hidden };
        assert!(!printed.contains(hidden), "{printed}");
    }
}

async fn log_in(client: &Client, mode: &str) -> serde_json::Value {
    let body = json!({ "email": ADA, "password": PASSWORD, "mode": mode });
    client.post("/api/auth/login", body).await.expect(200).json()
}

on_both_setups! {
    async fn a_stolen_dump_signs_nobody_in(
        app: TestApp = Options::methods("otp,magic_link,password").set("GATEPOST_MAIL_RETENTION", "7d")
    ) {
        logs::keep();
        // With a code, in a browser.
        let browser = app.browser();
        let by_code = app.challenge_with(&browser, ADA).await;
        app.verify(&by_code.id, &by_code.wrong_code(0)).await.expect_problem(401, "invalid_code");
        crate::app::verify(&browser, &by_code.id, by_code.code()).await.expect(200);
        // With a link, for tokens.
        let by_link = app.challenge(ADA).await;
        let body = json!({ "token": by_link.mail.token(), "mode": "token" });
        let linked = Tokens::of(&app.program().post("/api/auth/magic-link/verify", body).await.expect(200).json());
        // With a password, in both modes.
        browser.post("/api/auth/change-password", json!({ "new": PASSWORD })).await.expect(204);
        let with_password = app.browser();
        log_in(&with_password, "cookie").await;
        let tokens = Tokens::of(&log_in(&app.program(), "token").await);
        let next =
            app.program().post("/api/auth/refresh", json!({ "refresh_token": tokens.refresh })).await.expect(200);
        let next = Tokens::of(&next.json());
        // All of it is in the caches, and a challenge is still open.
        for client in [&browser, &with_password, &app.program().bearer(&next.access)] {
            assert!(client.is_signed_in().await);
        }
        let waiting = app.browser();
        let open = app.challenge_with(&waiting, ADA).await;

        let mut secrets = vec![("password", PASSWORD.to_owned())];
        for client in [&browser, &with_password] {
            secrets.push(("session token", client.session_token()));
        }
        for client in [&browser, &waiting] {
            secrets.push(("flow token", client.cookie("gatepost_flow").expect("a flow token")));
        }
        secrets.push(("device mark", browser.cookie("gatepost_device").expect("a device mark")));
        for pair in [&linked, &tokens, &next] {
            secrets.extend([("access token", pair.access.clone()), ("refresh token", pair.refresh.clone())]);
            let signature = pair.access.rsplit('.').next().expect("a signature").to_owned();
            secrets.push(("signature of an access token", signature));
        }
        let challenges = [&by_code, &by_link, &open];
        secrets.extend(challenges.map(|challenge| ("link token", challenge.mail.token().to_owned())));
        expect_none_of(&app, &secrets).await;
        expect_no_codes(&app, &challenges.map(super::app::Challenge::code)).await;
        expect_not_logged(&secrets, &challenges.map(super::app::Challenge::code));
        // What the search would have missed, it would also miss here: it does find what is stored.
        let ids = challenges.map(|challenge| challenge.id.clone());
        let found = stored(&app).await.into_iter().any(|(_, bytes)| {
            let id: Vec<u8> = ids[2].bytes().filter(|byte| *byte != b'-').collect();
            let raw = uuid::Uuid::parse_str(&ids[2]).unwrap().into_bytes();
            [ids[2].as_bytes(), &id, &raw].iter().any(|form| bytes.windows(form.len()).any(|window| window == *form))
        });
        assert!(found, "the open challenge is stored");
    }
}
