//! The two cookies: one proves the session, one ties a browser to the challenges it asked for.
//!
//! Where they are `Secure`, their names begin with `__Host-`: browsers take a cookie of such a name only from this very
//! host, by https and for all of it (RFC 6265bis, 4.1.3.2), so that no neighbour under the same domain, and nobody on the
//! way of an unencrypted request, can plant one. A cookie of the name without the prefix counts for nothing then.

use actix_web::cookie::time::Duration as CookieDuration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{CLEAR_SITE_DATA, COOKIE, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::Site;
use super::error::ApiError;
use crate::domain::{Entropy, FlowToken, SessionToken};

/// Holds the session token.
pub(super) const SESSION_COOKIE: &str = "gatepost_session";
/// The same, where it is `Secure`.
const SECURE_SESSION_COOKIE: &str = "__Host-gatepost_session";
/// Holds the flow token.
pub(super) const FLOW_COOKIE: &str = "gatepost_flow";
/// The same, where it is `Secure`.
const SECURE_FLOW_COOKIE: &str = "__Host-gatepost_flow";

fn session_name(site: &Site) -> &'static str {
    if site.server.cookie_secure { SECURE_SESSION_COOKIE } else { SESSION_COOKIE }
}

fn flow_name(site: &Site) -> &'static str {
    if site.server.cookie_secure { SECURE_FLOW_COOKIE } else { FLOW_COOKIE }
}

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
    cookie(session_name(site), token.expose().to_owned(), lifetime, site)
}

/// The answer to a sign-out, which makes the browser forget its session, and whatever it has kept of the pages.
/// Not all of its cookies: `Clear-Site-Data` means those of the whole domain, where others may live too.
pub(super) fn without_session(mut answer: HttpResponse, site: &Site) -> Result<HttpResponse, ApiError> {
    let mut cookie = cookie(session_name(site), String::new(), 0, site);
    cookie.make_removal();
    answer.add_cookie(&cookie).map_err(ApiError::internal)?;
    if site.server.cookie_secure {
        let what = HeaderValue::from_static(r#""cache", "storage""#);
        answer.headers_mut().insert(CLEAR_SITE_DATA, what);
    }
    Ok(answer)
}

/// The value of the session cookie that the request carries. A token needs no encoding, so it is taken as it is.
pub(super) fn session_token<'a>(headers: &'a HeaderMap, site: &Site) -> Option<&'a [u8]> {
    bytes(headers, session_name(site))
}

/// The value of the first cookie of this name, if it is text.
pub(super) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    std::str::from_utf8(bytes(headers, name)?).ok()
}

fn bytes<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get_all(COOKIE).find_map(|line| in_line(line.as_bytes(), name.as_bytes()))
}

/// The value of the first cookie of this name in one header.
fn in_line<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut start = 0;
    // Searched many bytes at a time: checks of sessions come with long lines, and little else is done for them.
    for end in memchr::memchr_iter(b';', line).chain([line.len()]) {
        let cookie = line[start..end].trim_ascii();
        if let Some(value) = cookie.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) {
            return Some(value);
        }
        start = end + 1;
    }
    None
}

/// The browser's flow token, if it has one.
pub(super) fn flow_token(request: &HttpRequest, site: &Site) -> Option<FlowToken> {
    FlowToken::parse(value(request.headers(), flow_name(site))?)
}

/// The browser's flow token and the cookie that keeps it; a browser without one gets a new one.
pub(super) fn flow(request: &HttpRequest, site: &Site) -> (FlowToken, Cookie<'static>) {
    let token = flow_token(request, site).unwrap_or_else(|| FlowToken::generate(&Entropy::system()));
    let kept = cookie(flow_name(site), token.expose().to_owned(), 24 * 3600, site);
    (token, kept)
}

#[cfg(test)]
mod tests {
    use super::in_line;

    #[test]
    fn a_cookie_is_found_wherever_it_stands_and_no_other_is_taken_for_it() {
        let lines = [
            ("name=v", Some("v")),
            ("a=b; name=v", Some("v")),
            ("a=b;name=v ;c=d", Some("v")),
            (";; name=v;", Some("v")),
            ("name=first; name=second", Some("first")),
            ("name=", Some("")),
            ("name=v=w", Some("v=w")),
            ("nameless=v; a=name=v", None),
            ("name; name =v; Name=v", None),
            ("", None),
        ];
        for (line, value) in lines {
            assert_eq!(in_line(line.as_bytes(), b"name"), value.map(str::as_bytes), "{line}");
        }
        assert_eq!(in_line(b"a=\xFF; name=v", b"name"), Some(&b"v"[..]), "another may hold anything");
    }
}
