//! What admins see of the request limits, and how they give a subject a fresh start.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use crate::http::Site;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client};
use crate::limit::{Check, PolicyName, Standing};

/// The limits, as the instance sees them that answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitFigures {
    /// Whether requests are limited at all.
    enabled: bool,
    /// Who decides at the moment: `redis` for all instances together, or `local`, each for its share.
    decided_by: &'static str,
    /// How many instances share the limits, by the last count.
    instances: u32,
    /// The shield in front of all limited routes.
    shield: ShieldView,
    /// The policies.
    policies: Vec<PolicyView>,
    /// Where the subject stands that was asked for; `null` when none was.
    #[schema(required = true)]
    subject: Option<SubjectView>,
}

/// The shield in front of all limited routes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ShieldView {
    /// Requests of one address that pass in `window` in the long run.
    limit: u32,
    /// Seconds.
    window: u64,
    /// Requests that may come at once.
    burst: u32,
    /// The setting that says so.
    setting: &'static str,
    /// Requests refused since the start of the instance.
    denied: u64,
}

/// A policy, and what was decided under it since the start of the instance.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PolicyView {
    /// Its name.
    pub policy: &'static str,
    /// Requests that pass in `window`.
    pub limit: u32,
    /// Seconds over which they are counted.
    pub window: u64,
    /// The setting that says so.
    pub setting: String,
    /// Requests let through that it counted.
    pub allowed: u64,
    /// Requests refused because of it.
    pub denied: u64,
    /// Those of both that Redis decided.
    pub decided_by_redis: u64,
    /// Those of both that this process decided.
    pub decided_locally: u64,
    /// Subjects that this process remembers.
    pub subjects: usize,
}

/// Where one subject stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SubjectView {
    /// The policy.
    policy: &'static str,
    /// The subject as it is kept: an address, or a keyed hash.
    subject: String,
    /// Requests that pass in the policy's window.
    limit: u32,
    /// Requests left.
    remaining: u32,
    /// Seconds until it may go on; 0 if it may.
    retry_after: u64,
    /// Seconds until more are left.
    reset: u64,
    /// Who says so: `redis` for all instances together, or `local`.
    told_by: &'static str,
}

/// Whom to look up.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SubjectQuery {
    /// A policy, with `subject`.
    policy: Option<String>,
    /// What it counts by: an e-mail address, a domain or a client address as people write it, the hash of one, or `all`
    /// for a policy that counts everybody together.
    subject: Option<String>,
}

/// A subject that has a fresh start.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ResetView {
    /// The policy.
    policy: &'static str,
    /// The subject as it is kept.
    subject: String,
    /// Whether every instance has been told. If not, Redis is away: then only the one that answers has forgotten.
    everywhere: bool,
}

impl LimitFigures {
    /// The figures now, without a subject.
    pub fn of(site: &Site) -> Self {
        let (limiter, limits) = (&site.limiter, site.limiter.limits());
        Self {
            enabled: limits.enabled,
            decided_by: decider(limiter.is_shared()),
            instances: limiter.instances(),
            shield: ShieldView {
                limit: limits.shield_address.limit,
                window: limits.shield_address.window.as_secs(),
                burst: limits.shield_burst,
                setting: "limits.shield_address",
                denied: limiter.shielded(),
            },
            policies: PolicyName::ALL.map(|policy| PolicyView::of(site, policy)).into(),
            subject: None,
        }
    }
}

impl PolicyView {
    /// Of `policy` now.
    pub fn of(site: &Site, policy: PolicyName) -> Self {
        let (limit, counts) = (site.limiter.limits().of(policy), site.limiter.counts_of(policy));
        Self {
            policy: policy.as_str(),
            limit: limit.limit,
            window: limit.window.as_secs(),
            setting: policy.setting(),
            allowed: counts.allowed_by_redis + counts.allowed_locally,
            denied: counts.denied_by_redis + counts.denied_locally,
            decided_by_redis: counts.allowed_by_redis + counts.denied_by_redis,
            decided_locally: counts.allowed_locally + counts.denied_locally,
            subjects: site.limiter.subjects_of(policy),
        }
    }
}

