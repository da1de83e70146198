//! Routes called by whoever may not. They are read from `/openapi.json` (a test of its own holds that against the router) and
//! from the router's list of pages, so that a new route is among them without being added here.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Options, PUBLIC_URL, TestApp};
use crate::client::{Answer, Client};

const ADA: &str = "ada@example.com";
const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
/// What strangers may call. Everything else has to refuse them; whoever adds to this list says so in a review.
const PUBLIC: [&str; 15] = [
    "/api/auth/otp/request",
    "/api/auth/otp/verify",
    "/api/auth/magic-link/request",
    "/api/auth/magic-link/verify",
    "/api/auth/register",
    "/api/auth/login",
    "/api/auth/refresh",
    "/health",
    "/health/live",
    "/health/ready",
    "/health/cache",
    "/api/health/redis",
    "/metrics",
    "/openapi.json",
    "/.well-known/jwks.json",
];

/// An operation of the API.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// With every parameter filled in.
    pub(crate) path: String,
    /// As it is declared.
    pub(crate) pattern: String,
    /// The names of its parameters, in the path and in the query.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Operation {
    pub(crate) fn is_admins(&self) -> bool {
        self.pattern.starts_with("/api/admin/")
    }

    fn is_public(&self) -> bool {
        // The development mailbox is there on loopback only: see tests/api/hosts.rs.
        PUBLIC.contains(&self.pattern.as_str()) || self.pattern.starts_with("/dev/mail")
    }

    pub(crate) fn writes(&self) -> bool {
        !self.method.is_safe()
    }

    /// Calls it from `client`; a write has an empty object as its body.
    pub(crate) async fn call(&self, client: &Client) -> Answer {
        let request = client.request(self.method.clone(), &self.path);
        client.send(if self.writes() { request.json(&json!({})) } else { request }).await
    }
}

/// `pattern` with a value for every parameter.
fn filled(pattern: &str) -> String {
    let mut path = pattern.to_owned();
    while let Some((before, rest)) = path.split_once('{') {
        let (name, after) = rest.split_once('}').expect("a closed brace");
        let value = match name {
            "action" => "ban",
            "email" | "name" | "subject" => "somebody@example.com",
            _ => NOBODY,
        };
        path = format!("{before}{value}{after}");
    }
    path
}

/// Every operation that the server declares.
pub(crate) async fn operations(app: &TestApp) -> Vec<Operation> {
    let document = app.program().get("/openapi.json").await.expect(200).json();
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (pattern, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let text = |parameter: &Value, name: &str| parameter[name].as_str().unwrap_or_default().to_owned();
            operations.push(Operation {
                method,
                path: filled(pattern),
                pattern: pattern.clone(),
                parameters: parameters.map(|one| (text(one, "in"), text(one, "name"))).collect(),
            });
        }
    }
    assert!(operations.len() > 30, "the document has its operations in another place");
    operations
}

/// The pages for admins, with their methods, as the router declares them.
fn admin_pages() -> Vec<(Method, String)> {
    let mut pages = Vec::new();
    for line in include_str!("../../src/http/routes.rs").lines() {
        let Some((path, routes)) = line.split_once(r#"at(""#).and_then(|(_, rest)| rest.split_once('"')) else {
            continue;
        };
        if path == "/admin" || path.starts_with("/admin/") {
            for (name, method) in [("get", Method::GET), ("post", Method::POST), ("delete", Method::DELETE)] {
                if routes.contains(&format!(".route({name}()")) {
                    pages.push((method, filled(path)));
                }
            }
        }
    }
    assert!(pages.len() > 8, "the router declares its pages in another way");
    pages
}

