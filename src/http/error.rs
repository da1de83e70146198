//! Errors as clients see them: one table of stable code, status and title (RFC 9457 problem details).

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;

use super::openapi::values;
use crate::auth::{AuthError, MailRefusal};
use crate::store::StoreError;
use crate::templates::TemplateError;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $text:literal, $status:ident, $title:literal;)+) => {
        /// Every way in which a request can fail.
        #[allow(clippy::enum_variant_names, reason = "the variants are named after their codes")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $code,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text),+ }
            }

            /// The status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status),+ }
            }

            /// What it means, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$code => $title),+ }
            }
        }
    };
}

codes! {
    /// The body or a parameter cannot be read.
    InvalidRequest = "invalid_request", BAD_REQUEST, "The request cannot be read";
    /// Fields of the body are wrong; `errors` says which.
    InvalidInput = "invalid_input", BAD_REQUEST, "Some fields are not right";
    /// A CAPTCHA has to be solved first.
    CaptchaRequired = "captcha_required", BAD_REQUEST, "A CAPTCHA has to be solved first";
    /// The CAPTCHA was not solved.
    CaptchaFailed = "captcha_failed", BAD_REQUEST, "The CAPTCHA was not solved";
    /// Sign in first.
    Unauthorized = "unauthorized", UNAUTHORIZED, "You are not signed in";
    /// The code is wrong, used, expired or burnt.
    InvalidCode = "invalid_code", UNAUTHORIZED, "The code is not valid";
    /// The link is forged, used or expired.
    InvalidLink = "invalid_link", UNAUTHORIZED, "The link is not valid";
    /// Address and password do not fit.
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED, "The address or the password is wrong";
    /// The refresh token is unknown, over or reused.
    InvalidRefreshToken = "invalid_refresh_token", UNAUTHORIZED, "The refresh token is not valid";
    /// Signed in, but not allowed.
    Forbidden = "forbidden", FORBIDDEN, "You are not allowed to do this";
    /// A write with a cookie that another site caused, or may have.
    CrossSite = "cross_site", FORBIDDEN, "The request came from another site";
    /// No such thing.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The way of signing in is switched off.
    MethodDisabled = "method_disabled", NOT_FOUND, "This way of signing in is switched off";
    /// The path is right, the method is not.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// The thing's state does not allow it.
    Conflict = "conflict", CONFLICT, "The state does not allow this";
    /// The value is somebody else's.
    Taken = "taken", CONFLICT, "Already taken";
    /// The mail is of no use any more.
    MailExpired = "mail_expired", CONFLICT, "The mail has expired";
    /// The mailbox gets no mail for a while.
    Suppressed = "suppressed", CONFLICT, "The mailbox is suppressed";
    /// The last admin has to stay.
    LastAdmin = "last_admin", CONFLICT, "This is the last admin";
    /// The body is too long.
    TooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "The request is too large";
    /// The body is of a type that is not read here.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The content type is not supported";
    /// Too many requests.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// Too many wrong guesses for an account.
    TooManyGuesses = "too_many_guesses", TOO_MANY_REQUESTS, "Too many wrong guesses";
    /// A fault of the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong";
    /// The database is away, or the server is.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Not available at the moment";
    /// The provider of the CAPTCHA does not answer.
    CaptchaUnavailable = "captcha_unavailable", SERVICE_UNAVAILABLE, "The CAPTCHA cannot be checked";
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field's name.
    pub field: &'static str,
    /// A stable code for what is wrong.
    pub code: &'static str,
    /// What is wrong, in words.
    pub detail: String,
}

/// Why a request failed.
#[derive(Debug)]
pub struct ApiError {
    /// What a client can rely on.
    pub code: Code,
    /// What a person can read.
    pub detail: String,
    /// The fields that are wrong.
    pub errors: Vec<FieldError>,
    /// Headers of the answer.
    pub headers: Vec<(&'static str, String)>,
    /// What went wrong inside: logged with the request's id, never sent.
    pub cause: Option<String>,
}

/// The body of an error (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A URI for the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the kind means.
    pub title: &'static str,
    /// The status.
    pub status: u16,
    /// The stable code.
    #[schema(schema_with = values::problem_code)]
    pub code: &'static str,
    /// What happened this time.
    pub detail: String,
    /// Names the request in the server's log.
    pub request_id: String,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
}

