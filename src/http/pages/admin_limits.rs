//! The request limits on the admins' page: what they let through and refuse, and the form that gives somebody a fresh
//! start.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin_mail::back;
use crate::http::Site;
use crate::http::api::admin_limits::PolicyView;
use crate::http::error::ApiError;
use crate::http::extract::{Admin, Client, PageForm};
use crate::limit::PolicyName;

/// The form.
#[derive(Deserialize)]
pub(crate) struct ResetForm {
    policy: Option<String>,
    subject: Option<String>,
    return_to: Option<String>,
}

/// What the page shows of the limits. Asks nobody: figures of this process only.
pub(super) fn section(site: &Site) -> Value {
    let (limiter, limits) = (&site.limiter, site.limiter.limits());
    let policies = PolicyName::ALL.map(|policy| {
        let view = PolicyView::of(site, policy);
        json!({
            "name": view.policy, "limit": limits.of(policy).to_string(), "allowed": view.allowed,
            "denied": view.denied,
        })
    });
    json!({
        "enabled": limits.enabled,
        "shared": limiter.is_shared(),
        "redis": site.redis.is_some(),
        "instances": limiter.instances(),
        "shielded": limiter.shielded(),
        "policies": policies,
    })
}

/// `POST /admin/limits/reset`
pub(crate) async fn reset(
    site: web::Data<Site>,
    client: Client,
    Admin(who): Admin,
    PageForm(form): PageForm<ResetForm>,
) -> Result<HttpResponse, ApiError> {
    let policy = form.policy.as_deref().unwrap_or_default().parse().ok();
    let check = policy.and_then(|policy| site.auth.limit_subject(policy, form.subject.as_deref()?));
    let notice = match check {
        Some(check) => {
            let everywhere = site.auth.reset_limit(&site.limiter, Some(&who.user), &check, &client.origin).await?;
            if everywhere { "limit-reset" } else { "limit-reset-here" }
        }
        None => "limit-unknown",
    };
    Ok(back(form.return_to.as_deref(), notice))
}
