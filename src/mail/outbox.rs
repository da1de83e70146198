//! Where a use case hands a mail over.

use std::sync::Arc;
use std::time::Duration;

use super::{Counters, Queue};
use crate::domain::clock::span;
use crate::domain::{Clock, EmailAddress, Entropy, Instant, Language, MailContent, MailId, Priority};
use crate::store::NewMail;

/// How long the sweeper takes a new row's id to be on its way to a queue.
const PUSH_GRACE: Duration = Duration::from_secs(2);

/// Why a mail could not be composed: nothing that a caller can mend.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The content has no form that the outbox can keep.
    #[error("a mail's content could not be written down: {0}")]
    Content(#[from] serde_json::Error),
}

/// Composes mails, and puts them into the queue once they are committed. Clones share everything.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: Queue,
    clock: Clock,
    entropy: Entropy,
    counters: Counters,
    domain: Arc<str>,
}

impl Outbox {
    /// An outbox whose Message-IDs end in the domain of `from`.
    pub fn new(queue: Queue, from: &EmailAddress, clock: Clock, entropy: Entropy, counters: Counters) -> Self {
        Self { queue, clock, entropy, counters, domain: from.domain().into() }
    }

    /// Makes the row of a mail that is of no use after `expires_at`. Touches nothing: insert the row with
    /// `outbox::insert` in the transaction that makes the mail necessary, then [`enqueue`](Self::enqueue) it.
    pub fn compose(
        &self,
        content: &MailContent,
        recipient: &EmailAddress,
        locale: Language,
        expires_at: Instant,
    ) -> Result<NewMail, ComposeError> {
        let now = self.clock.now();
        let id = MailId(self.entropy.uuid_v7(now));
        Ok(NewMail {
            id,
            kind: content.kind(),
            recipient: recipient.clone(),
            locale,
            content: serde_json::to_string(content)?,
            challenge_id: content.challenge_id(),
            priority: content.priority().number(),
            message_id: format!("{id}@{}", self.domain),
            created_at: now,
            next_attempt_at: now,
            expires_at,
            queued_until: now + span(PUSH_GRACE),
            fold: None,
        })
    }

    /// The same as [`enqueue`](Self::enqueue), without making the caller wait for it.
    pub fn enqueue_beside(&self, mails: Vec<NewMail>) {
        let outbox = self.clone();
        tokio::spawn(async move { outbox.enqueue(&mails).await });
    }

    /// Queues mails whose rows are committed. Cannot fail: what gets lost here is found by the sweeper within seconds.
    /// One for later is left to the sweeper.
    pub async fn enqueue(&self, mails: &[NewMail]) {
        self.counters.accepted(mails.len());
        let due = mails.iter().filter(|mail| mail.next_attempt_at <= mail.created_at);
        let entries: Vec<_> = due.map(|mail| (mail.id, priority(mail.priority))).collect();
        self.queue.push(&entries).await;
    }

    /// Queues mails that were accepted before and have been made ready again. As [`enqueue`](Self::enqueue), cannot fail.
    pub async fn requeue(&self, entries: &[(MailId, Priority)]) {
        self.queue.push(entries).await;
    }
}

/// The priority of a number from a row; one that this version does not know waits for all others.
pub(super) fn priority(number: i16) -> Priority {
    Priority::from_number(number).unwrap_or(Priority::Low)
}
