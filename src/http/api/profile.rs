//! The caller's own profile.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Deserializer};

use super::fields::Fields;
use crate::domain::{DisplayName, Language, Phone, Username};
use crate::http::Site;
use crate::http::error::{ApiError, FieldError};
use crate::http::extract::{Client, Json, SignedIn};
use crate::http::views::UserView;
use crate::store::ProfileChange;

/// The fields to change. An absent field stays; an empty or null username or phone is removed.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "name": "Ada Lovelace", "username": "ada", "phone": null, "locale": "en" }))]
pub struct ProfileFields {
    /// What the person is called.
    #[schema(max_length = 100)]
    pub name: Option<String>,
    /// A short handle: two to 32 letters, digits, dots, dashes and underscores, a letter first.
    #[serde(default, deserialize_with = "present_or_null")]
    #[schema(value_type = Option<String>)]
    pub username: Option<Option<String>>,
    /// A telephone number, `+49…`.
    #[serde(default, deserialize_with = "present_or_null")]
    #[schema(value_type = Option<String>)]
    pub phone: Option<Option<String>>,
    /// The language of mails: `en`, `de`, `fr`, `es`, `pt`, `ja` or `ar`.
    pub locale: Option<String>,
}

/// The text of a field that is not blank.
fn filled(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// Tells a field that is null from one that is absent.
#[allow(clippy::option_option, reason = "a field can be absent, null or given")]
fn present_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

impl ProfileFields {
    /// The change that the fields describe, or what is wrong with them.
    pub fn change(&self) -> Result<ProfileChange, Vec<FieldError>> {
        let mut fields = Fields::default();
        let name = fields.checked("name", self.name.as_deref(), DisplayName::parse);
        let username =
            self.username.as_ref().map(|text| fields.checked("username", filled(text.as_ref()), Username::parse));
        let phone = self.phone.as_ref().map(|text| fields.checked("phone", filled(text.as_ref()), Phone::parse));
        let locale = self.locale.as_deref().map(Language::from_tag);
        if locale == Some(None) {
            fields.wrong("locale", "unknown_locale", "Use en, de, fr, es, pt, ja or ar.");
        }
        let errors = fields.into_errors();
        if errors.is_empty() {
            Ok(ProfileChange { name, username, phone, locale: locale.flatten() })
        } else {
            Err(errors)
        }
    }
}

/// `PUT /api/profile`
#[utoipa::path(
    put,
    path = "/api/profile",
    tag = "Profile",
    operation_id = "update_profile",
    summary = "Change your profile",
    description = "Changes the fields that are given and leaves the others.",
    security(("session_cookie" = []), ("bearer" = [])),
    request_body = ProfileFields,
    responses(
        (status = 200, body = UserView, description = "The account as it is now."),
        (status = 400, description = "invalid_input"),
        (status = 409, description = "taken"),
        (status = 429, description = "rate_limited"),
    ),
)]
pub async fn update(
    site: web::Data<Site>,
    client: Client,
    SignedIn(who): SignedIn,
    Json(body): Json<ProfileFields>,
) -> Result<HttpResponse, ApiError> {
    let change = body.change().map_err(ApiError::invalid)?;
    let user = site.auth.update_profile(&who, &change, &client.origin).await?;
    Ok(HttpResponse::Ok().json(UserView::from(&user)))
}
