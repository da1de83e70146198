//! A person with a mailbox and a browser, who knows nothing of what the server stands on.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::server::ServerProcess;
use crate::setup::Setup;

const ASK: &str = "/api/auth/otp/request";
/// Longer than any answer may take here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with its cookies, and whose it is.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) email: String,
    browser: reqwest::Client,
}

/// What proves a session, as the client got it.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) body: Value,
    /// The value of the session cookie, where one was set.
    pub(crate) cookie: Option<String>,
}

impl SignedIn {
    /// A text of the body.
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body)).to_owned()
    }
}

impl Person {
    /// Somebody whom the server does not know yet.
    pub(crate) fn new(email: &str) -> Self {
        let browser = reqwest::Client::builder().cookie_store(true).timeout(PATIENCE).build();
        Self { email: email.to_owned(), browser: browser.expect("a client") }
    }

    /// Somebody who has signed in with a cookie.
    pub(crate) async fn signed_in(setup: &Setup, server: &ServerProcess, email: &str) -> Self {
        Self::signed_in_with_cookie(setup, server, email).await.0
    }

    /// Somebody who has signed in, and the value of the cookie.
    pub(crate) async fn signed_in_with_cookie(setup: &Setup, server: &ServerProcess, email: &str) -> (Self, String) {
        let person = Self::new(email);
        let challenge = person.ask(server).await;
        let code = setup.next_code_to(server, email).await.code().expect("a code");
        let signed_in = person.answer(server, &challenge, &code, "cookie").await;
        (person, signed_in.cookie.expect("a session cookie"))
    }

    /// Somebody who has `cookie`, wherever it came from, and never lets go of it.
    pub(crate) fn holding(email: &str, cookie: &str) -> Self {
        let value = format!("gatepost_session={cookie}").parse().expect("a header");
        let headers = [(reqwest::header::COOKIE, value)].into_iter().collect();
        let browser = reqwest::Client::builder().default_headers(headers).timeout(PATIENCE).build();
        Self { email: email.to_owned(), browser: browser.expect("a client") }
    }

    /// Asks for a code, and gives the id of the challenge.
    pub(crate) async fn ask(&self, server: &ServerProcess) -> String {
        let answer = self.try_to_ask(server).await;
        assert_eq!(answer.status(), 202, "{}\n{}", answer.text().await.unwrap(), server.log());
        answer.json::<Value>().await.unwrap()["challenge_id"].as_str().expect("a challenge").to_owned()
    }

    /// Asks for a code, whatever the answer.
    pub(crate) async fn try_to_ask(&self, server: &ServerProcess) -> Response {
        self.post(server, ASK, &json!({ "email": self.email })).await
    }

    /// What [`Self::ask`] would send.
    pub(crate) fn request_to_ask(&self, server: &ServerProcess) -> RequestBuilder {
        self.browser.post(server.url(ASK)).json(&json!({ "email": self.email }))
    }

    /// Types the code, and is let in.
    pub(crate) async fn answer(&self, server: &ServerProcess, challenge: &str, code: &str, mode: &str) -> SignedIn {
        let body = json!({ "challenge_id": challenge, "code": code, "mode": mode });
        self.let_in(server, "/api/auth/otp/verify", &body).await
    }

    /// Posts what proves who this is, and is let in.
    pub(crate) async fn let_in(&self, server: &ServerProcess, path: &str, body: &Value) -> SignedIn {
        let answer = self.post(server, path, body).await;
        let cookie = answer.cookies().find(|cookie| cookie.name() == "gatepost_session");
        let cookie = cookie.map(|cookie| cookie.value().to_owned());
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        assert_eq!(status, 200, "{body}\n{}", server.log());
        assert_eq!(body["status"], "signed_in", "{body}");
        SignedIn { body, cookie }
    }

    /// Posts JSON as a page of the server's own would.
    pub(crate) async fn post(&self, server: &ServerProcess, path: &str, body: &Value) -> Response {
        self.request_to_post(server, path, body)
            .send()
            .await
            .unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", server.log()))
    }

    /// What [`Self::post`] would send.
    pub(crate) fn request_to_post(&self, server: &ServerProcess, path: &str, body: &Value) -> RequestBuilder {
        self.browser.post(server.url(path)).header("Origin", server.origin()).json(body)
    }

    /// A change, as a page of the server's own would make it.
    pub(crate) fn request_to_put(&self, server: &ServerProcess, path: &str, body: &Value) -> RequestBuilder {
        self.browser.put(server.url(path)).header("Origin", server.origin()).json(body)
    }

    /// Asks the server who this is.
    pub(crate) async fn validate(&self, server: &ServerProcess) -> Response {
        let request = self.browser.get(server.url("/api/auth/validate"));
        request.send().await.unwrap_or_else(|error| panic!("validate: {error}\n{}", server.log()))
    }

    /// Whether the server takes this person for who it is.
    pub(crate) async fn is_known(&self, server: &ServerProcess) -> bool {
        let answer = self.validate(server).await;
        match answer.status() {
            StatusCode::OK => {
                let body: Value = answer.json().await.unwrap();
                assert_eq!(body["user"]["email"], self.email.as_str());
                true
            }
            StatusCode::UNAUTHORIZED => false,
            status => panic!("validate answered {status}: {}\n{}", answer.text().await.unwrap(), server.log()),
        }
    }
}
