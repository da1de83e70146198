//! `mail …`: the mail queue, from the command line.

use clap::Subcommand;

use super::{Cli, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum MailCommand {
    /// Prints how many mails stand where
    Status,
}

/// Carries the command out.
pub(super) async fn run(cli: &Cli, command: &MailCommand) -> Result<(), Failure> {
    match command {
        MailCommand::Status => status(cli).await,
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
        println!("{row}");
        return Ok(());
    }
    println!("queued         urgent {urgent}, high {high}, normal {normal}, low {low}");
    println!("sending        {}", counts.sending);
    println!("scheduled      {}", counts.scheduled);
    println!("dead           {}", counts.dead);
    println!("sent last hour {}", counts.sent_last_hour);
    println!("oldest waits   {} ms", counts.oldest_age_ms);
    Ok(())
}
