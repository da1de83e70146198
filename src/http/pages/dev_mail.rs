//! The mails of a server that has no SMTP server: shown to whoever runs it, on loopback only.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::{page, query, time};
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::Viewer;
use crate::mail::{DevMail, DevMailbox};

fn mailbox(site: &Site) -> Result<&DevMailbox, ApiError> {
    site.dev_mailbox.as_ref().ok_or_else(ApiError::not_found)
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
    let messages = mailbox(&site)?.messages();
    let selected = query(&http, "id").and_then(|id| messages.iter().find(|mail| mail.id.to_string() == id));
    let context = json!({
        "selected": selected.or(messages.first()).map(view),
        "messages": messages.iter().map(view).collect::<Vec<_>>(),
    });
    page(&site, &http, viewer.as_ref(), StatusCode::OK, ("dev_mail", "Development mail"), context)
}

/// `GET /dev/mail/messages`
pub(crate) async fn list(site: web::Data<Site>) -> Result<HttpResponse, ApiError> {
    let messages: Vec<Value> = mailbox(&site)?
        .messages()
        .iter()
        .map(|mail| {
            json!({
                "id": mail.id, "to": mail.to, "subject": mail.subject, "text": mail.text, "html": mail.html,
                "kind": mail.kind, "created_at": mail.created_at,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(messages))
}

/// `GET /dev/mail/messages/{id}/html`: the mail itself, for a frame without any rights.
pub(crate) async fn html(site: web::Data<Site>, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let messages = mailbox(&site)?.messages();
    let mail = messages.iter().find(|mail| mail.id.to_string() == *id).ok_or_else(ApiError::not_found)?;
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox allow-popups";
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("Content-Security-Policy", policy))
        .insert_header(("X-Frame-Options", "SAMEORIGIN"))
        .body(mail.html.clone()))
}
