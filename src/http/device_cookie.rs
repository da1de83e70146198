//! The cookie by which a browser is known again to the accounts it has signed in. It signs nobody in: all it does is
//! let its guesses count apart from those of strangers.

use actix_web::cookie::Cookie;
use actix_web::http::header::HeaderMap;

use super::{Site, cookies};
use crate::domain::device_mark::MARK_DAYS;
use crate::domain::{DeviceMarks, EmailAddress};

/// Holds the browser's marks, one an account.
const DEVICE_COOKIE: &str = "gatepost_device";
/// The same, where it is `Secure`.
const SECURE_DEVICE_COOKIE: &str = "__Host-gatepost_device";

const SECONDS: u64 = MARK_DAYS.unsigned_abs() * 24 * 3600;

fn name(site: &Site) -> &'static str {
    if site.server.cookie_secure { SECURE_DEVICE_COOKIE } else { DEVICE_COOKIE }
}

/// The marks that the browser shows: none, where there is no such cookie.
pub(super) fn marks(headers: &HeaderMap, site: &Site) -> DeviceMarks {
    cookies::value(headers, name(site)).map(DeviceMarks::parse).unwrap_or_default()
}

/// The cookie of a browser that has just signed `email` in: what it had, and a new mark of this account.
pub(super) fn renewed(headers: &HeaderMap, email: &EmailAddress, site: &Site) -> Cookie<'static> {
    let marks = site.auth.mark_device(&marks(headers, site), email);
    cookies::cookie(name(site), marks.text(), SECONDS, site)
}
