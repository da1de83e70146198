//! The mail on the admins' page: its figures, the newest mails that were given up, the mailboxes that get none, and the
//! buttons beside them.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{see_other, time, with_notice};
use crate::auth::{AuthError, MailQuery, MailRefusal};
use crate::domain::{EmailAddress, MailStatus, NextPath};
use crate::http::Site;
use crate::http::api::admin_mail::mail_id;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client, PageForm};
use crate::store::{Mail, Suppression};

/// Dead mails and suppressed mailboxes that the page shows; the command line and the API have all of them.
const SHOWN: u16 = 10;

/// A button's form.
#[derive(Deserialize)]
pub(crate) struct ButtonForm {
    return_to: Option<String>,
}

/// The form of a button beside a suppressed mailbox.
#[derive(Deserialize)]
pub(crate) struct MailboxForm {
    email: Option<String>,
    return_to: Option<String>,
}

/// What the page shows of the mail.
pub(super) async fn section(site: &Site) -> Result<Value, ApiError> {
    let counts = site.auth.mail_counts().await?;
    let query = MailQuery { status: Some(MailStatus::Dead), limit: SHOWN, ..MailQuery::default() };
    let dead = if counts.dead > 0 { site.auth.mails(&query).await?.mails } else { Vec::new() };
    let suppressed =
        if counts.suppressed > 0 { site.auth.suppressions(None, SHOWN).await?.suppressions } else { Vec::new() };
    let now = site.auth.now();
    let mail_view = |mail: &Mail| {
        json!({
            "id": mail.id, "kind": mail.kind.replace('_', " "), "recipient": mail.recipient,
            "last_error": mail.last_error, "at": time(mail.finished_at.unwrap_or(mail.created_at)),
            "expired": mail.expires_at <= now,
        })
    };
    let suppression_view = |suppression: &Suppression| {
        json!({
            "email": suppression.email, "reason": suppression.reason, "detail": suppression.detail,
            "until": time(suppression.until),
        })
    };
    let [urgent, high, normal, low] = counts.queued;
    Ok(json!({
        "urgent": urgent, "high": high, "normal": normal, "low": low,
        "sending": counts.sending, "scheduled": counts.scheduled, "dead": counts.dead,
        "sent_last_hour": counts.sent_last_hour, "oldest": in_words(counts.oldest_age_ms),
        "paused": counts.paused, "suppressed": counts.suppressed,
        "dead_mails": dead.iter().map(mail_view).collect::<Vec<_>>(),
        "suppressions": suppressed.iter().map(suppression_view).collect::<Vec<_>>(),
    }))
}

/// How long the oldest mail has waited; `None` while that is nothing to speak of.
fn in_words(milliseconds: i64) -> Option<String> {
    match milliseconds / 1000 {
        ..5 => None,
        seconds @ 5..120 => Some(format!("{seconds} s")),
        seconds @ 120..7200 => Some(format!("{} min", seconds / 60)),
        seconds => Some(format!("{} h", seconds / 3600)),
    }
}

/// Back to the page that the button was on.
pub(super) fn back(form: Option<&str>, notice: &str) -> HttpResponse {
    let path = form.and_then(|path| NextPath::parse(path, &[]));
    see_other(&with_notice(path.as_ref().map_or("/admin", NextPath::as_str), notice))
}

/// `POST /admin/mail/pause`
pub(crate) async fn pause(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    PageForm(form): PageForm<ButtonForm>,
) -> Result<HttpResponse, ApiError> {
    site.auth.pause_mail(Some(&who.user), true, &client.origin).await?;
    Ok(back(form.return_to.as_deref(), "mail-paused"))
}

/// `POST /admin/mail/resume`
pub(crate) async fn resume(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    PageForm(form): PageForm<ButtonForm>,
) -> Result<HttpResponse, ApiError> {
    site.auth.pause_mail(Some(&who.user), false, &client.origin).await?;
    Ok(back(form.return_to.as_deref(), "mail-resumed"))
}

/// `POST /admin/mail/{id}/retry`
pub(crate) async fn retry(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    id: web::Path<String>,
    PageForm(form): PageForm<ButtonForm>,
) -> Result<HttpResponse, ApiError> {
    let notice = match site.auth.retry_mail(Some(&who.user), mail_id(&id)?, &client.origin).await {
        Ok(_) => "mail-retried",
        Err(AuthError::Mail(MailRefusal::Expired)) => "mail-expired",
        Err(AuthError::Mail(MailRefusal::Suppressed)) => "mail-suppressed",
        Err(AuthError::Mail(_)) => "mail-conflict",
        Err(error) => return Err(error.into()),
    };
    Ok(back(form.return_to.as_deref(), notice))
}

/// `POST /admin/mail/suppressions/lift`
pub(crate) async fn lift(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    PageForm(form): PageForm<MailboxForm>,
) -> Result<HttpResponse, ApiError> {
    let email = EmailAddress::parse(form.email.as_deref().unwrap_or_default()).map_err(|_| ApiError::not_found())?;
    match site.auth.lift_suppression(Some(&who.user), &email, &client.origin).await {
        // Its time was over, or somebody else lifted it: that is what was wanted.
        Ok(()) | Err(AuthError::NotFound) => Ok(back(form.return_to.as_deref(), "mail-lifted")),
        Err(error) => Err(error.into()),
    }
}
