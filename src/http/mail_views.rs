//! Mails as they look on the wire: where they stand, never what they say.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::openapi::values;
use crate::domain::{MailId, MailStatus, Priority, SuppressionReason};
use crate::store::{Mail, MailCounts, Suppression};

/// A mail in the outbox.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21", "kind": "code_and_link", "recipient": "ada@example.com", "locale": "en",
    "priority": "urgent", "status": "dead", "attempts": 1,
    "message_id": "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21@example.org", "created_at": "2026-01-05T09:30:00Z",
    "next_attempt_at": "2026-01-05T09:30:00Z", "expires_at": "2026-01-05T09:40:00Z",
    "finished_at": "2026-01-05T09:30:01Z", "last_error": "550 5.1.1 No such mailbox",
}))]
pub(super) struct MailView {
    /// Names the mail.
    #[schema(value_type = uuid::Uuid)]
    id: MailId,
    /// What it is about, such as `code_and_link`.
    kind: String,
    /// Who gets it.
    recipient: String,
    /// Its language.
    locale: String,
    /// How urgent it is.
    #[schema(schema_with = values::priority)]
    priority: Priority,
    /// Where it stands.
    #[schema(schema_with = values::mail_status)]
    status: MailStatus,
    /// How often it was tried.
    attempts: i32,
    /// Its Message-ID, without angle brackets; the same for every attempt.
    message_id: String,
    /// When it was accepted.
    created_at: DateTime<Utc>,
    /// When it may be tried next, or was last.
    next_attempt_at: DateTime<Utc>,
    /// When it is no longer worth sending.
    expires_at: DateTime<Utc>,
    /// When it ended.
    #[schema(required = true)]
    finished_at: Option<DateTime<Utc>>,
    /// What the mail server last answered, or why else it was not sent.
    #[schema(required = true)]
    last_error: Option<String>,
}

impl From<&Mail> for MailView {
    fn from(mail: &Mail) -> Self {
        Self {
            id: mail.id,
            kind: mail.kind.clone(),
            recipient: mail.recipient.clone(),
            locale: mail.locale.clone(),
            // One that this version does not know waits for all others.
            priority: Priority::from_number(mail.priority).unwrap_or(Priority::Low),
            status: mail.status,
            attempts: mail.attempts,
            message_id: mail.message_id.clone(),
            created_at: mail.created_at,
            next_attempt_at: mail.next_attempt_at,
            expires_at: mail.expires_at,
            finished_at: mail.finished_at,
            last_error: mail.last_error.clone(),
        }
    }
}

/// A mailbox that gets no mail for a while.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct SuppressionView {
    /// The mailbox.
    #[schema(format = Email)]
    email: String,
    /// Why.
    #[schema(schema_with = values::suppression_reason)]
    reason: SuppressionReason,
    /// What the mail server said, or the operator; may be empty.
    detail: String,
    /// Since when.
    created_at: DateTime<Utc>,
    /// Until when.
    until: DateTime<Utc>,
}

impl From<&Suppression> for SuppressionView {
    fn from(suppression: &Suppression) -> Self {
        Self {
            email: suppression.email.to_string(),
            reason: suppression.reason,
            detail: suppression.detail.clone(),
            created_at: suppression.created_at,
            until: suppression.until,
        }
    }
}

/// How many mails stand where.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct MailStats {
    /// Mails that are due, by priority.
    queued: QueuedMails,
    /// Mails that a worker has in hand.
    sending: i64,
    /// Mails that wait for their time, most often for another attempt.
    scheduled: i64,
    /// Mails that were given up.
    dead: i64,
    /// Mails that were sent within the last hour.
    sent_last_hour: i64,
    /// How long the oldest due mail has waited, in milliseconds.
    oldest_age_ms: i64,
    /// Whether all sending is stopped.
    paused: bool,
    /// Mailboxes that get no mail for a while.
    suppressed: i64,
}

/// Mails that are due, by priority.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct QueuedMails {
    /// Codes and links, for which somebody waits.
    urgent: i64,
    /// Notices about the safety of an account.
    high: i64,
    /// Everything else that concerns one person.
    normal: i64,
    /// What can wait.
    low: i64,
}

impl From<MailCounts> for MailStats {
    fn from(counts: MailCounts) -> Self {
        let [urgent, high, normal, low] = counts.queued;
        Self {
            queued: QueuedMails { urgent, high, normal, low },
            sending: counts.sending,
            scheduled: counts.scheduled,
            dead: counts.dead,
            sent_last_hour: counts.sent_last_hour,
            oldest_age_ms: counts.oldest_age_ms,
            paused: counts.paused,
            suppressed: counts.suppressed,
        }
    }
}
