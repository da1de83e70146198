//! Signing in with a password, and changing it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::sign_in::{ModeField, SignInView, admitted, counted, replaced};
use crate::auth::AuthError;
use crate::domain::Redacted;
use crate::http::error::ApiError;
use crate::http::extract::{Client, Former, Json, SignedIn};
use crate::http::{Site, guard};

/// Address and password.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "email": "ada@example.com", "password": "correct horse battery", "mode": "cookie" }))]
pub struct Login {
    /// The account's address.
    #[schema(required = true, value_type = String, format = Email, max_length = 254)]
    pub email: Option<String>,
    /// Its password.
    #[schema(required = true, value_type = String, format = Password)]
    pub password: Option<String>,
    /// What the client wants to hold.
    #[serde(default)]
    pub mode: ModeField,
}

/// The old and the new password.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "current": "correct horse battery", "new": "staple the horse again" }))]
pub struct ChangePassword {
    /// The present password, where the account has one.
    #[schema(format = Password)]
    pub current: Option<String>,
    /// The password from now on: at least twelve characters, unless the operator set another length, and not one of
    /// those that are guessed first. Any characters will do.
    #[schema(required = true, value_type = String, format = Password, max_length = 1024)]
    pub new: Option<String>,
}

/// `POST /api/auth/login`
#[utoipa::path(
    post,
    path = "/api/auth/login",
    tag = "Signing in",
    operation_id = "log_in",
    summary = "Sign in with a password",
    description = "Only where `password` is one of the login methods. An unknown address takes as long as a known one.",
    request_body = Login,
    responses(
        (status = 200, body = SignInView,
            description = "What the person gets: `signed_in` with a session, or how the account stands.",
            headers(("Set-Cookie" = String,
                description = "The session cookie and the device cookie, once signed in with `mode` `cookie`."))),
        (status = 400, description = "invalid_input"),
        (status = 401, description = "invalid_credentials"),
        (status = 404, description = "method_disabled"),
        (status = 429, description = "rate_limited, too_many_guesses"),
    ),
)]
pub async fn login(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    former: Former,
    Json(body): Json<Login>,
) -> Result<HttpResponse, ApiError> {
    if !site.auth.settings().methods.password {
        return Err(AuthError::MethodDisabled.into());
    }
    let mut fields = Fields::default();
    let email = fields.email("email", body.email.as_deref());
    let password = fields.secret("password", body.password.as_deref());
    fields.finish()?;
    let (email, password) = (present(email)?, present(password)?);
    let limits = guard::login(&site, &client, &email).await?;
    let outcome = site.auth.log_in(&email, &password, &client.marks, body.mode.into(), &client.origin).await;
    let admission = counted(&site, "password", outcome)?;
    replaced(&site, former, &admission, &client).await;
    Ok(admitted(&site, &http, admission, &limits))
}

/// `POST /api/auth/change-password`
#[utoipa::path(
    post,
    path = "/api/auth/change-password",
    tag = "Profile",
    operation_id = "change_password",
    summary = "Set or change your password",
    description = "An account that has a password shows it in `current`. All other devices are signed out, and the \
        account's owner gets a mail.",
    security(("session_cookie" = []), ("bearer" = [])),
    request_body = ChangePassword,
    responses(
        (status = 204, description = "The new password is set."),
        (status = 400, description = "invalid_input"),
        (status = 401, description = "invalid_credentials"),
        (status = 404, description = "method_disabled"),
        (status = 429, description = "rate_limited, too_many_guesses"),
    ),
)]
pub async fn change(
    site: web::Data<Site>,
    client: Client,
    SignedIn(who): SignedIn,
    Json(body): Json<ChangePassword>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::default();
    let new = fields.secret("new", body.new.as_deref());
    fields.finish()?;
    let current = body.current.map(Redacted::new);
    site.auth.change_password(&who, current.as_ref(), &present(new)?, &client.origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
