//! The limiter in front of the routes: which limits a request has to keep.
//!
//! Most routes have one limit, by the client's address alone: [`by_route`] is the table, asked before routing. Those that
//! mail somebody or try something ask for themselves, once they know about whom: [`request`], [`register`],
//! [`verify`], [`login`]. Either way all limits of a request are decided together, in one call; in two where a CAPTCHA stands between them.

use actix_web::dev::Url;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};

use super::error::{ApiError, Code};
use super::extract::Client;
use super::{Site, captcha};
use crate::auth::Captcha;
use crate::domain::EmailAddress;
use crate::limit::{Check, Decision, PolicyName, headers, subject};

/// The headers that tell a client its limits.
pub(super) type LimitHeaders = Vec<(&'static str, String)>;

/// What decides about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    /// Nothing: it is read all the time, or costs nothing.
    Never,
    /// Its handler asks.
    ByHandler,
    /// This policy, for the client's address.
    By(PolicyName),
}

/// The paths whose handlers ask for themselves.
const ASKING: [&str; 10] = [
    "/api/auth/otp/request",
    "/api/auth/otp/verify",
    "/api/auth/magic-link/request",
    "/api/auth/magic-link/verify",
    "/api/auth/register",
    "/api/auth/login",
    "/login",
    "/login/password",
    "/login/code",
    "/register",
];

/// Where other paths lead, by what they begin with: the first that fits.
const BY_PREFIX: [(&str, PolicyName); 9] = [
    ("/api/auth/refresh", PolicyName::RefreshAddress),
    ("/api/users/", PolicyName::DirectoryAddress),
    ("/api/profile", PolicyName::ProfileAddress),
    ("/api/auth/change-password", PolicyName::ProfileAddress),
    ("/account/", PolicyName::ProfileAddress),
    ("/api/admin/", PolicyName::AdminAddress),
    ("/admin/", PolicyName::AdminAddress),
    ("/logout", PolicyName::ApiAddress),
    ("/api/", PolicyName::ApiAddress),
];

/// What decides about a request by its method and target. Pages may be read without limit, but for the one that tries a link.
pub(super) fn by_route(method: &Method, target: &Uri) -> Limited {
    if !target.path().contains('%') {
        return by_path(method, target.path());
    }
    // As the router reads it, to which %61pi is api.
    by_path(method, Url::new(target.clone()).path())
}

fn by_path(method: &Method, path: &str) -> Limited {
    let is_api = path.starts_with("/api/");
    if is_hot(path) || (method.is_safe() && !is_api && path != "/login/link") {
        Limited::Never
    } else if ASKING.contains(&path) || path == "/login/link" {
        Limited::ByHandler
    } else {
        let found = BY_PREFIX.iter().find(|(prefix, _)| path.starts_with(prefix));
        found.map_or(Limited::By(PolicyName::ApiAddress), |(_, policy)| Limited::By(*policy))
    }
}

/// What applications, proxies and monitors ask all the time.
pub(super) fn is_hot(path: &str) -> bool {
    path == "/api/auth/validate" || path == "/forward-auth" || path == "/metrics" || is_health(path)
}

fn is_health(path: &str) -> bool {
    path == "/health" || path.starts_with("/health/") || path.starts_with("/api/health/")
}

/// May this client ask for a mail to this address? `captcha_token` is what it has solved, if it had to.
pub(super) async fn request(
    site: &Site,
    client: &Client,
    email: &EmailAddress,
    captcha_token: Option<&str>,
) -> Result<LimitHeaders, ApiError> {
    mail(site, client, email, vec![address(PolicyName::RequestAddress, client)], captcha_token).await
}

/// May this client register this address?
pub(super) async fn register(
    site: &Site,
    client: &Client,
    email: &EmailAddress,
    captcha_token: Option<&str>,
) -> Result<LimitHeaders, ApiError> {
    let own = [PolicyName::RequestAddress, PolicyName::RegisterAddress].map(|policy| address(policy, client));
    mail(site, client, email, own.into(), captcha_token).await
}

/// May this client try a code or a link?
pub(super) async fn verify(site: &Site, client: &Client) -> Result<LimitHeaders, ApiError> {
    decide(site, &[address(PolicyName::VerifyAddress, client)]).await
}

/// May this client try a password of this address?
pub(super) async fn login(site: &Site, client: &Client, email: &EmailAddress) -> Result<LimitHeaders, ApiError> {
    let mailbox = Check::new(PolicyName::LoginEmail, site.auth.limited_mailbox(email, &client.marks));
    decide(site, &[mailbox, address(PolicyName::LoginAddress, client)]).await
}

/// May this client make a request that `policy` limits?
pub(super) async fn call(site: &Site, client: &Client, policy: PolicyName) -> Result<LimitHeaders, ApiError> {
    decide(site, &[address(policy, client)]).await
}

/// Puts the limits into the headers of a ready answer.
pub(super) fn tell(answer: &mut HeaderMap, limits: &LimitHeaders) {
    for (name, value) in limits {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_str(value)) {
            answer.insert(name, value);
        }
    }
}

