//! Mailboxes that get no mail for a while: admins look at them, and what reads bounces and complaints adds to them.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::fields::{Fields, present};
use crate::auth::NewSuppression;
use crate::domain::{EmailAddress, SuppressionReason};
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client, Json};
use crate::http::mail_views::SuppressionView;
use crate::http::openapi::values;

/// Which suppressions to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// At most so many: 50, if it is not 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of suppressed mailboxes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SuppressionsView {
    /// The mailboxes, by address.
    suppressions: Vec<SuppressionView>,
    /// Names the next page; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A mailbox to suppress.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "email": "ada@example.com", "reason": "bounce", "detail": "550 5.1.1 No such mailbox", "days": 30,
}))]
pub struct Suppress {
    /// The mailbox.
    #[schema(required = true, value_type = String, format = Email, max_length = 254)]
    pub email: Option<String>,
    /// Why; `manual` unless said.
    #[schema(schema_with = values::suppression_reason)]
    pub reason: Option<String>,
    /// What the mail server or the owner said.
    #[schema(max_length = 500)]
    pub detail: Option<String>,
    /// For how many days: 30 unless said.
    #[schema(minimum = 1, maximum = 3650, default = 30)]
    pub days: Option<u16>,
}

impl Suppress {
    fn parse(&self) -> Result<NewSuppression, ApiError> {
        let mut fields = Fields::default();
        let email = fields.email("email", self.email.as_deref());
        let reason = self.reason.as_deref().map_or(Ok(SuppressionReason::Manual), str::parse);
        if reason.is_err() {
            fields.wrong("reason", "unknown_reason", "Use bounce, complaint or manual.");
        }
        let detail = fields.note("detail", self.detail.as_deref());
        let days = self.days.unwrap_or(NewSuppression::DAYS);
        if !(1..=NewSuppression::MAX_DAYS).contains(&days) {
            fields.wrong("days", "out_of_range", format!("Use 1 to {}.", NewSuppression::MAX_DAYS));
        }
        fields.finish()?;
        Ok(NewSuppression { email: present(email)?, reason: present(reason.ok())?, detail, days })
    }
}

/// `GET /api/admin/mail/suppressions`
#[utoipa::path(
    get,
    path = "/api/admin/mail/suppressions",
    tag = "Admin",
    operation_id = "list_suppressions",
    summary = "List suppressed mailboxes",
    description = "Mailboxes that get no mail for a while, by address, a page at a time.",
    params(ListQuery),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = SuppressionsView, description = "A page of mailboxes."),
        (status = 400, description = "invalid_request, invalid_input"),
    ),
)]
pub async fn list(
    site: web::Data<Site>,
    _admin: Admin,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let cursor = query.cursor.as_deref().filter(|cursor| !cursor.is_empty());
    if cursor.is_some_and(|cursor| cursor.contains('\0')) {
        let mut fields = Fields::default();
        fields.wrong("cursor", "invalid_characters", "There is a null byte in this.");
        fields.finish()?;
    }
    let limit = query.limit.filter(|limit| (1..=200).contains(limit)).unwrap_or(50);
    let page = site.auth.suppressions(cursor, limit).await?;
    Ok(HttpResponse::Ok().json(SuppressionsView {
        suppressions: page.suppressions.iter().map(SuppressionView::from).collect(),
        next_cursor: page.next,
    }))
}

/// `POST /api/admin/mail/suppressions`
#[utoipa::path(
    post,
    path = "/api/admin/mail/suppressions",
    tag = "Admin",
    operation_id = "suppress_mailbox",
    summary = "Suppress a mailbox",
    description = "It gets no mail until the time is over or the suppression is lifted; mails that wait for it are given \
        up when their turn comes. Suppressing it again takes the place of what was said before.",
    security(("session_cookie" = []), ("bearer" = [])),
    request_body = Suppress,
    responses(
        (status = 201, body = SuppressionView, description = "The suppression."),
        (status = 400, description = "invalid_input"),
    ),
)]
pub async fn add(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    Json(body): Json<Suppress>,
) -> Result<HttpResponse, ApiError> {
    let suppression = site.auth.suppress(Some(&who.user), &body.parse()?, &client.origin).await?;
    Ok(HttpResponse::Created().json(SuppressionView::from(&suppression)))
}

/// `DELETE /api/admin/mail/suppressions/{email}`
#[utoipa::path(
    delete,
    path = "/api/admin/mail/suppressions/{email}",
    tag = "Admin",
    operation_id = "lift_suppression",
    summary = "Lift a suppression",
    description = "Mails that were given up meanwhile stay dead until they are tried again.",
    params(("email" = String, Path, description = "The mailbox.")),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 204, description = "The mailbox gets mail again."),
        (status = 404, description = "not_found"),
    ),
)]
pub async fn lift(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    email: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let email = EmailAddress::parse(&email).map_err(|_| ApiError::not_found())?;
    site.auth.lift_suppression(Some(&who.user), &email, &client.origin).await?;
    Ok(HttpResponse::NoContent().finish())
}
