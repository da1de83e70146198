//! What no client should send. Every route answers it with a refusal, never with a fault, and goes on serving.

use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::app::{Options, PUBLIC_URL, TestApp};
use crate::client::{Answer, Client};

const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
/// Every field that any body has.
const FIELDS: [&str; 23] = [
    "email",
    "name",
    "note",
    "locale",
    "next",
    "challenge_id",
    "code",
    "token",
    "mode",
    "password",
    "current",
    "new",
    "refresh_token",
    "username",
    "phone",
    "return_to",
    "status",
    "kind",
    "ids",
    "cursor",
    "reason",
    "detail",
    "days",
];

/// A route with its methods, as the server declares it.
struct Route {
    path: String,
    methods: Vec<Method>,
}

impl Route {
    fn is_api(&self) -> bool {
        self.path.starts_with("/api/")
    }

    /// Whether it needs no body to do its work, and whatever is sent is passed over.
    fn reads_no_body(&self) -> bool {
        let steers_one_mail = self.path.starts_with(&format!("/api/admin/mail/{NOBODY}/"));
        let ends = ["/logout", "/api/admin/mail/pause", "/api/admin/mail/resume"];
        steers_one_mail || ends.iter().any(|end| self.path.ends_with(end))
    }

    /// What the server is to say of its methods; what answers GET answers HEAD.
    fn allowed(&self) -> String {
        self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ").replace("GET", "GET, HEAD")
    }

    fn writes(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter().filter(|method| matches!(**method, Method::POST | Method::PUT))
    }
}

fn routes() -> Vec<Route> {
    let source = include_str!("../../src/http/routes.rs");
    let methods = [("get", Method::GET), ("post", Method::POST), ("put", Method::PUT), ("delete", Method::DELETE)];
    let read = |line: &str| {
        let (path, rest) = line.split_once(r#"at(""#)?.1.split_once('"')?;
        let path = path.replace("{id}", NOBODY).replace("{action}", "ban").replace("{name}", "favicon.svg");
        let path = path.replace("{email}", "nobody@example.com");
        let has = |name: &str| rest.contains(&format!(".route({name}()"));
        let methods: Vec<_> = methods.iter().filter(|(name, _)| has(name)).map(|(_, method)| method.clone()).collect();
        assert!(!methods.is_empty(), "{line} has no methods");
        Some(Route { path, methods })
    };
    let routes: Vec<Route> = source.lines().filter_map(read).collect();
    assert!(routes.len() > 40, "the routes are declared in another way");
    routes
}

/// Fails on a fault, and on a refusal that does not say what is wrong.
#[track_caller]
fn expect_no_fault(answer: &Answer, what: &str) {
    assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.body);
    assert!(answer.header("x-request-id").is_some(), "{what}");
    if answer.status >= 400 && answer.header("content-type") != Some("text/html; charset=utf-8") {
        answer.problem();
    }
}

/// Fails unless this is a refusal for programs.
#[track_caller]
fn expect_refusal(answer: &Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
    answer.problem();
}

async fn expect_still_serving(app: &TestApp) {
    assert!(app.sign_in("after@example.com").await.is_signed_in().await);
}

async fn send(client: &Client, method: &Method, path: &str, kind: Option<&'static str>, body: Vec<u8>) -> Answer {
    let mut request = client.request(method.clone(), path).body(body);
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    client.send(request).await
}

fn every_field(value: &Value) -> Vec<u8> {
    // A password may be any text.
    let fields = FIELDS.iter().filter(|field| !(value.is_string() && **field == "new"));
    let object: serde_json::Map<_, _> = fields.map(|field| ((*field).to_owned(), value.clone())).collect();
    Value::Object(object).to_string().into_bytes()
}

