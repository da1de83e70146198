//! Who is signed in, and on which devices.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::auth::Authenticated;
use crate::domain::SessionId;
use crate::http::error::ApiError;
use crate::http::extract::{Client, SignedIn};
use crate::http::views::{DeviceView, SessionView, UserView};
use crate::http::{Site, cookies, hot};

/// Who is signed in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WhoView {
    /// The account.
    user: UserView,
    /// The session that was shown.
    session: SessionView,
}

impl From<&Authenticated> for WhoView {
    fn from(who: &Authenticated) -> Self {
        Self { user: (&who.user).into(), session: (&who.session).into() }
    }
}

/// The devices of a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DevicesView {
    /// The open sessions, last used first.
    sessions: Vec<DeviceView>,
}

/// How many sessions were ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EndedView {
    /// How many.
    ended: usize,
}

impl EndedView {
    /// The view of so many.
    pub fn new(ended: usize) -> Self {
        Self { ended }
    }
}

/// `GET /api/auth/validate`
#[utoipa::path(
    get,
    path = "/api/auth/validate",
    tag = "Session",
    operation_id = "validate_session",
    summary = "Check a session",
    description = "Made to be called often: it is answered from a cache that forgets an ended session at once. For a \
        reverse proxy, see `/forward-auth`.",
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = WhoView, description = "The session is good.", headers(
            ("Remote-User" = String, description = "The username, or else the address."),
            ("Remote-Email" = String, description = "The address."),
            ("Remote-Name" = String, description = "What the person is called."),
            ("Remote-Groups" = String, description = "The role."),
            ("X-Gatepost-User-Id" = String, description = "The account's id."),
        )),
    ),
)]
pub async fn validate(SignedIn(who): SignedIn) -> HttpResponse {
    hot::validated(&who)
}

/// `GET /api/auth/me`
#[utoipa::path(
    get,
    path = "/api/auth/me",
    tag = "Profile",
    operation_id = "my_account",
    summary = "Your own account",
    security(("session_cookie" = []), ("bearer" = [])),
    responses((status = 200, body = UserView, description = "The account that is signed in.")),
)]
pub async fn me(SignedIn(who): SignedIn) -> HttpResponse {
    HttpResponse::Ok().json(UserView::from(&who.user))
}

/// `POST /api/auth/logout`
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    tag = "Session",
    operation_id = "log_out",
    summary = "Sign out",
    description = "Ends the session for good, with all of its tokens.",
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 204, description = "Signed out.",
            headers(("Set-Cookie" = String, description = "Removes the session cookie."))),
    ),
)]
pub async fn logout(site: web::Data<Site>, client: Client, SignedIn(who): SignedIn) -> Result<HttpResponse, ApiError> {
    site.auth.log_out(&who, &client.origin).await?;
    cookies::without_session(HttpResponse::NoContent().finish(), &site)
}

/// `GET /api/sessions`
#[utoipa::path(
    get,
    path = "/api/sessions",
    tag = "Session",
    operation_id = "list_sessions",
    summary = "Your devices",
    security(("session_cookie" = []), ("bearer" = [])),
    responses((status = 200, body = DevicesView, description = "Your open sessions, last used first.")),
)]
pub async fn list(site: web::Data<Site>, SignedIn(who): SignedIn) -> Result<HttpResponse, ApiError> {
    let sessions = site.auth.sessions(who.user.id).await?;
    let view = |session| DeviceView::new(session, who.session.id);
    Ok(HttpResponse::Ok().json(DevicesView { sessions: sessions.iter().map(view).collect() }))
}

/// `DELETE /api/sessions/{id}`
#[utoipa::path(
    delete,
    path = "/api/sessions/{id}",
    tag = "Session",
    operation_id = "end_session",
    summary = "Sign out one device",
    params(("id" = Uuid, Path, description = "A session of yours.")),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 204, description = "The device is signed out."),
        (status = 404, description = "not_found"),
    ),
)]
pub async fn end(
    site: web::Data<Site>,
    client: Client,
    SignedIn(who): SignedIn,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id: SessionId = id.parse().map_err(|_| ApiError::not_found())?;
    site.auth.end_session(&who, id, &client.origin).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /api/sessions`
#[utoipa::path(
    delete,
    path = "/api/sessions",
    tag = "Session",
    operation_id = "end_other_sessions",
    summary = "Sign out all other devices",
    description = "Ends every session of yours but the one that asks.",
    security(("session_cookie" = []), ("bearer" = [])),
    responses((status = 200, body = EndedView, description = "How many sessions were ended.")),
)]
pub async fn end_others(
    site: web::Data<Site>,
    client: Client,
    SignedIn(who): SignedIn,
) -> Result<HttpResponse, ApiError> {
    let ended = site.auth.end_other_sessions(&who, &client.origin).await?;
    Ok(HttpResponse::Ok().json(EndedView::new(ended)))
}
