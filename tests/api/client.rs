//! Speaks HTTP to a server, as a browser or as a program, and checks what every answer has to have.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// A client with a cookie jar of its own; clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    jar: Arc<Jar>,
    /// What it sends with every request.
    headers: HeaderMap,
    /// What it sends with every write.
    origin: Option<String>,
}

impl Client {
    /// A client of the server at `address`.
    pub(crate) fn new(address: SocketAddr, user_agent: &str) -> Self {
        let jar = Arc::new(Jar::default());
        let http = reqwest::Client::builder()
            .user_agent(user_agent)
            .redirect(Policy::none())
            .cookie_provider(jar.clone())
            .timeout(Duration::from_mins(1))
            .no_proxy()
            .build()
            .expect("a client can be built");
        Self { http, base: format!("http://{address}"), jar, headers: HeaderMap::new(), origin: None }
    }

    /// The same client, whose writes come from a page of `origin`.
    pub(crate) fn with_origin(&self, origin: &str) -> Self {
        Self { origin: Some(origin.to_owned()), ..self.clone() }
    }

    /// The same client, whose writes say nothing about where they come from.
    pub(crate) fn without_origin(&self) -> Self {
        Self { origin: None, ..self.clone() }
    }

    /// The same client with one more header on every request.
    pub(crate) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        client.headers.insert(HeaderName::from_static(name), value);
        client
    }

    /// The same client with a bearer token.
    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// The same client at another instance; cookies do not care about ports.
    pub(crate) fn at(&self, app: &crate::app::TestApp) -> Self {
        Self { base: format!("http://{}", app.address), ..self.clone() }
    }

    /// The value of a cookie in the jar.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let url = self.base.parse().expect("a URL");
        let header = self.jar.cookies(&url)?;
        let pairs = header.to_str().ok()?.split("; ");
        pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    }

    /// The token in the session cookie.
    pub(crate) fn session_token(&self) -> String {
        self.cookie("gatepost_session").expect("the client has a session cookie")
    }

    /// Puts a cookie into the jar.
    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        self.jar.add_cookie_str(&format!("{name}={value}; Path=/"), &self.base.parse().expect("a URL"));
    }

    /// A request with the client's headers, for what the other methods cannot say.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let writes = !method.is_safe();
        let mut request = self.http.request(method, format!("{}{path}", self.base)).headers(self.headers.clone());
        if let (true, Some(origin)) = (writes, &self.origin) {
            request = request.header("origin", origin);
        }
        request
    }

    /// Sends a request made by [`Self::request`].
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().expect("the request can be built");
        let what = format!("{} {}", request.method(), request.url().path());
        let response = self.http.execute(request).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned(), what }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// A page, as a browser asks for it.
    pub(crate) async fn page(&self, path: &str) -> Answer {
        let request = self.request(Method::GET, path).header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        self.send(request).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.send(self.request(Method::HEAD, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    #[allow(clippy::needless_pass_by_value, reason = "callers write the body in place")]
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    #[allow(clippy::needless_pass_by_value, reason = "callers write the body in place")]
    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    /// Posts a form, as a page's button does.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::POST, path).header("accept", "text/html,*/*;q=0.8").form(fields)).await
    }

    /// Who this client is, by the server's word.
    pub(crate) async fn validate(&self) -> Answer {
        self.get("/api/auth/validate").await
    }

    /// Whether the server takes this client for somebody.
    pub(crate) async fn is_signed_in(&self) -> bool {
        let answer = self.validate().await;
        if answer.status != 200 {
            answer.expect_problem(401, "unauthorized");
            return false;
        }
        true
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    what: String,
}

impl Answer {
    /// Fails unless the answer has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.what, self.body);
        assert!(self.header("x-request-id").is_some(), "{}: no X-Request-Id", self.what);
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}: {}", self.what, self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{}: {error} in {}", self.what, self.body))
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| std::str::from_utf8(value.as_bytes()).expect("a header in UTF-8"))
    }

    /// Where a redirect leads.
    #[track_caller]
    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("{} answered {} and no Location", self.what, self.status))
    }

    /// The `Set-Cookie` header of this cookie.
    pub(crate) fn set_cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("a cookie in ASCII"));
        lines.into_iter().find(|line| line.starts_with(&format!("{name}=")))
    }

    /// Fails unless this is a page.
    #[track_caller]
    pub(crate) fn expect_page(self, status: u16) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{}", answer.what);
        answer
    }

    /// Fails unless this sends the browser on to `location`.
    #[track_caller]
    pub(crate) fn expect_redirect(self, location: &str) -> Self {
        let answer = self.expect(303);
        assert_eq!(answer.location(), location, "{}", answer.what);
        answer
    }

    /// Fails unless this is a problem (RFC 9457) with this status and code; gives its body.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> Value {
        let problem = self.problem();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{}: {problem}", self.what);
        problem
    }

    /// The body as a problem that has everything a problem has to have.
    #[track_caller]
    pub(crate) fn problem(&self) -> Value {
        let what = format!("{} answered {}: {}", self.what, self.status, self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{what}");
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(problem["status"], self.status, "{what}");
        let code = problem["code"].as_str().unwrap_or_else(|| panic!("{what}"));
        assert!(!code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{what}");
        assert_eq!(problem["type"], format!("urn:gatepost:problem:{code}"), "{what}");
        for text in ["title", "detail"] {
            assert!(problem[text].as_str().is_some_and(|text| !text.trim().is_empty()), "{what}");
        }
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{what}");
        assert!(problem["request_id"].as_str().is_some_and(|id| id.parse::<uuid::Uuid>().is_ok()), "{what}");
        let known = ["type", "title", "status", "code", "detail", "request_id", "errors"];
        assert!(problem.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{what}");
        assert_eq!(problem.get("errors").is_some(), matches!(code, "invalid_input" | "taken"), "{what}");
        for error in problem["errors"].as_array().unwrap_or(&Vec::new()) {
            for text in ["field", "code", "detail"] {
                assert!(error[text].as_str().is_some_and(|text| !text.is_empty()), "{what}");
            }
        }
        problem
    }

    /// Fails unless this is a problem about exactly these fields of the body.
    #[track_caller]
    pub(crate) fn expect_wrong_fields(&self, fields: &[&str]) -> Value {
        let problem = self.expect_problem(400, "invalid_input");
        let errors = problem["errors"].as_array().expect("bad input lists what is wrong");
        let named: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(named, fields, "{problem}");
        problem
    }
}
