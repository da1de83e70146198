//! Signing in with a mailed link.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::otp::{OtpRequest, challenge};
use super::sign_in::{ChallengeView, ModeField, SignInView, admitted, counted, replaced};
use crate::auth::AuthError;
use crate::domain::LinkToken;
use crate::http::error::ApiError;
use crate::http::extract::{Client, Former, Json};
use crate::http::{Site, guard};

/// Answers with a link's token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "token": "the token of the mailed link", "mode": "token" }))]
pub struct LinkVerify {
    /// The `token` parameter of the link.
    #[schema(required = true, value_type = String)]
    pub token: Option<String>,
    /// What the client wants to hold.
    #[serde(default)]
    pub mode: ModeField,
}

/// `POST /api/auth/magic-link/request`
#[utoipa::path(
    post,
    path = "/api/auth/magic-link/request",
    tag = "Signing in",
    operation_id = "request_link",
    summary = "Ask for a link",
    description = "Mails a link, and in the same mail a code where codes are on too. The answer is the same for \
        every address.",
    request_body = OtpRequest,
    responses(
        (status = 202, body = ChallengeView, description = "Taken. The link is on its way.",
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
    if !site.auth.settings().methods.magic_link {
        return Err(AuthError::MethodDisabled.into());
    }
    challenge(&site, &http, client, body).await
}

/// `POST /api/auth/magic-link/verify`
#[utoipa::path(
    post,
    path = "/api/auth/magic-link/verify",
    tag = "Signing in",
    operation_id = "verify_link",
    summary = "Sign in with a link",
    description = "Takes the `token` of the mailed link. A link works once. Following it with a GET changes nothing.",
    request_body = LinkVerify,
    responses(
        (status = 200, body = SignInView,
            description = "What the person gets: `signed_in` with a session, or how the account stands.",
            headers(("Set-Cookie" = String,
                description = "The session cookie and the device cookie, once signed in with `mode` `cookie`."))),
        (status = 400, description = "invalid_input"),
        (status = 401, description = "invalid_link"),
        (status = 404, description = "method_disabled"),
        (status = 429, description = "rate_limited"),
    ),
)]
pub async fn verify(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    former: Former,
    Json(body): Json<LinkVerify>,
) -> Result<HttpResponse, ApiError> {
    let limits = guard::verify(&site, &client).await?;
    let mut fields = Fields::default();
    let token = fields.required("token", body.token.as_deref());
    fields.finish()?;
    let token = LinkToken::parse(present(token)?.trim()).ok_or(AuthError::InvalidLink)?;
    let outcome = site.auth.verify_link(&token, body.mode.into(), &client.origin).await;
    let admission = counted(&site, "magic_link", outcome)?;
    replaced(&site, former, &admission, &client).await;
    Ok(admitted(&site, &http, admission, &limits))
}