/// Decides about one more mail to `email`. Everything is decided together, unless a CAPTCHA has to be solved: then the client's
/// `own` limits come first, which bound how often its provider is asked, and what the mail would use up of others' only when
/// it is solved.
async fn mail(
    site: &Site,
    client: &Client,
    email: &EmailAddress,
    mut own: Vec<Check>,
    captcha_token: Option<&str>,
) -> Result<LimitHeaders, ApiError> {
    let mailbox = site.auth.limited_mailbox(email, &client.marks);
    let others = [
        Check::new(PolicyName::OtpRequestEmail, mailbox.clone()),
        Check::new(PolicyName::OtpRequestEmailDay, mailbox),
        Check::new(PolicyName::OtpRequestAbuseKey, site.auth.limited_aliases(email, &client.marks)),
        Check::new(PolicyName::RequestDomain, site.auth.domain_hash(email.domain())),
        Check::new(PolicyName::RequestGlobal, subject::EVERYBODY),
    ];
    own.extend(subject::network(client.origin.address).map(|network| Check::new(PolicyName::RequestNetwork, network)));
    if site.captcha.as_ref().is_some_and(Captcha::is_required) {
        let told = decide(site, &own).await?;
        captcha::check(site, client, captcha_token).await?;
        decide(site, &others).await?;
        return Ok(told);
    }
    own.extend(others);
    let told = decide(site, &own).await?;
    // Counts it, and asks for one from here on if it were too many.
    captcha::check(site, client, captcha_token).await?;
    Ok(told)
}

fn address(policy: PolicyName, client: &Client) -> Check {
    Check::new(policy, subject::address(client.origin.address))
}

async fn decide(site: &Site, checks: &[Check]) -> Result<LimitHeaders, ApiError> {
    let decision = site.limiter.check(checks).await;
    let told = headers(&decision);
    match &decision {
        Decision::Allowed(_) => Ok(told),
        Decision::Denied { .. } => {
            let wait = told.iter().find(|(name, _)| *name == "Retry-After").map_or("a few", |(_, seconds)| seconds);
            let detail = format!("Try again in {wait} seconds.");
            Err(ApiError { headers: told, ..ApiError::new(Code::RateLimited, detail) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_its_limit() {
        use PolicyName::{AdminAddress, ApiAddress, DirectoryAddress, ProfileAddress, RefreshAddress};
        let (get, post) = (Method::GET, Method::POST);
        for (method, path, limited) in [
            (&get, "/api/auth/validate", Limited::Never),
            (&get, "/forward-auth", Limited::Never),
            (&get, "/health/ready", Limited::Never),
            (&get, "/api/health/redis", Limited::Never),
            (&get, "/metrics", Limited::Never),
            (&get, "/assets/site.css", Limited::Never),
            (&get, "/login", Limited::Never),
            (&get, "/admin", Limited::Never),
            (&post, "/login", Limited::ByHandler),
            (&get, "/login/link", Limited::ByHandler),
            (&post, "/login/link", Limited::ByHandler),
            (&post, "/api/auth/otp/request", Limited::ByHandler),
            (&post, "/api/auth/refresh", Limited::By(RefreshAddress)),
            (&get, "/api/users/list", Limited::By(DirectoryAddress)),
            (&Method::PUT, "/api/profile", Limited::By(ProfileAddress)),
            (&post, "/account/password", Limited::By(ProfileAddress)),
            (&get, "/api/admin/users", Limited::By(AdminAddress)),
            (&post, "/admin/mail/pause", Limited::By(AdminAddress)),
            (&post, "/logout", Limited::By(ApiAddress)),
            (&get, "/api/auth/me", Limited::By(ApiAddress)),
            (&get, "/api/nothing", Limited::By(ApiAddress)),
            (&post, "/nothing", Limited::By(ApiAddress)),
            (&get, "/nothing", Limited::Never),
        ] {
            let target = |path: &str| path.parse::<Uri>().unwrap();
            assert_eq!(by_route(method, &target(path)), limited, "{method} {path}");
            // Whichever letter is written in another way, the router reads the same.
            for (at, letter) in path.char_indices().filter(|(_, letter)| letter.is_ascii_alphanumeric()) {
                let encoded = format!("{}%{:02x}{}", &path[..at], u32::from(letter), &path[at + 1..]);
                assert_eq!(by_route(method, &target(&encoded)), limited, "{method} {encoded}");
            }
        }
    }

    #[test]
    fn no_route_that_writes_is_without_a_limit() {
        let table = include_str!("routes.rs");
        let written = table
            .lines()
            .filter(|line| [".route(post()", ".route(put()", ".route(delete()"].iter().any(|w| line.contains(w)));
        let mut seen = 0;
        for line in written {
            let path = line.split('"').nth(1).unwrap();
            assert_ne!(by_path(&Method::POST, path), Limited::Never, "{path}");
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }
}
