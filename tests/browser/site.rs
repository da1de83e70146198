//! A server with nothing but its defaults, and the mails that it shows instead of sending.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use gatepost::app::{App, Running};
use gatepost::settings::{Settings, Sources};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::SOON;
use crate::support::eventually;

/// The admin that the settings name.
pub(crate) const ADMIN: &str = "admin@example.com";

/// A running server.
pub(crate) struct Site {
    /// Where it is, without a slash at the end.
    pub(crate) url: String,
    running: Running,
    http: reqwest::Client,
    taken: Mutex<HashSet<String>>,
    _data: TempDir,
}

/// A mail as its reader sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct Mail {
    id: String,
    to: String,
    kind: String,
    subject: String,
    /// The plain text.
    pub(crate) text: String,
}

impl Mail {
    /// The code as it stands in the subject, with a space in its middle.
    pub(crate) fn code(&self) -> String {
        let code: String = self.subject.chars().take(7).collect();
        assert!(code.chars().filter(char::is_ascii_digit).count() == 6, "{code:?} is no code");
        code
    }

    /// Six digits that are not the code.
    pub(crate) fn another_code(&self) -> String {
        let digits: String = self.code().chars().filter(char::is_ascii_digit).collect();
        format!("{:06}", (digits.parse::<u32>().unwrap() + 1) % 1_000_000)
    }

    /// The address in it whose path begins with `path`.
    pub(crate) fn link(&self, path: &str) -> String {
        let mut words = self.text.split_whitespace();
        let found = words.find(|word| word.starts_with("http") && word.contains(path));
        found.unwrap_or_else(|| panic!("no link to {path} in {}", self.text)).to_owned()
    }
}

impl Site {
    /// A server where everybody may join.
    pub(crate) async fn open() -> Self {
        Self::with(&[("GATEPOST_REGISTRATION", "open")]).await
    }

    /// A server with these settings; by default an admin looks at each new account.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut environment = BTreeMap::from([
            ("GATEPOST_BIND".to_owned(), "127.0.0.1:0".to_owned()),
            ("GATEPOST_DATA_DIR".to_owned(), data.path().display().to_string()),
            ("GATEPOST_ADMINS".to_owned(), ADMIN.to_owned()),
            ("GATEPOST_WORKERS".to_owned(), "1".to_owned()),
            ("GATEPOST_SERVER_SHUTDOWN_TIMEOUT".to_owned(), "0s".to_owned()),
        ]);
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let settings = Settings::load(&Sources { file: None, environment, overrides: Vec::new() });
        let running = App::start(settings.unwrap()).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url: format!("http://{}", running.address), running, http, taken: Mutex::default(), _data: data }
    }

    /// The first mail of this kind to `to` that no call has given yet; waits for it.
    pub(crate) async fn mail(&self, to: &str, kind: &str) -> Mail {
        eventually(&format!("a mail of kind {kind} to {to}"), SOON, async || {
            let mails = self.http.get(format!("{}/dev/mail/messages", self.url)).send().await.unwrap();
            let mut mails: Vec<Mail> = mails.json().await.unwrap();
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            // The newest is first.
            let found = mails.iter().rposition(|mail| mail.to == to && mail.kind == kind && !taken.contains(&mail.id));
            let mail = mails.swap_remove(found?);
            taken.insert(mail.id.clone());
            Some(mail)
        })
        .await
    }

    /// Signs `email` in on another device, and gives that device's token.
    pub(crate) async fn sign_in_elsewhere(&self, email: &str, user_agent: &str) -> String {
        let asked = self.post("/api/auth/otp/request", user_agent, json!({ "email": email })).await;
        let code = self.mail(email, "code_and_link").await.code();
        let proof = json!({ "challenge_id": asked["challenge_id"], "code": code, "mode": "token" });
        let signed_in = self.post("/api/auth/otp/verify", user_agent, proof).await;
        signed_in["access_token"].as_str().unwrap().to_owned()
    }

    /// Whether a device's token is still good.
    pub(crate) async fn accepts(&self, token: &str) -> bool {
        let answer = self.http.get(format!("{}/api/auth/validate", self.url)).bearer_auth(token).send().await.unwrap();
        answer.status().is_success()
    }

    /// Stops it in good order.
    pub(crate) async fn close(self) {
        self.running.stop().await;
    }

    async fn post(&self, path: &str, user_agent: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).header("User-Agent", user_agent).json(&body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }
}
