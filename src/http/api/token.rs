//! Tokens for clients that do not keep cookies.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::sign_in::{TokenView, with_limits};
use crate::auth::AuthError;
use crate::domain::RefreshToken;
use crate::http::error::ApiError;
use crate::http::extract::{Client, Json};
use crate::http::{Site, guard};

/// A refresh token.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct Refresh {
    /// The token of the last answer.
    pub refresh_token: Option<String>,
}

/// `POST /api/auth/refresh`
pub async fn refresh(
    site: web::Data<Site>,
    client: Client,
    Json(body): Json<Refresh>,
) -> Result<HttpResponse, ApiError> {
    let limits = guard::call(&site, &client).await?;
    let mut fields = Fields::default();
    let token = fields.required("refresh_token", body.refresh_token.as_deref());
    fields.finish()?;
    let token = RefreshToken::parse(present(token)?.trim()).ok_or(AuthError::InvalidRefreshToken)?;
    let pair = site.auth.refresh(&token, &client.origin).await?;
    let lifetime = site.auth.access_token_lifetime().as_secs();
    let mut response = HttpResponse::Ok();
    with_limits(&mut response, &limits);
    Ok(response.json(TokenView::new(pair.access, pair.refresh.expose().to_owned(), lifetime)))
}

/// `GET /.well-known/jwks.json`
pub async fn jwks(site: web::Data<Site>) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "public, max-age=300")).json(site.auth.jwks())
}
