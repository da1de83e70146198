//! The audit trail, for admins to read.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use crate::auth::{AuditPage, AuditParty, AuditQuery};
use crate::domain::{AuditId, UserId};
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::Admin;
use crate::store::AuditEntry;

/// Which lines to list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only what this account did: its id or its address.
    pub actor: Option<String>,
    /// Only what was done to this account: its id or its address.
    pub subject: Option<String>,
    /// Only this action, such as `session.started`.
    pub action: Option<String>,
    /// At most so many: 50, if it is not 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<uuid::Uuid>)]
    pub cursor: Option<String>,
}

/// One line.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "01934f60-1f3c-7b52-8a41-c7d90e6f2a58", "at": "2026-01-05T09:31:12Z", "action": "session.started",
    "actor": "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21", "actor_email": "ada@example.com",
    "subject": "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21", "subject_email": "ada@example.com",
    "address": "192.0.2.7", "device": "Firefox on Linux",
    "detail": "session 01934f60-1f3c-7b52-8a41-c7d90e6f2a57 by otp", "times": 1,
}))]
pub struct AuditEntryView {
    /// Names the line; ids grow with time.
    #[schema(value_type = uuid::Uuid)]
    id: AuditId,
    /// When it happened; of several that are told together, the last.
    at: DateTime<Utc>,
    /// What happened.
    action: String,
    /// The account that did it; null for the server, an operator at the command line, or somebody unknown.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    actor: Option<UserId>,
    /// Its address, while there is such an account.
    #[schema(required = true)]
    actor_email: Option<String>,
    /// The account it was done to.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    subject: Option<UserId>,
    /// Its address, while there is such an account.
    #[schema(required = true)]
    subject_email: Option<String>,
    /// The client's address; may be empty.
    address: String,
    /// The client's device, in words; may be empty.
    device: String,
    /// What else is worth knowing.
    detail: String,
    /// How often it happened, since the last line that says the same.
    times: i32,
}

/// A page of the audit trail.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AuditView {
    /// The lines, newest first.
    entries: Vec<AuditEntryView>,
    /// Names the next page; null on the last.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    next_cursor: Option<String>,
}

impl AuditEntryView {
    fn new(page: &AuditPage, entry: &AuditEntry) -> Self {
        let mailbox = |id: Option<UserId>| id.and_then(|id| page.mailbox(id)).map(ToString::to_string);
        Self {
            id: entry.id,
            at: entry.at,
            action: entry.action.clone(),
            actor: entry.actor,
            actor_email: mailbox(entry.actor),
            subject: entry.subject,
            subject_email: mailbox(entry.subject),
            address: entry.address.clone(),
            device: entry.device.clone(),
            detail: entry.detail.clone(),
            times: entry.times,
        }
    }
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

impl ListQuery {
    /// The query, or what is wrong with it. An empty parameter counts as absent.
    pub fn parse(&self) -> Result<AuditQuery, ApiError> {
        let mut fields = Fields::default();
        let mut party = |field, text| -> Option<AuditParty> {
            let parsed = given(text)?.parse();
            parsed.map_err(|_| fields.wrong(field, "invalid_account", "Use an account's id or its address.")).ok()
        };
        let actor = party("actor", self.actor.as_ref());
        let subject = party("subject", self.subject.as_ref());
        let action = given(self.action.as_ref());
        let is_word = |character: char| character.is_ascii_lowercase() || matches!(character, '_' | '.');
        if action.is_some_and(|action| action.len() > 64 || !action.chars().all(is_word)) {
            fields.wrong("action", "unknown_action", "Use an action such as session.started.");
        }
        let cursor = given(self.cursor.as_ref()).and_then(|cursor| fields.id("cursor", Some(cursor)));
        fields.finish()?;
        let limit = self.limit.filter(|limit| (1..=200).contains(limit)).unwrap_or(50);
        Ok(AuditQuery { actor, subject, action: action.map(str::to_owned), since: None, cursor, limit })
    }
}

/// `GET /api/admin/audit`
#[utoipa::path(
    get,
    path = "/api/admin/audit",
    tag = "Admin",
    operation_id = "list_audit",
    summary = "Read the audit trail",
    description = "Who did what to whom, when and from where: newest first, a page at a time. Lines are never changed; \
        they are kept for as long as the server's settings say. Failed sign-ins of one kind, mailbox and client address \
        are told together, once a minute.",
    params(ListQuery),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = AuditView, description = "A page of lines."),
        (status = 400, description = "invalid_request, invalid_input"),
    ),
)]
pub async fn list(
    site: web::Data<Site>,
    _admin: Admin,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let page = site.auth.audit(&query.parse()?).await?;
    Ok(HttpResponse::Ok().json(AuditView {
        entries: page.entries.iter().map(|entry| AuditEntryView::new(&page, entry)).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}
