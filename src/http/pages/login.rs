//! The sign-in flow: address, code or link, done.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{field_errors, page, query, see_other, time};
use crate::auth::{Admission, AuthError, ChallengeRequest, Credentials, Mode};
use crate::domain::{ChallengeId, LinkToken, NextPath, OneTimeCode};
use crate::http::api::fields::Fields;
use crate::http::api::sign_in::{counted, replaced};
use crate::http::error::{ApiError, Code};
use crate::http::extract::{Client, Former, PageForm, Viewer};
use crate::http::{Site, captcha, cookies, device_cookie, guard};

/// The address form.
#[derive(Deserialize)]
pub(crate) struct LoginForm {
    email: Option<String>,
    next: Option<String>,
    challenge_id: Option<String>,
    #[serde(alias = "cf-turnstile-response", alias = "h-captcha-response")]
    captcha_token: Option<String>,
}

/// The password form.
#[derive(Deserialize)]
pub(crate) struct PasswordForm {
    email: Option<String>,
    password: Option<String>,
    next: Option<String>,
}

/// The code form.
#[derive(Deserialize)]
pub(crate) struct CodeForm {
    challenge_id: Option<String>,
    code: Option<String>,
    next: Option<String>,
}

/// The button behind a link.
#[derive(Deserialize)]
pub(crate) struct LinkForm {
    token: Option<String>,
}

/// `GET /`: to the account, or to the sign-in page.
pub(crate) async fn root(Viewer(viewer): Viewer) -> HttpResponse {
    see_other(if viewer.is_some() { "/account" } else { "/login" })
}

/// `GET /login`
pub(crate) async fn show(
    site: web::Data<Site>,
    http: HttpRequest,
    Viewer(viewer): Viewer,
) -> Result<HttpResponse, ApiError> {
    let next = safe_next(&site, query(&http, "next").as_deref());
    if viewer.is_some() {
        return Ok(see_other(next.as_ref().map_or("/account", NextPath::as_str)));
    }
    login_page(&site, &http, StatusCode::OK, &LoginState { next: next.as_ref(), ..LoginState::default() })
}

#[derive(Default)]
struct LoginState<'a> {
    email: Option<&'a str>,
    next: Option<&'a NextPath>,
    error: Option<&'a str>,
    field_errors: Option<Value>,
}

fn login_page(
    site: &Site,
    http: &HttpRequest,
    status: StatusCode,
    state: &LoginState<'_>,
) -> Result<HttpResponse, ApiError> {
    let context = json!({
        "email": state.email,
        "next": state.next.map(NextPath::as_str),
        "error": state.error,
        "field_errors": state.field_errors.clone().unwrap_or_else(|| json!({})),
    });
    page(site, http, None, status, ("login", "Sign in"), context)
}

fn safe_next(site: &Site, text: Option<&str>) -> Option<NextPath> {
    NextPath::parse(text?, &site.server.redirect_origins)
}

/// `POST /login`: asks for a mail, or for the same mail again.
pub(crate) async fn request(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    PageForm(form): PageForm<LoginForm>,
) -> Result<HttpResponse, ApiError> {
    let next = safe_next(&site, form.next.as_deref());
    let mut fields = Fields::default();
    let email = fields.email("email", form.email.as_deref());
    let state = LoginState { email: form.email.as_deref(), next: next.as_ref(), ..LoginState::default() };
    let Some(email) = email else {
        let errors = field_errors(&fields.into_errors());
        return login_page(&site, &http, StatusCode::BAD_REQUEST, &LoginState { field_errors: Some(errors), ..state });
    };
    if !site.auth.settings().methods.otp && !site.auth.settings().methods.magic_link {
        return Err(AuthError::MethodDisabled.into());
    }
    if let Err(error) = guard::request(&site, &client, &email, form.captcha_token.as_deref()).await {
        return limited(error, |error| {
            login_page(&site, &http, error.code.status(), &LoginState { error: Some(&told(error)), ..state })
        });
    }
    let resend_of: Option<ChallengeId> = form.challenge_id.as_deref().and_then(|id| id.parse().ok());
    let (flow, cookie) = cookies::flow(&http, &site);
    let request = ChallengeRequest {
        email,
        next: next.clone(),
        locale: client.language,
        resend_of,
        flow: Some(flow.digest()),
        origin: client.origin,
        registration: None,
    };
    let issued = site.auth.request_challenge(&request).await?;
    let mut location = format!("/login/code?challenge={}", issued.challenge_id);
    if resend_of == Some(issued.challenge_id) {
        location.push_str("&notice=resent");
    }
    if let Some(next) = &next {
        location.push_str("&next=");
        location.extend(url::form_urlencoded::byte_serialize(next.as_str().as_bytes()));
    }
    let mut response = see_other(&location);
    response.add_cookie(&cookie).map_err(ApiError::internal)?;
    Ok(response)
}

