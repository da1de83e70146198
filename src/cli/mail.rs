//! `mail …`: the mail queue, from the command line.

mod preview;

use clap::Subcommand;

use super::{Cli, Failure, say};

#[derive(Debug, Subcommand)]
pub(super) enum MailCommand {
    /// Prints how many mails stand where
    Status,
    /// Prints an example of a mail, made with the templates and texts in force
    Preview(preview::Preview),
}

/// Carries the command out.
pub(super) async fn run(cli: &Cli, command: &MailCommand) -> Result<(), Failure> {
    match command {
        MailCommand::Status => status(cli).await,
        MailCommand::Preview(preview) => preview::print(cli, preview),
    }
}

async fn status(cli: &Cli) -> Result<(), Failure> {
    let counts = cli.app().await?.auth.mail_counts().await?;
    let [urgent, high, normal, low] = counts.queued;
    if cli.json {
        let row = serde_json::json!({
            "queued": { "urgent": urgent, "high": high, "normal": normal, "low": low },
            "sending": counts.sending, "scheduled": counts.scheduled, "dead": counts.dead,
            "sent_last_hour": counts.sent_last_hour, "oldest_age_ms": counts.oldest_age_ms,
        });
        return say(row);
    }
    say(format_args!("queued         urgent {urgent}, high {high}, normal {normal}, low {low}"))?;
    say(format_args!("sending        {}", counts.sending))?;
    say(format_args!("scheduled      {}", counts.scheduled))?;
    say(format_args!("dead           {}", counts.dead))?;
    say(format_args!("sent last hour {}", counts.sent_last_hour))?;
    say(format_args!("oldest waits   {} ms", counts.oldest_age_ms))
}