impl ApiError {
    /// An error that says `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), headers: Vec::new(), cause: None }
    }

    /// An error of the server itself. `cause` is logged.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let detail = "The fault has been logged. Try again later.";
        Self { cause: Some(cause.to_string()), ..Self::new(Code::Internal, detail) }
    }

    /// Fields are wrong.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let names: Vec<_> = errors.iter().map(|error| error.field).collect();
        Self { errors, ..Self::new(Code::InvalidInput, format!("Check {}.", names.join(", "))) }
    }

    /// Nobody is signed in.
    pub fn unauthorized() -> Self {
        let headers = vec![("WWW-Authenticate", "Bearer".to_owned())];
        Self { headers, ..Self::new(Code::Unauthorized, "Sign in, or send a valid token.") }
    }

    /// No such thing.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing at this address.")
    }

    /// The body that a program gets.
    pub fn problem(&self, request_id: &str) -> Problem {
        Problem {
            kind: format!("urn:gatepost:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: self.detail.clone(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        }
    }

    /// The answer as it is where the middleware cannot get at it, which otherwise makes one that suits the client.
    fn bare(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.code.status());
        for (name, value) in &self.headers {
            response.insert_header((*name, value.as_str()));
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        response.body(serde_json::to_string(&self.problem("")).unwrap_or_default())
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.bare()
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidCode => {
                Self::new(Code::InvalidCode, "The code is wrong or no longer valid. Ask for a new one.")
            }
            AuthError::InvalidLink => {
                Self::new(Code::InvalidLink, "The link has been used or has expired. Ask for a new one.")
            }
            AuthError::InvalidCredentials => {
                Self::new(Code::InvalidCredentials, "The address and the password do not belong together.")
            }
            AuthError::InvalidRefreshToken => Self::new(Code::InvalidRefreshToken, "Sign in again."),
            AuthError::TooManyGuesses { retry_after } => Self {
                headers: vec![("Retry-After", retry_after.as_millis().div_ceil(1000).max(1).to_string())],
                ..Self::new(
                    Code::TooManyGuesses,
                    "There were too many wrong guesses for this account. Wait a little, or use the link in the mail.",
                )
            },
            AuthError::KeyMissing => Self {
                headers: vec![("Retry-After", "2".to_owned())],
                ..Self::new(
                    Code::Unavailable,
                    "The server's keys are being changed, and the one for this has not arrived. Nothing was counted: try again.",
                )
            },
            AuthError::MethodDisabled => Self::new(Code::MethodDisabled, "This way of signing in is switched off."),
            AuthError::NotFound => Self::not_found(),
            AuthError::Conflict(why) => Self::new(Code::Conflict, format!("This cannot be done: {why}.")),
            AuthError::Mail(refusal) => refusal.into(),
            AuthError::LastAdmin => Self::new(Code::LastAdmin, "Make somebody else an admin first."),
            AuthError::Taken(field) => Self {
                errors: vec![FieldError { field, code: "taken", detail: "This is taken already.".to_owned() }],
                ..Self::new(Code::Taken, format!("The {field} is taken already."))
            },
            AuthError::WeakPassword(why) => Self::invalid(vec![FieldError {
                field: "new",
                code: "weak_password",
                detail: format!("Choose another: {why}."),
            }]),
            AuthError::CommonPassword => Self::invalid(vec![FieldError {
                field: "new",
                code: "password_too_common",
                detail: "This is one of the passwords that are tried first. Choose another: a few words will do."
                    .to_owned(),
            }]),
            AuthError::Store(error) => error.into(),
            AuthError::Internal(cause) => Self::internal(cause),
        }
    }
}

impl From<MailRefusal> for ApiError {
    fn from(refusal: MailRefusal) -> Self {
        let (code, detail) = match refusal {
            MailRefusal::Expired => (Code::MailExpired, "What the mail says is of no use any more."),
            MailRefusal::Suppressed => (Code::Suppressed, "The mail's recipient is suppressed. Lift that first."),
            MailRefusal::Sending => (Code::Conflict, "The mail is being sent at this moment."),
            MailRefusal::Sent => (Code::Conflict, "The mail has been sent."),
            MailRefusal::Dead => (Code::Conflict, "The mail is dead already."),
            MailRefusal::Moved => (Code::Conflict, "The mail was moved in the meantime. Look at it again."),
        };
        Self::new(code, detail)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self {
                cause: Some(cause),
                headers: vec![("Retry-After", "2".to_owned())],
                ..Self::new(
                    Code::Unavailable,
                    "The database does not answer. Look whether this was done, then try again.",
                )
            },
            other => Self::internal(other),
        }
    }
}

impl From<TemplateError> for ApiError {
    fn from(error: TemplateError) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_snake_case() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(texts.iter().all(|text| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }

    #[test]
    fn the_cause_is_never_in_the_body() {
        let error = ApiError::internal("password of the database is hunter2");
        assert!(!serde_json::to_string(&error.problem("r")).unwrap().contains("hunter2"));
    }
}
