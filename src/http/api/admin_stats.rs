//! The figures that admins see.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::auth::CountedStats;
use crate::cache::{Resource, ResponseKey};
use crate::domain::{MailStatus, Role, UserStatus};
use crate::http::error::ApiError;
use crate::http::extract::Admin;
use crate::http::{Site, cached};

/// How long the figures are kept.
const TTL: Duration = Duration::from_mins(5);

/// How many accounts, sessions and mails there are. Days are those of UTC.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StatsView {
    /// The accounts.
    users: UserCounts,
    /// The sessions.
    sessions: SessionCounts,
    /// Accounts made on each of the last thirty days, today last.
    registrations: Vec<DayCount>,
    /// The mails.
    mail: MailCounts,
    /// When this was counted.
    counted_at: DateTime<Utc>,
}

/// Accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StatsOfUsers)]
struct UserCounts {
    /// All.
    total: i64,
    /// By where they stand.
    by_status: BTreeMap<&'static str, i64>,
    /// By what they may do.
    by_role: BTreeMap<&'static str, i64>,
    /// Admins that are approved: those who can act as such.
    active_admins: i64,
}

/// Sessions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StatsOfSessions)]
struct SessionCounts {
    /// Neither ended nor past their absolute expiry.
    open: i64,
    /// Begun today.
    sign_ins_today: i64,
}

/// What a day has brought.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StatsOfDay, example = json!({ "day": "2026-01-31", "count": 3 }))]
struct DayCount {
    /// The day, in UTC.
    day: String,
    /// How many.
    count: i64,
}

/// Mails.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StatsOfMails)]
struct MailCounts {
    /// Waiting for a worker, or for their time.
    ready: i64,
    /// Being sent.
    sending: i64,
    /// Given up, and kept.
    dead: i64,
    /// Sent today.
    sent_today: i64,
    /// Expired today.
    expired_today: i64,
}

impl From<&CountedStats> for StatsView {
    fn from(counted: &CountedStats) -> Self {
        let stats = &counted.stats;
        let sum = |fits: &dyn Fn(UserStatus, Role) -> bool| {
            let fitting = stats.accounts.iter().filter(|(status, role, _)| fits(*status, *role));
            fitting.map(|(.., count)| count).sum::<i64>()
        };
        let mails =
            |of: MailStatus| stats.mails.iter().filter(|(status, _)| *status == of).map(|(_, count)| count).sum();
        let on = |day: &String| stats.registrations.iter().find(|(of, _)| of == day).map_or(0, |(_, count)| *count);
        Self {
            users: UserCounts {
                total: sum(&|_, _| true),
                by_status: UserStatus::ALL.iter().map(|of| (of.as_str(), sum(&|status, _| status == *of))).collect(),
                by_role: Role::ALL.iter().map(|of| (of.as_str(), sum(&|_, role| role == *of))).collect(),
                active_admins: sum(&|status, role| status == UserStatus::Approved && role == Role::Admin),
            },
            sessions: SessionCounts { open: stats.open_sessions, sign_ins_today: stats.sign_ins_today },
            registrations: counted.days.iter().map(|day| DayCount { day: day.clone(), count: on(day) }).collect(),
            mail: MailCounts {
                ready: mails(MailStatus::Ready),
                sending: mails(MailStatus::Sending),
                dead: mails(MailStatus::Dead),
                sent_today: mails(MailStatus::Sent),
                expired_today: mails(MailStatus::Expired),
            },
            counted_at: counted.counted_at,
        }
    }
}

/// `GET /api/admin/stats`
#[utoipa::path(
    get,
    path = "/api/admin/stats",
    tag = "Admin",
    operation_id = "stats",
    summary = "How many accounts, sessions and mails there are",
    description = "Kept for up to 300 seconds: `counted_at` says since when. A change of an account makes them be counted \
        anew, a sign-in or a mail does not.",
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = StatsView, description = "The figures.", headers(
            ("ETag" = String, description = "Names this very answer."),
            ("Cache-Control" = String, description = "For this client alone, which asks again before it uses it."),
        )),
        (status = 304, description = "Nothing has changed."),
    ),
)]
pub async fn show(site: web::Data<Site>, _admin: Admin, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let key = ResponseKey::new(Resource::Stats, "show", &[], Role::Admin.as_str());
    let load = async || site.auth.count_accounts().await.map(|counted| StatsView::from(&counted));
    cached::cached(&site, &request, &key, TTL, load).await
}