/// What a refusal of the limiter looks like in a sentence.
fn told(error: &ApiError) -> String {
    format!("{}. {}", error.code.title(), error.detail)
}

/// Shows a refusal on the page itself, with the headers that a program would get; passes other errors on.
fn limited(
    error: ApiError,
    show: impl FnOnce(&ApiError) -> Result<HttpResponse, ApiError>,
) -> Result<HttpResponse, ApiError> {
    if !matches!(error.code, Code::RateLimited | Code::TooManyGuesses) && !captcha::is_about(&error) {
        return Err(error);
    }
    Ok(with_wait(show(&error)?, &error))
}

/// A page that shows a refusal, with the `Retry-After` that a program would get.
pub(super) fn with_wait(mut page: HttpResponse, error: &ApiError) -> HttpResponse {
    if let Some((_, seconds)) = error.headers.iter().find(|(name, _)| *name == "Retry-After")
        && let Ok(value) = seconds.parse()
    {
        page.headers_mut().insert(actix_web::http::header::RETRY_AFTER, value);
    }
    page
}

/// `POST /login/password`
pub(crate) async fn password(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    former: Former,
    PageForm(form): PageForm<PasswordForm>,
) -> Result<HttpResponse, ApiError> {
    let next = safe_next(&site, form.next.as_deref());
    let mut fields = Fields::default();
    let email = fields.email("email", form.email.as_deref());
    let password = fields.secret("password", form.password.as_deref());
    let errors = field_errors(&fields.into_errors());
    let state = LoginState { email: form.email.as_deref(), next: next.as_ref(), ..LoginState::default() };
    let (Some(email), Some(password)) = (email, password) else {
        return login_page(&site, &http, StatusCode::BAD_REQUEST, &LoginState { field_errors: Some(errors), ..state });
    };
    let again = |error: &ApiError| {
        let errors = json!({ "password": error.detail });
        login_page(&site, &http, error.code.status(), &LoginState { field_errors: Some(errors), ..state })
    };
    if let Err(error) = guard::login(&site, &client, &email).await {
        return limited(error, again);
    }
    let outcome = site.auth.log_in(&email, &password, &client.marks, Mode::Cookie, &client.origin).await;
    match counted(&site, "password", outcome) {
        Ok(admission) => {
            replaced(&site, former, &admission, &client).await;
            admitted(&site, &http, admission, next.as_ref())
        }
        Err(error) if error.code == Code::InvalidCredentials => again(&error),
        Err(error) => limited(error, again),
    }
}

/// `GET /login/code`
pub(crate) async fn show_code(site: web::Data<Site>, http: HttpRequest) -> Result<HttpResponse, ApiError> {
    let Some(id) = query(&http, "challenge").and_then(|id| id.parse::<ChallengeId>().ok()) else {
        return Ok(see_other("/login"));
    };
    let next = safe_next(&site, query(&http, "next").as_deref());
    code_page(&site, &http, StatusCode::OK, id, next.as_ref(), None, false).await
}

async fn code_page(
    site: &Site,
    http: &HttpRequest,
    status: StatusCode,
    id: ChallengeId,
    next: Option<&NextPath>,
    error: Option<&str>,
    locked: bool,
) -> Result<HttpResponse, ApiError> {
    let email = site.auth.challenged_mailbox(id, cookies::flow_token(http, site).as_ref()).await?;
    let settings = site.auth.settings();
    let context = json!({
        "challenge_id": id.to_string(),
        "email": email,
        "next": next.map(NextPath::as_str),
        "error": error,
        "locked": locked,
        "expires_minutes": settings.challenge_lifetime.as_secs() / 60,
        "link_too": settings.methods.magic_link,
        "resend": email.is_some() && !locked,
    });
    page(site, http, None, status, ("code", "Enter your code"), context)
}

