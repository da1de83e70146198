//! What admins see of the mail, and what they do with it.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use crate::auth::{DeadMails, MailQuery};
use crate::domain::{MailId, MailKind, MailStatus};
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client, Json};
use crate::http::mail_views::{MailStats, MailView};
use crate::http::openapi::values;

/// Dead mails that are tried again by one call, at most.
const BATCH: u16 = 500;

/// Which mails to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only mails that stand so. `all` is the same as nothing.
    #[param(schema_with = values::mail_status_or_all)]
    pub status: Option<String>,
    /// Only mails of this kind.
    #[param(schema_with = values::mail_kind)]
    pub kind: Option<String>,
    /// Part of the recipient's address.
    pub recipient: Option<String>,
    /// At most so many: 50, if it is not 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<uuid::Uuid>)]
    pub cursor: Option<String>,
}

/// A page of mails.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MailsView {
    /// The mails, newest first.
    mails: Vec<MailView>,
    /// Names the next page; null on the last.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    next_cursor: Option<String>,
}

/// Which dead mails to try again.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "status": "dead", "kind": "code_and_link" }))]
pub struct RetryMany {
    /// `dead`: only these can be tried again by the batch.
    #[schema(required = true, value_type = String)]
    pub status: Option<String>,
    /// Only mails of this kind.
    #[schema(schema_with = values::mail_kind)]
    pub kind: Option<String>,
    /// Only these mails.
    #[schema(max_items = 500, value_type = Option<Vec<uuid::Uuid>>)]
    pub ids: Option<Vec<String>>,
    /// `next_cursor` of the batch before.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub cursor: Option<String>,
}

/// What became of a batch of dead mails.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RetriedView {
    /// So many are on their way again.
    retried: usize,
    /// So many stay dead because their mailboxes are suppressed.
    suppressed: usize,
    /// Names the next batch; null after the last.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    next_cursor: Option<String>,
}

/// Whether all sending is stopped.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PausedView {
    /// Whether it is.
    paused: bool,
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

fn kind(fields: &mut Fields, text: Option<&str>) -> Option<MailKind> {
    let parsed = text?.parse().ok();
    if parsed.is_none() {
        let names: Vec<_> = MailKind::ALL.iter().map(|kind| kind.as_str()).collect();
        fields.wrong("kind", "unknown_kind", format!("Use one of {}.", names.join(", ")));
    }
    parsed
}

impl ListQuery {
    /// The query, or what is wrong with it. An empty parameter counts as absent.
    fn parse(&self) -> Result<MailQuery, ApiError> {
        let mut fields = Fields::default();
        let status = given(self.status.as_ref()).filter(|status| *status != "all");
        let parsed = status.and_then(|status| status.parse::<MailStatus>().ok());
        if status.is_some() && parsed.is_none() {
            fields.wrong("status", "unknown_status", "Use ready, sending, sent, expired or dead.");
        }
        let kind = kind(&mut fields, given(self.kind.as_ref()));
        let recipient = given(self.recipient.as_ref());
        if recipient.is_some_and(|recipient| recipient.contains('\0')) {
            fields.wrong("recipient", "invalid_characters", "There is a null byte in this.");
        }
        let cursor = given(self.cursor.as_ref()).and_then(|cursor| fields.id("cursor", Some(cursor)));
        fields.finish()?;
        Ok(MailQuery {
            status: parsed,
            kind,
            recipient: recipient.map(|recipient| recipient.chars().take(254).collect()),
            cursor,
            limit: self.limit.filter(|limit| (1..=200).contains(limit)).unwrap_or(50),
        })
    }
}

impl RetryMany {
    fn parse(&self) -> Result<DeadMails, ApiError> {
        let mut fields = Fields::default();
        if self.status.as_deref() != Some(MailStatus::Dead.as_str()) {
            fields.wrong("status", "unknown_status", "Use dead.");
        }
        let kind = kind(&mut fields, given(self.kind.as_ref()));
        let ids = self.ids.as_ref().map(|ids| ids.iter().map(|id| id.parse().ok()).collect::<Option<Vec<MailId>>>());
        if matches!(ids, Some(None)) {
            fields.wrong("ids", "invalid_id", "One of these is not a valid id.");
        }
        if self.ids.as_ref().is_some_and(|ids| ids.len() > usize::from(BATCH)) {
            fields.wrong("ids", "too_many", format!("At most {BATCH} at a time."));
        }
        let cursor = given(self.cursor.as_ref()).and_then(|cursor| fields.id("cursor", Some(cursor)));
        fields.finish()?;
        Ok(DeadMails { kind, ids: ids.flatten(), cursor })
    }
}

/// The mail that a path names.
pub fn mail_id(text: &str) -> Result<MailId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

