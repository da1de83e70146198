//! The mails of a server that has no SMTP server: shown to whoever runs it, on loopback only.

use actix_web::http::StatusCode;
use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::{page, query, time};
use crate::domain::MailId;
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::Viewer;
use crate::mail::{DevMail, DevMailbox};

/// A mail that was shown here instead of being sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DevMessage {
    /// Names the mail.
    #[schema(value_type = uuid::Uuid)]
    id: MailId,
    /// Whom it is for.
    to: String,
    /// The subject.
    subject: String,
    /// The text part.
    text: String,
    /// The HTML part.
    html: String,
    /// What the mail is about.
    #[schema(example = "code_and_link")]
    kind: String,
    /// When it was written.
    created_at: DateTime<Utc>,
}

impl From<DevMail> for DevMessage {
    fn from(mail: DevMail) -> Self {
        let DevMail { id, to, subject, text, html, kind, created_at, .. } = mail;
        Self { id, to, subject, text, html, kind, created_at }
    }
}

/// The mailbox, for requests to a name of this machine: a page of another site whose name leads here (DNS rebinding)
/// must not read codes.
fn mailbox<'a>(site: &'a Site, http: &HttpRequest) -> Result<&'a DevMailbox, ApiError> {
    let host = http.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_local = url::Url::parse(&format!("http://{host}")).is_ok_and(|url| match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => {
            name == "localhost" || name.ends_with(".localhost") || Some(name) == site.server.public_url.host_str()
        }
        None => false,
    });
    site.dev_mailbox.as_ref().filter(|_| is_local).ok_or_else(ApiError::not_found)
}

fn view(mail: &DevMail) -> Value {
    json!({
        "id": mail.id, "to": mail.to, "subject": mail.subject, "kind": mail.kind, "text": mail.text,
        "created_at": time(mail.created_at), "code": mail.code, "link": mail.link,
    })
}

/// `GET /dev/mail`
pub(crate) async fn show(
    site: web::Data<Site>,
    http: HttpRequest,
    Viewer(viewer): Viewer,
) -> Result<HttpResponse, ApiError> {
    let messages = mailbox(&site, &http)?.messages();
    let selected = query(&http, "id").and_then(|id| messages.iter().find(|mail| mail.id.to_string() == id));
    let context = json!({
        "selected": selected.or(messages.first()).map(view),
        "messages": messages.iter().map(view).collect::<Vec<_>>(),
    });
    page(&site, &http, viewer.as_deref(), StatusCode::OK, ("dev_mail", "Development mail"), context)
}

/// `GET /dev/mail/messages`
#[utoipa::path(
    get,
    path = "/dev/mail/messages",
    tag = "Development",
    operation_id = "list_dev_mail",
    summary = "Mails that were not sent",
    description = "At most the last 200, newest first.",
    responses((status = 200, body = [DevMessage], description = "The mails.")),
)]
pub(crate) async fn list(site: web::Data<Site>, http: HttpRequest) -> Result<HttpResponse, ApiError> {
    let messages: Vec<DevMessage> = mailbox(&site, &http)?.messages().into_iter().map(DevMessage::from).collect();
    Ok(HttpResponse::Ok().json(messages))
}

/// `GET /dev/mail/messages/{id}/html`: the mail itself, for a frame without any rights.
#[utoipa::path(
    get,
    path = "/dev/mail/messages/{id}/html",
    tag = "Development",
    operation_id = "show_dev_mail",
    summary = "One mail as it looks",
    params(("id" = Uuid, Path, description = "The mail.")),
    responses(
        (status = 200, body = String, content_type = "text/html; charset=utf-8",
            description = "The mail's HTML, without any rights.", example = "<p>Your code is 123 456.</p>"),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn html(
    site: web::Data<Site>,
    http: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let messages = mailbox(&site, &http)?.messages();
    let mail = messages.iter().find(|mail| mail.id.to_string() == *id).ok_or_else(ApiError::not_found)?;
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox allow-popups";
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("Content-Security-Policy", policy))
        .insert_header(("X-Frame-Options", "SAMEORIGIN"))
        .body(mail.html.clone()))
}
