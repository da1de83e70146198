//! What a person may do.

use serde::{Deserialize, Serialize};

/// Declares an enum whose variants have one text, used in the database, on the wire and in caches alike.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The variant's text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::user::UnknownText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err($crate::domain::user::UnknownText) }
            }
        }
    };
}
pub(crate) use text_enum;

/// The text names no variant of the enum it was read as.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not one of the known values")]
pub struct UnknownText;

text_enum! {
    /// What a user may do beyond using the account.
    Role {
        /// An ordinary account.
        User = "user",
        /// May approve, ban and see everything under `/admin`.
        Admin = "admin",
    }
}

text_enum! {
    /// Where an account stands. Only `approved` ones can hold a session.
    UserStatus {
        /// The mailbox is proved; an admin has yet to decide.
        Pending = "pending",
        /// May sign in.
        Approved = "approved",
        /// An admin said no.
        Rejected = "rejected",
        /// An admin ended the account's access.
        Banned = "banned",
    }
}

/// A decision of an admin about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminAction {
    /// Let a pending or rejected account in.
    Approve,
    /// Turn a pending account down.
    Reject,
    /// End an account's access, and all its sessions.
    Ban,
    /// Take a ban back.
    Unban,
    /// Make an admin.
    Promote,
    /// Make an ordinary user.
    Demote,
}

impl AdminAction {
    /// The status an account has afterwards; `None` when the action leaves it.
    pub fn status(self) -> Option<UserStatus> {
        match self {
            Self::Approve | Self::Unban => Some(UserStatus::Approved),
            Self::Reject => Some(UserStatus::Rejected),
            Self::Ban => Some(UserStatus::Banned),
            Self::Promote | Self::Demote => None,
        }
    }

    /// The role an account has afterwards; `None` when the action leaves it.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Promote => Some(Role::Admin),
            // A ban that is taken back must not make an admin.
            Self::Demote | Self::Ban => Some(Role::User),
            _ => None,
        }
    }

    /// Whether the action makes sense for an account that stands so.
    pub fn applies_to(self, status: UserStatus, role: Role) -> bool {
        match self {
            Self::Approve => matches!(status, UserStatus::Pending | UserStatus::Rejected),
            Self::Reject => status == UserStatus::Pending,
            Self::Ban => matches!(status, UserStatus::Approved | UserStatus::Pending | UserStatus::Rejected),
            Self::Unban => status == UserStatus::Banned,
            Self::Promote => status == UserStatus::Approved && role == Role::User,
            Self::Demote => role == Role::Admin,
        }
    }

    /// The action's name in URLs and in the audit trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Promote => "promote",
            Self::Demote => "demote",
        }
    }
}
