//! What a mail says and where it stands. The text itself is made when it is sent.

use serde::{Deserialize, Serialize};

use super::clock::Instant;
use super::user::text_enum;
use super::{ChallengeId, EmailAddress, UserId};

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
        /// A code to sign in with.
        Code = "code",
        /// A link to sign in with.
        MagicLink = "magic_link",
        /// Both.
        CodeAndLink = "code_and_link",
        /// Tells an admin that somebody waits for approval.
        RegistrationNotice = "registration_notice",
        /// Tells an admin who else has come to wait for approval since the last notice.
        RegistrationDigest = "registration_digest",
        /// Tells a person that the account is approved.
        AccountApproved = "account_approved",
        /// Tells a person that the account was turned down.
        AccountRejected = "account_rejected",
        /// Tells a person that a device signed in that had not before.
        NewDevice = "new_device",
        /// Tells the old mailbox that the account uses another one from now on.
        AddressChanged = "address_changed",
        /// Asks somebody in.
        Invitation = "invitation",
        /// Tells a person that something else about the account's safety changed.
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

/// What a sign-in mail carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInForm {
    /// A code alone.
    Code,
    /// A link alone.
    MagicLink,
    /// Both.
    #[default]
    CodeAndLink,
}

impl SignInForm {
    /// The kind of mail.
    pub fn kind(self) -> MailKind {
        match self {
            Self::Code => MailKind::Code,
            Self::MagicLink => MailKind::MagicLink,
            Self::CodeAndLink => MailKind::CodeAndLink,
        }
    }

    /// Whether the mail has a code.
    pub fn has_code(self) -> bool {
        self != Self::MagicLink
    }

    /// Whether the mail has a link.
    pub fn has_link(self) -> bool {
        self != Self::Code
    }
}

text_enum! {
    /// What a security notice is about.
    SecurityEvent {
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
    /// See [`MailKind::Code`], [`MailKind::MagicLink`] and [`MailKind::CodeAndLink`]. Code and link are derived from the
    /// challenge.
    SignIn {
        /// The challenge to be answered.
        challenge_id: ChallengeId,
        /// What it carries.
        #[serde(default)]
        form: SignInForm,
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
    /// See [`MailKind::RegistrationDigest`]. Who waits is looked up when it is sent.
    RegistrationDigest {
        /// Only those who registered at this moment or later.
        since: Instant,
    },
    /// See [`MailKind::AccountApproved`].
    AccountApproved {
        /// The person's name; may be empty.
        name: String,
        /// What the admin adds; may be empty.
        note: String,
    },
    /// See [`MailKind::AccountRejected`].
    AccountRejected {
        /// The person's name; may be empty.
        name: String,
        /// What the admin adds; may be empty.
        note: String,
    },
    /// See [`MailKind::NewDevice`].
    NewDevice {
        /// The device.
        requested: Requested,
    },
    /// See [`MailKind::AddressChanged`]; make one with [`MailContent::address_changed`].
    AddressChanged {
        /// The new address, of which only the first letter and the domain can be read.
        new_address_masked: String,
        /// Who asked for the change.
        requested: Requested,
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
    /// The mail to the old mailbox of an account that uses `new` from now on. Whoever reads it may not be the account's
    /// owner any more, so the new address is masked.
    pub fn address_changed(new: &EmailAddress, requested: Requested) -> Self {
        let first = new.local_part().chars().next().unwrap_or('*');
        Self::AddressChanged { new_address_masked: format!("{first}***@{}", new.domain()), requested }
    }

    /// Whether the mail goes out once it has been rendered.
    pub fn is_delivered(&self) -> bool {
        !matches!(self, Self::SignIn { deliver: false, .. })
    }

    /// The kind of mail this makes.
    pub fn kind(&self) -> MailKind {
        match self {
            Self::SignIn { form, .. } => form.kind(),
            Self::RegistrationNotice { .. } => MailKind::RegistrationNotice,
            Self::RegistrationDigest { .. } => MailKind::RegistrationDigest,
            Self::AccountApproved { .. } => MailKind::AccountApproved,
            Self::AccountRejected { .. } => MailKind::AccountRejected,
            Self::NewDevice { .. } => MailKind::NewDevice,
            Self::AddressChanged { .. } => MailKind::AddressChanged,
            Self::Invitation { .. } => MailKind::Invitation,
            Self::SecurityNotice { .. } => MailKind::SecurityNotice,
        }
    }

    /// How soon it should go out.
    pub fn priority(&self) -> Priority {
        match self {
            Self::SignIn { .. } => Priority::Urgent,
            Self::NewDevice { .. } | Self::AddressChanged { .. } | Self::SecurityNotice { .. } => Priority::High,
            Self::AccountApproved { .. } | Self::AccountRejected { .. } | Self::Invitation { .. } => Priority::Normal,
            Self::RegistrationNotice { .. } | Self::RegistrationDigest { .. } => Priority::Low,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_new_address_the_old_mailbox_learns_little() {
        let requested = Requested { device: String::new(), address: String::new(), at: Instant::UNIX_EPOCH };
        for (new, masked) in [("ann.lee@example.org", "a***@example.org"), ("é@example.org", "é***@example.org")] {
            let content = MailContent::address_changed(&new.parse().unwrap(), requested.clone());
            assert!(
                matches!(content, MailContent::AddressChanged { new_address_masked, .. } if new_address_masked == masked)
            );
        }
    }

    #[test]
    fn a_sign_in_of_an_older_version_has_both() {
        let id = uuid::Uuid::nil();
        let stored = format!(
            r#"{{"kind":"sign_in","challenge_id":"{id}","requested":{{"device":"","address":"","at":"2026-11-21T00:00:00Z"}}}}"#
        );
        let content: MailContent = serde_json::from_str(&stored).unwrap();
        assert_eq!((content.kind(), content.is_delivered()), (MailKind::CodeAndLink, true));
    }
}
