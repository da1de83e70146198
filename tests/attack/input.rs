//! Input that means something to what it passes through: SQL, patterns, markup, null bytes, sizes.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{Options, TestApp};
use crate::client::Answer;
use crate::privilege::{Operation, operations};

const ADA: &str = "ada@example.com";

/// `text` for a path or a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

#[track_caller]
fn expect_no_fault(answer: &Answer, what: &str) {
    assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.body);
    if answer.status >= 400 && !answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        answer.problem();
    }
    let told = ["syntax error", "sqlite", "postgres", "diesel", "panicked", "src/"];
    let body = answer.body.to_lowercase();
    assert!(answer.status < 400 || !told.iter().any(|word| body.contains(word)), "{what}: {}", answer.body);
}

/// Sends bytes as they are; gives the beginning of the answer, or nothing where the connection was closed.
async fn raw(app: &TestApp, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address).await.expect("the server listens");
    // The server may have answered and closed before it was sent everything.
    let _ = stream.write_all(request).await;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(crate::app::SOON, stream.read(&mut answer)).await.expect("an answer in time");
    answer.truncate(read.unwrap_or(0));
    String::from_utf8_lossy(&answer).into_owned()
}

on_both_setups! {
    async fn a_search_is_for_the_text_and_no_pattern_or_statement(app: TestApp = Options::without_limits()) {
        let admin = app.admin().await;
        let named = [
            ("percent@example.com", "50% off"),
            ("under@example.com", "snake_case"),
            ("slash@example.com", r"back\slash"),
            ("quote@example.com", "O'Brien"),
            ("plain@example.com", "Plain"),
        ];
        for (email, name) in named {
            admin.post("/api/admin/users", json!({ "email": email, "name": name })).await.expect(201);
        }
        for (search, found) in [
            ("%", vec!["percent@example.com"]),
            ("0%", vec!["percent@example.com"]),
            ("5_%", vec![]),
            ("_", vec!["under@example.com"]),
            ("e_c", vec!["under@example.com"]),
            ("p_ain", vec![]),
            (r"\", vec!["slash@example.com"]),
            (r"k\s", vec!["slash@example.com"]),
            (r"\%", vec![]),
            ("'", vec!["quote@example.com"]),
            ("' OR '1'='1", vec![]),
            ("'; DROP TABLE users; --", vec![]),
            ("') UNION SELECT password_hash FROM users --", vec![]),
            ("[a-z]", vec![]),
            ("*", vec![]),
            ("PLAIN@", vec!["plain@example.com"]),
        ] {
            for path in ["/api/users/list", "/api/admin/users"] {
                let answer = admin.get(&format!("{path}?limit=200&search={}", encoded(search))).await.expect(200).json();
                let users = answer["users"].as_array().expect("a list");
                let emails: Vec<_> = users.iter().map(|user| user["email"].as_str().unwrap()).collect();
                assert_eq!(emails, found, "{path} for {search:?}");
            }
        }
        assert!(admin.is_signed_in().await);
    }

    async fn no_parameter_of_any_route_is_more_than_a_value(app: TestApp = Options::without_limits()) {
        let admin = app.admin().await;
        let hostile =
            ["\0", "'; DROP TABLE users; --", "%", "\r\nSet-Cookie: a=b", "../../etc/passwd", "{{7*7}}", "\u{202e}", "99999999999999999999", "-1", "a\nb"];
        let mut tried = 0;
        for operation in operations(&app).await {
            for (place, name) in &operation.parameters {
                for value in hostile {
                    let path = match place.as_str() {
                        "path" => operation.pattern.replace(&format!("{{{name}}}"), &encoded(value)),
                        "query" => format!("{}?{name}={}", operation.path, encoded(value)),
                        _ => continue,
                    };
                    // The other parameters of the path.
                    let path = path.replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057").replace("{action}", "ban");
                    if path.contains('{') {
                        continue;
                    }
                    let request = admin.request(operation.method.clone(), &path);
                    let request = if operation.writes() { request.json(&json!({})) } else { request };
                    let answer = admin.send(request).await;
                    expect_no_fault(&answer, &format!("{} {path}", operation.method));
                    assert!(answer.header("set-cookie").is_none_or(|cookie| !cookie.starts_with("a=")), "{path}");
                    if place == "path" {
                        assert!((400..500).contains(&answer.status), "{} {path}: {}", operation.method, answer.status);
                    }
                    tried += 1;
                }
            }
        }
        assert!(tried > 200, "{tried}");
        assert!(admin.is_signed_in().await);
    }

    async fn null_bytes_and_controls_are_refused_in_every_text(app: TestApp = Options::without_limits()) {
        let ada = app.sign_in(ADA).await;
        for text in ["\0", "a\0b", "a\u{1b}[2J", "a\u{7f}", "a\u{85}x", "a\r\nb", "a\u{2028}b", "evil\u{202e}gnp"] {
            ada.put("/api/profile", json!({ "name": text.to_owned() + "x" })).await.expect_wrong_fields(&["name"]);
            ada.put("/api/profile", json!({ "username": format!("ab{text}c") })).await.expect_wrong_fields(&["username"]);
            ada.put("/api/profile", json!({ "phone": format!("+4930{text}1234567") })).await.expect_wrong_fields(&["phone"]);
            let body = json!({ "email": format!("a{text}@example.com"), "name": format!("a{text}b") });
            app.program().post("/api/auth/register", body).await.expect_wrong_fields(&["email", "name"]);
        }
        for (path, body, code) in [
            ("/api/auth/otp/verify", json!({ "challenge_id": "\0", "code": "\0" }), 400),
            ("/api/auth/magic-link/verify", json!({ "token": "\0" }), 401),
            ("/api/auth/refresh", json!({ "refresh_token": "\0" }), 401),
        ] {
            assert_eq!(app.program().post(path, body).await.expect(code).problem()["status"], code);
        }
    }

    async fn what_people_write_about_themselves_stays_text(app: TestApp = Options::registration("approval")) {
        let admin = app.admin().await;
        let name = r#"<img src=x onerror="alert(1)">{{7*7}}${7*7}"#;
        let body = json!({ "email": "eve@example.com", "name": name, "note": format!("{name}\n{name}") });
        let issued = app.program().post("/api/auth/register", body).await.expect(202).json();
        let mail = app.sign_in_mail_to("eve@example.com").await;
        app.verify(issued["challenge_id"].as_str().unwrap(), mail.code()).await.expect(200);
        let id = app.user_id("eve@example.com").await;
        for path in ["/admin", "/admin?status=pending", &format!("/admin/approvals/{id}")] {
            let page = admin.page(path).await.expect_page(200);
            assert!(!page.body.contains("<img src=x"), "{path}");
            let policy = page.header("content-security-policy").expect("a policy");
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline") && !policy.contains("script-src"));
        }
        let notice = app.mail_about(crate::app::ROOT, "").await;
        for mail in app.mails_to(crate::app::ROOT).await.into_iter().chain([notice]) {
            assert!(!mail.html.contains("<img src=x"), "{}", mail.html);
        }
        admin.get("/api/admin/users").await.expect(200).headers.get("x-content-type-options").expect("nosniff");
    }

    async fn too_much_of_anything_is_refused_and_costs_nobody_else(app: TestApp = Options::without_limits()) {
        let admin = app.admin().await;
        // Signing out reads no body.
        let writes = |operation: &&Operation| operation.writes() && operation.pattern != "/api/auth/logout";
        for operation in operations(&app).await.iter().filter(writes) {
            let send = async |size: usize| {
                let body = format!("{{\"email\":\"{}\"}}", "a".repeat(size));
                let request = admin.request(operation.method.clone(), &operation.path);
                admin.send(request.header("content-type", "application/json").body(body)).await
            };
            let answer = send(1024 * 1024).await;
            assert!(answer.status < 500, "{} {}: {}", operation.method, operation.path, answer.body);
            assert!(answer.status == 413 || answer.status < 300 || answer.status == 404 || answer.status == 409 || answer.status == 401,
                "{} {}: {}", operation.method, operation.path, answer.body);
        }
        let host = app.address;
        let many = (0..1000).map(|number| format!("x-{number}: y\r\n")).collect::<Vec<_>>().concat();
        let long = "x".repeat(1024 * 1024);
        for (what, request) in [
            ("many headers", format!("GET /login HTTP/1.1\r\nHost: {host}\r\n{many}\r\n")),
            ("a long header", format!("GET /login HTTP/1.1\r\nHost: {host}\r\nx: {long}\r\n\r\n")),
            ("a long cookie", format!("GET /login HTTP/1.1\r\nHost: {host}\r\ncookie: gatepost_session={long}\r\n\r\n")),
            ("a long path", format!("GET /{long} HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            ("a long method", format!("{long} / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            ("two lengths", format!("POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde")),
            (
                "a length and chunks",
                format!("POST /api/auth/otp/request HTTP/1.1\r\nHost: {host}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX"),
            ),
            ("an odd length", format!("POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: +4\r\n\r\nabcd")),
            ("an odd encoding", format!("POST /login HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
            ("a folded header", format!("GET /login HTTP/1.1\r\nHost: {host}\r\nuser-agent: a\r\n b\r\n\r\n")),
            ("a space before the colon", format!("GET /login HTTP/1.1\r\nHost : {host}\r\n\r\n")),
            ("no HTTP", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}".to_owned()),
        ] {
            let answer = raw(&app, request.as_bytes()).await;
            let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
            assert!(refused, "{what} was answered: {}", answer.lines().next().unwrap_or_default());
        }
        let request = admin.request(Method::GET, "/api/auth/validate");
        admin.send(request).await.expect(200);
    }

    async fn a_place_to_go_afterwards_is_one_of_ours(app: TestApp = Options::without_limits()) {
        for next in ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\t/evil.example", "/..//evil.example",
            "\u{ff0f}/evil.example", "https:evil.example", "/login\r\nSet-Cookie: a=b", "data:text/html,x", "/\u{0}"]
        {
            for path in ["/api/auth/otp/request", "/api/auth/magic-link/request"] {
                let answer = app.program().post(path, json!({ "email": ADA, "next": next })).await;
                answer.expect_wrong_fields(&["next"]);
            }
            let page = app.browser().page(&format!("/login?next={}", encoded(next))).await;
            assert!(page.status < 500 && !page.body.contains("evil.example"), "{next:?}");
        }
        // One that is ours leads there, whatever letters it has.
        for next in ["/account?tab=1", "/\u{e4}\u{f6}?\u{fc}=\u{1f600}", "/a%20b"] {
            let browser = app.browser();
            let sent = browser.form("/login", &[("email", ADA), ("next", next)]).await.expect(303);
            let id = sent.location().split_once("challenge=").expect("a challenge").1.to_owned();
            let code = app.sign_in_mail_to(ADA).await;
            let done = browser.form("/login/code", &[("challenge_id", &id), ("code", code.code())]).await;
            assert_eq!(done.status, 303, "{next}: {}", done.body);
            assert!(done.location().starts_with('/'), "{next}: {}", done.location());
        }
    }
}
