//! `mail test`: sends an example of a mail, to see whether the mail server takes it, and how it looks where it arrives.

use chrono::TimeDelta;

use super::kind;
use super::preview::{failed, language, renderer};
use crate::cli::{Cli, Failure, say};
use crate::domain::{Clock, EmailAddress, Entropy, Language, MailId, MailKind};
use crate::mail::{Outcome, Transport};
use crate::settings::Delivery;
use crate::store::Mail;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Trial {
    /// Where to
    #[arg(value_name = "ADDRESS", value_parser = super::address)]
    recipient: EmailAddress,
    /// The kind of mail
    #[arg(long, default_value = "code_and_link", value_parser = kind)]
    kind: MailKind,
    /// The language, such as de
    #[arg(long, default_value = "en", value_parser = language)]
    locale: Language,
}

/// Sends the example at once, past the queue, and tells what the mail server says. Code and link in it are nobody's.
pub(super) async fn send(cli: &Cli, trial: &Trial) -> Result<(), Failure> {
    let settings = cli.settings(false)?;
    if settings.mail.delivery == Delivery::DevMailbox {
        let reason = "there is no mail server to try: set SMTP_URL, such as smtp://user:password@smtp.example.com:587";
        return Err(Failure::Failed(reason.to_owned()));
    }
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (row, rendered) = renderer(&settings)?.sample(trial.kind, trial.locale).map_err(|error| failed(&error))?;
    let now = clock.now();
    let id = MailId(entropy.uuid_v7(now));
    let message_id = format!("{id}@{}", settings.mail.from.address.domain());
    let mail = Mail { id, message_id, created_at: now, expires_at: now + TimeDelta::minutes(10), ..row };
    let transport = Transport::new(&settings.mail, &clock, &entropy).map_err(|error| failed(&error))?;
    match transport.send_once(&mail, &trial.recipient, &rendered).await {
        Outcome::Delivered { reply } if cli.json => {
            say(serde_json::json!({ "sent": true, "reply": reply, "message_id": mail.message_id }))
        }
        Outcome::Delivered { reply } => {
            say(format_args!("A mail server took the mail for {}: {reply}", trial.recipient.as_str()))
        }
        Outcome::Refused { reply, .. } => Err(Failure::Failed(format!("the mail server refused the mail: {reply}"))),
        Outcome::NoRelay { error, .. } | Outcome::Unreachable { error, .. } => {
            Err(Failure::Failed(format!("no mail server took the mail: {error}. Check SMTP_URL")))
        }
        Outcome::Expired | Outcome::Lost => {
            Err(Failure::Failed("the mail server took more than ten minutes".to_owned()))
        }
    }
}
