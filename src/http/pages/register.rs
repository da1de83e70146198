//! Asking for an account.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::login::with_wait;
use super::{field_errors, page, see_other};
use crate::auth::{ChallengeRequest, Registration};
use crate::http::api::fields::{Fields, present};
use crate::http::error::{ApiError, Code};
use crate::http::extract::{Client, PageForm};
use crate::http::{Site, captcha, cookies, guard};
use crate::settings;

/// The registration form.
#[derive(Default, Deserialize)]
pub(crate) struct RegisterForm {
    email: Option<String>,
    name: Option<String>,
    note: Option<String>,
    #[serde(alias = "cf-turnstile-response", alias = "h-captcha-response")]
    captcha_token: Option<String>,
}

fn form_page(
    site: &Site,
    http: &HttpRequest,
    status: StatusCode,
    form: &RegisterForm,
    error: Option<&str>,
    errors: &Value,
) -> Result<HttpResponse, ApiError> {
    let context = json!({
        "email": form.email,
        "name": form.name,
        "note": form.note,
        "error": error,
        "field_errors": errors,
    });
    page(site, http, None, status, ("register", "Create an account"), context)
}

fn is_closed(site: &Site) -> bool {
    site.auth.settings().registration == settings::Registration::Closed
}

/// `GET /register`
pub(crate) async fn show(site: web::Data<Site>, http: HttpRequest) -> Result<HttpResponse, ApiError> {
    if is_closed(&site) {
        return Ok(see_other("/login"));
    }
    form_page(&site, &http, StatusCode::OK, &RegisterForm::default(), None, &json!({}))
}

/// `POST /register`
pub(crate) async fn submit(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    PageForm(form): PageForm<RegisterForm>,
) -> Result<HttpResponse, ApiError> {
    if is_closed(&site) {
        return Ok(see_other("/login"));
    }
    let mut fields = Fields::default();
    let email = fields.email("email", form.email.as_deref());
    fields.required("name", form.name.as_deref());
    let name = fields.name("name", form.name.as_deref());
    let note = fields.note("note", form.note.as_deref());
    let errors = fields.into_errors();
    if !errors.is_empty() {
        return form_page(&site, &http, StatusCode::BAD_REQUEST, &form, None, &field_errors(&errors));
    }
    let email = present(email)?;
    match guard::register(&site, &client, &email, form.captcha_token.as_deref()).await {
        Ok(_) => {}
        Err(error) if error.code == Code::RateLimited || captcha::is_about(&error) => {
            let page = form_page(&site, &http, error.code.status(), &form, Some(&error.detail), &json!({}))?;
            return Ok(with_wait(page, &error));
        }
        Err(error) => return Err(error),
    }
    let (flow, cookie) = cookies::flow(&http, &site);
    let request = ChallengeRequest {
        email,
        next: None,
        locale: client.language,
        resend_of: None,
        flow: Some(flow.digest()),
        origin: client.origin,
        registration: Some(Registration { name, note }),
    };
    let issued = site.auth.request_challenge(&request).await?;
    let mut response = see_other(&format!("/login/code?challenge={}", issued.challenge_id));
    response.add_cookie(&cookie).map_err(ApiError::internal)?;
    Ok(response)
}
