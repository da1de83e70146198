//! Signing in with a mailed code.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::sign_in::{ChallengeView, ModeField, SignInView, accepted, admitted, counted, replaced};
use crate::auth::{AuthError, ChallengeRequest};
use crate::domain::{ChallengeId, OneTimeCode};
use crate::http::error::ApiError;
use crate::http::extract::{Client, Former, Json};
use crate::http::{Site, cookies, guard};

/// Asks for a code.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "email": "ada@example.com", "next": "/account", "locale": "en" }))]
pub struct OtpRequest {
    /// The mailbox to be proved.
    #[schema(required = true, value_type = String, format = Email, max_length = 254)]
    pub email: Option<String>,
    /// Where to go afterwards: a path, or a URL of a listed origin.
    pub next: Option<String>,
    /// The language of the mail.
    pub locale: Option<String>,
    /// Names the challenge whose mail should be sent again.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub challenge_id: Option<String>,
    /// The token of a solved CAPTCHA, where the server asks for one.
    pub captcha_token: Option<String>,
}

/// Answers with a code.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "challenge_id": "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21", "code": "123456", "mode": "cookie",
}))]
pub struct OtpVerify {
    /// From the answer to the request.
    #[schema(required = true, value_type = uuid::Uuid)]
    pub challenge_id: Option<String>,
    /// Six digits; spaces and dashes do no harm.
    #[schema(required = true, value_type = String)]
    pub code: Option<String>,
    /// What the client wants to hold.
    #[serde(default)]
    pub mode: ModeField,
}

/// `POST /api/auth/otp/request`
#[utoipa::path(
    post,
    path = "/api/auth/otp/request",
    tag = "Signing in",
    operation_id = "request_code",
    summary = "Ask for a code",
    description = "Mails a six-digit code, and in the same mail a link where links are on too. The answer is the same \
        for every address. To send the mail again, name its `challenge_id`: the code and its guesses stay the same.",
    request_body = OtpRequest,
    responses(
        (status = 202, body = ChallengeView, description = "Taken. Show a field for the code.",
            headers(("Set-Cookie" = String, description = "The flow cookie: ties this browser to the mail's link."))),
        (status = 400, description = "invalid_input, captcha_required, captcha_failed"),
        (status = 404, description = "method_disabled"),
        (status = 429, description = "rate_limited"),
        (status = 503, description = "captcha_unavailable"),
    ),
)]
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
    let limits = guard::request(site, &client, &email, body.captcha_token.as_deref()).await?;
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
    Ok(accepted(issued, &limits, cookie))
}

/// `POST /api/auth/otp/verify`
#[utoipa::path(
    post,
    path = "/api/auth/otp/verify",
    tag = "Signing in",
    operation_id = "verify_code",
    summary = "Sign in with a code",
    description = "Five wrong guesses burn a challenge: from then on the right code is refused too, and the person \
        asks for a new one. After several wrong guesses for one account the next has to wait, as `Retry-After` says; \
        what a browser guesses that has signed the account in before (`gatepost_device`) counts apart.",
    request_body = OtpVerify,
    responses(
        (status = 200, body = SignInView,
            description = "What the person gets: `signed_in` with a session, or how the account stands.",
            headers(("Set-Cookie" = String,
                description = "The session cookie and the device cookie, once signed in with `mode` `cookie`."))),
        (status = 400, description = "invalid_input"),
        (status = 401, description = "invalid_code"),
        (status = 404, description = "method_disabled"),
        (status = 429, description = "rate_limited, too_many_guesses"),
    ),
)]
pub async fn verify(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    former: Former,
    Json(body): Json<OtpVerify>,
) -> Result<HttpResponse, ApiError> {
    let limits = guard::verify(&site, &client).await?;
    let mut fields = Fields::default();
    let id: Option<ChallengeId> = fields.id("challenge_id", body.challenge_id.as_deref());
    let code = fields.required("code", body.code.as_deref());
    fields.finish()?;
    // What cannot be a code is a wrong one: it costs nothing, and says nothing.
    let code = OneTimeCode::parse(&present(code)?).ok_or(AuthError::InvalidCode)?;
    let outcome = site.auth.verify_code(present(id)?, &code, &client.marks, body.mode.into(), &client.origin).await;
    let admission = counted(&site, "otp", outcome)?;
    replaced(&site, former, &admission, &client).await;
    Ok(admitted(&site, &http, admission, &limits))
}
