//! What gets into the log of a real process: no secret, and no line that somebody else wrote.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::server::ServerProcess;
use crate::support::{Fault, Postgres, Redis, SmtpSink, Stage, TestDatabase};

const ADA: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery staple";
const SECRET: &str = "the-secret-of-the-logged-server-0123456789";
/// What no log line may be: were it believed, an attacker would write the log.
const FORGED: &str = "forged-line";
const FORGERY: &str = "[2026-01-01T00:00:00Z ERROR gatepost] forged-line";

/// A server with all that it logs, and what it stands on.
struct Logged {
    server: ServerProcess,
    sink: SmtpSink,
    database: TestDatabase,
    _redis: Redis,
    _data: tempfile::TempDir,
}

impl Logged {
    async fn start(format: &str) -> Self {
        let (database, redis, sink) = tokio::join!(Postgres::migrated(), Redis::start(), SmtpSink::start());
        let data = tempfile::tempdir().expect("a directory");
        let (smtp, redis_url, place) = (sink.url(), redis.url(), data.path().join("data").display().to_string());
        let server = ServerProcess::start(&[
            ("GATEPOST_DATA_DIR", &place),
            ("DATABASE_URL", &database.url),
            ("REDIS_URL", &redis_url),
            ("SMTP_URL", &smtp),
            ("MAIL_FROM", "Gatepost <no-reply@gatepost.test>"),
            ("GATEPOST_SECRET", SECRET),
            ("GATEPOST_REGISTRATION", "open"),
            ("GATEPOST_RATE_LIMITS", "off"),
            ("GATEPOST_AUTH_PASSWORD_MEMORY_KIB", "8192"),
            ("GATEPOST_AUTH_PASSWORD_ITERATIONS", "1"),
            ("LOGIN_METHOD", "otp,magic_link,password"),
            ("RUST_LOG", "debug"),
            ("GATEPOST_LOG_FORMAT", format),
        ])
        .await;
        Self { server, sink, database, _redis: redis, _data: data }
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.server.port()).into()
    }

    fn program(&self) -> Client {
        Client::new(self.address(), "acme-cli/1.0")
    }

    fn browser(&self) -> Client {
        Client::new(self.address(), crate::app::FIREFOX).with_origin(&self.server.origin())
    }

    /// Sends bytes as they are.
    async fn raw(&self, request: &str) {
        let mut stream = TcpStream::connect(self.address()).await.expect("the server listens");
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = [0; 1024];
        let _ = tokio::time::timeout(crate::app::SOON, stream.read(&mut answer)).await;
    }

    /// Asks for a mail and takes the challenge's id, the code and the link out of it.
    async fn challenge(&self, client: &Client, email: &str) -> (String, String, String) {
        let answer = client.post("/api/auth/otp/request", json!({ "email": email })).await.expect(202).json();
        let mail = loop {
            let mail = self.sink.next_to(email).await;
            if mail.code().is_some() {
                break mail;
            }
        };
        let link = mail.text().unwrap_or_default();
        let token = link.split("token=").nth(1).expect("a link").split_whitespace().next().expect("a token").to_owned();
        (answer["challenge_id"].as_str().expect("an id").to_owned(), mail.code().expect("a code"), token)
    }
}

