//! A person's own account: profile, password, devices.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{field_errors, page, see_other, time};
use crate::auth::Authenticated;
use crate::domain::{Redacted, SessionId};
use crate::http::api::fields::{Fields, present};
use crate::http::api::profile::ProfileFields;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{Client, PageForm, SignedIn, Viewer};
use crate::http::{Site, cookies};
use crate::store::User;

/// The profile form. Every field is sent, so an empty one is a removed one.
#[derive(Deserialize)]
pub(crate) struct ProfileForm {
    name: Option<String>,
    username: Option<String>,
    phone: Option<String>,
    locale: Option<String>,
}

/// The password form.
#[derive(Deserialize)]
pub(crate) struct PasswordForm {
    current: Option<String>,
    new: Option<String>,
}

/// A form of nothing but a button.
#[derive(Deserialize)]
pub(crate) struct ButtonForm {}

/// `GET /account`
pub(crate) async fn show(
    site: web::Data<Site>,
    http: HttpRequest,
    SignedIn(who): SignedIn,
) -> Result<HttpResponse, ApiError> {
    account_page(&site, &http, &who, StatusCode::OK, user_view(&who.user), json!({})).await
}

fn user_view(user: &User) -> Value {
    json!({
        "id": user.id, "email": user.email, "name": user.name, "username": user.username, "phone": user.phone,
        "locale": user.locale, "role": user.role, "status": user.status, "created_at": time(user.created_at),
    })
}

async fn account_page(
    site: &Site,
    http: &HttpRequest,
    who: &Authenticated,
    status: StatusCode,
    user: Value,
    errors: Value,
) -> Result<HttpResponse, ApiError> {
    let mut sessions = site.auth.sessions(who.user.id).await?;
    sessions.sort_by_key(|session| session.id != who.session.id);
    let sessions: Vec<Value> = sessions
        .iter()
        .map(|session| {
            json!({
                "id": session.id, "device": session.device, "address": session.address,
                "created_at": time(session.created_at), "last_seen_at": time(session.last_seen_at),
                "expires_at": time(session.expires_at), "current": session.id == who.session.id,
            })
        })
        .collect();
    let has_password = site.auth.settings().methods.password && site.auth.has_password(who).await?;
    let context = json!({ "user": user, "sessions": sessions, "field_errors": errors, "has_password": has_password });
    page(site, http, Some(who), status, ("account", "Your account"), context)
}

/// `POST /account/profile`
pub(crate) async fn profile(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    SignedIn(who): SignedIn,
    PageForm(form): PageForm<ProfileForm>,
) -> Result<HttpResponse, ApiError> {
    let mut user = user_view(&who.user);
    for (name, value) in [("name", &form.name), ("username", &form.username), ("phone", &form.phone)] {
        user[name] = value.clone().into();
    }
    let fields =
        ProfileFields { name: form.name, username: Some(form.username), phone: Some(form.phone), locale: form.locale };
    let errors = match fields.change() {
        Err(errors) => errors,
        Ok(change) => match site.auth.update_profile(&who, &change, &client.origin).await.map_err(ApiError::from) {
            Ok(_) => return Ok(see_other("/account?notice=saved")),
            Err(error) if error.code == Code::Taken => error.errors,
            Err(error) => return Err(error),
        },
    };
    account_page(&site, &http, &who, StatusCode::BAD_REQUEST, user, field_errors(&errors)).await
}

/// `POST /account/password`
pub(crate) async fn password(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    SignedIn(who): SignedIn,
    PageForm(form): PageForm<PasswordForm>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::default();
    let new = fields.secret("new", form.new.as_deref());
    let errors = fields.into_errors();
    let again =
        async |errors| account_page(&site, &http, &who, StatusCode::BAD_REQUEST, user_view(&who.user), errors).await;
    if !errors.is_empty() {
        return again(field_errors(&errors)).await;
    }
    let current = form.current.map(Redacted::new);
    let outcome = site.auth.change_password(&who, current.as_ref(), &present(new)?, &client.origin).await;
    match outcome.map_err(ApiError::from) {
        Ok(()) => Ok(see_other("/account?notice=password")),
        Err(error) if error.code == Code::InvalidInput => again(field_errors(&error.errors)).await,
        Err(error) if matches!(error.code, Code::InvalidCredentials | Code::TooManyGuesses) => {
            again(json!({ "current": error.detail })).await
        }
        Err(error) => Err(error),
    }
}

/// `POST /account/sessions/{id}/end`
pub(crate) async fn end_session(
    site: web::Data<Site>,
    client: Client,
    SignedIn(who): SignedIn,
    id: web::Path<String>,
    _form: PageForm<ButtonForm>,
) -> Result<HttpResponse, ApiError> {
    let id: SessionId = id.parse().map_err(|_| ApiError::not_found())?;
    match site.auth.end_session(&who, id, &client.origin).await.map_err(ApiError::from) {
        Err(error) if error.code != Code::NotFound => Err(error),
        _ => Ok(see_other("/account?notice=ended")),
    }
}

/// `POST /account/sessions/end-others`
pub(crate) async fn end_others(
    site: web::Data<Site>,
    client: Client,
    SignedIn(who): SignedIn,
    _form: PageForm<ButtonForm>,
) -> Result<HttpResponse, ApiError> {
    site.auth.end_other_sessions(&who, &client.origin).await?;
    Ok(see_other("/account?notice=others-ended"))
}

/// `POST /logout`
pub(crate) async fn logout(
    site: web::Data<Site>,
    client: Client,
    Viewer(viewer): Viewer,
    _form: PageForm<ButtonForm>,
) -> Result<HttpResponse, ApiError> {
    if let Some(who) = viewer {
        site.auth.log_out(&who, &client.origin).await?;
    }
    cookies::without_session(see_other("/signed-out"), &site)
}

/// `GET /signed-out`
pub(crate) async fn signed_out(site: web::Data<Site>, http: HttpRequest) -> Result<HttpResponse, ApiError> {
    page(&site, &http, None, StatusCode::OK, ("signed_out", "Signed out"), json!({}))
}
