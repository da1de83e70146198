//! `mail suppressions`, `suppress` and `unsuppress`: mailboxes that get no mail for a while.

use super::show::time;
use super::{address, reason};
use crate::auth::{Auth, AuthError, NewSuppression};
use crate::cli::{Cli, Failure, operator, say};
use crate::domain::{EmailAddress, Note, SuppressionReason};
use crate::store::Suppression;

/// What to suppress.
#[derive(Debug, clap::Args)]
pub(crate) struct Mailbox {
    /// The address
    #[arg(value_parser = address)]
    email: EmailAddress,
    /// Why: bounce, complaint or manual
    #[arg(long, value_parser = reason, default_value = "manual")]
    reason: SuppressionReason,
    /// What the mail server or its owner said
    #[arg(long, default_value = "")]
    detail: String,
    /// For how many days
    #[arg(long, default_value_t = NewSuppression::DAYS,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(NewSuppression::MAX_DAYS)))]
    days: u16,
}

/// `mail suppressions`
pub(super) async fn list(cli: &Cli, auth: &Auth, after: Option<&EmailAddress>, limit: u16) -> Result<(), Failure> {
    let page = auth.suppressions(after.map(EmailAddress::key), limit).await?;
    for suppression in &page.suppressions {
        print(cli, suppression)?;
    }
    if let (Some(next), false) = (page.next, cli.json) {
        eprintln!("There are more: raise --limit, or go on with --after {next}.");
    }
    Ok(())
}

/// `mail suppress`
pub(super) async fn add(cli: &Cli, auth: &Auth, mailbox: &Mailbox) -> Result<(), Failure> {
    let detail = Note::parse(&mailbox.detail).map_err(|error| Failure::Wrong(format!("the detail: {error}")))?;
    let (email, reason, days) = (mailbox.email.clone(), mailbox.reason, mailbox.days);
    let new = NewSuppression { email, reason, detail, days };
    print(cli, &auth.suppress(None, &new, &operator()).await?)
}

/// `mail unsuppress`
pub(super) async fn lift(cli: &Cli, auth: &Auth, email: &EmailAddress) -> Result<(), Failure> {
    match auth.lift_suppression(None, email, &operator()).await {
        Err(AuthError::NotFound) => return Err(Failure::Failed(format!("{email} is not suppressed"))),
        outcome => outcome?,
    }
    if cli.json {
        say(serde_json::json!({ "email": email, "suppressed": false }))
    } else {
        say(format_args!("{email} gets mail again. Mails that were given up stay dead until they are tried again."))
    }
}

fn print(cli: &Cli, suppression: &Suppression) -> Result<(), Failure> {
    if cli.json {
        return say(serde_json::to_value(suppression).map_err(|error| Failure::Failed(error.to_string()))?);
    }
    let Suppression { email, reason, detail, until, .. } = suppression;
    let text = format!("{email}  {:9}  until {}  {detail}", reason.as_str(), time(*until));
    say(text.trim_end())
}
