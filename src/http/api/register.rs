//! Asking for an account: the mailbox is proved first, with a code or link like any other.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::fields::{Fields, present};
use super::sign_in::{ChallengeView, accepted};
use crate::auth::{ChallengeRequest, Registration};
use crate::http::error::ApiError;
use crate::http::extract::{Client, Json};
use crate::http::{Site, cookies, guard};

/// Asks for an account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({ "email": "ada@example.com", "name": "Ada Lovelace", "note": "From the analytics team" }))]
pub struct Register {
    /// The mailbox to be proved.
    #[schema(required = true, value_type = String, format = Email, max_length = 254)]
    pub email: Option<String>,
    /// What the person is called.
    #[schema(required = true, value_type = String, max_length = 100)]
    pub name: Option<String>,
    /// What the person tells the admin.
    #[schema(max_length = 500)]
    pub note: Option<String>,
    /// The language of the mails.
    pub locale: Option<String>,
    /// The token of a solved CAPTCHA, where the server asks for one.
    pub captcha_token: Option<String>,
}

/// `POST /api/auth/register`
#[utoipa::path(
    post,
    path = "/api/auth/register",
    tag = "Signing in",
    operation_id = "register",
    summary = "Ask for an account",
    description = "Mails a code first, which proves the mailbox. Answer it as any other code; the answer then says \
        whether the account is approved or waits for an admin.",
    request_body = Register,
    responses(
        (status = 202, body = ChallengeView, description = "Taken. Show a field for the code.",
            headers(("Set-Cookie" = String, description = "The flow cookie: ties this browser to the mail's link."))),
        (status = 400, description = "invalid_input, captcha_required, captcha_failed"),
        (status = 429, description = "rate_limited"),
        (status = 503, description = "captcha_unavailable"),
    ),
)]
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
    let limits = guard::register(&site, &client, &email, body.captcha_token.as_deref()).await?;
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
    Ok(accepted(issued, &limits, cookie))
}
