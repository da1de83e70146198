//! Signing in with a password, and changing it.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::sign_in::{ModeField, admitted, counted};
use crate::auth::AuthError;
use crate::domain::Redacted;
use crate::http::error::ApiError;
use crate::http::extract::{Client, Json, SignedIn};
use crate::http::{Site, guard};

/// Address and password.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct Login {
    /// The account's address.
    pub email: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// What the client wants to hold.
    #[serde(default)]
    pub mode: ModeField,
}

/// The old and the new password.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct ChangePassword {
    /// The present password, where the account has one.
    pub current: Option<String>,
    /// The password from now on.
    pub new: Option<String>,
}

/// `POST /api/auth/login`
pub async fn login(site: web::Data<Site>, client: Client, Json(body): Json<Login>) -> Result<HttpResponse, ApiError> {
    if !site.auth.settings().methods.password {
        return Err(AuthError::MethodDisabled.into());
    }
    let mut fields = Fields::default();
    let email = fields.email("email", body.email.as_deref());
    let password = fields.secret("password", body.password.as_deref());
    fields.finish()?;
    let (email, password) = (present(email)?, present(password)?);
    let limits = guard::login(&site, &client, &email).await?;
    let outcome = site.auth.log_in(&email, &password, body.mode.into(), &client.origin).await;
    let admission = counted(&site, "password", outcome)?;
    Ok(admitted(&site, admission, &limits))
}

/// `POST /api/auth/change-password`
pub async fn change(
    site: web::Data<Site>,
    client: Client,
    SignedIn(who): SignedIn,
    Json(body): Json<ChangePassword>,
) -> Result<HttpResponse, ApiError> {
    guard::call(&site, &client).await?;
    let mut fields = Fields::default();
    let new = fields.secret("new", body.new.as_deref());
    fields.finish()?;
    let current = body.current.map(Redacted::new);
    site.auth.change_password(&who, current.as_ref(), &present(new)?, &client.origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
