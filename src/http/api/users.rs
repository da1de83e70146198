//! The directory: what signed-in people see of each other.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::admin_users;
use crate::auth::UserQuery;
use crate::cache::{Resource, ResponseKey};
use crate::domain::{Role, UserStatus};
use crate::http::error::ApiError;
use crate::http::extract::SignedIn;
use crate::http::views::UserView;
use crate::http::{Site, cached};

/// How long a page of the directory is kept.
const PAGE_TTL: Duration = Duration::from_mins(3);

/// Which accounts to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DirectoryQuery {
    /// Part of an address, a name or a username.
    pub search: Option<String>,
    /// At most so many: 50, if it is not 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<uuid::Uuid>)]
    pub cursor: Option<String>,
}

/// A page of the directory.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DirectoryView {
    /// The accounts, newest first.
    users: Vec<UserView>,
    /// Names the next page; null on the last.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    next_cursor: Option<String>,
}

impl DirectoryQuery {
    /// What `role` gets to see of what is asked for, or what is wrong with it.
    fn parse(self, role: Role) -> Result<UserQuery, ApiError> {
        let Self { search, limit, cursor } = self;
        let query = admin_users::ListQuery { status: None, search, limit, cursor }.parse()?;
        let search = query.search.map(|search| search.to_lowercase());
        Ok(UserQuery { status: (role != Role::Admin).then_some(UserStatus::Approved), search, ..query })
    }
}

/// The key of a page: the same for all who see the same.
fn page_key(query: &UserQuery, role: Role) -> ResponseKey {
    let (limit, cursor) = (query.limit.to_string(), query.cursor.map(|cursor| cursor.to_string()).unwrap_or_default());
    let parameters =
        [("limit", &*limit), ("cursor", &*cursor), ("search", query.search.as_deref().unwrap_or_default())];
    ResponseKey::new(Resource::Users, "list", &parameters, role.as_str())
}

/// `GET /api/users/list`
#[utoipa::path(
    get,
    path = "/api/users/list",
    tag = "Directory",
    operation_id = "list_directory",
    summary = "List the people here",
    description = "Newest first, a page at a time. People see the accounts that are approved, and nobody's telephone \
        number: `phone` is null, one's own too. Admins see all accounts with all they have. Kept for up to 180 seconds, and \
        never more than two seconds behind a change of an account; of a mere sign-in only `updated_at` would tell, \
        which may lag. Send `If-None-Match` with the `ETag` you have, and what has not changed is not sent again.",
    params(DirectoryQuery),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = DirectoryView, description = "A page of accounts.", headers(
            ("ETag" = String, description = "Names this very answer."),
            ("Cache-Control" = String, description = "For this client alone, which asks again before it uses it."),
        )),
        (status = 304, description = "Nothing has changed."),
        (status = 400, description = "invalid_request, invalid_input"),
        (status = 429, description = "rate_limited"),
    ),
)]
pub async fn list(
    site: web::Data<Site>,
    SignedIn(who): SignedIn,
    request: HttpRequest,
    query: web::Query<DirectoryQuery>,
) -> Result<HttpResponse, ApiError> {
    let role = who.user.role;
    let query = query.into_inner().parse(role)?;
    let load = async || {
        let page = site.auth.user_page(&query).await?;
        let seen = |user| if role == Role::Admin { UserView::from(user) } else { UserView::without_phone(user) };
        let next_cursor = page.next.map(|next| next.to_string());
        Ok(DirectoryView { users: page.users.iter().map(seen).collect(), next_cursor })
    };
    cached::cached(&site, &request, &page_key(&query, role), PAGE_TTL, load).await
}

/// `GET /api/users/{name}`
#[utoipa::path(
    get,
    path = "/api/users/{name}",
    tag = "Directory",
    operation_id = "find_user",
    summary = "Look one person up",
    description = "By id, username or address. People see accounts that are approved, without their telephone number \
        (`phone` is null) unless it is their own; for admins every account exists, and has all it has. At most two \
        seconds behind. Somebody whose username is `list` is found by id or address.",
    params(("name" = String, Path, description = "The account's id, username or address.")),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = UserView, description = "The account.", headers(
            ("ETag" = String, description = "Names this very answer."),
            ("Cache-Control" = String, description = "For this client alone, which asks again before it uses it."),
        )),
        (status = 304, description = "Nothing has changed."),
        (status = 404, description = "not_found"),
    ),
)]
pub async fn show(
    site: web::Data<Site>,
    SignedIn(who): SignedIn,
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let user = site.auth.find_user(&name, &who.user).await?.ok_or_else(ApiError::not_found)?;
    let sees_all = who.user.role == Role::Admin || who.user.id == user.id;
    cached::json(&request, &if sees_all { UserView::from(&user) } else { UserView::without_phone(&user) })
}
