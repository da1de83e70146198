//! The rows, as the rest of the product sees them. Field order is column order: each `queries/` file selects so.

use diesel::Queryable;
use serde::{Deserialize, Serialize};

use crate::domain::{
    AuditId, ChallengeId, Digest, DisplayName, EmailAddress, Instant, Language, MailId, MailKind, MailStatus, Note,
    Phone, Role, SessionId, SuppressionReason, UserId, UserStatus, Username,
};

/// A person's account. Holds no secret: the password hash is a column of its own, read only by sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Serialize, Deserialize)]
pub struct User {
    /// The account's id.
    pub id: UserId,
    /// Where its mail goes.
    pub email: EmailAddress,
    /// What the person is called; may be empty.
    pub name: DisplayName,
    /// A short handle.
    pub username: Option<Username>,
    /// A telephone number.
    pub phone: Option<Phone>,
    /// The picture.
    pub avatar_url: Option<String>,
    /// The language of its mails.
    pub locale: Language,
    /// What it may do.
    pub role: Role,
    /// Where it stands.
    pub status: UserStatus,
    /// What the person told the admin when registering.
    pub note: Note,
    /// The address it registered from.
    pub address: String,
    /// The device it registered from.
    pub device: String,
    /// Counts the writes to this row.
    pub version: i64,
    /// When the account was made.
    pub created_at: Instant,
    /// When it last changed.
    pub updated_at: Instant,
    /// When the person last signed in.
    pub last_sign_in_at: Option<Instant>,
}

/// What a new account starts with.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The account's id.
    pub id: UserId,
    /// Where its mail goes.
    pub email: EmailAddress,
    /// What the person is called; may be empty.
    pub name: DisplayName,
    /// What the person told the admin; may be empty.
    pub note: Note,
    /// The language of its mails.
    pub locale: Language,
    /// What it may do.
    pub role: Role,
    /// Where it stands.
    pub status: UserStatus,
    /// The address it registers from.
    pub address: String,
    /// The device it registers from.
    pub device: String,
}

/// A profile's fields that its owner may change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// A new name.
    pub name: Option<DisplayName>,
    /// A new username; `Some(None)` removes it.
    pub username: Option<Option<Username>>,
    /// A new phone number; `Some(None)` removes it.
    pub phone: Option<Option<Phone>>,
    /// A new language.
    pub locale: Option<Language>,
}

/// Which accounts a list shows.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Only those that stand so.
    pub status: Option<UserStatus>,
    /// Only those whose address, name or username contains this.
    pub search: Option<String>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<UserId>,
}

/// A request to prove a mailbox.
#[derive(Clone, Debug, Queryable)]
pub struct Challenge {
    /// The challenge's id, from which its code and link are derived.
    pub id: ChallengeId,
    /// The key they are derived with.
    pub key_id: String,
    /// The mailbox to be proved.
    pub email: EmailAddress,
    /// For a registration: what the person is called.
    pub name: DisplayName,
    /// For a registration: what the person tells the admin.
    pub note: Note,
    /// The language of the mail.
    pub locale: Language,
    /// Where to go afterwards.
    pub next: Option<String>,
    /// Digest of the flow token of the browser that asked.
    pub flow_digest: Option<Digest>,
    /// The address it was asked from.
    pub address: String,
    /// The device it was asked from.
    pub device: String,
    /// Guesses counted so far.
    pub attempts: i32,
    /// When it was made.
    pub created_at: Instant,
    /// When it ends.
    pub expires_at: Instant,
    /// When it was answered.
    pub consumed_at: Option<Instant>,
}

/// A signed-in device.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Serialize, Deserialize)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// Digest of its session token; `None` for a session of access and refresh tokens.
    pub token_digest: Option<Digest>,
    /// How the person signed in.
    pub method: String,
    /// The address it was last seen from.
    pub address: String,
    /// The device.
    pub device: String,
    /// Counts the writes to this row.
    pub version: i64,
    /// When the person signed in.
    pub created_at: Instant,
    /// When the row last changed.
    pub updated_at: Instant,
    /// When it was last used.
    pub last_seen_at: Instant,
    /// When it ends, however much it is used.
    pub expires_at: Instant,
    /// When it was ended before its time.
    pub revoked_at: Option<Instant>,
}

/// Where a budget of failed guesses stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable)]
pub struct GuessBudget {
    /// Failures in the present window.
    pub failures: i32,
    /// When that began.
    pub window_started_at: Instant,
    /// When the last guess was counted, in milliseconds since 1970.
    pub guessed_at_ms: i64,
}

/// A refresh token's row.
#[derive(Clone, Debug, Queryable)]
pub struct StoredRefreshToken {
    /// SHA-256 of the token.
    pub digest: Digest,
    /// The session it renews.
    pub session_id: SessionId,
    /// When it was handed out.
    pub issued_at: Instant,
    /// When it was first used.
    pub replaced_at: Option<Instant>,
}

