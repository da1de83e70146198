//! The audit trail, as a page to leaf through.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::{field_errors, page, time};
use crate::auth::{AUDIT_ACTIONS, AuditPage};
use crate::domain::UserId;
use crate::http::Site;
use crate::http::api::admin_audit::ListQuery;
use crate::http::error::ApiError;
use crate::http::extract::Admin;
use crate::store::AuditEntry;

fn line(page: &AuditPage, entry: &AuditEntry) -> Value {
    let party =
        |id: Option<UserId>| id.map(|id| json!({ "id": id, "email": page.mailbox(id).map(ToString::to_string) }));
    json!({
        "at": time(entry.at), "action": entry.action, "times": entry.times, "detail": entry.detail,
        "actor": party(entry.actor), "subject": party(entry.subject).filter(|_| entry.subject != entry.actor),
        "address": entry.address, "device": entry.device,
    })
}

/// The parameters that a link to another page of the same list has, ready for a URL.
fn parameters(query: &ListQuery) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("actor", &query.actor), ("subject", &query.subject), ("action", &query.action)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            pairs.append_pair(name, value);
        }
    }
    pairs.finish()
}

/// `GET /admin/audit`
pub(crate) async fn show(
    site: web::Data<Site>,
    http: HttpRequest,
    Admin(who): Admin,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let (found, errors, status) = match query.parse() {
        Ok(parsed) => (site.auth.audit(&parsed).await?, Vec::new(), StatusCode::OK),
        Err(error) => (AuditPage::default(), error.errors, StatusCode::BAD_REQUEST),
    };
    let context = json!({
        "actor": query.actor, "subject": query.subject, "action": query.action,
        "actions": AUDIT_ACTIONS,
        "field_errors": field_errors(&errors),
        "entries": found.entries.iter().map(|entry| line(&found, entry)).collect::<Vec<_>>(),
        "parameters": parameters(&query),
        "next_cursor": found.next.map(|next| next.to_string()),
    });
    page(&site, &http, Some(&who), status, ("audit", "Audit trail"), context)
}
