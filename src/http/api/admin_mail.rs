//! What admins see of the mail queue.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::Admin;
use crate::store::MailCounts;

/// How many mails stand where.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MailStats {
    /// Mails that are due, by priority.
    queued: QueuedMails,
    /// Mails that a worker has in hand.
    sending: i64,
    /// Mails that wait for their time, most often for another attempt.
    scheduled: i64,
    /// Mails that were given up.
    dead: i64,
    /// Mails that were sent within the last hour.
    sent_last_hour: i64,
    /// How long the oldest due mail has waited, in milliseconds.
    oldest_age_ms: i64,
}

/// Mails that are due, by priority.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct QueuedMails {
    /// Codes and links, for which somebody waits.
    urgent: i64,
    /// Notices about the safety of an account.
    high: i64,
    /// Everything else that concerns one person.
    normal: i64,
    /// What can wait.
    low: i64,
}

impl From<MailCounts> for MailStats {
    fn from(counts: MailCounts) -> Self {
        let [urgent, high, normal, low] = counts.queued;
        Self {
            queued: QueuedMails { urgent, high, normal, low },
            sending: counts.sending,
            scheduled: counts.scheduled,
            dead: counts.dead,
            sent_last_hour: counts.sent_last_hour,
            oldest_age_ms: counts.oldest_age_ms,
        }
    }
}

/// `GET /api/admin/mail/stats`
#[utoipa::path(
    get,
    path = "/api/admin/mail/stats",
    tag = "Admin",
    operation_id = "mail_stats",
    summary = "The mail queue in figures",
    security(("session_cookie" = []), ("bearer" = [])),
    responses((status = 200, body = MailStats, description = "How many mails stand where.")),
)]
pub async fn stats(site: web::Data<Site>, _admin: Admin) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(MailStats::from(site.auth.mail_counts().await?)))
}