/// Bodies that no route takes.
fn wrong_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000)).into_bytes();
    let mut utf16: Vec<u8> = vec![0xff, 0xfe];
    utf16.extend("{}".encode_utf16().flat_map(u16::to_le_bytes));
    vec![
        ("half of an object", b"{".to_vec()),
        ("two objects", b"{}{}".to_vec()),
        ("an array", b"[]".to_vec()),
        ("an array of the fields", br#"["ada@example.com", null, null, null]"#.to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"5".to_vec()),
        ("a text", br#""text""#.to_vec()),
        ("a form", b"email=ada&email=bob".to_vec()),
        ("invalid UTF-8", b"{\"email\": \"\xff\xfe\", \"name\": \"\xc3\"}".to_vec()),
        ("half of a surrogate", br#"{"email": "\ud800", "note": "\ud800", "name": "\ud800"}"#.to_vec()),
        ("UTF-16", utf16),
        ("deep arrays", deep("[", "]")),
        ("deep objects", deep(r#"{"email":"#, "}")),
        ("numbers", every_field(&json!(5))),
        ("switches", every_field(&json!(true))),
        ("lists", every_field(&json!(["ada@example.com"]))),
        ("objects", every_field(&json!({ "email": "ada@example.com" }))),
        ("null bytes", every_field(&json!("\u{0}"))),
        ("controls", every_field(&json!("a\r\nBcc: b@example.com\r\n\r\n"))),
        ("long texts", every_field(&json!("x".repeat(3000)))),
        (
            "the same field twice",
            br#"{"email":"a@example.com","email":"b@example.com","note":"","note":"","name":"","name":""}"#.to_vec(),
        ),
        ("a number beyond all", br#"{"email":1e999999,"note":1e999999,"name":1e999999}"#.to_vec()),
    ]
}

on_both_setups! {
    async fn wrong_bodies_are_refused_by_every_route(
        app: TestApp = Options::methods("otp,magic_link,password").unlimited()
    ) {
        let (admin, anybody) = (app.admin().await, app.browser());
        for route in routes() {
            for method in route.writes() {
                for (name, body) in wrong_bodies() {
                    let what = format!("{method} {} with {name}", route.path);
                    let program = send(&anybody, method, &route.path, Some("application/json"), body.clone()).await;
                    let form = "application/x-www-form-urlencoded";
                    if route.is_api() {
                        expect_refusal(&program, &what);
                        if !route.reads_no_body() {
                            let known = send(admin, method, &route.path, Some("application/json"), body.clone()).await;
                            expect_refusal(&known, &what);
                            let untold = send(admin, method, &route.path, None, body.clone()).await;
                            expect_refusal(&untold, &what);
                        }
                    } else {
                        expect_no_fault(&program, &what);
                        expect_no_fault(&send(&anybody, method, &route.path, Some(form), body.clone()).await, &what);
                        if !route.reads_no_body() {
                            expect_no_fault(&send(admin, method, &route.path, Some(form), body).await, &what);
                        }
                    }
                }
            }
        }
        assert!(admin.is_signed_in().await);
        assert_eq!(app.mails_to("ada@example.com").await.len(), 0, "a refused body sent a mail");
        expect_still_serving(&app).await;
    }

    async fn bodies_of_another_type_and_size_are_refused(
        app: TestApp = Options::methods("otp,magic_link,password").unlimited()
    ) {
        let admin = app.admin().await;
        for route in routes().iter().filter(|route| !route.reads_no_body()) {
            for method in route.writes() {
                let path = &route.path;
                let (right, others) = if route.is_api() {
                    ("application/json", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
                } else {
                    ("application/x-www-form-urlencoded", ["application/json", "text/plain", "multipart/form-data"])
                };
                for other in others {
                    send(admin, method, path, Some(other), b"a=b".to_vec())
                        .await
                        .expect_problem(415, "unsupported_media_type");
                }
                for odd in ["", "/", "application/json; charset=\"", "json", ";;;", "application/jsonx"] {
                    expect_refusal_or_page(&send(admin, method, path, Some(odd), b"[]".to_vec()).await);
                }
                for size in [64 * 1024 + 1, 1024 * 1024] {
                    let large = send(admin, method, path, Some(right), vec![b' '; size]).await;
                    large.expect_problem(413, "payload_too_large");
                }
            }
        }
        expect_still_serving(&app).await;
    }

    async fn odd_addresses_do_no_harm(app: TestApp = Options::without_limits()) {
        let (long, longer) = ("a".repeat(10_000), format!("{}@example.com", "a".repeat(65)));
        let labels = format!("a@{}com", "b.".repeat(200));
        for address in [
            "",
            " ",
            "@",
            "a",
            "a@",
            "@b",
            "a@b@c",
            "a b@example.com",
            "a@exa mple.com",
            "a@b..c",
            "a@.example.com",
            "a@example.com.",
            "a@-example.com",
            ".a@example.com",
            "a..b@example.com",
            "a@example.com\u{0}",
            "\u{0}@b.c",
            "a\r\nBcc: b@example.com",
            "a@example.com\r\nDATA",
            "<a@example.com>",
            "A <a@example.com>",
            "a@example.com,b@example.com",
            "\"a b\"@example.com",
            "\"\\\"\"@example.com",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "a@127.0.0.1",
            "a@localhost",
            "☃@☃.example",
            "a@xn--",
            "a@xn--0",
            "a@ex\u{ad}ample.com",
            "\u{202e}a@example.com",
            "a@example.com\u{200b}",
            "ａ@example.com",
            "a@①.com",
            "a@\u{fdfa}.com",
            "%00@example.com",
            "a%b@example.com",
            "a'--@example.com",
            "';DROP TABLE users;--@example.com",
            "{{7*7}}@example.com",
            "<script>@example.com",
            "../../etc/passwd@example.com",
            "\u{1f600}@example.com",
            &long,
            &longer,
            &labels,
        ] {
            for (path, body) in [
                ("/api/auth/otp/request", json!({ "email": address })),
                ("/api/auth/magic-link/request", json!({ "email": address })),
                ("/api/auth/register", json!({ "email": address, "name": "x" })),
            ] {
                let answer = app.program().post(path, body).await;
                assert!(matches!(answer.status, 202 | 400), "{address}: {} {}", answer.status, answer.body);
                if answer.status == 400 {
                    answer.expect_wrong_fields(&["email"]);
                }
            }
            expect_no_fault(&app.browser().form("/login", &[("email", address)]).await, address);
            expect_no_fault(&app.browser().form("/register", &[("email", address), ("name", address)]).await, address);
        }
        expect_still_serving(&app).await;
    }

    async fn bad_ids_and_parameters_are_refused(app: TestApp = Options::without_limits()) {
        let admin = app.admin().await;
        for id in ["0", "nonsense", "%00", "%ff", "%2e%2e%2f", "%F0%9F%98%80", "'", "{id}", "-1", &"9".repeat(4000)] {
            for (method, path) in [
                (Method::DELETE, format!("/api/sessions/{id}")),
                (Method::GET, format!("/api/admin/users/{id}")),
                (Method::POST, format!("/api/admin/users/{id}/ban")),
                (Method::POST, format!("/api/admin/users/{NOBODY}/{id}")),
                (Method::GET, format!("/admin/approvals/{id}")),
                (Method::POST, format!("/admin/users/{id}/ban")),
                (Method::GET, format!("/assets/{id}")),
            ] {
                let form = path.starts_with("/admin/users");
                let mut request = admin.request(method, &path);
                if form {
                    request = request.form(&[("note", "")]);
                }
                expect_refusal(&admin.send(request).await, &path);
            }
            for path in [
                format!("/login/code?challenge={id}"),
                format!("/login/link?token={id}"),
                format!("/login?next={id}"),
                format!("/account?notice={id}"),
                format!("/admin?status={id}&cursor={id}&limit={id}&search={id}"),
                format!("/api/admin/users?search={id}"),
                format!("/api/admin/users?limit={id}&status={id}"),
                format!("/pending?status={id}"),
                format!("/dev/mail?id={id}"),
                format!("/health?{id}"),
                format!("/?{id}={id}&&&=&"),
            ] {
                expect_no_fault(&admin.get(&path).await, &path);
                expect_no_fault(&app.browser().page(&path).await, &path);
            }
        }
        expect_still_serving(&app).await;
    }

    async fn wrong_methods_and_unknown_paths_are_told(app: TestApp = Options::without_limits()) {
        let browser = app.browser();
        let all = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
        for route in routes().iter().filter(|route| !route.path.starts_with("/dev/")) {
            for method in all.map(|name| name.parse::<Method>().unwrap()) {
                if !route.methods.contains(&method) {
                    let answer = browser.send(browser.request(method, &route.path)).await;
                    answer.expect_problem(405, "method_not_allowed");
                    assert_eq!(answer.header("allow"), Some(&*route.allowed()), "{}", route.path);
                }
            }
        }
        for path in [
            "/nowhere",
            "/api",
            "/api/",
            "/api/auth",
            "/API/auth/validate",
            "/api/auth/validate/",
            "//",
            "/login/",
            "/.git/config",
            "/..%2f",
            "/%",
            "/%00",
            "/%ff%fe",
            "/login%00",
            "/\u{e4}",
            &format!("/{}", "x".repeat(8000)),
            "/assets/",
            "/assets/../Cargo.toml",
            "/docs/x",
        ] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let answer = browser.send(browser.request(method, path)).await;
                assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
                answer.problem();
            }
        }
        expect_still_serving(&app).await;
    }

    async fn absurd_headers_do_no_harm(app: TestApp = Options::without_limits().behind_a_proxy()) {
        let browser = app.admin().await;
        let junk: [&[u8]; 7] =
            [b"", b"\xff\xfe\xfd", b"\xc3\xa4 \xf0\x9f\x98\x80", b",,,;;;===", b"\"", &[b'x'; 6000], b"\t \t"];
        for name in [
            "authorization",
            "cookie",
            "user-agent",
            "accept",
            "accept-language",
            "accept-encoding",
            "origin",
            "referer",
            "sec-fetch-site",
            "x-forwarded-for",
            "forwarded",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-method",
            "x-forwarded-uri",
            "x-request-id",
            "if-none-match",
            "range",
            "traceparent",
        ] {
            for value in junk {
                let what = format!("{name}: {}", String::from_utf8_lossy(value));
                for (method, path) in [
                    (Method::GET, "/api/auth/validate"),
                    (Method::GET, "/forward-auth"),
                    (Method::GET, "/login"),
                    (Method::GET, "/account"),
                    (Method::POST, "/api/auth/otp/request"),
                    (Method::PUT, "/api/profile"),
                ] {
                    let request = browser.request(method, path).header(name, HeaderValue::from_bytes(value).unwrap());
                    expect_no_fault(&browser.send(request.json(&json!({}))).await, &format!("{path}, {what}"));
                }
            }
        }
        for token in
            ["Bearer", "Bearer ", "bearer x y z", "Bearer a.b.c", "Bearer ..", "Digest x", "Bearer gps_", ": x"]
        {
            let answer = app.program().with("authorization", token).validate().await;
            answer.expect_problem(401, "unauthorized");
        }
        for cookie in [
            "gatepost_session",
            "gatepost_session=",
            "gatepost_session=;;;",
            "=",
            "gatepost_session=\"",
            "a=b; gatepost_flow=%00",
        ] {
            app.program().with("cookie", cookie).validate().await.expect_problem(401, "unauthorized");
            expect_no_fault(
                &app.program()
                    .with("cookie", cookie)
                    .with("origin", PUBLIC_URL)
                    .form("/login", &[("email", "a@example.com")])
                    .await,
                cookie,
            );
        }
        assert!(browser.is_signed_in().await);
        expect_still_serving(&app).await;
    }
}

#[track_caller]
fn expect_refusal_or_page(answer: &Answer) {
    assert!((400..500).contains(&answer.status) || answer.status == 303, "{} {}", answer.status, answer.body);
    expect_no_fault(answer, "an odd content type");
}
