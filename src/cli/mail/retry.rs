//! `mail retry --all`: every dead mail that has not expired, a batch a transaction.
//!
//! Each batch is whole or not there, so whatever ends the command leaves mails that are on their way again and mails that
//! are as they were. Ctrl-C lets the batch under way finish and says how far it came; the command can simply be repeated.

use futures_util::FutureExt;
use indicatif::{ProgressBar, ProgressStyle};

use crate::auth::{Auth, DeadMails};
use crate::cli::{Cli, Failure, operator, say};
use crate::domain::MailKind;

/// Mails in one transaction.
const BATCH: u16 = 200;

/// Tries all of them again.
pub(super) async fn all(cli: &Cli, auth: &Auth, kind: Option<MailKind>) -> Result<(), Failure> {
    let bar = progress(auth.count_revivable_mails(kind).await?);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut which = DeadMails { kind, ..DeadMails::default() };
    let (mut retried, mut suppressed) = (0, 0);
    let finished = loop {
        // Also what begins to listen for it.
        if interrupted.as_mut().now_or_never().is_some() {
            break false;
        }
        let batch = auth.retry_dead_mails(None, &which, BATCH, &operator()).await?;
        retried += batch.retried;
        suppressed += batch.suppressed;
        bar.inc((batch.retried + batch.suppressed) as u64);
        which.cursor = batch.next;
        if batch.next.is_none() {
            break true;
        }
    };
    bar.finish_and_clear();
    if !finished {
        return Err(Failure::Failed(format!(
            "interrupted; {retried} mails are on their way again, the rest stay dead"
        )));
    }
    if cli.json {
        return say(serde_json::json!({ "retried": retried, "suppressed": suppressed }));
    }
    say(match suppressed {
        0 => format!("{retried} mails are on their way again."),
        _ => format!("{retried} mails are on their way again; {suppressed} stay dead, their mailboxes are suppressed."),
    })
}

/// A bar on standard error, which shows itself on a terminal only.
fn progress(mails: i64) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(mails).unwrap_or_default());
    match ProgressStyle::with_template("{wide_bar} {pos} of {len} mails, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
