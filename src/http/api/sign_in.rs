//! The parts that all ways of signing in share: their bodies and their answers.

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::{Deserialize, Serialize};

use crate::auth::{AccessToken, Admission, AuthError, Credentials, IssuedChallenge, Mode};
use crate::domain::{ChallengeId, RefreshToken};
use crate::http::error::ApiError;
use crate::http::extract::{Client, Former};
use crate::http::guard::LimitHeaders;
use crate::http::openapi::values;
use crate::http::views::{SessionView, UserView};
use crate::http::{Site, cookies, device_cookie};

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
#[schema(example = json!({
    "challenge_id": "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21", "expires_in": 600, "resend_in": 30,
}))]
pub struct ChallengeView {
    /// Names the challenge when it is answered.
    #[schema(value_type = uuid::Uuid)]
    challenge_id: ChallengeId,
    /// Seconds until the code and the link stop working.
    expires_in: u64,
    /// Seconds until a client should offer to send the mail again.
    resend_in: u64,
}

/// The answer to a proof of a mailbox or a password.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "status": "signed_in",
    "user": {
        "id": "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21", "email": "ada@example.com", "name": "Ada Lovelace",
        "username": "ada", "phone": null, "avatar_url": null, "locale": "en", "role": "user", "status": "approved",
        "created_at": "2026-01-05T09:30:00Z", "updated_at": "2026-01-05T09:31:12Z",
    },
    "session": { "id": "01934f60-1f3c-7b52-8a41-c7d90e6f2a58", "expires_at": "2026-02-04T09:31:12Z" },
}))]
pub struct SignInView {
    /// Whether the person is in.
    #[schema(schema_with = values::sign_in_status)]
    status: &'static str,
    /// The account, once signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = UserView, required = false)]
    user: Option<UserView>,
    /// The new session, once signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = SessionView, required = false)]
    session: Option<SessionView>,
    #[serde(flatten)]
    #[schema(value_type = SignInTokens)]
    tokens: Option<TokenView>,
}

/// The tokens of a new session, with `mode` `token`.
#[derive(Debug, utoipa::ToSchema)]
pub struct SignInTokens {
    /// For `Authorization: Bearer`.
    #[schema(value_type = String, required = false)]
    pub access_token: Option<String>,
    /// `Bearer`.
    #[schema(value_type = String, required = false)]
    pub token_type: Option<String>,
    /// Seconds until the access token stops working.
    #[schema(value_type = u64, required = false)]
    pub expires_in: Option<u64>,
    /// Buys the next pair, once.
    #[schema(value_type = String, required = false)]
    pub refresh_token: Option<String>,
}

/// A pair of tokens.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TokenView {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token stops working.
    expires_in: u64,
    /// Buys the next pair, once.
    refresh_token: String,
}

impl TokenView {
    /// The view of a new pair, for the client that gets it.
    pub fn new(access: &AccessToken, refresh: &RefreshToken) -> Self {
        Self {
            access_token: access.text.expose().clone(),
            token_type: "Bearer",
            expires_in: access.expires_in.as_secs(),
            refresh_token: refresh.expose().to_owned(),
        }
    }
}

/// Answers 202 to a request for a code or link, and ties the browser to it with the flow cookie.
pub fn accepted(
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

/// Answers a proof: 200 with what the person gets. A browser is also marked as one that has signed this account in.
pub fn admitted(site: &Site, http: &HttpRequest, admission: Admission, limits: &LimitHeaders) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    with_limits(&mut response, limits);
    let standing = |status| SignInView { status, user: None, session: None, tokens: None };
    match admission {
        Admission::Pending => response.json(standing("pending_approval")),
        Admission::Rejected => response.json(standing("rejected")),
        Admission::SignedIn(signed_in) => {
            let tokens = match signed_in.credentials {
                Credentials::Session(token) => {
                    response.cookie(cookies::session(&token, site));
                    response.cookie(device_cookie::renewed(http.headers(), &signed_in.user.email, site));
                    None
                }
                Credentials::Tokens { access, refresh } => Some(TokenView::new(&access, &refresh)),
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

/// Ends the session whose cookie a sign-in replaces: its browser has no other way to end it, and whoever planted that
/// cookie keeps nothing that is worth having. The sign-in stands, whatever becomes of this.
pub async fn replaced(site: &Site, former: Former, admission: &Admission, client: &Client) {
    let Admission::SignedIn(signed_in) = admission else { return };
    let Some(who) = former.0.filter(|_| matches!(signed_in.credentials, Credentials::Session(_))) else { return };
    if let Err(error) = site.auth.log_out(&who, &client.origin).await {
        log::warn!("a session that a sign-in has replaced could not be ended: {error}");
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
fn with_limits(response: &mut HttpResponseBuilder, limits: &LimitHeaders) {
    for (name, value) in limits {
        response.insert_header((*name, value.as_str()));
    }
}