/// A mail in the outbox.
#[derive(Clone, Debug, Queryable)]
pub struct Mail {
    /// The mail's id.
    pub id: MailId,
    /// Its kind's text. Not parsed: a row of a kind that this version does not know must not spoil a batch.
    pub kind: String,
    /// Who gets it.
    pub recipient: String,
    /// The language's tag.
    pub locale: String,
    /// [`crate::domain::MailContent`] as JSON.
    pub content: String,
    /// The challenge it carries.
    pub challenge_id: Option<ChallengeId>,
    /// [`crate::domain::Priority`] as a number.
    pub priority: i16,
    /// Where it stands.
    pub status: MailStatus,
    /// Attempts counted so far, at claim.
    pub attempts: i32,
    /// Grows with each claim; only the holder of the latest may move the row.
    pub fence: i64,
    /// The RFC 5322 Message-ID, without angle brackets; the same for every attempt.
    pub message_id: String,
    /// When it was accepted.
    pub created_at: Instant,
    /// When it may be tried next.
    pub next_attempt_at: Instant,
    /// Until when its id is taken to be in a queue.
    pub queued_until: Instant,
    /// Until when its worker has it.
    pub lease_until: Option<Instant>,
    /// When it is no longer worth sending.
    pub expires_at: Instant,
    /// When it ended.
    pub finished_at: Option<Instant>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// What mails with the same text here are told together by; see [`NewMail::fold`].
    pub fold: Option<String>,
}

/// A mail to be put into the outbox.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// The mail's id.
    pub id: MailId,
    /// Its kind.
    pub kind: MailKind,
    /// Who gets it.
    pub recipient: EmailAddress,
    /// The language.
    pub locale: Language,
    /// [`crate::domain::MailContent`] as JSON.
    pub content: String,
    /// The challenge it carries.
    pub challenge_id: Option<ChallengeId>,
    /// [`crate::domain::Priority`] as a number.
    pub priority: i16,
    /// The Message-ID it will have.
    pub message_id: String,
    /// When it was accepted.
    pub created_at: Instant,
    /// When it may be sent.
    pub next_attempt_at: Instant,
    /// When it is no longer worth sending.
    pub expires_at: Instant,
    /// Until when its id is taken to be in a queue.
    pub queued_until: Instant,
    /// Mails with the same text here say the same thing to the same person, so that further ones can wait and be told
    /// together; `None` for one that stands for itself.
    pub fold: Option<String>,
}

/// The switch that keeps every instance from taking mails to send.
pub const MAIL_PAUSED: &str = "mail.paused";

/// A mailbox that gets no mail for a while.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Serialize)]
pub struct Suppression {
    /// [`EmailAddress::key`] of the mailbox.
    #[serde(skip)]
    pub email_key: String,
    /// The mailbox, as it was written.
    pub email: EmailAddress,
    /// Why.
    pub reason: SuppressionReason,
    /// What the mail server said, or the operator; may be empty.
    pub detail: String,
    /// Since when.
    pub created_at: Instant,
    /// Until when.
    pub until: Instant,
}

/// Where an attempt at a claimed mail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailEnd {
    /// The mail's id.
    pub id: MailId,
    /// The fence it was claimed with: a row that has been claimed again since is left alone.
    pub fence: i64,
    /// Where it stands now: `Ready` for another attempt.
    pub status: MailStatus,
    /// When it may be tried again; `None` for one that has ended.
    pub next_attempt_at: Option<Instant>,
    /// Why the attempt failed; `None` leaves what the row says, and a sent mail has none.
    pub error: Option<String>,
    /// Whether the attempt does not count.
    pub uncounted: bool,
}

/// What a sweep of the outbox is to do.
#[derive(Clone, Debug)]
pub struct SweepOrder {
    /// The time.
    pub now: Instant,
    /// Whether rows whose lease has run out are taken back.
    pub reclaims: bool,
    /// Those of them with this many attempts are dead.
    pub max_attempts: i32,
    /// The priorities whose queues have room.
    pub priorities: Vec<i16>,
    /// Until when the ids it gives are taken to be in a queue.
    pub queued_until: Instant,
    /// Rows of each sort at most.
    pub limit: i64,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Mails that came too late.
    pub expired: usize,
    /// Mails whose workers died as often as a mail is tried.
    pub dead: usize,
    /// Mails whose lease had run out.
    pub reclaimed: usize,
    /// What belongs into the queue, most urgent first.
    pub due: Vec<(MailId, i16)>,
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Serialize)]
pub struct AuditEntry {
    /// The line's id.
    pub id: AuditId,
    /// When.
    pub at: Instant,
    /// What happened, such as `session.started`.
    pub action: String,
    /// Who did it; `None` for the server or somebody unknown.
    pub actor: Option<UserId>,
    /// Whom it was done to.
    pub subject: Option<UserId>,
    /// From which address.
    pub address: String,
    /// From which device.
    pub device: String,
    /// Anything else worth knowing; never a secret.
    pub detail: String,
    /// How often it happened, up to this line and since the one before that says the same.
    pub times: i32,
}

/// Which lines of the audit trail a list shows.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only what this account did.
    pub actor: Option<UserId>,
    /// Only what was done to this account.
    pub subject: Option<UserId>,
    /// Only this action, such as `session.started`.
    pub action: Option<String>,
    /// Only what happened then or later.
    pub since: Option<Instant>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<AuditId>,
}
