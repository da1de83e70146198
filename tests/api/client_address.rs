//! Whom a request comes from: the peer, or whom a trusted proxy tells of, by the one way that the settings name.

use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::app::{Options, TestApp};
use crate::client::Client;
use crate::raw::{Raw, exchange, status};

const ADA: &str = "ada@example.com";
const CLIENT: &str = "203.0.113.9";

/// The address that the only session of `client` is said to come from.
async fn seen(client: &Client) -> Value {
    client.get("/api/sessions").await.expect(200).json()["sessions"][0]["address"].clone()
}

fn behind(header: &str) -> Options {
    Options::default().behind_a_proxy().set("GATEPOST_SERVER_FORWARDED_HEADER", header)
}

fn by_protocol() -> Options {
    Options::default().behind_a_proxy().set("GATEPOST_SERVER_PROXY_PROTOCOL", "required")
}

/// A request on a connection of its own that begins with `announced`.
async fn ask(app: &TestApp, announced: &[u8], what: &str, token: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(app.address, [announced, head.as_bytes()].concat()).await;
    assert!((200..300).contains(&status(&answer)), "{answer}");
    crate::raw::json(&answer)
}

/// How many times a counter has counted, by what an operator reads.
async fn counted(app: &TestApp, announced: &[u8], figure: &str) -> bool {
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    exchange(app.address, [announced, request].concat()).await.contains(figure)
}

