//! The CAPTCHA: whether one has to be solved now, and what its provider says of an answer.
//!
//! Turnstile and hCaptcha are asked in the same way: a form with the secret, the token that the browser got and the
//! client's address, and JSON that says `success`. One connection a question, over the TLS that everything else here uses;
//! questions are rare, and no connection is kept that could be stale. Whatever goes wrong, the person is not let through:
//! [`CaptchaError`] says who can do something about it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::domain::{Clock, Instant, clock};
use crate::settings;

/// How long an answer may take, with everything that comes before it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions under way at once. More are not asked: a provider that is slow must not hold on to every request.
const AT_ONCE: usize = 64;
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest token that is passed on, in bytes: Turnstile's have up to 2048, hCaptcha's a few more.
const MAX_TOKEN: usize = 8 * 1024;

/// Why a request is not let through.
#[derive(Debug, thiserror::Error)]
pub enum CaptchaError {
    /// None was solved: show one, and send its token.
    #[error("a CAPTCHA has to be solved first")]
    Required,
    /// The token is wrong, was used before, or is too old: show another.
    #[error("the CAPTCHA was not solved, or too long ago")]
    Failed,
    /// The provider cannot be asked, or does not know this server: try later. Says why, for the log.
    #[error("the CAPTCHA cannot be checked: {0}")]
    Unavailable(String),
}

/// The CAPTCHA of the settings. Clones share what they know.
#[derive(Clone)]
pub struct Captcha(Arc<Inner>);

struct Inner {
    settings: settings::Captcha,
    tls: Option<TlsConnector>,
    turns: Semaphore,
    clock: Clock,
    rate: Mutex<Rate>,
}

/// The mails that were asked for lately, as far as they decide whether this is an attack.
#[derive(Debug, Default)]
struct Rate {
    /// When each of the newest was asked for: as many as are allowed in the window, and no more.
    asked: VecDeque<Instant>,
    /// Until when an attack is taken to last.
    attack_until: Option<Instant>,
}

/// What a provider answers. Both say more, which does not matter here.
#[derive(Deserialize)]
struct Verdict {
    success: bool,
    #[serde(rename = "error-codes", default)]
    error_codes: Vec<String>,
}

impl Captcha {
    /// Prepares the questions. Reads the system's certificates where answers come encrypted; fails if TLS cannot be set up.
    pub fn new(settings: settings::Captcha, clock: Clock) -> Result<Self, CaptchaError> {
        let encrypted = settings.verify_url.scheme() == "https";
        let tls = if encrypted { Some(connector()?) } else { None };
        let turns = Semaphore::new(AT_ONCE);
        Ok(Self(Arc::new(Inner { settings, tls, turns, clock, rate: Mutex::default() })))
    }

    /// What the pages need to show it.
    pub fn settings(&self) -> &settings::Captcha {
        &self.0.settings
    }

    /// Whether one has to be solved at this moment.
    pub fn is_required(&self) -> bool {
        if self.0.settings.only_above.is_none() {
            return true;
        }
        let rate = self.0.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.attack_until.is_some_and(|until| until > self.0.clock.now())
    }

    /// Lets a request for a mail through that comes from `address`, with the token of a solved CAPTCHA where one is
    /// required. Counts the request towards an attack, whatever becomes of it.
    pub async fn check(&self, token: Option<&str>, address: IpAddr) -> Result<(), CaptchaError> {
        self.count_request();
        if !self.is_required() {
            return Ok(());
        }
        let token = token.map(str::trim).filter(|token| !token.is_empty()).ok_or(CaptchaError::Required)?;
        if token.len() > MAX_TOKEN {
            return Err(CaptchaError::Failed);
        }
        let verdict = self.ask(token, address).await.map_err(CaptchaError::Unavailable)?;
        if verdict.success {
            return Ok(());
        }
        // Wrong keys are nothing that the person could mend.
        if verdict.error_codes.iter().any(|code| code.contains("secret") || code.contains("sitekey")) {
            let codes = verdict.error_codes.join(", ");
            return Err(CaptchaError::Unavailable(format!(
                "the provider does not take this server's keys: {codes:.200}"
            )));
        }
        Err(CaptchaError::Failed)
    }

