//! Values as they look on the wire.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{AdminAction, Language, Role, SessionId, UserId, UserStatus};
use crate::store::{Session, User};

/// An account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct UserView {
    #[schema(value_type = uuid::Uuid)]
    id: UserId,
    email: String,
    name: String,
    username: Option<String>,
    phone: Option<String>,
    avatar_url: Option<String>,
    #[schema(value_type = String, example = "en")]
    locale: Language,
    #[schema(value_type = String, example = "user")]
    role: Role,
    #[schema(value_type = String, example = "approved")]
    status: UserStatus,
    created_at: DateTime<Utc>,
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

/// An account as admins see it: with what its owner told them, and from where.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AdminUserView {
    #[serde(flatten)]
    user: UserView,
    note: String,
    address: String,
    device: String,
    last_sign_in_at: Option<DateTime<Utc>>,
    /// What can be done with the account as it stands.
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
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
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
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    device: String,
    address: String,
    method: String,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
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
