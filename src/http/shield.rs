//! The outer shield in front of the limited routes: a client address that floods is answered here, before Redis, the body,
//! the router, a handler or a task of its own cost anything. What it gets is made when the server starts, but for the
//! request's id and the seconds to wait.

use std::time::{Duration, Instant};

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use prometheus::IntCounter;

use super::error::{ApiError, Code};
use super::guard::{self, Limited};
use super::headers::{Common, RequestId};
use super::{Site, client_address};

/// Stand for what differs from one answer to the next, while the answer is made ready. Neither is in any text.
const SECONDS: &str = "\u{1}seconds\u{1}";
const ID: &str = "\u{1}id\u{1}";

/// What the shield keeps ready.
pub(super) struct Shield {
    refused: IntCounter,
    /// The body before the seconds, between them and the id, and after that.
    body: [String; 3],
}

impl Shield {
    /// For `site`.
    pub(super) fn new(site: &Site) -> Self {
        Self { refused: site.metrics.requests.with_label_values(&["shield", "other", "429"]), body: body() }
    }

    /// The refusal, if the client's address has made too many requests.
    pub(super) fn refuse(&self, request: &RequestHead, site: &Site, common: &Common) -> Option<HttpResponse> {
        if guard::by_route(&request.method, &request.uri) == Limited::Never {
            return None;
        }
        let address = client_address::of(request, &site.server.proxies);
        let wait = site.limiter.shield(address)?;
        let (seconds, id) = (whole_seconds(wait), RequestId::new(site, Instant::now()));
        let mut response =
            HttpResponse::with_body(StatusCode::TOO_MANY_REQUESTS, BoxBody::new(self.told(seconds, &id)));
        let headers = response.headers_mut();
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.append(RETRY_AFTER, HeaderValue::from(seconds));
        common.stamp(headers, &id);
        self.refused.inc();
        Some(response)
    }

    fn told(&self, seconds: u64, id: &str) -> String {
        let [before, between, after] = &self.body;
        let mut text = String::with_capacity(before.len() + between.len() + after.len() + id.len() + 20);
        let seconds = seconds.to_string();
        for part in [before, &seconds, between, id, after] {
            text.push_str(part);
        }
        text
    }
}

/// The problem that any limit is told as, in pieces.
fn body() -> [String; 3] {
    let error = ApiError::new(Code::RateLimited, format!("Try again in {SECONDS} seconds."));
    // JSON writes the marks in its own way.
    let [seconds, id] = [SECONDS, ID].map(|mark| serde_json::to_string(mark).unwrap_or_default());
    let text = serde_json::to_string(&error.problem(ID)).unwrap_or_default();
    let parts = text.split_once(seconds.trim_matches('"')).and_then(|(before, rest)| {
        let (between, after) = rest.split_once(id.trim_matches('"'))?;
        Some([before, between, after].map(str::to_owned))
    });
    parts.unwrap_or_default()
}

/// Rounded up, and at least one: who comes back then is not early.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_answer_is_the_one_that_any_limit_gives() {
        let metrics = crate::telemetry::Metrics::new().unwrap();
        let refused = metrics.requests.with_label_values(&["shield", "other", "429"]);
        let shield = Shield { refused, body: body() };
        let usual = ApiError::new(Code::RateLimited, "Try again in 7 seconds.").problem("an id");
        assert_eq!(shield.told(7, "an id"), serde_json::to_string(&usual).unwrap());
    }

    #[test]
    fn who_waits_the_told_seconds_is_not_early() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
