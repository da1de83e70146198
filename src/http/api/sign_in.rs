//! The parts that all ways of signing in share: their bodies and their answers.

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::{Deserialize, Serialize};

use crate::auth::{Admission, AuthError, Credentials, IssuedChallenge, Mode};
use crate::domain::ChallengeId;
use crate::http::error::ApiError;
use crate::http::guard::LimitHeaders;
use crate::http::views::{SessionView, UserView};
use crate::http::{Site, cookies};

/// What the client wants to hold: a cookie, or tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModeField {
    /// A session cookie.
    #[default]
    Cookie,
    /// An access token and a refresh token.
    Token,
}

impl From<ModeField> for Mode {
    fn from(mode: ModeField) -> Self {
        match mode {
            ModeField::Cookie => Self::Cookie,
            ModeField::Token => Self::Token,
        }
    }
}

/// The answer to a request for a code or link: the same for every address.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ChallengeView {
    #[schema(value_type = uuid::Uuid)]
    challenge_id: ChallengeId,
    /// Seconds until the code and the link stop working.
    expires_in: u64,
    /// Seconds until a client should offer to send the mail again.
    resend_in: u64,
}

/// The answer to a proof of a mailbox or a password.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SignInView {
    /// `signed_in`, `pending_approval` or `rejected`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionView>,
    #[serde(flatten)]
    tokens: Option<TokenView>,
}

/// A pair of tokens.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TokenView {
    access_token: String,
    token_type: &'static str,
    /// Seconds until the access token stops working.
    expires_in: u64,
    refresh_token: String,
}

impl TokenView {
    /// The view of a pair whose access token lives for `expires_in` seconds.
    pub fn new(access_token: String, refresh_token: String, expires_in: u64) -> Self {
        Self { access_token, token_type: "Bearer", expires_in, refresh_token }
    }
}

/// Answers 202 to a request for a code or link, and ties the browser to it.
pub fn accepted(site: &Site, request: &HttpRequest, issued: IssuedChallenge, limits: &LimitHeaders) -> HttpResponse {
    let (_, flow) = cookies::flow(request, site);
    accepted_with(issued, limits, flow)
}

/// As [`accepted`], with the flow cookie that the challenge was made for.
pub fn accepted_with(
    issued: IssuedChallenge,
    limits: &LimitHeaders,
    flow: actix_web::cookie::Cookie<'static>,
) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    with_limits(&mut response, limits);
    response.cookie(flow).json(ChallengeView {
        challenge_id: issued.challenge_id,
        expires_in: issued.expires_in.as_secs(),
        resend_in: issued.resend_in.as_secs(),
    })
}

/// Answers a proof: 200 with what the person gets.
pub fn admitted(site: &Site, admission: Admission, limits: &LimitHeaders) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    with_limits(&mut response, limits);
    let standing = |status| SignInView { status, user: None, session: None, tokens: None };
    match admission {
        Admission::Pending => response.json(standing("pending_approval")),
        Admission::Rejected => response.json(standing("rejected")),
        Admission::SignedIn(signed_in) => {
            let lifetime = site.auth.access_token_lifetime().as_secs();
            let tokens = match signed_in.credentials {
                Credentials::Session(token) => {
                    response.cookie(cookies::session(&token, site));
                    None
                }
                Credentials::Tokens { access, refresh } => {
                    Some(TokenView::new(access, refresh.expose().to_owned(), lifetime))
                }
            };
            response.json(SignInView {
                user: Some((&signed_in.user).into()),
                session: Some((&signed_in.session).into()),
                tokens,
                ..standing("signed_in")
            })
        }
    }
}

/// Counts the outcome of a proof, and passes it on.
pub fn counted(site: &Site, method: &str, outcome: Result<Admission, AuthError>) -> Result<Admission, ApiError> {
    let label = match &outcome {
        Ok(Admission::SignedIn(_)) => "signed_in",
        Ok(Admission::Pending) => "pending",
        Ok(Admission::Rejected) => "rejected",
        Err(AuthError::Store(_) | AuthError::Internal(_)) => "error",
        Err(_) => "refused",
    };
    site.metrics.sign_ins.with_label_values(&[method, label]).inc();
    Ok(outcome?)
}

/// Adds the headers that tell a client its limits.
pub fn with_limits(response: &mut HttpResponseBuilder, limits: &LimitHeaders) {
    for (name, value) in limits {
        response.insert_header((*name, value.as_str()));
    }
}