impl SubjectView {
    /// Of `check`, which stands so.
    pub fn new(check: Check, standing: &Standing) -> Self {
        let seconds = |duration: std::time::Duration| u64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(0);
        Self {
            policy: check.policy.as_str(),
            subject: check.subject,
            limit: standing.window.limit,
            remaining: standing.window.remaining,
            retry_after: seconds(standing.retry_after),
            reset: seconds(standing.window.reset),
            told_by: decider(standing.told_by_redis),
        }
    }
}

fn decider(is_redis: bool) -> &'static str {
    if is_redis { "redis" } else { "local" }
}

/// Reads whom a query is about; `None` when it names neither policy nor subject.
fn asked_for(site: &Site, query: &SubjectQuery) -> Result<Option<Check>, ApiError> {
    if query.policy.is_none() && query.subject.is_none() {
        return Ok(None);
    }
    let mut fields = Fields::default();
    let policy = fields.required("policy", query.policy.as_deref()).and_then(|name| {
        let policy = name.parse::<PolicyName>();
        policy.map_err(|_| fields.wrong("policy", "unknown_policy", "There is no such policy.")).ok()
    });
    let text = fields.required("subject", query.subject.as_deref());
    let mut check = None;
    if let (Some(policy), Some(text)) = (policy, text) {
        check = site.auth.limit_subject(policy, &text);
        if check.is_none() {
            fields.wrong("subject", "invalid_subject", "The policy does not count by this.");
        }
    }
    fields.finish()?;
    Ok(check)
}

/// `GET /api/admin/limits`
#[utoipa::path(
    get,
    path = "/api/admin/limits",
    tag = "Admin",
    operation_id = "limit_figures",
    summary = "The request limits in figures",
    description = "Counts are those of the instance that answers. With `policy` and `subject`, where that subject \
        stands on all of them; asking counts nothing.",
    params(SubjectQuery),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = LimitFigures, description = "The policies, what was decided, and the subject asked for."),
        (status = 400, description = "invalid_request, invalid_input"),
    ),
)]
pub async fn show(
    site: web::Data<Site>,
    _admin: Admin,
    query: web::Query<SubjectQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut figures = LimitFigures::of(&site);
    if let Some(check) = asked_for(&site, &query)? {
        let standing = site.limiter.standing(&check).await;
        figures.subject = Some(SubjectView::new(check, &standing));
    }
    Ok(HttpResponse::Ok().json(figures))
}

/// `DELETE /api/admin/limits/{policy}/{subject}`
#[utoipa::path(
    delete,
    path = "/api/admin/limits/{policy}/{subject}",
    tag = "Admin",
    operation_id = "reset_limit",
    summary = "Give a subject its whole limit back",
    description = "What a policy has counted for a subject is forgotten, in Redis and on every instance.",
    params(
        ("policy" = String, Path, description = "The policy's name."),
        ("subject" = String, Path, description = "An e-mail address, a domain or a client address as people write it, \
            the hash of one, or `all`."),
    ),
    security(("session_cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, body = ResetView, description = "It is forgotten."),
        (status = 400, description = "invalid_input"),
        (status = 404, description = "not_found"),
    ),
)]
pub async fn reset(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (policy, subject) = path.into_inner();
    let policy: PolicyName = policy.parse().map_err(|_| ApiError::not_found())?;
    let Some(check) = site.auth.limit_subject(policy, &subject) else {
        let mut fields = Fields::default();
        fields.wrong("subject", "invalid_subject", "The policy does not count by this.");
        fields.finish()?;
        return Err(ApiError::not_found());
    };
    let everywhere = site.auth.reset_limit(&site.limiter, Some(&who.user), &check, &client.origin).await?;
    Ok(HttpResponse::Ok().json(ResetView { policy: policy.as_str(), subject: check.subject, everywhere }))
}
