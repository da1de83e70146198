//! The admins' pages: who waits, who is in, and what the mail queue does.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{admin_cache, admin_limits, admin_mail, page, see_other, time, with_notice};
use crate::auth::AuthError;
use crate::domain::{AdminAction, NextPath, UserId, UserStatus};
use crate::http::Site;
use crate::http::api::admin_users::{ListQuery, action};
use crate::http::api::fields::Fields;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client, PageForm};
use crate::store::User;

/// The forms of decisions.
#[derive(Deserialize)]
pub(crate) struct DecisionForm {
    note: Option<String>,
    return_to: Option<String>,
}

/// The invitation form.
#[derive(Deserialize)]
pub(crate) struct InviteForm {
    email: Option<String>,
    name: Option<String>,
}

fn user_view(user: &User) -> Value {
    json!({
        "id": user.id, "email": user.email, "name": user.name, "note": user.note, "role": user.role,
        "status": user.status, "address": user.address, "device": user.device,
        "created_at": time(user.created_at), "last_sign_in_at": user.last_sign_in_at.map(time),
    })
}

/// `GET /admin`
pub(crate) async fn show(
    site: web::Data<Site>,
    http: HttpRequest,
    Admin(who): Admin,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut query = query.into_inner();
    let status = query.status.get_or_insert_with(|| "pending".to_owned()).clone();
    let list = site.auth.users(&query.parse()?).await?;
    let counted = site.auth.user_counts().await?;
    let count = |status: UserStatus| counted.iter().find(|(of, _)| *of == status).map_or(0, |(_, count)| *count);
    let mail = admin_mail::section(&site).await?;
    let context = json!({
        "status": status,
        "search": query.search.unwrap_or_default(),
        "counts": {
            "pending": count(UserStatus::Pending), "approved": count(UserStatus::Approved),
            "rejected": count(UserStatus::Rejected), "banned": count(UserStatus::Banned),
        },
        "users": list.users.iter().map(user_view).collect::<Vec<_>>(),
        "next_cursor": list.next.map(|next| next.to_string()),
        "self_id": who.user.id,
        "mail": mail,
        "cache": admin_cache::section(&site),
        "limits": admin_limits::section(&site),
    });
    page(&site, &http, Some(&who), StatusCode::OK, ("admin", "Administration"), context)
}

/// `GET /admin/approvals/{id}`: where the mail to admins leads.
pub(crate) async fn approval(
    site: web::Data<Site>,
    http: HttpRequest,
    Admin(who): Admin,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id: UserId = id.parse().map_err(|_| ApiError::not_found())?;
    let user = site.auth.user(id).await?.ok_or_else(ApiError::not_found)?;
    let context = json!({ "user": user_view(&user) });
    page(&site, &http, Some(&who), StatusCode::OK, ("approval", "Approve an account"), context)
}

/// `POST /admin/users/{id}/{action}`
pub(crate) async fn decide(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    path: web::Path<(String, String)>,
    PageForm(form): PageForm<DecisionForm>,
) -> Result<HttpResponse, ApiError> {
    let (id, name) = path.into_inner();
    let id: UserId = id.parse().map_err(|_| ApiError::not_found())?;
    let action = action(&name)?;
    let mut fields = Fields::default();
    let note = fields.note("note", form.note.as_deref());
    fields.finish()?;
    let back = form.return_to.as_deref().and_then(|path| NextPath::parse(path, &[]));
    let back = back.as_ref().map_or("/admin", NextPath::as_str);
    let notice = match site.auth.decide(Some(&who.user), id, action, &note, &client.origin).await {
        Ok(_) => match action {
            AdminAction::Approve => "approved",
            AdminAction::Reject => "rejected",
            AdminAction::Ban => "banned",
            AdminAction::Unban => "unbanned",
            AdminAction::Promote => "promoted",
            AdminAction::Demote => "demoted",
        },
        Err(AuthError::Conflict(_)) => "conflict",
        Err(AuthError::LastAdmin) => "last-admin",
        Err(error) => return Err(error.into()),
    };
    Ok(see_other(&with_notice(back, notice)))
}

/// `POST /admin/invite`
pub(crate) async fn invite(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    PageForm(form): PageForm<InviteForm>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::default();
    let email = fields.email("email", form.email.as_deref());
    let name = fields.name("name", form.name.as_deref());
    let (Some(email), true) = (email, fields.into_errors().is_empty()) else {
        return Ok(see_other("/admin?notice=invite-failed"));
    };
    match site.auth.invite(Some(&who.user), &email, &name, who.user.locale, &client.origin).await {
        Ok(_) => Ok(see_other("/admin?status=approved&notice=invited")),
        Err(AuthError::Taken(_)) => Ok(see_other("/admin?notice=invite-failed")),
        Err(error) => Err(error.into()),
    }
}
