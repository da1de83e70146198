//! The directory: what signed-in people see of each other.

use std::collections::HashSet;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::admin_users;
use super::fields::Fields;
use crate::auth::UserQuery;
use crate::cache::{Resource, ResponseKey};
use crate::domain::{Role, UserId, UserStatus};
use crate::http::error::ApiError;
use crate::http::extract::SignedIn;
use crate::http::views::UserView;
use crate::http::{Site, cached};
use crate::store::User;

/// How long a page of the directory is kept.
const PAGE_TTL: Duration = Duration::from_mins(3);

/// The most accounts that are asked for by their ids.
const MOST_IDS: usize = 200;

/// Which accounts to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DirectoryQuery {
    /// Those with these ids and no others, in this order: at most 200, with commas between them. Not together with `search` or
    /// `cursor`.
    pub ids: Option<String>,
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
    /// The accounts: newest first, or in the order in which they were asked for by their ids.
    users: Vec<UserView>,
    /// Names the next page; null on the last, and where accounts were asked for by their ids.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    next_cursor: Option<String>,
}

/// What is asked for.
enum Listed {
    Page(UserQuery),
    These(Vec<UserId>),
}

impl DirectoryQuery {
    /// What `role` gets to see of what is asked for, or what is wrong with it. An empty parameter counts as absent.
    fn parse(self, role: Role) -> Result<Listed, ApiError> {
        let Self { ids, search, limit, cursor } = self;
        if let Some(ids) = ids.filter(|ids| !ids.is_empty()) {
            let is_given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
            return these(&ids, is_given(&search) || is_given(&cursor)).map(Listed::These);
        }
        let query = admin_users::ListQuery { status: None, search, limit, cursor }.parse()?;
        let search = query.search.map(|search| search.to_lowercase());
        Ok(Listed::Page(UserQuery { status: (role != Role::Admin).then_some(UserStatus::Approved), search, ..query }))
    }
}

/// The ids in `text`, each once. `mixed`: something else is asked for as well.
fn these(text: &str, mixed: bool) -> Result<Vec<UserId>, ApiError> {
    let mut fields = Fields::default();
    if mixed {
        fields.wrong("ids", "not_alone", "Ask by ids, or with search and cursor, not both.");
    }
    let parsed: Result<Vec<UserId>, _> = text.split(',').map(|id| id.trim().parse()).collect();
    if text.split(',').count() > MOST_IDS {
        fields.wrong("ids", "too_many", format!("At most {MOST_IDS} ids are taken at once."));
    } else if parsed.is_err() {
        fields.wrong("ids", "invalid_id", "One of these is not a valid id.");
    }
    fields.finish()?;
    let mut seen = HashSet::new();
    Ok(parsed.unwrap_or_default().into_iter().filter(|id| seen.insert(*id)).collect())
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
    description = "Newest first, a page at a time, or those whose `ids` are given: who of them is not to be seen, or not there, \
        is left out. People see the accounts that are approved, and nobody's telephone \
        number: `phone` is null, one's own too. Admins see all accounts with all they have. A page is kept for up to 180 seconds, and \
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
    let seen = |user: &User| if role == Role::Admin { UserView::from(user) } else { UserView::without_phone(user) };
    match query.into_inner().parse(role)? {
        Listed::Page(query) => {
            let load = async || {
                let page = site.auth.user_page(&query).await?;
                let next_cursor = page.next.map(|next| next.to_string());
                Ok(DirectoryView { users: page.users.iter().map(seen).collect(), next_cursor })
            };
            cached::cached(&site, &request, &page_key(&query, role), PAGE_TTL, load).await
        }
        Listed::These(ids) => {
            let users = site.auth.find_users(&ids, &who.user).await?;
            cached::json(&request, &DirectoryView { users: users.iter().map(seen).collect(), next_cursor: None })
        }
    }
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