/// `GET /api/admin/mail`
#[utoipa::path(
    get,
    path = "/api/admin/mail",
    tag = "Admin",
    operation_id = "list_mails",
    summary = "List mails",
    description = "Newest first, a page at a time: where each stands, and what the mail server last said. What they \
        say is not shown. Sent and expired ones are kept for as long as the server's settings say.",
    params(ListQuery),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = MailsView, description = "A page of mails."),
        (status = 400, description = "invalid_request, invalid_input"),
    ),
)]
pub async fn list(
    site: web::Data<Site>,
    _admin: Admin,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let page = site.auth.mails(&query.parse()?).await?;
    Ok(HttpResponse::Ok().json(MailsView {
        mails: page.mails.iter().map(MailView::from).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

/// `GET /api/admin/mail/{id}`
#[utoipa::path(
    get,
    path = "/api/admin/mail/{id}",
    tag = "Admin",
    operation_id = "show_mail",
    summary = "Look at one mail",
    params(("id" = Uuid, Path, description = "The mail.")),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = MailView, description = "The mail."),
        (status = 404, description = "not_found"),
    ),
)]
pub async fn show(site: web::Data<Site>, _admin: Admin, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let mail = site.auth.mail_by_id(mail_id(&id)?).await?.ok_or_else(ApiError::not_found)?;
    Ok(HttpResponse::Ok().json(MailView::from(&mail)))
}

/// `GET /api/admin/mail/stats`
#[utoipa::path(
    get,
    path = "/api/admin/mail/stats",
    tag = "Admin",
    operation_id = "mail_stats",
    summary = "The mail queue in figures",
    security(("session_cookie" = []), ("bearer" = [])),
    responses((status = 200, body = MailStats, description = "How many mails stand where.")),
)]
pub async fn stats(site: web::Data<Site>, _admin: Admin) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(MailStats::from(site.auth.mail_counts().await?)))
}

/// `POST /api/admin/mail/{id}/retry`
#[utoipa::path(
    post,
    path = "/api/admin/mail/{id}/retry",
    tag = "Admin",
    operation_id = "retry_mail",
    summary = "Try a mail again at once",
    description = "For a dead mail, which gets all its attempts again, and for one that waits for a later attempt.",
    params(("id" = Uuid, Path, description = "The mail.")),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = MailView, description = "The mail as it is now."),
        (status = 404, description = "not_found"),
        (status = 409, description = "conflict, mail_expired, suppressed"),
    ),
)]
pub async fn retry(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let mail = site.auth.retry_mail(Some(&who.user), mail_id(&id)?, &client.origin).await?;
    Ok(HttpResponse::Ok().json(MailView::from(&mail)))
}

/// `POST /api/admin/mail/retry`
#[utoipa::path(
    post,
    path = "/api/admin/mail/retry",
    tag = "Admin",
    operation_id = "retry_mails",
    summary = "Try dead mails again",
    description = "Up to 500, oldest first. Those that have expired are passed over. Call it again with `next_cursor` \
        as `cursor` until that is null.",
    security(("session_cookie" = []), ("bearer" = [])),
    request_body = RetryMany,
    responses(
        (status = 200, body = RetriedView, description = "How many are on their way again."),
        (status = 400, description = "invalid_input"),
    ),
)]
pub async fn retry_many(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    Json(body): Json<RetryMany>,
) -> Result<HttpResponse, ApiError> {
    let batch = site.auth.retry_dead_mails(Some(&who.user), &body.parse()?, BATCH, &client.origin).await?;
    let next_cursor = batch.next.map(|next| next.to_string());
    Ok(HttpResponse::Ok().json(RetriedView { retried: batch.retried, suppressed: batch.suppressed, next_cursor }))
}

/// `POST /api/admin/mail/{id}/bury`
#[utoipa::path(
    post,
    path = "/api/admin/mail/{id}/bury",
    tag = "Admin",
    operation_id = "bury_mail",
    summary = "Give a mail up",
    description = "For one that waits. It is dead then, and can be tried again until it expires.",
    params(("id" = Uuid, Path, description = "The mail.")),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = MailView, description = "The mail as it is now."),
        (status = 404, description = "not_found"),
        (status = 409, description = "conflict, mail_expired"),
    ),
)]
pub async fn bury(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let mail = site.auth.bury_mail(Some(&who.user), mail_id(&id)?, &client.origin).await?;
    Ok(HttpResponse::Ok().json(MailView::from(&mail)))
}

/// `POST /api/admin/mail/pause`
#[utoipa::path(
    post,
    path = "/api/admin/mail/pause",
    tag = "Admin",
    operation_id = "pause_mail",
    summary = "Stop all sending",
    description = "On every instance, within about a second. Mails are accepted all the same and wait; those in flight \
        finish. Codes and links expire while they wait.",
    security(("session_cookie" = []), ("bearer" = [])),
    responses((status = 200, body = PausedView, description = "Sending is stopped.")),
)]
pub async fn pause(site: web::Data<Site>, client: Client, Admin(who): Admin) -> Result<HttpResponse, ApiError> {
    site.auth.pause_mail(Some(&who.user), true, &client.origin).await?;
    Ok(HttpResponse::Ok().json(PausedView { paused: true }))
}

/// `POST /api/admin/mail/resume`
#[utoipa::path(
    post,
    path = "/api/admin/mail/resume",
    tag = "Admin",
    operation_id = "resume_mail",
    summary = "Let sending go on",
    security(("session_cookie" = []), ("bearer" = [])),
    responses((status = 200, body = PausedView, description = "Mails are sent.")),
)]
pub async fn resume(site: web::Data<Site>, client: Client, Admin(who): Admin) -> Result<HttpResponse, ApiError> {
    site.auth.pause_mail(Some(&who.user), false, &client.origin).await?;
    Ok(HttpResponse::Ok().json(PausedView { paused: false }))
}
