//! What a mail says and where it stands. The text itself is made when it is sent.

use serde::{Deserialize, Serialize};

use super::clock::Instant;
use super::user::text_enum;
use super::{ChallengeId, UserId};

text_enum! {
    /// Where an outbox row stands.
    MailStatus {
        /// Waits for its turn (or for its next attempt).
        Ready = "ready",
        /// Leased by a worker.
        Sending = "sending",
        /// A server accepted it.
        Sent = "sent",
        /// Its content was no longer of use.
        Expired = "expired",
        /// Refused for good, or tried too often.
        Dead = "dead",
    }
}

text_enum! {
    /// Why a mailbox gets no mail for a while.
    SuppressionReason {
        /// A mail server refused the mailbox for good.
        Bounce = "bounce",
        /// Its owner complained.
        Complaint = "complaint",
        /// An operator decided so.
        Manual = "manual",
    }
}

text_enum! {
    /// Which of the four lists a mail waits in.
    Priority {
        /// Somebody is looking at a screen, waiting.
        Urgent = "urgent",
        /// Somebody waits, but not at a screen.
        High = "high",
        /// Soon.
        Normal = "normal",
        /// Whenever nothing else is to be done.
        Low = "low",
    }
}

impl Priority {
    /// The priority's number in the database: the lower, the sooner.
    pub fn number(self) -> i16 {
        match self {
            Self::Urgent => 0,
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 3,
        }
    }

    /// The priority of a number from the database.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.iter().copied().find(|priority| priority.number() == number)
    }
}

text_enum! {
    /// The kinds of mail.
    MailKind {
        /// A code, a link or both.
        SignIn = "sign_in",
        /// Tells an admin that somebody waits for approval.
        RegistrationNotice = "registration_notice",
        /// Tells a person that the account is approved.
        AccountApproved = "account_approved",
        /// Asks somebody in.
        Invitation = "invitation",
        /// Tells a person that something about the account's safety changed.
        SecurityNotice = "security_notice",
    }
}

/// Where and when the request behind a mail was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// The device, in words.
    pub device: String,
    /// The client's address.
    pub address: String,
    /// When.
    pub at: Instant,
}

text_enum! {
    /// What a security notice is about.
    SecurityEvent {
        /// A device signed in that had not before.
        NewDevice = "new_device",
        /// The password was set or changed.
        PasswordChanged = "password_changed",
        /// A refresh token was used twice, so its session was ended.
        RefreshTokenReused = "refresh_token_reused",
        /// An admin ended all sessions.
        SessionsEnded = "sessions_ended",
        /// The account became an admin's, or ceased to be.
        RoleChanged = "role_changed",
    }
}

/// What a mail is made from when it is rendered. Stored with the outbox row, so it holds no code, link or token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MailContent {
    /// See [`MailKind::SignIn`]. Code and link are derived from the challenge.
    SignIn {
        /// The challenge to be answered.
        challenge_id: ChallengeId,
        /// Who asked.
        requested: Requested,
        /// Whether it goes out. One to an address that may not register does not, but takes every step up to there,
        /// so that no clock can tell the two apart.
        #[serde(default = "yes")]
        deliver: bool,
    },
    /// See [`MailKind::RegistrationNotice`].
    RegistrationNotice {
        /// Who waits.
        user_id: UserId,
        /// The applicant's address.
        email: String,
        /// The applicant's name; may be empty.
        name: String,
        /// What the applicant tells the admin; may be empty.
        note: String,
        /// Where the registration came from.
        requested: Requested,
    },
    /// See [`MailKind::AccountApproved`].
    AccountApproved {
        /// The person's name; may be empty.
        name: String,
        /// What the admin adds; may be empty.
        note: String,
    },
    /// See [`MailKind::Invitation`].
    Invitation {
        /// Who invites: a name or an address.
        inviter: String,
        /// Who is invited; may be empty.
        name: String,
    },
    /// See [`MailKind::SecurityNotice`].
    SecurityNotice {
        /// What happened.
        event: SecurityEvent,
        /// From where.
        requested: Requested,
    },
}

fn yes() -> bool {
    true
}

impl MailContent {
    /// Whether the mail goes out once it has been rendered.
    pub fn is_delivered(&self) -> bool {
        !matches!(self, Self::SignIn { deliver: false, .. })
    }

    /// The kind of mail this makes.
    pub fn kind(&self) -> MailKind {
        match self {
            Self::SignIn { .. } => MailKind::SignIn,
            Self::RegistrationNotice { .. } => MailKind::RegistrationNotice,
            Self::AccountApproved { .. } => MailKind::AccountApproved,
            Self::Invitation { .. } => MailKind::Invitation,
            Self::SecurityNotice { .. } => MailKind::SecurityNotice,
        }
    }

    /// How soon it should go out.
    pub fn priority(&self) -> Priority {
        match self {
            Self::SignIn { .. } => Priority::Urgent,
            Self::SecurityNotice { .. } => Priority::High,
            Self::AccountApproved { .. } | Self::Invitation { .. } => Priority::Normal,
            Self::RegistrationNotice { .. } => Priority::Low,
        }
    }

    /// The challenge that the mail carries, if any.
    pub fn challenge_id(&self) -> Option<ChallengeId> {
        match self {
            Self::SignIn { challenge_id, .. } => Some(*challenge_id),
            _ => None,
        }
    }
}
