//! A claimed mail on its way through the worker.

use std::sync::Arc;

use super::hold::Hold;
use super::verdict::Verdict;
use crate::domain::{EmailAddress, MailContent, Priority};
use crate::mail::facts::Facts;
use crate::mail::outbox::priority;
use crate::store::Mail;

/// A claimed row, our hold on it, and what it says.
pub(super) struct Job {
    pub(super) mail: Mail,
    pub(super) hold: Arc<Hold>,
    /// What is to be sent, or how the mail ends because it cannot be.
    pub(super) letter: Result<Letter, Verdict>,
}

/// What is to be sent.
pub(super) struct Letter {
    pub(super) recipient: EmailAddress,
    pub(super) content: MailContent,
    /// What its text is made from beside the row.
    pub(super) facts: Facts,
}

impl Job {
    pub(super) fn priority(&self) -> Priority {
        priority(self.mail.priority)
    }
}