    /// Notes that a mail was asked for, and whether that makes it an attack.
    fn count_request(&self) {
        let Some(above) = self.0.settings.only_above else { return };
        let now = self.0.clock.now();
        let mut rate = self.0.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = usize::try_from(above.limit).unwrap_or(usize::MAX);
        let oldest = if rate.asked.len() >= limit { rate.asked.pop_front() } else { None };
        rate.asked.push_back(now);
        if oldest.is_some_and(|oldest| now - oldest < clock::span(above.window)) {
            let until = now + clock::span(self.0.settings.attack_lasts);
            if rate.attack_until.replace(until).is_none_or(|until| until <= now) {
                log::warn!("more than {above} mails were asked for: a CAPTCHA is required from now on");
            }
        }
    }

    async fn ask(&self, token: &str, address: IpAddr) -> Result<Verdict, String> {
        let _turn = self.0.turns.try_acquire().map_err(|_| "too many wait for the provider's answers".to_owned())?;
        let answer = tokio::time::timeout(PATIENCE, self.post(token, address)).await;
        let body = answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))?;
        serde_json::from_slice(&body).map_err(|error| format!("an answer that cannot be read: {error}"))
    }

    async fn post(&self, token: &str, address: IpAddr) -> Result<Bytes, String> {
        let url = &self.0.settings.verify_url;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("secret", self.0.settings.secret.expose())
            .append_pair("response", token)
            .append_pair("remoteip", &address.to_canonical().to_string())
            .finish();
        let request = request(url, form).map_err(|error| format!("no request can be made: {error}"))?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((bare, port)).await.map_err(|error| format!("cannot reach {host}: {error}"))?;
        // A question is two small writes: Nagle's algorithm would only delay the second.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some(tls) = &self.0.tls else { return exchange(stream, request).await };
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| format!("{host}: {error}"))?;
        let stream = tls.connect(name, stream).await.map_err(|error| format!("no TLS with {host}: {error}"))?;
        exchange(stream, request).await
    }
}

fn request(url: &Url, form: String) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    Request::post(path)
        .header(HOST, host)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form)))
}

/// Sends `request` and reads the whole answer. The connection lives as long as this does.
async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, request: Request<Full<Bytes>>) -> Result<Bytes, String> {
    let broken = |error: hyper::Error| format!("the connection broke: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let conversation = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the provider answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| format!("the answer broke off: {error}"))
    };
    let (mut conversation, mut connection) = (std::pin::pin!(conversation), std::pin::pin!(connection));
    tokio::select! {
        answer = &mut conversation => answer,
        // It may end before its last bytes have been looked at.
        _ = &mut connection => conversation.await,
    }
}

fn connector() -> Result<TlsConnector, CaptchaError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CaptchaError::Unavailable(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{CaptchaProvider, Policy};

    fn under_attack(limit: u32) -> Captcha {
        let settings = settings::Captcha {
            only_above: Some(Policy { limit, window: Duration::from_mins(1) }),
            attack_lasts: Duration::from_mins(10),
            provider: CaptchaProvider::Turnstile,
            verify_url: "http://127.0.0.1:9/".parse().unwrap(),
            secret: String::new().into(),
            site_key: String::new(),
        };
        Captcha::new(settings, Clock::system()).unwrap()
    }

    #[test]
    fn an_attack_begins_above_the_rate_and_ends_some_time_after_it() {
        let captcha = under_attack(3);
        (0..3).for_each(|_| captcha.count_request());
        assert!(!captcha.is_required(), "as many as are allowed");
        captcha.count_request();
        assert!(captcha.is_required());
        captcha.0.clock.advance(Duration::from_mins(9));
        assert!(captcha.is_required());
        captcha.0.clock.advance(Duration::from_mins(2));
        assert!(!captcha.is_required());
    }

    #[test]
    fn a_rate_that_is_allowed_is_no_attack_however_long_it_lasts() {
        let captcha = under_attack(3);
        for _ in 0..50 {
            captcha.count_request();
            captcha.0.clock.advance(Duration::from_secs(21));
        }
        assert!(!captcha.is_required());
        assert_eq!(captcha.0.rate.lock().unwrap().asked.len(), 3, "no more is remembered");
    }
}
