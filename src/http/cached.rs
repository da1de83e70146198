//! Answers that a client may keep, and need not be sent again: a strong `ETag`, `Cache-Control: private`, and 304 where
//! `If-None-Match` names what the client has.
//!
//! A handler that asks for [`cached`] has its answer kept by the [response cache](crate::cache::Response) too, in this
//! process and in Redis. Clients always ask again before they use what they have (`no-cache`): what may not be seen any
//! more is not shown from a browser's store, and what has not changed costs a few bytes.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, ETAG, Header, IfNoneMatch, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::Site;
use super::error::ApiError;
use crate::cache::{Response, ResponseKey};
use crate::store::StoreError;

/// The answer under `key`, at most `ttl` old; JSON of what `load` gives, where there is none. `key` must tell apart
/// whatever makes a difference to the answer, who asks above all.
pub(super) async fn cached<T, F>(
    site: &Site,
    request: &HttpRequest,
    key: &ResponseKey,
    ttl: Duration,
    load: impl Fn() -> F,
) -> Result<HttpResponse, ApiError>
where
    T: Serialize,
    F: Future<Output = Result<T, StoreError>>,
{
    Ok(answer(request, site.cache.response(key, ttl, load).await?))
}

/// `value` as JSON, kept by the client only.
pub(super) fn json(request: &HttpRequest, value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    Ok(answer(request, Arc::new(Response::json(value).map_err(ApiError::internal)?)))
}

fn answer(request: &HttpRequest, response: Arc<Response>) -> HttpResponse {
    let mut answer = if is_known(request, &response.etag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((CACHE_CONTROL, "private, no-cache"));
    answer.insert_header((VARY, "Authorization, Cookie"));
    answer.insert_header((ETAG, response.etag.as_str()));
    if is_known(request, &response.etag) {
        return answer.finish();
    }
    answer.content_type(response.content_type.as_str());
    answer.body(web::Bytes::from_owner(Body(response)))
}

/// Whether `If-None-Match` names the answer (RFC 9110, 13.1.2); one that cannot be read names nothing.
pub(super) fn is_known(request: &HttpRequest, etag: &str) -> bool {
    let Ok(etag) = etag.parse::<actix_web::http::header::EntityTag>() else { return false };
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key(IfNoneMatch::name()),
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(&etag)),
        Err(_) => false,
    }
}

/// A body that is sent without being copied.
struct Body(Arc<Response>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0.body
    }
}
