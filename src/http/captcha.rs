//! The CAPTCHA on the way to a mail: the check of its token, and what pages need to show it.
//!
//! Only a page that shows one may load the provider's script; every other keeps the policy that allows none.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use serde_json::{Value, json};

use super::error::{ApiError, Code};
use super::extract::Client;
use super::{Site, headers};
use crate::auth::{Captcha, CaptchaError};
use crate::settings::CaptchaProvider;

/// The pages whose forms ask for a mail.
const PAGES: [&str; 3] = ["login", "code", "register"];

/// Lets a request for a mail through, or says what is missing. Call it after the limits of the client's own, which bound how
/// often the provider is asked.
pub(super) async fn check(site: &Site, client: &Client, token: Option<&str>) -> Result<(), ApiError> {
    let Some(captcha) = &site.captcha else { return Ok(()) };
    Ok(captcha.check(token, client.origin.address).await?)
}

impl From<CaptchaError> for ApiError {
    fn from(error: CaptchaError) -> Self {
        match error {
            CaptchaError::Required => Self::new(
                Code::CaptchaRequired,
                "Solve the CAPTCHA and try again. A program sends its token as captcha_token.",
            ),
            CaptchaError::Failed => {
                Self::new(Code::CaptchaFailed, "The CAPTCHA was not solved, or too long ago. Solve another.")
            }
            CaptchaError::Unavailable(cause) => Self {
                cause: Some(cause),
                headers: vec![("Retry-After", "10".to_owned())],
                ..Self::new(Code::CaptchaUnavailable, "The CAPTCHA cannot be checked at the moment. Try again soon.")
            },
        }
    }
}

/// Whether an error is about the CAPTCHA: the form is worth showing again.
pub(super) fn is_about(error: &ApiError) -> bool {
    matches!(error.code, Code::CaptchaRequired | Code::CaptchaFailed | Code::CaptchaUnavailable)
}

/// What the templates show; null where no CAPTCHA is asked for at the moment.
pub(super) fn widget(site: &Site) -> Value {
    let Some(settings) = site.captcha.as_ref().filter(|captcha| captcha.is_required()).map(Captcha::settings) else {
        return Value::Null;
    };
    let (class, script) = match settings.provider {
        CaptchaProvider::Turnstile => ("cf-turnstile", "https://challenges.cloudflare.com/turnstile/v0/api.js"),
        CaptchaProvider::Hcaptcha => ("h-captcha", "https://js.hcaptcha.com/1/api.js"),
    };
    json!({ "class": class, "script": script, "site_key": settings.site_key })
}

/// Where the provider's scripts, frames and styles come from, by its documentation.
fn sources(provider: CaptchaProvider) -> &'static str {
    match provider {
        CaptchaProvider::Turnstile => "https://challenges.cloudflare.com",
        CaptchaProvider::Hcaptcha => "https://hcaptcha.com https://*.hcaptcha.com",
    }
}

/// Lets the page `name` load the provider's script, if it shows the CAPTCHA.
pub(super) fn permit(site: &Site, name: &str, page: &mut HttpResponse) {
    let Some(captcha) = site.captcha.as_ref().filter(|captcha| PAGES.contains(&name) && captcha.is_required()) else {
        return;
    };
    let policy = headers::page_policy(site, Some(sources(captcha.settings().provider)));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
}