on_both_setups! {
    async fn the_header_that_the_settings_name_is_read_and_no_other(app: TestApp = behind("forwarded")) {
        let browser = app.browser().with("forwarded", "for=1.2.3.4, for=\"203.0.113.9:4711\";proto=https");
        let browser = app.sign_in_with(browser.with("x-forwarded-for", "198.51.100.7"), ADA).await;
        assert_eq!(seen(&browser).await, CLIENT);
        let lost = app.sign_in_with(app.browser().with("x-forwarded-for", CLIENT), "bob@example.com").await;
        assert_eq!(seen(&lost).await, "127.0.0.1");
        let metrics = app.program().get("/metrics").await.expect(200).body;
        assert!(metrics.contains(r#"gatepost_forwarding_passed_over_total{why="other_header"}"#), "{metrics}");
    }

    async fn who_is_not_trusted_is_who_they_connect_as_and_is_counted(app: TestApp) {
        let browser = app.browser().with("forwarded", "for=203.0.113.9").with("x-forwarded-for", CLIENT);
        assert_eq!(seen(&app.sign_in_with(browser, ADA).await).await, "127.0.0.1");
        let metrics = app.program().get("/metrics").await.expect(200).body;
        let counted = metrics.lines().find(|line| line.contains(r#"{why="untrusted_peer"}"#));
        assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    }

    async fn no_claim_wins_a_client_behind_a_proxy_another_turn(
        app: TestApp = behind("x-forwarded-for").set("GATEPOST_LIMITS_VERIFY_ADDRESS", "5/300s")
    ) {
        let long = [vec![b','; 60_000], b"203.0.113.9".to_vec()].concat();
        let claims: [&[u8]; 8] = [
            b"203.0.113.9",
            b"1.2.3.4, 203.0.113.9",
            b"::ffff:203.0.113.9",
            b"\xff\xfe\xfd, 203.0.113.9:80",
            b"203.0.113.9, 127.0.0.1",
            b"\"1.2.3.4\", [::ffff:203.0.113.9]:443",
            b"1.2.3.4%eth0,203.0.113.9",
            &long,
        ];
        let body = json!({ "challenge_id": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "123456" });
        let mut refused = 0;
        for claim in claims {
            let request = app.program().request(reqwest::Method::POST, "/api/auth/otp/verify");
            let request = request.header("x-forwarded-for", HeaderValue::from_bytes(claim).unwrap());
            let answer = app.program().send(request.json(&body)).await;
            assert!(matches!(answer.status, 401 | 429), "{} {}", answer.status, answer.body);
            refused += usize::from(answer.status == 429);
        }
        assert_eq!(refused, claims.len() - 5, "all of them are one client");
        let other = app.program().with("x-forwarded-for", "203.0.113.10").post("/api/auth/otp/verify", body).await;
        other.expect_problem(401, "invalid_code");
    }

    async fn a_trusted_peer_announces_its_client_at_the_beginning_of_a_connection(app: TestApp = by_protocol()) {
        let line = b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n".to_vec();
        let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f".to_vec();
        binary.extend([203, 0, 113, 9, 192, 0, 2, 1, 220, 4, 1, 187, 4, 0, 0]);
        // Its own loopback, which is not this machine's: then it is the client itself.
        let loopback = b"PROXY TCP6 ::1 ::1 56324 443\r\n".to_vec();
        let of = [(line, ADA, CLIENT), (binary, "bob@example.com", CLIENT), (loopback, "eve@example.com", "127.0.0.1")];
        for (announced, email, client) in of {
            let asked = ask(&app, &announced, "POST /api/auth/otp/request", "", &json!({ "email": email })).await;
            let code = mailed_code(&app, &announced, email).await;
            let body = json!({ "challenge_id": asked["challenge_id"], "code": code, "mode": "token" });
            let tokens = ask(&app, &announced, "POST /api/auth/otp/verify", "", &body).await;
            let token = tokens["access_token"].as_str().unwrap();
            let listed = ask(&app, &announced, "GET /api/sessions", token, &Value::Null).await;
            assert_eq!(listed["sessions"][0]["address"], client);
        }
    }

    async fn a_trusted_peer_that_announces_nothing_is_cut_off(
        app: TestApp = by_protocol().set("GATEPOST_SERVER_REQUEST_TIMEOUT", "1s")
    ) {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
        let request = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        for start in [
            "",
            "PROXY TCP4 203.0.113.9\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 1 2\n",
            "proxy UNKNOWN\r\n",
            "PROXY\r\n\r\n",
            &long,
            "\r\n\r\n\0\r\nQUIT\n\x21\x11\x7f\x7f",
            "\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
        ] {
            assert_eq!(exchange(app.address, format!("{start}{request}")).await, "", "{start:?}");
        }
        // Half of one, and then nothing.
        for start in ["", "PROXY TCP4 203.0", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c123"] {
            let mut raw = Raw::open(app.address).await;
            raw.send(start).await;
            assert_eq!(raw.read_to_end().await, "", "{start:?}");
        }
        let itself = b"PROXY UNKNOWN\r\n";
        assert!(counted(&app, itself, r#"gatepost_proxy_headers_total{outcome="refused"} 11"#).await);
        // In as many pieces as there are bytes, and with the request in the same piece.
        let mut raw = Raw::open(app.address).await;
        for byte in itself {
            raw.send([*byte]).await;
        }
        raw.send(request).await;
        assert_eq!(status(&raw.read_to_end().await), 200);
    }

    async fn who_is_not_trusted_announces_nobody(
        app: TestApp = by_protocol().set("GATEPOST_TRUSTED_PROXIES", "192.0.2.0/24")
    ) {
        app.program().get("/health").await.expect(200);
        let request = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        for start in ["PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            assert_eq!(status(&exchange(app.address, format!("{start}{request}")).await), 400, "{start:?}");
        }
    }
}

/// The code in the newest mail to `email`, where every connection has to be announced.
async fn mailed_code(app: &TestApp, announced: &[u8], email: &str) -> String {
    let find = |text: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned)
    };
    if app.setup == crate::app::Setup::Servers {
        return app.sign_in_mail_to(email).await.code().to_owned();
    }
    crate::support::eventually("a mail with a code", crate::app::SOON, async || {
        let mails = ask(app, announced, "GET /dev/mail/messages", "", &Value::Null).await;
        let mails = mails.as_array().unwrap().clone();
        mails.iter().find(|mail| mail["to"] == email).and_then(|mail| find(mail["text"].as_str().unwrap()))
    })
    .await
}
