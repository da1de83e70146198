//! The `OpenAPI` document of the API, and its reading for people.
//!
//! Handlers describe themselves where they stand (`#[utoipa::path]`): what they take, what they give, and by which
//! codes they fail. A failure's description is just its codes, `invalid_code` or `conflict, last_admin`; [`complete`]
//! turns those into whole responses and adds what follows from a route's kind. [`reference`] reads the finished
//! document for the page `/docs`.

mod complete;
mod reference;
#[cfg(test)]
mod tests;
pub(super) mod values;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use serde_json::Value;
use utoipa::OpenApi;

use self::complete::Completion;
use super::api::{
    admin_audit, admin_cache, admin_limits, admin_mail, admin_stats, admin_suppressions, admin_users, magic_link, otp,
    password, profile, register, session, token, users,
};
use super::error::{ApiError, Problem};
use super::pages::dev_mail;
use super::{forward_auth, health, redis_health};

/// The document's source: everything that it lists.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gatepost",
        description = "Sign in by a mailed code or link, check and end sessions, decide who may come in.\n\n\
            All bodies are JSON in UTF-8; times are RFC 3339 in UTC, ids UUIDs. A failure is a `Problem` (RFC 9457) of \
            type `application/problem+json`; rely on its `code`, not on its words. Every answer has an `X-Request-Id`, \
            which the server's log names too. What answers GET answers HEAD; another method gets 405 \
            `method_not_allowed` and in `Allow` what would be right, an unknown path 404 `not_found`.\n\n\
            A browser holds the cookie `gatepost_session` (on https `__Host-gatepost_session`), other programs send a token as `Authorization: Bearer`. A \
            write that a page of another site caused is refused with 403 `cross_site`; one that shows the cookie must \
            say, by `Origin` or `Sec-Fetch-Site`, that it comes from this site.",
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "Signing in", description = "For everybody. `mode` chooses what a program holds afterwards: `cookie` \
            sets the session cookie, `token` gives an access token and a refresh token."),
        (name = "Session", description = "Who is signed in, and on which devices."),
        (name = "Profile", description = "The account that is signed in."),
        (name = "Directory", description = "The people here, for those who are signed in."),
        (name = "Admin", description = "For accounts whose role is `admin`."),
        (name = "Operators", description = "For load balancers, monitoring and tools."),
        (name = "Development", description = "Only on a server that shows its mails instead of sending them."),
    ),
    paths(
        otp::request, otp::verify, magic_link::request, magic_link::verify, register::register, password::login,
        token::refresh, session::validate, forward_auth::forward_auth, session::logout, session::list, session::end,
        session::end_others, session::me, profile::update, password::change, admin_users::list, admin_users::invite,
        admin_users::end_sessions, users::list, users::show, admin_stats::show,
        admin_users::show, admin_users::decide, admin_mail::list, admin_mail::stats, admin_mail::retry_many,
        admin_mail::pause, admin_mail::resume, admin_mail::show, admin_mail::retry, admin_mail::bury,
        admin_suppressions::list, admin_suppressions::add, admin_suppressions::lift, health::live, health::ready, health::cache,
        admin_audit::list, admin_cache::show, admin_cache::invalidate, admin_limits::show, admin_limits::reset, redis_health::redis, health::metrics, document, token::jwks, dev_mail::list, dev_mail::html,
    ),
    components(schemas(Problem)),
    modifiers(&Completion),
)]
struct Api;

/// The document, ready to be sent, and what the page makes of it. Made once.
struct Document {
    json: String,
    reference: Value,
}

static DOCUMENT: LazyLock<Result<Document, serde_json::Error>> = LazyLock::new(|| {
    let api = Api::openapi();
    Ok(Document { json: api.to_json()?, reference: reference::of(&serde_json::to_value(&api)?) })
});

fn ready() -> Result<&'static Document, ApiError> {
    DOCUMENT.as_ref().map_err(ApiError::internal)
}

/// `GET /openapi.json`
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Operators",
    operation_id = "openapi_document",
    summary = "This document",
    description = "OpenAPI 3.1. The page `/docs` shows the same for people.",
    responses(
        (status = 200, body = Object, description = "The document.",
            headers(("Cache-Control" = String, description = "Five minutes."))),
        (status = 500, description = "internal"),
    ),
)]
pub(super) async fn document() -> Result<HttpResponse, ApiError> {
    let document = ready()?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .body(document.json.as_str()))
}

/// What the page `/docs` shows.
pub(super) fn reference() -> Result<Value, ApiError> {
    Ok(ready()?.reference.clone())
}