/// `POST /login/code`
pub(crate) async fn verify_code(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    former: Former,
    PageForm(form): PageForm<CodeForm>,
) -> Result<HttpResponse, ApiError> {
    let Some(id) = form.challenge_id.as_deref().and_then(|id| id.parse::<ChallengeId>().ok()) else {
        return Ok(see_other("/login"));
    };
    let next = safe_next(&site, form.next.as_deref());
    let outcome = match guard::verify(&site, &client).await {
        Err(error) => Err(error),
        Ok(_) => match OneTimeCode::parse(form.code.as_deref().unwrap_or_default()) {
            None => Err(ApiError::new(Code::InvalidInput, "Enter the six digits from the mail.")),
            Some(code) => {
                let outcome = site.auth.verify_code(id, &code, &client.marks, Mode::Cookie, &client.origin).await;
                counted(&site, "otp", outcome)
            }
        },
    };
    match outcome {
        Ok(admission) => {
            replaced(&site, former, &admission, &client).await;
            admitted(&site, &http, admission, next.as_ref())
        }
        Err(error) => match error.code {
            Code::InvalidInput | Code::InvalidCode | Code::RateLimited | Code::TooManyGuesses => {
                let locked = error.code == Code::InvalidCode && site.auth.is_burnt(id).await?;
                let told = match error.code {
                    Code::InvalidCode => "That code is not right. Use the one in the newest mail.",
                    _ => &error.detail,
                };
                let page = code_page(&site, &http, error.code.status(), id, next.as_ref(), Some(told), locked).await?;
                Ok(with_wait(page, &error))
            }
            _ => Err(error),
        },
    }
}

/// `GET /login/link`: shows what the link is about. Changes nothing, whoever follows it.
pub(crate) async fn show_link(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
) -> Result<HttpResponse, ApiError> {
    guard::verify(&site, &client).await?;
    let token = query(&http, "token").and_then(|token| LinkToken::parse(token.trim()));
    let Some(token) = token else { return invalid_link(&site, &http) };
    let preview = match site.auth.preview_link(&token, cookies::flow_token(&http, &site).as_ref()).await {
        Ok(preview) => preview,
        Err(AuthError::InvalidLink) => return invalid_link(&site, &http),
        Err(error) => return Err(error.into()),
    };
    let context = json!({
        "token": token.expose(),
        "email": preview.email,
        "same_browser": preview.same_browser,
        "requested": {
            "device": preview.requested.device,
            "address": preview.requested.address,
            "at": time(preview.requested.at),
        },
        "next": null,
    });
    page(&site, &http, None, StatusCode::OK, ("link", "Confirm your sign-in"), context)
}

fn invalid_link(site: &Site, http: &HttpRequest) -> Result<HttpResponse, ApiError> {
    page(site, http, None, StatusCode::UNAUTHORIZED, ("link_invalid", "This link is not valid"), json!({}))
}

/// `POST /login/link`: signs in the browser in which the button was pressed.
pub(crate) async fn verify_link(
    site: web::Data<Site>,
    http: HttpRequest,
    client: Client,
    former: Former,
    PageForm(form): PageForm<LinkForm>,
) -> Result<HttpResponse, ApiError> {
    guard::verify(&site, &client).await?;
    let Some(token) = form.token.as_deref().and_then(LinkToken::parse) else { return invalid_link(&site, &http) };
    let outcome = site.auth.verify_link(&token, Mode::Cookie, &client.origin).await;
    match counted(&site, "magic_link", outcome) {
        Ok(admission) => {
            replaced(&site, former, &admission, &client).await;
            admitted(&site, &http, admission, None)
        }
        Err(error) if error.code == Code::InvalidLink => invalid_link(&site, &http),
        Err(error) => Err(error),
    }
}

/// Sends a person who proved a mailbox on: to where they wanted to go, or to the page that says what they wait for.
fn admitted(
    site: &Site,
    http: &HttpRequest,
    admission: Admission,
    next: Option<&NextPath>,
) -> Result<HttpResponse, ApiError> {
    let signed_in = match admission {
        Admission::Pending => return Ok(see_other("/pending")),
        Admission::Rejected => return Ok(see_other("/pending?status=rejected")),
        Admission::SignedIn(signed_in) => signed_in,
    };
    let Credentials::Session(token) = &signed_in.credentials else {
        return Err(ApiError::internal("a page signed in with tokens"));
    };
    // Checked again on the way out: the list of origins may have changed since it was asked for.
    let wanted = safe_next(site, signed_in.next.as_deref());
    let mut response = see_other(next.or(wanted.as_ref()).map_or("/account", NextPath::as_str));
    response.add_cookie(&cookies::session(token, site)).map_err(ApiError::internal)?;
    let device = device_cookie::renewed(http.headers(), &signed_in.user.email, site);
    response.add_cookie(&device).map_err(ApiError::internal)?;
    Ok(response)
}

/// `GET /pending`
pub(crate) async fn pending(site: web::Data<Site>, http: HttpRequest) -> Result<HttpResponse, ApiError> {
    let rejected = query(&http, "status").as_deref() == Some("rejected");
    let status = if rejected { "rejected" } else { "pending" };
    let context = json!({ "status": status, "email": null });
    page(&site, &http, None, StatusCode::OK, ("pending", "Your account"), context)
}
