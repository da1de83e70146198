//! One attempt at one mail: from the claimed row to what the database is told about it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant as Monotonic};

use futures_util::FutureExt;

use super::lease::{self, End};
use super::{Phase, Shared};
use crate::domain::clock::span;
use crate::domain::{EmailAddress, MailStatus};
use crate::mail::facts;
use crate::mail::render::Renderer;
use crate::mail::transport::{Outcome, Outgoing, Progress};
use crate::store::{Mail, StoreError};

/// When a mail whose domain is slow may try again.
const DEFERRAL: Duration = Duration::from_secs(1);

/// What an attempt came to.
enum Verdict {
    /// A server has it; this is what it said.
    Sent(String),
    /// It is of no more use.
    Expired,
    /// It failed for good.
    Dead(String),
    /// It failed for now.
    Failed(String),
    /// It was not begun, for no fault of its own.
    NotBegun { wait: Duration },
    /// The row is somebody else's by now.
    Lost,
}

/// Makes one attempt at a claimed mail, and settles it.
pub(super) async fn run(shared: &Shared, mail: Mail) {
    let begun = Monotonic::now();
    let progress = Progress::default();
    let recipient = mail.recipient.parse::<EmailAddress>();
    let verdict = match &recipient {
        Ok(recipient) => {
            // A panic must not take the row's lease with it, let alone other mails.
            let attempt = AssertUnwindSafe(attempt(shared, &mail, recipient, &progress)).catch_unwind();
            tokio::select! {
                ended = attempt => ended.unwrap_or_else(|_| Verdict::Failed("the attempt panicked".to_owned())),
                () = lease::lost(shared, &mail, &progress) => Verdict::Lost,
                () = broken_off(shared, &progress) => Verdict::NotBegun { wait: Duration::ZERO },
            }
        }
        Err(error) => Verdict::Failed(format!("the recipient cannot be read: {error}")),
    };
    let reply = if let Verdict::Sent(reply) = &verdict { reply.clone() } else { String::new() };
    let Some(end) = decide(shared, &mail, verdict) else {
        shared.parts.counters.abandoned(1);
        log::warn!("gave up an attempt at mail {}: its lease had run out", mail.id);
        return;
    };
    let ours = lease::settle(shared, &mail, &end).await;
    let account = Account { mail: &mail, recipient: recipient.ok(), reply, ours, took: begun.elapsed() };
    report(shared, &account, &end);
}

/// Returns when a shutdown breaks off what it can, and this can be.
async fn broken_off(shared: &Shared, progress: &Progress) {
    shared.reached(Phase::Hurrying).await;
    if progress.dot_sent() {
        std::future::pending::<()>().await;
    }
}

