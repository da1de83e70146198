//! What somebody finds who steals the database, Redis, or the log: nothing that lets anybody in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::connection::SimpleConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};
use serde_json::json;

use crate::SOON;
use crate::person::Person;
use crate::server::ServerProcess;
use crate::setup::{SECRET, Setup};
use crate::support::eventually;

const PASSWORD: &str = "violet-Umbrella-1729-river";
const LOUD: [(&str, &str); 2] = [("RUST_LOG", "debug"), ("LOGIN_METHOD", "otp,magic_link,password")];

/// Something that must not be found, and what it is.
struct Secret(&'static str, String);

/// A place to look in, and what is there.
struct Place(&'static str, Vec<u8>);

#[tokio::test]
async fn a_stolen_directory_signs_nobody_in() {
    let setup = Setup::embedded();
    let mut server = setup.start_with(&LOUD).await;
    let mut secrets = a_day(&setup, &server).await;
    let kept = std::fs::read_to_string(setup.data_dir().join("secret")).unwrap();
    secrets.push(Secret("the secret", kept.trim().to_owned()));

    let file = |name: &str| std::fs::read(setup.data_dir().join(name)).unwrap_or_default();
    let (database, log) = (file("gatepost.db"), file("gatepost.db-wal"));
    assert!(!database.is_empty() && !log.is_empty(), "both files are in use while the server runs");
    let rows = sqlite_rows(&setup);
    assert!(rows.contains("ann@example.com"), "there is something to look through");
    server.kill();
    look_for(
        &secrets,
        &[
            Place("the SQLite file", database),
            Place("the SQLite write-ahead log", log),
            Place("the rows of SQLite", rows.into_bytes()),
            Place("the log", heard(&server)),
        ],
    );
}

#[tokio::test]
async fn stolen_servers_sign_nobody_in() {
    let setup = Setup::on_servers().await;
    let mut server = setup.start_with(&LOUD).await;
    let mut secrets = a_day(&setup, &server).await;
    secrets.push(Secret("the secret", SECRET.to_owned()));
    let servers = setup.servers();
    let rows = servers.database.dump().await.join("\n");
    assert!(rows.contains("ann@example.com"), "there is something to look through");
    let redis = servers.redis.dump().await.join("\n");
    assert!(redis.contains("session:") && redis.contains("user:id:"), "there is something to look through: {redis}");
    assert!(!redis.contains("argon2"), "no hash of a password either: {redis}");
    server.kill();
    look_for(
        &secrets,
        &[
            Place("the rows of Postgres", rows.into_bytes()),
            Place("Redis", redis.into_bytes()),
            Place("the log", heard(&server)),
        ],
    );
}

/// Every way of signing in, some used and some still good, and all that proves or proved anything.
async fn a_day(setup: &Setup, server: &ServerProcess) -> Vec<Secret> {
    let mut secrets = vec![Secret("the password", PASSWORD.to_owned())];
    let mailed = async |address: &str, secrets: &mut Vec<Secret>| {
        let mail = setup.next_code_to(server, address).await;
        let (code, link) = (mail.code().unwrap(), mail.link().unwrap());
        let token = link.split("token=").nth(1).expect("a link has a token").split('&').next().unwrap().to_owned();
        secrets.push(Secret("a code", code.clone()));
        secrets.push(Secret("a link's token", token.clone()));
        (code, token)
    };

    let ann = Person::new("ann@example.com");
    let challenge = ann.ask(server).await;
    let (code, _) = mailed(&ann.email, &mut secrets).await;
    let signed_in = ann.answer(server, &challenge, &code, "cookie").await;
    secrets.push(Secret("a session token", signed_in.cookie.unwrap()));
    assert!(ann.is_known(server).await);
    let changed = ann.post(server, "/api/auth/change-password", &json!({ "new": PASSWORD })).await;
    assert_eq!(changed.status(), 204, "{}", changed.text().await.unwrap());
    let login = json!({ "email": ann.email, "password": PASSWORD });
    let wrong = json!({ "email": ann.email, "password": format!("{PASSWORD}?") });
    assert_eq!(Person::new(&ann.email).post(server, "/api/auth/login", &wrong).await.status(), 401);
    let signed_in = ann.let_in(server, "/api/auth/login", &login).await;
    secrets.push(Secret("a session token after a password", signed_in.cookie.unwrap()));

    let bob = Person::new("bob@example.com");
    let challenge = bob.ask(server).await;
    let (code, _) = mailed(&bob.email, &mut secrets).await;
    let tokens = bob.answer(server, &challenge, &code, "token").await;
    let refresh = tokens.text("refresh_token");
    secrets.push(Secret("an access token", tokens.text("access_token")));
    secrets.push(Secret("a refresh token", refresh.clone()));
    let renewed = bob.post(server, "/api/auth/refresh", &json!({ "refresh_token": refresh })).await;
    assert_eq!(renewed.status(), 200);
    let renewed: serde_json::Value = renewed.json().await.unwrap();
    for (what, field) in [("a renewed access token", "access_token"), ("a renewed refresh token", "refresh_token")] {
        secrets.push(Secret(what, renewed[field].as_str().unwrap().to_owned()));
    }
    let mine = reqwest::Client::new().get(server.url("/api/auth/validate"));
    let mine = mine.bearer_auth(renewed["access_token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(mine.status(), 200);

    let eve = Person::new("eve@example.com");
    let asked = eve.try_to_ask(server).await;
    let flow = asked.cookies().find(|cookie| cookie.name() == "gatepost_flow").expect("a flow cookie");
    secrets.push(Secret("a flow token", flow.value().to_owned()));
    let (_, token) = mailed(&eve.email, &mut secrets).await;
    let signed_in = eve.let_in(server, "/api/auth/magic-link/verify", &json!({ "token": token })).await;
    secrets.push(Secret("a session token after a link", signed_in.cookie.unwrap()));
    // A page that is shown with a token in its address, and one asked for but never used.
    let late = Person::new("late@example.com");
    late.ask(server).await;
    let (_, token) = mailed(&late.email, &mut secrets).await;
    assert_eq!(reqwest::get(server.url(&format!("/login/link?token={token}"))).await.unwrap().status(), 200);
    // Wrong guesses are no secrets, but a log that shows them would show right ones too.
    let guess = json!({ "challenge_id": challenge, "code": "909090" });
    assert_eq!(late.post(server, "/api/auth/otp/verify", &guess).await.status(), 401);
    secrets.push(Secret("a guess", "909090".to_owned()));
    eventually("everybody's standing to be known", SOON, async || ann.is_known(server).await.then_some(())).await;
    secrets
}

/// What the server logged. It has said what it was doing, so that there is something to look through.
fn heard(server: &ServerProcess) -> Vec<u8> {
    let log = server.log();
    assert!(log.contains("DEBUG") && log.contains("/api/auth/otp/verify"), "debug lines name the routes:\n{log}");
    log.into_bytes()
}

fn look_for(secrets: &[Secret], places: &[Place]) {
    let mut found = Vec::new();
    for Place(place, bytes) in places {
        for Secret(what, secret) in secrets {
            if forms(secret).iter().any(|form| holds(bytes, form)) {
                found.push(format!("{place} holds {what}: {secret}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The secret as it is, without its prefix, and the bytes that it stands for, raw and in hexadecimal.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    for part in secret.split(['_', '.']).filter(|part| part.len() >= 32).chain([secret]) {
        if let Ok(bytes) = URL_SAFE_NO_PAD.decode(part)
            && bytes.len() >= 16
        {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            forms.push(hex.concat().into_bytes());
            forms.push(bytes);
        }
    }
    forms
}

/// Whether `needle` is in `bytes`; six digits only where they stand alone, since longer numbers and fractions of
/// seconds have all kinds of digits in them.
fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    let is_code = needle.len() == 6;
    bytes.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
        let after = bytes.get(at + needle.len()).copied().unwrap_or(b' ');
        !is_code || !(before.is_ascii_alphanumeric() || before == b'.' || after.is_ascii_alphanumeric())
    })
}

#[test]
fn the_search_finds_what_is_there() {
    let code = b"123456";
    assert!(holds(br#"{"code":"123456"}"#, code) && holds(b"code=123456", code) && holds(b"123456", code));
    assert!(!holds(b"12:00:00.123456+00", code) && !holds(b"0123456", code) && !holds(b"b123456f-", code));
    assert!(forms("gps_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").contains(&vec![0; 32]));
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = sql_types::Text)]
    text: String,
}

/// Every value of every table, one a line.
fn sqlite_rows(setup: &Setup) -> String {
    let path = setup.data_dir().join("gatepost.db");
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
    let mut texts = |query: String| -> Vec<String> {
        sql_query(query).load::<Text>(&mut conn).unwrap().into_iter().map(|row| row.text).collect()
    };
    let mut rows = Vec::new();
    for table in texts("SELECT name AS text FROM sqlite_master WHERE type = 'table'".to_owned()) {
        for column in texts(format!("SELECT name AS text FROM pragma_table_info('{table}')")) {
            rows.extend(texts(format!("SELECT '{table}.{column} ' || quote(\"{column}\") AS text FROM \"{table}\"")));
        }
    }
    rows.join("\n")
}
