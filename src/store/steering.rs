//! What those who steer the mail ask the outbox, and what it answers.

use serde::Serialize;

use crate::domain::{MailId, MailKind, MailStatus};

/// Which mails a list shows.
#[derive(Clone, Debug, Default)]
pub struct MailFilter {
    /// Only those that stand so.
    pub status: Option<MailStatus>,
    /// Only those of this kind.
    pub kind: Option<MailKind>,
    /// Only those whose recipient contains this, in whatever case.
    pub recipient: Option<String>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<MailId>,
}

/// Which dead mails are meant.
#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    /// Only those of this kind.
    pub kind: Option<MailKind>,
    /// Only these.
    pub ids: Option<Vec<MailId>>,
    /// Only those younger than this one: the last of the batch before.
    pub after: Option<MailId>,
}

/// How many mails stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MailCounts {
    /// Ready and due, by [`crate::domain::Priority`].
    pub queued: [i64; 4],
    /// Leased by a worker.
    pub sending: i64,
    /// Ready, but not due yet.
    pub scheduled: i64,
    /// Given up.
    pub dead: i64,
    /// Sent within the last hour.
    pub sent_last_hour: i64,
    /// Milliseconds that the oldest due mail has waited; zero when none does.
    pub oldest_age_ms: i64,
    /// Mailboxes that get no mail for a while.
    pub suppressed: i64,
    /// Whether an operator has stopped all sending.
    pub paused: bool,
}
