//! The pages: rendered on the server, whole without JavaScript. Each form posts back to its page's path and answers
//! with a redirect, or with the page again and what was wrong.

pub(super) mod account;
pub(super) mod admin;
pub(super) mod admin_audit;
pub(super) mod admin_cache;
pub(super) mod admin_limits;
pub(super) mod admin_mail;
pub(super) mod assets;
pub(super) mod dev_mail;
pub(super) mod docs;
pub(super) mod login;
pub(super) mod register;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::error::{ApiError, Code, FieldError};
use super::extract::Viewer;
use super::{Site, captcha};
use crate::auth::Authenticated;
use crate::domain::Instant;
use crate::settings::Registration;

/// Renders the page `name` (such as `login`) with its own values in `context`, an object.
fn render(
    site: &Site,
    request: &HttpRequest,
    viewer: Option<&Authenticated>,
    name: &str,
    title: &str,
    context: Value,
) -> Result<String, ApiError> {
    let mut context = context;
    if let Value::Object(values) = &mut context {
        values.insert("page".to_owned(), frame(site, request, viewer, title));
    }
    Ok(site.templates.render(&format!("pages/{name}.html"), context)?)
}

/// Renders a page as an answer with `status`.
fn page(
    site: &Site,
    request: &HttpRequest,
    viewer: Option<&Authenticated>,
    status: StatusCode,
    (name, title): (&str, &str),
    context: Value,
) -> Result<HttpResponse, ApiError> {
    let body = render(site, request, viewer, name, title, context)?;
    let mut page = HttpResponse::build(status).content_type("text/html; charset=utf-8").body(body);
    captcha::permit(site, name, &mut page);
    Ok(page)
}

/// What every page shows around its own content.
fn frame(site: &Site, request: &HttpRequest, viewer: Option<&Authenticated>, title: &str) -> Value {
    let settings = site.auth.settings();
    let path_and_query = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // A link's token is in the query: it must not get into the page a second time.
    let path = if request.path() == "/login/link" { request.path() } else { path_and_query };
    let registration = match &settings.registration {
        Registration::Approval => "approval",
        Registration::Open => "open",
        Registration::Closed => "closed",
        Registration::Domains(_) => "domains",
    };
    json!({
        "title": title,
        "product": settings.product_name,
        "css": assets::stylesheet_path(),
        "icon": assets::ICON_PATH,
        "path": path,
        "viewer": viewer.map(|who| json!({
            "name": who.user.name,
            "email": who.user.email,
            "initials": initials(who),
            "role": who.user.role,
        })),
        "notice": notice(request),
        "dev_mail": site.dev_mailbox.is_some(),
        "methods": {
            "otp": settings.methods.otp,
            "codes": settings.methods.takes_codes(),
            "magic_link": settings.methods.magic_link,
            "password": settings.methods.password,
        },
        "registration": registration,
        "captcha": captcha::widget(site),
    })
}

fn initials(who: &Authenticated) -> String {
    let name = who.user.name.as_str();
    let source = if name.is_empty() { who.user.email.as_str() } else { name };
    let letters: String = source.split_whitespace().filter_map(|word| word.chars().next()).take(2).collect();
    letters.to_uppercase()
}

/// What a page says about the action that led to it. Only these texts can be shown, whatever the query says.
fn notice(request: &HttpRequest) -> Option<Value> {
    let (kind, text) = match query(request, "notice")?.as_str() {
        "saved" => ("success", "Your profile is saved."),
        "password" => ("success", "Your password is set. Your other devices have been signed out."),
        "ended" => ("success", "The device has been signed out."),
        "others-ended" => ("success", "All your other devices have been signed out."),
        "approved" => ("success", "Approved. A mail tells them that they can sign in."),
        "rejected" => ("success", "Rejected. They are told when they next prove their address."),
        "banned" => ("success", "Banned, and signed out everywhere."),
        "unbanned" => ("success", "The ban is lifted."),
        "promoted" => ("success", "They are an admin now."),
        "demoted" => ("success", "They are no longer an admin."),
        "invited" => ("success", "The invitation is on its way."),
        "resent" => ("success", "The mail is on its way again, with the same code."),
        "mail-paused" => ("success", "Sending is stopped on every server. Mails wait until it goes on."),
        "mail-resumed" => ("success", "Mails are sent again."),
        "mail-retried" => ("success", "The mail is on its way again."),
        "mail-lifted" => ("success", "The mailbox gets mail again."),
        "mail-expired" => ("error", "That mail has expired: what it says is of no use any more."),
        "mail-suppressed" => ("error", "The mailbox of that mail is suppressed. Lift that first."),
        "mail-conflict" => ("error", "That is no longer possible: the mail has moved on in the meantime."),
        "cache-forgotten" => ("success", "Forgotten on every server. What is asked for next is read anew."),
        "cache-forgotten-here" => ("error", "Redis is away: only this server has forgotten."),
        "cache-unknown" => ("error", "The cache holds nothing by that name."),
        "limit-reset" => ("success", "The whole limit is left again, on every server."),
        "limit-reset-here" => ("error", "Redis is away: only this server gives a fresh start."),
        "limit-unknown" => ("error", "That limit does not count by what was given."),
        "conflict" => ("error", "That is no longer possible: the account has changed in the meantime."),
        "last-admin" => ("error", "This is the last admin. Make somebody else an admin first."),
        "invite-failed" => ("error", "That address is not valid or has an account already."),
        _ => return None,
    };
    Some(json!({ "kind": kind, "text": text }))
}

/// The value of a parameter of the query.
fn query(request: &HttpRequest, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Sends the browser on with a GET.
fn see_other(location: &str) -> HttpResponse {
    HttpResponse::build(StatusCode::SEE_OTHER).insert_header((LOCATION, location)).finish()
}

/// `path` with a notice for the page there, in place of the one it may have shown before.
fn with_notice(path: &str, notice: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("notice="));
    let mut pairs: Vec<&str> = kept.collect();
    let notice = format!("notice={notice}");
    pairs.push(&notice);
    format!("{path}?{}", pairs.join("&"))
}

/// Sends a person who has to sign in first to the sign-in page, and back to a page afterwards.
pub(super) fn to_login(request: &HttpRequest) -> HttpResponse {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut location = "/login".to_owned();
    if request.method().is_safe() && path != "/" {
        location.push_str("?next=");
        location.extend(url::form_urlencoded::byte_serialize(path.as_bytes()));
    }
    see_other(&location)
}

/// The page that tells an error.
pub(super) async fn error(request: &HttpRequest, site: &Site, error: &ApiError, id: &str) -> Result<String, ApiError> {
    let viewer = if request.method().is_safe() && error.code != Code::Unavailable {
        Viewer::extract(request).await.ok().and_then(|viewer| viewer.0)
    } else {
        None
    };
    let context = json!({
        "status": error.code.status().as_u16(),
        "code": error.code.as_str(),
        "heading": error.code.title(),
        "detail": error.detail,
        "request_id": id,
    });
    render(site, request, viewer.as_deref(), "error", error.code.title(), context)
}

/// A moment as pages show it.
fn time(at: Instant) -> Value {
    json!({
        "iso": at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "day": at.format("%-d %b %Y").to_string(),
        "text": at.format("%-d %b %Y, %H:%M UTC").to_string(),
    })
}

/// Wrong fields, by name, as pages show them.
fn field_errors(errors: &[FieldError]) -> Value {
    errors
        .iter()
        .map(|error| (error.field.to_owned(), Value::from(error.detail.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
