//! Asking for an account: the mailbox is proved first, with a code or link like any other.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::sign_in::accepted_with;
use crate::auth::{ChallengeRequest, Registration};
use crate::http::error::ApiError;
use crate::http::extract::{Client, Json};
use crate::http::{Site, cookies, guard};

/// Asks for an account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct Register {
    /// The mailbox to be proved.
    pub email: Option<String>,
    /// What the person is called.
    pub name: Option<String>,
    /// What the person tells the admin.
    pub note: Option<String>,
    /// The language of the mails.
    pub locale: Option<String>,
}

/// `POST /api/auth/register`
pub async fn register(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    Json(body): Json<Register>,
) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::default();
    let email = fields.email("email", body.email.as_deref());
    fields.required("name", body.name.as_deref());
    let name = fields.name("name", body.name.as_deref());
    let note = fields.note("note", body.note.as_deref());
    let locale = fields.locale(body.locale.as_deref(), client.language);
    fields.finish()?;
    let email = present(email)?;
    let limits = guard::register(&site, &client, &email).await?;
    let (flow, cookie) = cookies::flow(&http, &site);
    let request = ChallengeRequest {
        email,
        next: None,
        locale,
        resend_of: None,
        flow: Some(flow.digest()),
        origin: client.origin,
        registration: Some(Registration { name, note }),
    };
    let issued = site.auth.request_challenge(&request).await?;
    Ok(accepted_with(issued, &limits, cookie))
}
