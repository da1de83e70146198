//! Signing in with a mailed link.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::otp::{OtpRequest, challenge};
use super::sign_in::{ModeField, admitted, counted};
use crate::auth::AuthError;
use crate::domain::LinkToken;
use crate::http::error::ApiError;
use crate::http::extract::{Client, Json};
use crate::http::{Site, guard};

/// Answers with a link's token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct LinkVerify {
    /// The `token` parameter of the link.
    pub token: Option<String>,
    /// What the client wants to hold.
    #[serde(default)]
    pub mode: ModeField,
}

/// `POST /api/auth/magic-link/request`
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
pub async fn verify(
    site: web::Data<Site>,
    client: Client,
    Json(body): Json<LinkVerify>,
) -> Result<HttpResponse, ApiError> {
    let limits = guard::verify(&site, &client).await?;
    let mut fields = Fields::default();
    let token = fields.required("token", body.token.as_deref());
    fields.finish()?;
    let token = LinkToken::parse(present(token)?.trim()).ok_or(AuthError::InvalidLink)?;
    let outcome = site.auth.verify_link(&token, body.mode.into(), &client.origin).await;
    let admission = counted(&site, "magic_link", outcome)?;
    Ok(admitted(&site, admission, &limits))
}