async fn attempt(shared: &Shared, mail: &Mail, recipient: &EmailAddress, progress: &Progress) -> Verdict {
    let parts = &shared.parts;
    let _turn = tokio::select! {
        biased;
        () = shared.reached(Phase::Stopping) => return Verdict::NotBegun { wait: Duration::ZERO },
        turn = shared.domains.turn(recipient.domain()) => match turn {
            Some(turn) => turn,
            None => return Verdict::NotBegun { wait: parts.entropy.jitter(DEFERRAL) },
        },
    };
    let content = match Renderer::content(mail) {
        Ok(content) => content,
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    let facts = match facts::load(&parts.database, &content, parts.clock.now()).await {
        Ok(Some(facts)) => facts,
        Ok(None) => return Verdict::Expired,
        Err(StoreError::Unavailable(_)) => return Verdict::NotBegun { wait: Duration::ZERO },
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    let rendered = match parts.renderer.render(mail, &content, &facts) {
        Ok(rendered) => rendered,
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    if parts.clock.now() >= mail.expires_at || !content.is_delivered() {
        return Verdict::Expired;
    }
    let outcome = parts.transport.send(&Outgoing { mail, recipient, rendered: &rendered }, progress).await;
    match outcome {
        Outcome::Delivered { reply } => Verdict::Sent(rendered.without_secrets(&reply)),
        Outcome::Refused { permanent: true, reply } => Verdict::Dead(rendered.without_secrets(&reply)),
        Outcome::Refused { permanent: false, reply } => Verdict::Failed(rendered.without_secrets(&reply)),
        Outcome::Unreachable { error, dot_sent: false } => Verdict::Failed(rendered.without_secrets(&error)),
        Outcome::Unreachable { error, dot_sent: true } => {
            Verdict::Failed(rendered.without_secrets(&format!("{error}, after the final dot: it may have arrived")))
        }
        Outcome::Expired => Verdict::Expired,
    }
}

/// What the database is to be told; nothing when the row is not ours any more.
fn decide(shared: &Shared, mail: &Mail, verdict: Verdict) -> Option<End> {
    let now = shared.parts.clock.now();
    let finish = |status, error| End::Finish { status, error };
    Some(match verdict {
        Verdict::Sent(_) => finish(MailStatus::Sent, None),
        Verdict::Expired => finish(MailStatus::Expired, mail.last_error.clone()),
        Verdict::Dead(error) => finish(MailStatus::Dead, Some(error)),
        Verdict::Failed(error) => {
            let wait = shared.parts.entropy.jitter(backoff(&shared.parts.settings.backoff, mail.attempts));
            let at = now + span(wait);
            if i64::from(mail.attempts) >= i64::from(shared.parts.settings.max_attempts) {
                finish(MailStatus::Dead, Some(error))
            } else if at >= mail.expires_at {
                finish(MailStatus::Expired, Some(error))
            } else {
                End::Retry { at, error }
            }
        }
        Verdict::NotBegun { wait } => End::Release { at: now + span(wait) },
        Verdict::Lost => return None,
    })
}

/// The wait after the `attempts`th attempt.
fn backoff(waits: &[Duration], attempts: i32) -> Duration {
    let index = usize::try_from(attempts).unwrap_or(1).saturating_sub(1);
    waits.get(index).or(waits.last()).copied().unwrap_or(Duration::from_secs(2))
}

/// What there is to tell about a settled attempt.
struct Account<'a> {
    mail: &'a Mail,
    recipient: Option<EmailAddress>,
    /// What the server said that took the mail.
    reply: String,
    /// Whether the row was still ours.
    ours: bool,
    took: Duration,
}

/// Counts and logs. A log line has the server's words, but the recipient's address only as its `Debug` shows it.
fn report(shared: &Shared, account: &Account<'_>, end: &End) {
    let Account { mail, recipient, reply, ours, took } = account;
    let counters = &shared.parts.counters;
    let to = recipient.as_ref().map_or_else(|| "unreadable".to_owned(), |recipient| format!("{recipient:?}"));
    let hide = |error: &str| error.replace(&mail.recipient, &to).replace(&mail.recipient.to_lowercase(), &to);
    let (id, kind, attempts, ms) = (mail.id, mail.kind.as_str(), mail.attempts, took.as_millis());
    if !ours {
        counters.late(1);
        log::warn!(mail:% = id, kind, attempts, ms; "mail had been taken over when its attempt ended: {}", name(end));
        return;
    }
    match end {
        End::Finish { status: MailStatus::Sent, .. } => {
            counters.sent(1);
            let reply = hide(reply);
            log::info!(mail:% = id, kind, to, attempts, ms, reply; "mail sent");
        }
        End::Finish { status: MailStatus::Expired, .. } => {
            counters.expired(1);
            log::info!(mail:% = id, kind, to, attempts; "mail expired unsent");
        }
        End::Finish { error, .. } => {
            counters.dead(1);
            let error = hide(error.as_deref().unwrap_or_default());
            log::warn!(mail:% = id, kind, to, attempts, error; "mail is dead");
        }
        End::Retry { error, .. } => {
            counters.retried(1);
            let error = hide(error);
            log::warn!(mail:% = id, kind, to, attempts, error; "mail failed, to be tried again");
        }
        End::Release { .. } => {
            counters.deferred(1);
            log::debug!(mail:% = id, kind, to; "mail given back unsent");
        }
    }
}

fn name(end: &End) -> &'static str {
    match end {
        End::Finish { status, .. } => status.as_str(),
        End::Retry { .. } => "failed",
        End::Release { .. } => "given back",
    }
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
