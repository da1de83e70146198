//! `mail …`: the mail queue, from the command line.

mod dkim;
mod preview;
mod retry;
mod show;
mod suppress;
mod trial;

use clap::Subcommand;

use super::{Cli, Failure, operator, say};
use crate::auth::{Auth, AuthError};
use crate::domain::{EmailAddress, MailId, MailKind, MailStatus, SuppressionReason};

#[derive(Debug, Subcommand)]
pub(super) enum MailCommand {
    /// Prints the DNS records that let receivers check the signatures of mails (DKIM)
    Dkim,
    /// Prints an example of a mail, made with the templates and texts in force
    Preview(preview::Preview),
    /// Sends an example of a mail to an address, and prints what the mail server says
    Test(trial::Trial),
    #[command(flatten)]
    Queue(QueueCommand),
}

/// What needs the database.
#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// Prints how many mails stand where
    Status,
    /// Lists mails, newest first
    List {
        /// Only those that stand so: ready, sending, sent, expired or dead
        #[arg(long, value_parser = status)]
        status: Option<MailStatus>,
        /// Only those of this kind, such as `code_and_link`
        #[arg(long, value_parser = kind)]
        kind: Option<MailKind>,
        /// Only those whose recipient contains this
        #[arg(long)]
        recipient: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u16,
    },
    /// Prints where one mail stands, and what the mail server last said
    Show {
        /// The mail's id
        id: MailId,
    },
    /// Tries mails again at once: dead ones, and ones that wait for a later attempt
    Retry {
        /// The mails' ids
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
        ids: Vec<MailId>,
        /// Every dead mail that has not expired
        #[arg(long)]
        all: bool,
        /// With --all: only those of this kind
        #[arg(long, value_parser = kind, requires = "all", conflicts_with = "ids")]
        kind: Option<MailKind>,
    },
    /// Gives mails up that wait
    Bury {
        /// The mails' ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<MailId>,
    },
    /// Stops all sending, on every server; mails are accepted and wait
    Pause,
    /// Lets sending go on
    Resume,
    /// Lists mailboxes that get no mail for a while
    Suppressions {
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u16,
        /// Only those behind this address
        #[arg(long, value_name = "ADDRESS", value_parser = address)]
        after: Option<EmailAddress>,
    },
    /// Keeps a mailbox from getting mail for a while
    Suppress(suppress::Mailbox),
    /// Lets a suppressed mailbox get mail again
    Unsuppress {
        /// The address
        #[arg(value_parser = address)]
        email: EmailAddress,
    },
}

fn address(text: &str) -> Result<EmailAddress, String> {
    text.parse().map_err(|error: crate::domain::EmailAddressError| error.to_string())
}

/// Reads one of `all`; the message names every one.
fn one_of<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().copied().find(|one| name(*one) == text);
    found.ok_or_else(|| format!("use {}", all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ")))
}

fn status(text: &str) -> Result<MailStatus, String> {
    one_of(text, MailStatus::ALL, MailStatus::as_str)
}

fn kind(text: &str) -> Result<MailKind, String> {
    one_of(text, MailKind::ALL, MailKind::as_str)
}

fn reason(text: &str) -> Result<SuppressionReason, String> {
    one_of(text, SuppressionReason::ALL, SuppressionReason::as_str)
}

/// Carries the command out.
pub(super) async fn run(cli: &Cli, command: &MailCommand) -> Result<(), Failure> {
    match command {
        MailCommand::Dkim => dkim::print(cli),
        MailCommand::Preview(preview) => preview::print(cli, preview),
        MailCommand::Test(trial) => trial::send(cli, trial).await,
        MailCommand::Queue(command) => steer(cli, command).await,
    }
}

async fn steer(cli: &Cli, command: &QueueCommand) -> Result<(), Failure> {
    let auth = cli.app().await?.auth;
    match command {
        QueueCommand::Status => show::status(cli, &auth).await,
        QueueCommand::List { status, kind, recipient, limit } => {
            show::list(cli, &auth, (*status, *kind, recipient.clone()), *limit).await
        }
        QueueCommand::Show { id } => show::one(cli, &auth, *id).await,
        QueueCommand::Retry { all: true, kind, .. } => retry::all(cli, &auth, *kind).await,
        QueueCommand::Retry { ids, .. } => {
            each(cli, ids, async |id| auth.retry_mail(None, id, &operator()).await).await
        }
        QueueCommand::Bury { ids } => each(cli, ids, async |id| auth.bury_mail(None, id, &operator()).await).await,
        QueueCommand::Pause => pause(cli, &auth, true).await,
        QueueCommand::Resume => pause(cli, &auth, false).await,
        QueueCommand::Suppressions { limit, after } => suppress::list(cli, &auth, after.as_ref(), *limit).await,
        QueueCommand::Suppress(mailbox) => suppress::add(cli, &auth, mailbox).await,
        QueueCommand::Unsuppress { email } => suppress::lift(cli, &auth, email).await,
    }
}

/// Does one thing with each of these mails, whatever becomes of the others, and fails if one stayed as it was.
async fn each(
    cli: &Cli,
    ids: &[MailId],
    act: impl AsyncFn(MailId) -> Result<crate::store::Mail, AuthError>,
) -> Result<(), Failure> {
    let mut left = Vec::new();
    for &id in ids {
        match act(id).await {
            Ok(mail) => show::line(cli, &mail)?,
            Err(AuthError::NotFound) => left.push(format!("{id}: there is no such mail")),
            Err(AuthError::Mail(refusal)) => left.push(format!("{id}: {refusal}")),
            Err(error) => return Err(error.into()),
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Failure::Failed(left.join("; "))) }
}

async fn pause(cli: &Cli, auth: &Auth, paused: bool) -> Result<(), Failure> {
    let changed = auth.pause_mail(None, paused, &operator()).await?;
    if cli.json {
        return say(serde_json::json!({ "paused": paused }));
    }
    say(match (paused, changed) {
        (true, true) => "Sending stops within a second, on every server. Mails wait until `gatepost mail resume`.",
        (true, false) => "Sending was stopped already.",
        (false, true) => "Mails are sent again.",
        (false, false) => "Sending was not stopped.",
    })
}