/// Everything that carries text into the server, with ends of lines in it, raw and encoded.
async fn inject(logged: &Logged) {
    let host = logged.address();
    for end in ["\r\n", "\n", "\r", "%0d%0a", "\\r\\n", "\u{85}", "\u{2028}"] {
        let line = format!("x{end}{FORGERY}");
        for (path, body) in [
            ("/api/auth/otp/request", json!({ "email": format!("a{line}@example.com"), "next": line, "locale": line })),
            ("/api/auth/register", json!({ "email": "eve@example.com", "name": line, "note": line })),
            ("/api/auth/login", json!({ "email": format!("{line}@example.com"), "password": line })),
            ("/api/auth/otp/verify", json!({ "challenge_id": line, "code": line })),
            ("/api/auth/magic-link/verify", json!({ "token": line })),
            ("/api/auth/refresh", json!({ "refresh_token": line })),
        ] {
            let answer = logged.program().post(path, body).await;
            assert!(answer.status < 500, "{path}: {}", answer.body);
        }
        for header in
            ["User-Agent", "X-Forwarded-For", "X-Request-Id", "Accept-Language", "Cookie", "Authorization", "Origin"]
        {
            logged
                .raw(&format!(
                    "GET /api/auth/validate HTTP/1.1\r\nHost: {host}\r\n{header}: {line}\r\nConnection: close\r\n\r\n"
                ))
                .await;
        }
        logged.raw(&format!("GET /{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        logged.raw(&format!("{line} / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    }
    // The relay writes, too.
    let fault = Fault::Reply { stage: Stage::Rcpt, code: 550, text: "refused\u{1b}[2K forged-line" };
    logged.sink.script(fault.for_domain("refused.test"));
    let before = logged.sink.reached(Stage::Rcpt);
    logged.program().post("/api/auth/otp/request", json!({ "email": "a@refused.test" })).await.expect(202);
    logged.sink.wait_until_reached(Stage::Rcpt, before + 1, crate::app::SOON).await;
}

/// Signs in in every way; gives every secret that there was.
async fn secrets(logged: &Logged) -> Vec<(&'static str, String)> {
    let browser = logged.browser();
    let (id, code, link) = logged.challenge(&browser, ADA).await;
    let body = json!({ "challenge_id": id, "code": "000000" });
    logged.program().post("/api/auth/otp/verify", body).await;
    crate::app::verify(&browser, &id, &code).await.expect(200);
    browser.post("/api/auth/change-password", json!({ "new": PASSWORD })).await.expect(204);
    let body = json!({ "email": ADA, "password": PASSWORD, "mode": "token" });
    let tokens = logged.program().post("/api/auth/login", body).await.expect(200).json();
    let text = |value: &Value, name: &str| value[name].as_str().expect("a text").to_owned();
    let refreshed = json!({ "refresh_token": text(&tokens, "refresh_token") });
    let next = logged.program().post("/api/auth/refresh", refreshed).await.expect(200).json();
    let (_, _, other) = logged.challenge(&browser, ADA).await;
    let body = json!({ "token": other, "mode": "token" });
    logged.program().post("/api/auth/magic-link/verify", body).await.expect(200);
    logged.browser().page(&format!("/login/link?token={link}")).await;
    logged.program().bearer(&text(&next, "access_token")).validate().await.expect(200);
    // Refusals are where a careless log line would tell what was refused.
    logged.program().bearer(&format!("{}x", text(&next, "access_token"))).validate().await.expect(401);
    logged
        .program()
        .with("cookie", &format!("gatepost_session={}x", browser.session_token()))
        .validate()
        .await
        .expect(401);
    vec![
        ("code", code),
        ("link", link),
        ("another link", other),
        ("session token", browser.session_token()),
        ("flow token", browser.cookie("gatepost_flow").expect("a flow token")),
        ("access token", text(&tokens, "access_token")),
        ("refresh token", text(&tokens, "refresh_token")),
        ("the next refresh token", text(&next, "refresh_token")),
        ("password", PASSWORD.to_owned()),
        ("server's secret", SECRET.to_owned()),
    ]
}

/// Whether `secret` stands in `line` alone: six digits of a longer number are no code.
fn shows(line: &str, secret: &str) -> bool {
    line.match_indices(secret).any(|(at, _)| {
        let borders = |c: Option<char>| !c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.');
        let (before, after) = (&line[..at], &line[at + secret.len()..]);
        secret.len() > 6 || (borders(before.chars().next_back()) && borders(after.chars().next()))
    })
}

async fn expect_a_clean_log(format: &str, is_a_line: fn(&str) -> bool) {
    let logged = Logged::start(format).await;
    let secrets = secrets(&logged).await;
    inject(&logged).await;
    // Whatever was logged before this is there, too.
    let accounts = logged.database.client().await.query_one("SELECT count(*) FROM users", &[]).await.unwrap();
    assert!(accounts.get::<_, i64>(0) >= 1);
    logged.server.terminate();
    let Logged { mut server, sink: _sink, database: _database, _redis, _data } = logged;
    server.wait(crate::app::SOON).await;
    let log = server.log();
    assert!(log.lines().count() > 50, "there is a log:\n{log}");
    for line in log.split('\n').filter(|line| !line.is_empty()) {
        assert!(is_a_line(line), "somebody else wrote {line:?}");
        assert!(!line.contains(['\r', '\u{1b}', '\u{85}', '\u{2028}']), "{line:?}");
        for (what, secret) in &secrets {
            assert!(!shows(line, secret), "the {what} {secret} is in the log: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_for_people_has_no_secret_and_no_line_of_anybody_else() {
    expect_a_clean_log("text", |line| {
        let time = line.strip_prefix('[').and_then(|rest| rest.split_once(' ')).map(|(time, _)| time);
        let begins = time.is_some_and(|time| time.len() == 20 && time.ends_with('Z')) && !line.starts_with(FORGERY);
        // What goes on in another line is indented: statements of several lines, say, but nothing that was sent.
        begins || (line.starts_with("    ") && !line.contains(FORGED))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_for_collectors_has_no_secret_and_no_line_of_anybody_else() {
    expect_a_clean_log("json", |line| {
        serde_json::from_str::<Value>(line)
            .is_ok_and(|line| ["time", "level", "target", "message"].iter().all(|name| line[name].is_string()))
    })
    .await;
}
