//! The cookie by which a browser is known again to the accounts it has signed in. It signs nobody in: all it does is
//! let its guesses count apart from those of strangers.

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;

use super::{Site, cookies};
use crate::domain::device_mark::MARK_DAYS;
use crate::domain::{DeviceMarks, EmailAddress};

/// Holds the browser's marks, one an account.
pub(super) const DEVICE_COOKIE: &str = "gatepost_device";

const SECONDS: u64 = MARK_DAYS.unsigned_abs() * 24 * 3600;

/// The marks that the browser shows: none, where there is no such cookie.
pub(super) fn marks(request: &HttpRequest) -> DeviceMarks {
    request.cookie(DEVICE_COOKIE).map(|cookie| DeviceMarks::parse(cookie.value())).unwrap_or_default()
}

/// The cookie of a browser that has just signed `email` in: what it had, and a new mark of this account.
pub(super) fn renewed(request: &HttpRequest, email: &EmailAddress, site: &Site) -> Cookie<'static> {
    let marks = site.auth.mark_device(&marks(request), email);
    cookies::cookie(DEVICE_COOKIE, marks.text(), SECONDS, site)
}
