//! Tokens for clients that do not keep cookies.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::sign_in::TokenView;
use crate::auth::AuthError;
use crate::domain::RefreshToken;
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::{Client, Json};

/// A refresh token.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "refresh_token": "the token of the last answer" }))]
pub struct Refresh {
    /// The token of the last answer.
    #[schema(required = true, value_type = String)]
    pub refresh_token: Option<String>,
}

/// A JSON Web Key Set.
#[derive(Debug, utoipa::ToSchema)]
pub struct KeySet {
    /// The keys.
    pub keys: Vec<PublicKey>,
}

/// A public key (RFC 8037).
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({
    "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "a1b2c3d4",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}))]
pub struct PublicKey {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// `sig`.
    #[schema(rename = "use")]
    pub purpose: String,
    /// `EdDSA`.
    pub alg: String,
    /// The name by which tokens call the key.
    pub kid: String,
    /// The key itself, base64url.
    pub x: String,
}

/// `POST /api/auth/refresh`
#[utoipa::path(
    post,
    path = "/api/auth/refresh",
    tag = "Signing in",
    operation_id = "refresh_tokens",
    summary = "Trade a refresh token for a new pair",
    description = "A refresh token works once. Showing a used one, later than ten seconds after its use, ends the \
        session: somebody else may have it.",
    request_body = Refresh,
    responses(
        (status = 200, body = TokenView, description = "The next pair. Forget the old one."),
        (status = 400, description = "invalid_input"),
        (status = 401, description = "invalid_refresh_token"),
        (status = 429, description = "rate_limited"),
    ),
)]
pub async fn refresh(
    site: web::Data<Site>,
    client: Client,
    Json(body): Json<Refresh>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::default();
    let token = fields.required("refresh_token", body.refresh_token.as_deref());
    fields.finish()?;
    let token = RefreshToken::parse(present(token)?.trim()).ok_or(AuthError::InvalidRefreshToken)?;
    let pair = site.auth.refresh(&token, &client.origin).await?;
    Ok(HttpResponse::Ok().json(TokenView::new(&pair.access, &pair.refresh)))
}

/// `GET /.well-known/jwks.json`
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "Operators",
    operation_id = "signing_keys",
    summary = "Public keys of access tokens",
    description = "A JSON Web Key Set (RFC 7517). Access tokens are JWTs signed with Ed25519, and name their key in \
        `kid`. Keys of the past stay listed for as long as the server is given them.",
    responses(
        (status = 200, body = KeySet, description = "The keys, the current one first.",
            headers(("Cache-Control" = String, description = "Five minutes."))),
    ),
)]
pub async fn jwks(site: web::Data<Site>) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "public, max-age=300")).json(site.auth.jwks())
}
