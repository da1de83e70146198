//! The headers that every answer has.

use std::ops::Deref;
use std::time::Instant;

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use uuid::fmt::Hyphenated;

use super::Site;
use crate::domain::Entropy;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const AGENT_CLUSTER: HeaderName = HeaderName::from_static("origin-agent-cluster");
const CROSS_DOMAIN_POLICIES: HeaderName = HeaderName::from_static("x-permitted-cross-domain-policies");

/// The policy of what is no page.
const STRICTEST: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// What pages could ask a browser for, and these never do: everything that Chromium, Firefox and Safari know. A name that
/// one of them does not know makes it complain on every page, so none is here that is still an experiment.
const NOTHING_ALLOWED: &str = "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), \
    clipboard-write=(), display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), \
    hid=(), idle-detection=(), keyboard-map=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), sync-xhr=(), usb=(), \
    window-management=(), xr-spatial-tracking=()";

/// The name of a request, a `UUIDv7` as text.
#[derive(Clone, Copy)]
pub(super) struct RequestId([u8; Hyphenated::LENGTH]);

impl RequestId {
    /// A new one, for a request that came in at `at`.
    pub(super) fn new(site: &Site, at: Instant) -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        let millis = site.clock.micros_at(at) / 1000;
        Entropy::system().uuid_v7_at(millis).hyphenated().encode_lower(&mut text);
        Self(text)
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        // Hexadecimal digits and hyphens.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What a page may load and do. Scripts, frames and styles come from `others` too, where a page needs such.
pub(super) fn page_policy(site: &Site, others: Option<&str>) -> String {
    let redirects = site.server.redirect_origins.join(" ");
    let and_others = others.map(|others| format!(" {others}")).unwrap_or_default();
    let scripts = others.map(|others| format!(" script-src {others}; connect-src {others};")).unwrap_or_default();
    // Of this site's own pages only that of the development mailbox has a frame, and data: is for the mails in it.
    let sources: Vec<&str> = site.dev_mailbox.is_some().then_some("'self'").into_iter().chain(others).collect();
    let frames = if sources.is_empty() { String::new() } else { format!("frame-src {}; ", sources.join(" ")) };
    format!(
        "default-src 'none';{scripts} style-src 'self'{and_others}; img-src 'self' data:; {frames}form-action 'self' \
         {redirects}; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// The headers of all answers.
pub(super) struct Common {
    only_https: Option<HeaderValue>,
    /// Of pages, besides those of all: what means nothing for what is no document.
    page: Vec<(HeaderName, HeaderValue)>,
    page_policy: HeaderValue,
}

impl Common {
    /// For `site`.
    pub(super) fn new(site: &Site) -> Self {
        let fixed = HeaderValue::from_static;
        let only_https = site.server.hsts.value().filter(|_| site.server.public_url.scheme() == "https").map(fixed);
        let page = vec![
            (X_FRAME_OPTIONS, fixed("DENY")),
            (OPENER_POLICY, fixed("same-origin")),
            // Not no-referrer: with it browsers send `Origin: null` with this site's own forms.
            (REFERRER_POLICY, fixed("same-origin")),
            (PERMISSIONS_POLICY, fixed(NOTHING_ALLOWED)),
            (AGENT_CLUSTER, fixed("?1")),
            (CROSS_DOMAIN_POLICIES, fixed("none")),
        ];
        // Origins are ASCII; were they not, a form that leads there would be better blocked.
        let page_policy = HeaderValue::from_str(&page_policy(site, None)).unwrap_or(STRICTEST);
        Self { only_https, page, page_policy }
    }

    /// Gives `put` what every answer has besides its id and its policy. Constants, since the hot path makes these for every
    /// request, and copies of what is kept somewhere take longer.
    fn each(&self, mut put: impl FnMut(HeaderName, HeaderValue)) {
        put(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        put(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        put(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(only_https) = &self.only_https {
            put(STRICT_TRANSPORT_SECURITY, only_https.clone());
        }
    }

    /// Adds those that `headers`, of an answer that is a page or not, does not have yet.
    pub(super) fn complete(&self, headers: &mut HeaderMap, id: &str) {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_page = kind.is_some_and(|kind| kind.starts_with("text/html"));
        let mut put = |name: HeaderName, value: HeaderValue| {
            if !headers.contains_key(&name) {
                headers.insert(name, value);
            }
        };
        self.each(&mut put);
        for (name, value) in self.page.iter().filter(|_| is_page) {
            put(name.clone(), value.clone());
        }
        put(CONTENT_SECURITY_POLICY, if is_page { self.page_policy.clone() } else { STRICTEST });
        if let Ok(id) = HeaderValue::from_str(id) {
            put(REQUEST_ID, id);
        }
    }

    /// Adds all of them to `headers`, of an answer that is no page and has none of them yet.
    pub(super) fn stamp(&self, headers: &mut HeaderMap, id: &RequestId) {
        // To append moves less about than to insert, which hands out what was there.
        self.each(|name, value| headers.append(name, value));
        headers.append(CONTENT_SECURITY_POLICY, STRICTEST);
        if let Ok(value) = HeaderValue::from_bytes(&id.0) {
            headers.append(REQUEST_ID, value);
        }
    }
}
