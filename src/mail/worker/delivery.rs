//! One attempt at one mail: from the claimed row to the verdict.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant as Monotonic};

use futures_util::FutureExt;

use super::job::{Job, Letter};
use super::verdict::Verdict;
use super::{Phase, Shared};
use crate::mail::transport::{Outcome, Outgoing, Progress};
use crate::store::Mail;

/// The longest reply that is kept, in characters.
const REPLY_LENGTH: usize = 400;

/// Makes one attempt at a claimed mail, and hands on what came of it; whether a relay has answered to it.
pub(super) async fn run(shared: &Shared, job: Job) -> bool {
    let begun = Monotonic::now();
    let Job { mail, hold, letter } = job;
    let verdict = match letter {
        Ok(letter) => {
            // A panic must not take the row's lease with it, let alone other mails.
            let attempt = AssertUnwindSafe(attempt(shared, &mail, &letter, &hold.progress)).catch_unwind();
            tokio::select! {
                biased;
                ended = attempt => ended
                    .unwrap_or_else(|_| Verdict::Failed { error: "the attempt panicked".to_owned() }),
                () = hold.lost() => Verdict::Lost,
                () = broken_off(shared, &hold.progress) => Verdict::NotBegun { wait: Duration::ZERO, error: None },
            }
        }
        Err(verdict) => verdict,
    };
    let answered = matches!(verdict, Verdict::Sent { .. } | Verdict::Dead { .. } | Verdict::Failed { .. });
    shared.ended(mail, &hold, verdict, begun.elapsed());
    answered
}

/// Returns when a shutdown breaks off what it can, and this can be.
async fn broken_off(shared: &Shared, progress: &Progress) {
    shared.reached(Phase::Hurrying).await;
    if progress.dot_sent() {
        std::future::pending::<()>().await;
    }
}

async fn attempt(shared: &Shared, mail: &Mail, letter: &Letter, progress: &Progress) -> Verdict {
    let parts = &shared.parts;
    let rendered = match parts.renderer.render(mail, &letter.content, &letter.facts) {
        Ok(rendered) => rendered,
        Err(error) => return Verdict::Failed { error: error.to_string() },
    };
    if parts.clock.now() >= mail.expires_at || !letter.content.is_delivered() {
        return Verdict::Expired;
    }
    let outgoing = Outgoing { mail, recipient: &letter.recipient, rendered: &rendered };
    let clean = |text: &str| rendered.without_secrets(text).chars().take(REPLY_LENGTH).collect::<String>();
    match parts.transport.send(&outgoing, progress).await {
        Outcome::Delivered { reply } => Verdict::Sent { reply: clean(&reply) },
        Outcome::Refused { permanent: true, reply, mailbox } => Verdict::Dead { error: clean(&reply), mailbox },
        Outcome::Refused { permanent: false, reply, .. } => Verdict::Failed { error: clean(&reply) },
        Outcome::NoRelay { error, retry_after } => Verdict::NotBegun { wait: retry_after, error: Some(clean(&error)) },
        Outcome::Unreachable { error, dot_sent: false } => Verdict::Failed { error: clean(&error) },
        Outcome::Unreachable { error, dot_sent: true } => {
            Verdict::Failed { error: clean(&format!("{error}, after the final dot: it may have arrived")) }
        }
        Outcome::Expired => Verdict::Expired,
        Outcome::Lost => Verdict::Lost,
    }
}
