//! Prints where mails stand.

use chrono::SecondsFormat;

use crate::auth::{Auth, MailQuery};
use crate::cli::{Cli, Failure, say};
use crate::domain::{Instant, MailId, MailKind, MailStatus, Priority};
use crate::store::Mail;

/// `mail status`
pub(super) async fn status(cli: &Cli, auth: &Auth) -> Result<(), Failure> {
    let counts = auth.mail_counts().await?;
    let [urgent, high, normal, low] = counts.queued;
    if cli.json {
        let row = serde_json::json!({
            "queued": { "urgent": urgent, "high": high, "normal": normal, "low": low },
            "sending": counts.sending, "scheduled": counts.scheduled, "dead": counts.dead,
            "sent_last_hour": counts.sent_last_hour, "oldest_age_ms": counts.oldest_age_ms,
            "paused": counts.paused, "suppressed": counts.suppressed,
        });
        return say(row);
    }
    if counts.paused {
        say("Sending is stopped: `gatepost mail resume` lets it go on.")?;
    }
    say(format_args!("queued         urgent {urgent}, high {high}, normal {normal}, low {low}"))?;
    say(format_args!("sending        {}", counts.sending))?;
    say(format_args!("scheduled      {}", counts.scheduled))?;
    say(format_args!("dead           {}", counts.dead))?;
    say(format_args!("sent last hour {}", counts.sent_last_hour))?;
    say(format_args!("oldest waits   {} ms", counts.oldest_age_ms))?;
    say(format_args!("suppressed     {}", counts.suppressed))
}

/// `mail list`
pub(super) async fn list(
    cli: &Cli,
    auth: &Auth,
    (status, kind, recipient): (Option<MailStatus>, Option<MailKind>, Option<String>),
    limit: u16,
) -> Result<(), Failure> {
    let page = auth.mails(&MailQuery { status, kind, recipient, cursor: None, limit }).await?;
    for mail in &page.mails {
        line(cli, mail)?;
    }
    if page.next.is_some() && !cli.json {
        eprintln!("There are more: raise --limit.");
    }
    Ok(())
}

/// `mail show`
pub(super) async fn one(cli: &Cli, auth: &Auth, id: MailId) -> Result<(), Failure> {
    let found = auth.mail_by_id(id).await?;
    let mail = found.ok_or_else(|| Failure::Failed(format!("{id}: there is no such mail")))?;
    if cli.json {
        return line(cli, &mail);
    }
    let finished = mail.finished_at.map_or_else(|| "not yet".to_owned(), time);
    say(format_args!("id           {}", mail.id))?;
    say(format_args!("kind         {}", mail.kind))?;
    say(format_args!("recipient    {}", mail.recipient))?;
    say(format_args!("locale       {}", mail.locale))?;
    say(format_args!("priority     {}", priority(&mail)))?;
    say(format_args!("status       {}", mail.status))?;
    say(format_args!("attempts     {}", mail.attempts))?;
    say(format_args!("message id   <{}>", mail.message_id))?;
    say(format_args!("accepted     {}", time(mail.created_at)))?;
    say(format_args!("next attempt {}", time(mail.next_attempt_at)))?;
    say(format_args!("expires      {}", time(mail.expires_at)))?;
    say(format_args!("ended        {finished}"))?;
    say(format_args!("last answer  {}", mail.last_error.as_deref().unwrap_or("none")))
}

/// Prints a mail on one line.
pub(super) fn line(cli: &Cli, mail: &Mail) -> Result<(), Failure> {
    if cli.json {
        let row = serde_json::json!({
            "id": mail.id, "kind": mail.kind, "recipient": mail.recipient, "locale": mail.locale,
            "priority": priority(mail), "status": mail.status, "attempts": mail.attempts,
            "message_id": mail.message_id, "created_at": mail.created_at, "next_attempt_at": mail.next_attempt_at,
            "expires_at": mail.expires_at, "finished_at": mail.finished_at, "last_error": mail.last_error,
        });
        return say(row);
    }
    let Mail { id, status, kind, recipient, .. } = mail;
    let answer = mail.last_error.as_deref().unwrap_or_default();
    let text = format!("{id}  {}  {:7}  {kind:19}  {recipient}  {answer}", time(mail.created_at), status.as_str());
    say(text.trim_end())
}

/// A priority that this version does not know waits for all others.
fn priority(mail: &Mail) -> Priority {
    Priority::from_number(mail.priority).unwrap_or(Priority::Low)
}

pub(super) fn time(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
