//! The two cookies: one proves the session, one ties a browser to the challenges it asked for.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration as CookieDuration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{COOKIE, HeaderMap};

use super::Site;
use crate::domain::{Entropy, FlowToken, SessionToken};

/// Holds the session token.
pub(super) const SESSION_COOKIE: &str = "gatepost_session";
/// Holds the flow token.
pub(super) const FLOW_COOKIE: &str = "gatepost_flow";

/// A cookie of this site, for HTTP only.
pub(super) fn cookie(name: &'static str, value: String, seconds: u64, site: &Site) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(site.server.cookie_secure)
        .max_age(CookieDuration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)))
        .finish()
}

/// The cookie that proves a session.
pub(super) fn session(token: &SessionToken, site: &Site) -> Cookie<'static> {
    let lifetime = site.sessions.absolute_lifetime.as_secs();
    cookie(SESSION_COOKIE, token.expose().to_owned(), lifetime, site)
}

/// The cookie that makes a browser forget its session.
pub(super) fn no_session(site: &Site) -> Cookie<'static> {
    let mut cookie = cookie(SESSION_COOKIE, String::new(), 0, site);
    cookie.make_removal();
    cookie
}

/// The value of the session cookie that the request carries. A token needs no encoding, so it is taken as it is.
pub(super) fn session_token(headers: &HeaderMap) -> Option<&str> {
    let mut cookies = headers.get_all(COOKIE).flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    std::str::from_utf8(cookies.find_map(session_value)?).ok()
}

fn session_value(cookie: &[u8]) -> Option<&[u8]> {
    cookie.trim_ascii().strip_prefix(SESSION_COOKIE.as_bytes())?.strip_prefix(b"=")
}

/// The browser's flow token, if it has one.
pub(super) fn flow_token(request: &HttpRequest) -> Option<FlowToken> {
    FlowToken::parse(request.cookie(FLOW_COOKIE)?.value())
}

/// The browser's flow token and the cookie that keeps it; a browser without one gets a new one.
pub(super) fn flow(request: &HttpRequest, site: &Site) -> (FlowToken, Cookie<'static>) {
    let token = flow_token(request).unwrap_or_else(|| FlowToken::generate(&Entropy::system()));
    let kept = cookie(FLOW_COOKIE, token.expose().to_owned(), 24 * 3600, site);
    (token, kept)
}
