//! Values as they look on the wire.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::openapi::values;
use crate::domain::{AdminAction, Language, Role, SessionId, UserId, UserStatus};
use crate::store::{Session, User};

/// An account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21", "email": "ada@example.com", "name": "Ada Lovelace",
    "username": "ada", "phone": null, "avatar_url": null, "locale": "en", "role": "user", "status": "approved",
    "created_at": "2026-01-05T09:30:00Z", "updated_at": "2026-01-05T09:31:12Z",
}))]
pub(super) struct UserView {
    /// Never changes.
    #[schema(value_type = uuid::Uuid)]
    id: UserId,
    /// The proved address.
    #[schema(format = Email)]
    email: String,
    /// What the person is called; may be empty.
    name: String,
    /// A short handle.
    #[schema(required = true)]
    username: Option<String>,
    /// A telephone number, `+49…`.
    #[schema(required = true)]
    phone: Option<String>,
    /// Where the person's picture is.
    #[schema(required = true)]
    avatar_url: Option<String>,
    /// The language of mails.
    #[schema(schema_with = values::language)]
    locale: Language,
    /// What the person may do.
    #[schema(schema_with = values::role)]
    role: Role,
    /// Where the account stands.
    #[schema(schema_with = values::user_status)]
    status: UserStatus,
    /// When the account was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            email: user.email.to_string(),
            name: user.name.to_string(),
            username: user.username.as_ref().map(ToString::to_string),
            phone: user.phone.as_ref().map(ToString::to_string),
            avatar_url: user.avatar_url.clone(),
            locale: user.locale,
            role: user.role,
            status: user.status,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

impl UserView {
    /// The account as other people see it.
    pub(super) fn without_phone(user: &User) -> Self {
        Self { phone: None, ..user.into() }
    }
}

/// An account as admins see it: with what its owner told them, and from where.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AdminUserView {
    #[serde(flatten)]
    user: UserView,
    /// What the person told the admins when asking for the account.
    note: String,
    /// The network address that the account was asked for from.
    address: String,
    /// The device that it was asked for from.
    device: String,
    /// When its owner last signed in.
    #[schema(required = true)]
    last_sign_in_at: Option<DateTime<Utc>>,
    /// What can be done with the account as it stands.
    #[schema(schema_with = values::actions)]
    actions: Vec<&'static str>,
}

impl From<&User> for AdminUserView {
    fn from(user: &User) -> Self {
        const ACTIONS: [AdminAction; 6] = [
            AdminAction::Approve,
            AdminAction::Reject,
            AdminAction::Ban,
            AdminAction::Unban,
            AdminAction::Promote,
            AdminAction::Demote,
        ];
        let fits = |action: &AdminAction| action.applies_to(user.status, user.role);
        Self {
            user: user.into(),
            note: user.note.to_string(),
            address: user.address.clone(),
            device: user.device.clone(),
            last_sign_in_at: user.last_sign_in_at,
            actions: ACTIONS.into_iter().filter(fits).map(AdminAction::as_str).collect(),
        }
    }
}

/// The session behind a request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SessionView {
    /// Names the session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// When it ends, however much it is used.
    expires_at: DateTime<Utc>,
}

impl From<&Session> for SessionView {
    fn from(session: &Session) -> Self {
        Self { id: session.id, expires_at: session.expires_at }
    }
}

/// One of a person's devices.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DeviceView {
    /// Names the session.
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    /// Browser and system, as far as they are known.
    device: String,
    /// The network address that signed in.
    address: String,
    /// How the person signed in: `otp`, `magic_link` or `password`.
    method: String,
    /// When the person signed in.
    created_at: DateTime<Utc>,
    /// When the session was last used, to the minute or so.
    last_seen_at: DateTime<Utc>,
    /// When it ends, however much it is used.
    expires_at: DateTime<Utc>,
    /// Whether this is the device that asks.
    current: bool,
}

impl DeviceView {
    /// The view of `session` for somebody who is signed in by `current`.
    pub(super) fn new(session: &Session, current: SessionId) -> Self {
        Self {
            id: session.id,
            device: session.device.clone(),
            address: session.address.clone(),
            method: session.method.clone(),
            created_at: session.created_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
            current: session.id == current,
        }
    }
}