on_both_setups! {
    async fn strangers_are_refused_by_every_route_that_is_not_public(app: TestApp = Options::without_limits()) {
        let mut refused = 0;
        for operation in operations(&app).await {
            if operation.is_public() || operation.pattern == "/docs" {
                continue;
            }
            for client in [app.program(), app.browser(), app.program().bearer("gps_nonsense")] {
                let answer = operation.call(&client).await;
                answer.expect_problem(401, "unauthorized");
                assert!(answer.header("remote-user").is_none(), "{operation:?}");
            }
            refused += 1;
        }
        assert!(refused > 20, "{refused}");
    }

    async fn users_are_refused_by_every_route_of_admins(app: TestApp = Options::without_limits()) {
        let (ada, tokens) = (app.sign_in(ADA).await, app.tokens(ADA).await);
        let mut refused = 0;
        for operation in operations(&app).await.iter().filter(|operation| operation.is_admins()) {
            for client in [&ada, &app.program().bearer(&tokens.access), &app.program().bearer(&ada.session_token())] {
                operation.call(client).await.expect_problem(403, "forbidden");
            }
            refused += 1;
        }
        assert!(refused > 15, "{refused}");
        // What else the method could be called does not matter to who may call it.
        for name in ["X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL"].map(str::to_lowercase) {
            let request = ada.request(Method::GET, "/api/auth/me").header(name, "/api/admin/users");
            assert_eq!(ada.send(request).await.expect(200).json()["email"], ADA);
        }
        for path in ["/api/admin//users", "/api/admin/../admin/users", "/API/ADMIN/users", "/api/admin/users/", "/api/%61dmin/users",
            "/api/admin/users;x=y", "/api/auth/..%2fadmin/users"]
        {
            let status = ada.get(path).await.status;
            assert!(matches!(status, 400 | 403 | 404), "{path}: {status}");
        }
    }

    async fn pages_of_admins_are_shown_to_admins_alone(app: TestApp = Options::without_limits()) {
        let ada = app.sign_in(ADA).await;
        let before = app.mails().await.len();
        for (method, path) in admin_pages() {
            let ask = |client: &Client| {
                let request = client.request(method.clone(), &path).header("accept", "text/html");
                if method.is_safe() { request } else { request.form(&[("note", "")]) }
            };
            let answer = ada.send(ask(&ada)).await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
            let stranger = app.browser();
            let answer = stranger.send(ask(&stranger)).await;
            assert!(matches!(answer.status, 303 | 401 | 403), "{method} {path}: {}", answer.status);
            if answer.status == 303 {
                assert!(answer.location().starts_with("/login"), "{method} {path}: {}", answer.location());
            }
        }
        assert_eq!(app.mails().await.len(), before);
    }

    async fn an_admins_browser_is_not_steered_by_another_site(app: TestApp = Options::without_limits()) {
        let admin = app.admin().await;
        app.invite(ADA).await;
        let id = app.user_id(ADA).await;
        let mut refused = 0;
        for operation in operations(&app).await.iter().filter(|operation| operation.is_admins() && operation.writes()) {
            let operation = Operation { method: operation.method.clone(), path: operation.path.replace(NOBODY, &id),
                pattern: operation.pattern.clone(), parameters: Vec::new() };
            for foreign in [
                admin.with_origin("https://evil.example"),
                admin.with_origin("null"),
                admin.without_origin(),
                admin.with_origin(PUBLIC_URL).with("sec-fetch-site", "cross-site"),
                admin.with_origin(&format!("{PUBLIC_URL}.evil.example")),
            ] {
                operation.call(&foreign).await.expect_problem(403, "cross_site");
                // What a form of another site can send without being asked first.
                for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
                    let request = foreign.request(operation.method.clone(), &operation.path).header("content-type", kind);
                    let answer = foreign.send(request.body("{}")).await;
                    assert!(matches!(answer.status, 403 | 415), "{operation:?}: {}", answer.body);
                }
            }
            refused += 1;
        }
        assert!(refused > 8, "{refused}");
        for (method, path) in admin_pages().into_iter().filter(|(method, _)| !method.is_safe()) {
            for foreign in [admin.with_origin("https://evil.example"), admin.without_origin()] {
                let request = foreign.request(method.clone(), &path.replace(NOBODY, &id)).form(&[("note", "")]);
                let answer = foreign.send(request).await;
                assert_eq!(answer.status, 403, "{path}: {}", answer.body);
            }
        }
        let user = admin.get(&format!("/api/admin/users/{id}")).await.expect(200).json();
        assert_eq!((&user["status"], &user["role"]), (&json!("approved"), &json!("user")));
    }
}
