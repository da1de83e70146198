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
    queued: QueuedMails,
    sending: i64,
    scheduled: i64,
    dead: i64,
    sent_last_hour: i64,
    oldest_age_ms: i64,
}

/// Mails that are due, by priority.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct QueuedMails {
    urgent: i64,
    high: i64,
    normal: i64,
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
pub async fn stats(site: web::Data<Site>, _admin: Admin) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(MailStats::from(site.auth.mail_counts().await?)))
}
