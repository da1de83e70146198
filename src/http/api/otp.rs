//! Signing in with a mailed code.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::sign_in::{ModeField, accepted_with, admitted, counted};
use crate::auth::{AuthError, ChallengeRequest};
use crate::domain::{ChallengeId, OneTimeCode};
use crate::http::error::ApiError;
use crate::http::extract::{Client, Json};
use crate::http::{Site, cookies, guard};

/// Asks for a code.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct OtpRequest {
    /// The mailbox to be proved.
    pub email: Option<String>,
    /// Where to go afterwards: a path, or a URL of a listed origin.
    pub next: Option<String>,
    /// The language of the mail.
    pub locale: Option<String>,
    /// Names the challenge whose mail should be sent again.
    pub challenge_id: Option<String>,
}

/// Answers with a code.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct OtpVerify {
    /// From the answer to the request.
    pub challenge_id: Option<String>,
    /// Six digits; spaces and dashes do no harm.
    pub code: Option<String>,
    /// What the client wants to hold.
    #[serde(default)]
    pub mode: ModeField,
}

/// `POST /api/auth/otp/request`
pub async fn request(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    Json(body): Json<OtpRequest>,
) -> Result<HttpResponse, ApiError> {
    if !site.auth.settings().methods.otp {
        return Err(AuthError::MethodDisabled.into());
    }
    challenge(&site, &http, client, body).await
}

/// Takes a request for a code or a link: one mail carries both, where both are on.
pub async fn challenge(
    site: &Site,
    http: &HttpRequest,
    client: Client,
    body: OtpRequest,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::default();
    let email = fields.email("email", body.email.as_deref());
    let next = fields.next(body.next.as_deref(), &site.server.redirect_origins);
    let locale = fields.locale(body.locale.as_deref(), client.language);
    let resend_of: Option<ChallengeId> =
        body.challenge_id.as_deref().and_then(|id| fields.id("challenge_id", Some(id)));
    fields.finish()?;
    let email = present(email)?;
    let limits = guard::request(site, &client, &email).await?;
    let (flow, cookie) = cookies::flow(http, site);
    let request = ChallengeRequest {
        email,
        next,
        locale,
        resend_of,
        flow: Some(flow.digest()),
        origin: client.origin,
        registration: None,
    };
    let issued = site.auth.request_challenge(&request).await?;
    Ok(accepted_with(issued, &limits, cookie))
}

/// `POST /api/auth/otp/verify`
pub async fn verify(
    site: web::Data<Site>,
    client: Client,
    Json(body): Json<OtpVerify>,
) -> Result<HttpResponse, ApiError> {
    let limits = guard::verify(&site, &client).await?;
    let mut fields = Fields::default();
    let id: Option<ChallengeId> = fields.id("challenge_id", body.challenge_id.as_deref());
    let code = fields.required("code", body.code.as_deref());
    fields.finish()?;
    // What cannot be a code is a wrong one: it costs nothing, and says nothing.
    let code = OneTimeCode::parse(&present(code)?).ok_or(AuthError::InvalidCode)?;
    let outcome = site.auth.verify_code(present(id)?, &code, body.mode.into(), &client.origin).await;
    let admission = counted(&site, "otp", outcome)?;
    Ok(admitted(&site, admission, &limits))
}
