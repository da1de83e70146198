//! What admins see of accounts, and decide about them.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::fields::{Fields, present};
use super::session::EndedView;
use crate::auth::UserQuery;
use crate::domain::{AdminAction, UserId, UserStatus};
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client, Json, JsonOrNothing};
use crate::http::openapi::values::{self, ActionName};
use crate::http::views::AdminUserView;

/// Which accounts to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only accounts that stand so. `all` is the same as nothing.
    #[param(schema_with = values::user_status_or_all)]
    pub status: Option<String>,
    /// Part of an address, a name or a username.
    pub search: Option<String>,
    /// At most so many: 50, if it is not 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<uuid::Uuid>)]
    pub cursor: Option<String>,
}

/// A page of accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UsersView {
    /// The accounts, newest first.
    users: Vec<AdminUserView>,
    /// Names the next page; null on the last.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    next_cursor: Option<String>,
}

/// What an admin adds to a decision.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "note": "Welcome aboard" }))]
pub struct DecisionNote {
    /// Kept with the decision, and mailed on approval.
    #[schema(max_length = 500)]
    pub note: Option<String>,
}

/// Whom to invite.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "email": "grace@example.com", "name": "Grace Hopper", "locale": "en" }))]
pub struct Invite {
    /// The new account's address.
    #[schema(required = true, value_type = String, format = Email, max_length = 254)]
    pub email: Option<String>,
    /// What the person is called.
    #[schema(max_length = 100)]
    pub name: Option<String>,
    /// The language of the invitation.
    pub locale: Option<String>,
}

impl ListQuery {
    /// The query, or what is wrong with it. An empty parameter counts as absent.
    pub fn parse(&self) -> Result<UserQuery, ApiError> {
        let mut fields = Fields::default();
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let status = given(&self.status).filter(|status| status != "all");
        let parsed = status.as_deref().map(str::parse::<UserStatus>);
        if matches!(parsed, Some(Err(_))) {
            fields.wrong("status", "unknown_status", "Use pending, approved, rejected or banned.");
        }
        if given(&self.search).is_some_and(|search| search.contains('\0')) {
            fields.wrong("search", "invalid_characters", "There is a null byte in this.");
        }
        let cursor: Option<UserId> = given(&self.cursor).and_then(|cursor| fields.id("cursor", Some(&cursor)));
        fields.finish()?;
        Ok(UserQuery {
            status: parsed.and_then(Result::ok),
            search: given(&self.search).map(|search| search.chars().take(200).collect()),
            cursor,
            limit: self.limit.filter(|limit| (1..=200).contains(limit)).unwrap_or(50),
        })
    }
}

/// The action that a path names.
pub fn action(text: &str) -> Result<AdminAction, ApiError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| ApiError::not_found())
}

/// `GET /api/admin/users`
#[utoipa::path(
    get,
    path = "/api/admin/users",
    tag = "Admin",
    operation_id = "list_users",
    summary = "List accounts",
    description = "Newest first, a page at a time.",
    params(ListQuery),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = UsersView, description = "A page of accounts."),
        (status = 400, description = "invalid_request, invalid_input"),
    ),
)]
pub async fn list(
    site: web::Data<Site>,
    _admin: Admin,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let page = site.auth.users(&query.parse()?).await?;
    Ok(HttpResponse::Ok().json(UsersView {
        users: page.users.iter().map(AdminUserView::from).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

/// `GET /api/admin/users/{id}`
#[utoipa::path(
    get,
    path = "/api/admin/users/{id}",
    tag = "Admin",
    operation_id = "show_user",
    summary = "Look at one account",
    params(("id" = Uuid, Path, description = "The account.")),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = AdminUserView, description = "The account."),
        (status = 404, description = "not_found"),
    ),
)]
pub async fn show(site: web::Data<Site>, _admin: Admin, id: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let id: UserId = id.parse().map_err(|_| ApiError::not_found())?;
    let user = site.auth.user(id).await?.ok_or_else(ApiError::not_found)?;
    Ok(HttpResponse::Ok().json(AdminUserView::from(&user)))
}

/// `POST /api/admin/users`
#[utoipa::path(
    post,
    path = "/api/admin/users",
    tag = "Admin",
    operation_id = "invite_user",
    summary = "Invite a person",
    description = "Makes an approved account and mails an invitation.",
    security(("session_cookie" = []), ("bearer" = [])),
    request_body = Invite,
    responses(
        (status = 201, body = AdminUserView, description = "The new account."),
        (status = 400, description = "invalid_input"),
        (status = 409, description = "taken"),
    ),
)]
pub async fn invite(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    Json(body): Json<Invite>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::default();
    let email = fields.email("email", body.email.as_deref());
    let name = fields.name("name", body.name.as_deref());
    let locale = fields.locale(body.locale.as_deref(), who.user.locale);
    fields.finish()?;
    let user = site.auth.invite(Some(&who.user), &present(email)?, &name, locale, &client.origin).await?;
    Ok(HttpResponse::Created().json(AdminUserView::from(&user)))
}

/// `POST /api/admin/users/{id}/{action}`
#[utoipa::path(
    post,
    path = "/api/admin/users/{id}/{action}",
    tag = "Admin",
    operation_id = "decide_about_user",
    summary = "Decide about an account",
    description = "`actions` of an account says which decisions fit it. Rejecting and banning end all of its sessions.",
    params(
        ("id" = Uuid, Path, description = "The account."),
        ("action" = inline(ActionName), Path, description = "The decision."),
    ),
    security(("session_cookie" = []), ("bearer" = [])),
    request_body(content = Option<DecisionNote>, description = "Can be left out."),
    responses(
        (status = 200, body = AdminUserView, description = "The account as it is now."),
        (status = 400, description = "invalid_input"),
        (status = 404, description = "not_found"),
        (status = 409, description = "conflict, last_admin"),
    ),
)]
pub async fn decide(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    path: web::Path<(String, String)>,
    JsonOrNothing(body): JsonOrNothing<DecisionNote>,
) -> Result<HttpResponse, ApiError> {
    let (id, name) = path.into_inner();
    let id: UserId = id.parse().map_err(|_| ApiError::not_found())?;
    let action = action(&name)?;
    let mut fields = Fields::default();
    let note = fields.note("note", body.note.as_deref());
    fields.finish()?;
    let user = site.auth.decide(Some(&who.user), id, action, &note, &client.origin).await?;
    Ok(HttpResponse::Ok().json(AdminUserView::from(&user)))
}

/// `DELETE /api/admin/users/{id}/sessions`
#[utoipa::path(
    delete,
    path = "/api/admin/users/{id}/sessions",
    tag = "Admin",
    operation_id = "end_user_sessions",
    summary = "Sign an account out everywhere",
    description = "Ends every session of the account and tells its owner.",
    params(("id" = Uuid, Path, description = "The account.")),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = EndedView, description = "How many sessions were ended."),
        (status = 404, description = "not_found"),
    ),
)]
pub async fn end_sessions(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id: UserId = id.parse().map_err(|_| ApiError::not_found())?;
    let ended = site.auth.end_sessions_of(&who.user, id, &client.origin).await?;
    Ok(HttpResponse::Ok().json(EndedView::new(ended)))
}
