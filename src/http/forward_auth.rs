//! Asks from reverse proxies: may this request pass, and who makes it?
//!
//! nginx's `auth_request` wants 200 or 401. Traefik's `ForwardAuth` and Caddy's `forward_auth` send along what the
//! browser asked for (`X-Forwarded-Method/Proto/Host/Uri`) and hand our answer to it, so a person who is not signed in
//! is sent to the sign-in page, and back afterwards if the operator listed the application's origin.

use actix_web::http::header::{ACCEPT, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};

use super::error::ApiError;
use super::extract::Viewer;
use super::{Site, hot};
use crate::domain::NextPath;

/// `GET /forward-auth`
#[utoipa::path(
    get,
    path = "/forward-auth",
    tag = "Session",
    operation_id = "forward_auth",
    summary = "Check a session for a reverse proxy",
    description = "For nginx `auth_request`, Traefik `ForwardAuth` and Caddy `forward_auth`. With the \
        `X-Forwarded-` headers, a person who looks at a page is sent to sign in and back afterwards, if the \
        application's origin is listed; everything else gets 401.",
    params(
        ("X-Forwarded-Method" = Option<String>, Header, description = "Only GET and HEAD are sent to sign in."),
        ("X-Forwarded-Proto" = Option<String>, Header, description = "`http` or `https`."),
        ("X-Forwarded-Host" = Option<String>, Header, description = "The application's host."),
        ("X-Forwarded-Uri" = Option<String>, Header, description = "Path and query that the browser asked for."),
    ),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The request may pass. The answer has no body.", headers(
            ("Remote-User" = String, description = "The username, or else the address."),
            ("Remote-Email" = String, description = "The address."),
            ("Remote-Name" = String, description = "What the person is called."),
            ("Remote-Groups" = String, description = "The role."),
            ("X-Gatepost-User-Id" = String, description = "The account's id."),
        )),
        (status = 302, description = "Not signed in: on to the sign-in page.",
            headers(("Location" = String, description = "The sign-in page, with `next` where that is allowed."))),
    ),
)]
pub(super) async fn forward_auth(
    site: web::Data<Site>,
    request: HttpRequest,
    Viewer(viewer): Viewer,
) -> Result<HttpResponse, ApiError> {
    if let Some(who) = viewer {
        return Ok(hot::passed(&who));
    }
    let Some(wanted) = wanted(&request) else {
        return Err(ApiError::unauthorized());
    };
    let mut login = site.server.public_url.clone();
    login.set_path("/login");
    if let Some(next) = NextPath::parse(&wanted, &site.server.redirect_origins) {
        login.query_pairs_mut().append_pair("next", next.as_str());
    }
    Ok(HttpResponse::Found().insert_header((LOCATION, login.as_str())).finish())
}

/// The page that a browser asked the proxy for, if a person can be sent to sign in instead: only for a page that is
/// merely looked at.
fn wanted(request: &HttpRequest) -> Option<String> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let looks = matches!(header("x-forwarded-method")?, "GET" | "HEAD");
    let is_page = request.headers().get(ACCEPT).is_none_or(|accept| {
        accept.to_str().is_ok_and(|accept| accept.contains("text/html") || accept.contains("*/*"))
    });
    let (proto, host) = (header("x-forwarded-proto")?, header("x-forwarded-host")?);
    let uri = header("x-forwarded-uri").unwrap_or("/");
    (looks && is_page).then(|| format!("{proto}://{host}{uri}"))
}
