//! The limiter in front of the routes that strangers may use.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Site;
use super::error::{ApiError, Code};
use super::extract::Client;
use crate::domain::EmailAddress;
use crate::limit::{Check, Decision, PolicyName, headers, subject};

/// The headers that tell a client its limits.
pub(super) type LimitHeaders = Vec<(&'static str, String)>;

/// May this client ask for a mail to this address?
pub(super) async fn request(site: &Site, client: &Client, email: &EmailAddress) -> Result<LimitHeaders, ApiError> {
    decide(site, vec![mailbox(site, PolicyName::OtpRequestEmail, email), address(PolicyName::RequestAddress, client)])
        .await
}

/// May this client register this address?
pub(super) async fn register(site: &Site, client: &Client, email: &EmailAddress) -> Result<LimitHeaders, ApiError> {
    let checks = vec![
        mailbox(site, PolicyName::OtpRequestEmail, email),
        address(PolicyName::RequestAddress, client),
        address(PolicyName::RegisterAddress, client),
    ];
    decide(site, checks).await
}

/// May this client try a code or a link?
pub(super) async fn verify(site: &Site, client: &Client) -> Result<LimitHeaders, ApiError> {
    decide(site, vec![address(PolicyName::VerifyAddress, client)]).await
}

/// May this client try a password of this address?
pub(super) async fn login(site: &Site, client: &Client, email: &EmailAddress) -> Result<LimitHeaders, ApiError> {
    decide(site, vec![mailbox(site, PolicyName::LoginEmail, email), address(PolicyName::LoginAddress, client)]).await
}

/// May this client make another call of the ordinary kind?
pub(super) async fn call(site: &Site, client: &Client) -> Result<LimitHeaders, ApiError> {
    decide(site, vec![address(PolicyName::ApiAddress, client)]).await
}

/// Puts the limits into the headers of a ready answer.
pub(super) fn tell(answer: &mut HeaderMap, limits: &LimitHeaders) {
    for (name, value) in limits {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_str(value)) {
            answer.insert(name, value);
        }
    }
}

fn mailbox(site: &Site, policy: PolicyName, email: &EmailAddress) -> Check {
    Check::new(policy, site.auth.mailbox_hash(email))
}

fn address(policy: PolicyName, client: &Client) -> Check {
    Check::new(policy, subject::address(client.origin.address))
}

async fn decide(site: &Site, checks: Vec<Check>) -> Result<LimitHeaders, ApiError> {
    let decision = site.limiter.check(&checks).await;
    let told = headers(&decision);
    match &decision {
        Decision::Allowed(_) => Ok(told),
        Decision::Denied { .. } => {
            let wait = told.iter().find(|(name, _)| *name == "Retry-After").map_or("a few", |(_, seconds)| seconds);
            let detail = format!("Try again in {wait} seconds.");
            Err(ApiError { headers: told, ..ApiError::new(Code::RateLimited, detail) })
        }
    }
}
