//! What an attempt came to, and what that makes of the row.

use std::time::Duration;

use super::Shared;
use crate::domain::MailStatus;
use crate::domain::clock::span;
use crate::mail::transport::Mailbox;
use crate::store::{Mail, MailEnd};

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A server has it; this is what it said.
    Sent { reply: String },
    /// It is of no more use.
    Expired,
    /// It failed for good; `mailbox` is what that says of the mailbox.
    Dead { error: String, mailbox: Mailbox },
    /// It failed for now.
    Failed { error: String },
    /// It was not begun, for no fault of its own.
    NotBegun { wait: Duration, error: Option<String> },
    /// The row is somebody else's by now.
    Lost,
}

/// What the database is to be told; nothing when the row is not ours any more.
pub(super) fn decide(shared: &Shared, mail: &Mail, verdict: Verdict) -> Option<MailEnd> {
    let now = shared.parts.clock.now();
    let settings = &shared.parts.settings;
    let (status, next_attempt_at, error) = match verdict {
        Verdict::Lost => return None,
        Verdict::Sent { .. } => (MailStatus::Sent, None, None),
        Verdict::Expired => (MailStatus::Expired, None, None),
        Verdict::Dead { error, .. } => (MailStatus::Dead, None, Some(error)),
        Verdict::Failed { error } => {
            let at = now + span(shared.parts.entropy.jitter(backoff(&settings.backoff, mail.attempts)));
            if i64::from(mail.attempts) >= i64::from(settings.max_attempts) {
                (MailStatus::Dead, None, Some(error))
            } else if at + span(settings.expiry_margin) >= mail.expires_at {
                (MailStatus::Expired, None, Some(error))
            } else {
                (MailStatus::Ready, Some(at), Some(error))
            }
        }
        Verdict::NotBegun { wait, error } => {
            let end = MailEnd { next_attempt_at: Some(now + span(wait)), error, ..untouched(mail) };
            return Some(end);
        }
    };
    Some(MailEnd { status, next_attempt_at, error, uncounted: false, ..untouched(mail) })
}

/// Gives a row back as if it had never been claimed.
fn untouched(mail: &Mail) -> MailEnd {
    MailEnd {
        id: mail.id,
        fence: mail.fence,
        status: MailStatus::Ready,
        next_attempt_at: None,
        error: None,
        uncounted: true,
    }
}

/// The wait after the `attempts`th attempt.
fn backoff(waits: &[Duration], attempts: i32) -> Duration {
    let index = usize::try_from(attempts).unwrap_or(1).saturating_sub(1);
    waits.get(index).or(waits.last()).copied().unwrap_or(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_wait_repeats() {
        let waits = [2, 15, 60].map(Duration::from_secs);
        let seconds = [0, 1, 2, 3, 4, 50, -1].map(|attempts| backoff(&waits, attempts).as_secs());
        assert_eq!(seconds, [2, 2, 15, 60, 60, 60, 2]);
        assert_eq!(backoff(&[], 1), Duration::from_secs(2));
    }
}
