//! What handlers ask for in their signatures. Who may call a handler is such a type, so it cannot be forgotten.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use actix_http::RequestHead;
use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, USER_AGENT};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use serde::de::DeserializeOwned;

use super::error::{ApiError, Code};
use super::{Site, client_address, cookies, device_cookie};
use crate::auth::{AskedRedis, Authenticated, Credential};
use crate::domain::{Device, DeviceMarks, Language, Origin, Role, SessionToken};

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

fn site(request: &HttpRequest) -> Result<&web::Data<Site>, ApiError> {
    request.app_data::<web::Data<Site>>().ok_or_else(|| ApiError::internal("the handlers have no site"))
}

/// Where the request comes from, in which language its sender reads, and whom its browser has signed in before.
#[derive(Clone, Debug)]
pub struct Client {
    /// Address and device.
    pub origin: Origin,
    /// From `Accept-Language`.
    pub language: Language,
    /// From the device cookie. Whether they are genuine is for the use cases to find out.
    pub marks: DeviceMarks,
}

impl FromRequest for Client {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(site(request).map(|site| {
            let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
            let device = Device::describe(header(USER_AGENT));
            let address = client_address::of(request.head(), &site.server.proxies);
            let accepted = header(actix_web::http::header::ACCEPT_LANGUAGE).unwrap_or_default();
            let marks = device_cookie::marks(request.headers(), site);
            Self { origin: Origin { address, device }, language: Language::negotiate(accepted), marks }
        }))
    }
}

/// Whether the request, by what its browser says of it, comes from this site's own pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provenance {
    /// From this site, or typed by the person.
    SameOrigin,
    /// From another site.
    CrossSite,
    /// Not said: no browser, or a very old one.
    Unknown,
}

impl Provenance {
    /// Reads `Sec-Fetch-Site`, which scripts cannot set, and where it is missing `Origin`.
    pub(super) fn of(headers: &HeaderMap, public_origin: &str) -> Self {
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
        match (header("sec-fetch-site"), header("origin")) {
            (Some("same-origin" | "none"), _) => Self::SameOrigin,
            (None, Some(origin)) if origin == public_origin => Self::SameOrigin,
            (None, None) => Self::Unknown,
            _ => Self::CrossSite,
        }
    }
}

/// A signed-in person. Extracting it answers 401 to everybody else, and 403 to a cookie-authenticated write that is
/// not known to come from this site.
#[derive(Clone, Debug)]
pub struct SignedIn(pub Arc<Authenticated>);

/// A signed-in admin. Extracting it answers 403 to other people.
#[derive(Clone, Debug)]
pub struct Admin(pub Arc<Authenticated>);

/// The person who looks at a page, if signed in.
#[derive(Clone, Debug)]
pub(super) struct Viewer(pub Option<Arc<Authenticated>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Cookie,
    Header,
}

/// What the request shows to be recognised, unread. A bearer token wins over a cookie.
fn shown<'a>(headers: &'a HeaderMap, site: &Site) -> Option<(&'a [u8], Carrier)> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, token) = value.as_bytes().split_at_checked(b"bearer".len())?;
        let token = token.strip_prefix(b" ")?.trim_ascii();
        return (scheme.eq_ignore_ascii_case(b"bearer") && token.len() <= 4096).then_some((token, Carrier::Header));
    }
    cookies::session_token(headers, site).map(|token| (token, Carrier::Cookie))
}

/// What is shown, if it has the form of a credential.
fn credential((bytes, carrier): (&[u8], Carrier)) -> Option<Credential> {
    let text = std::str::from_utf8(bytes).ok()?;
    match (SessionToken::parse(text), carrier) {
        (Some(token), _) => Some(Credential::Session(token)),
        (None, Carrier::Header) => Some(Credential::Access(text.to_owned())),
        (None, Carrier::Cookie) => None,
    }
}

/// What is shown, unless it cannot be good. An access token is none in a cookie, however good it is.
fn recognisable<'a>(headers: &'a HeaderMap, site: &Site) -> Option<&'a [u8]> {
    let (bytes, carrier) = shown(headers, site)?;
    (carrier == Carrier::Header || bytes.starts_with(SessionToken::PREFIX.as_bytes())).then_some(bytes)
}

/// Asks Redis who makes the request, if Redis alone can tell. Not for requests that write.
pub(super) fn ask_redis(request: &RequestHead, site: &Site) -> Option<AskedRedis> {
    site.auth.ask_redis(recognisable(request.headers(), site)?)
}

/// Who makes the request, of which Redis was asked. May be dropped.
pub(super) async fn recognised_by_redis(
    asked: &mut AskedRedis,
    request: &RequestHead,
    site: &Site,
) -> Option<Arc<Authenticated>> {
    site.auth.recognise_by_redis(asked, || client_address::of(request, &site.server.proxies)).await
}

/// Who makes the request, if that can be told at once, which is `at`. Not for requests that write.
pub(super) fn recognised(request: &RequestHead, site: &Site, at: Instant) -> Option<Arc<Authenticated>> {
    let credential = recognisable(request.headers(), site)?;
    site.auth.recognise(credential, at, || client_address::of(request, &site.server.proxies))
}

/// Finds out who asks. What has to be waited for is done in a task of its own: where another extractor refuses the
/// request, this one is dropped, and a look at `SQLite` may not be dropped half-way on one of actix's threads.
async fn authenticate(request: HttpRequest) -> Result<Arc<Authenticated>, ApiError> {
    if request.method().is_safe()
        && let Some(who) = recognised(request.head(), site(&request)?, Instant::now())
    {
        return Ok(who);
    }
    actix_web::rt::spawn(authenticate_here(request)).await.map_err(ApiError::internal)?
}

async fn authenticate_here(request: HttpRequest) -> Result<Arc<Authenticated>, ApiError> {
    let site = site(&request)?;
    let shown = shown(request.headers(), site).ok_or_else(ApiError::unauthorized)?;
    let credential = credential(shown).ok_or_else(ApiError::unauthorized)?;
    let (_, carrier) = shown;
    let writes = !request.method().is_safe();
    let same_origin = || Provenance::of(request.headers(), &site.server.public_origin()) == Provenance::SameOrigin;
    if carrier == Carrier::Cookie && writes && !same_origin() {
        let detail = "A write with a session cookie needs an Origin or Sec-Fetch-Site header of this site.";
        return Err(ApiError::new(Code::CrossSite, detail));
    }
    let client = Client::extract(&request).await?;
    site.auth.authenticate(&credential, &client.origin).await?.ok_or_else(ApiError::unauthorized)
}

impl FromRequest for SignedIn {
    type Error = ApiError;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(request).await.map(Self) })
    }
}

impl FromRequest for Admin {
    type Error = ApiError;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let who = authenticate(request).await?;
            if who.user.role == Role::Admin {
                Ok(Self(who))
            } else {
                Err(ApiError::new(Code::Forbidden, "This is for admins."))
            }
        })
    }
}

impl FromRequest for Viewer {
    type Error = ApiError;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match authenticate(request).await {
                Ok(who) => Ok(Self(Some(who))),
                Err(error) if error.code.status().is_client_error() => Ok(Self(None)),
                Err(error) => Err(error),
            }
        })
    }
}

/// Somebody who runs this server, by where the request comes from. Extracting it answers 403 to everybody else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator;

impl FromRequest for Operator {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(site(request).and_then(|site| {
            let detail = "This is told to operators alone: see server.operator_networks in the settings.";
            let is_theirs = client_address::is_operators(request.head(), &site.server);
            if is_theirs { Ok(Self) } else { Err(ApiError::new(Code::Forbidden, detail)) }
        }))
    }
}

/// Who was signed in by the cookie that a sign-in from this site is about to replace.
#[derive(Clone, Debug)]
pub struct Former(pub Option<Arc<Authenticated>>);

impl FromRequest for Former {
    type Error = ApiError;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            // Without a cookie there is nothing to replace; what another site caused, or may have, replaces nothing.
            let has_cookie = shown(request.headers(), site(&request)?).is_some_and(|(_, by)| by == Carrier::Cookie);
            Ok(Self(if has_cookie { authenticate(request).await.ok() } else { None }))
        })
    }
}

/// A JSON body. Anything else is refused with a reason; unknown fields are passed over.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = body(request, payload, "application/json");
        Box::pin(async move { object(&body.await?).map(Self) })
    }
}

/// As [`Json`], where the body can be left out.
#[derive(Debug)]
pub struct JsonOrNothing<T>(pub T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for JsonOrNothing<T> {
    type Error = ApiError;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = body(request, payload, "application/json");
        Box::pin(async move {
            let body = body.await?;
            if body.is_empty() { Ok(Self(T::default())) } else { object(&body).map(Self) }
        })
    }
}

/// Reads a JSON object. A struct could be read from an array of its fields too, which is nobody's intention.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let unreadable = |what: &dyn std::fmt::Display| {
        ApiError::new(Code::InvalidRequest, format!("The body is not the expected JSON: {what}."))
    };
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(unreadable(&"an object is expected"));
    }
    serde_json::from_slice(body).map_err(|error| unreadable(&error))
}

/// A form posted by one of this site's own pages; one posted from anywhere else is refused.
#[derive(Debug)]
pub(super) struct PageForm<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for PageForm<T> {
    type Error = ApiError;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let provenance = site(request).map(|site| Provenance::of(request.headers(), &site.server.public_origin()));
        let body = body(request, payload, "application/x-www-form-urlencoded");
        Box::pin(async move {
            if provenance? != Provenance::SameOrigin {
                return Err(ApiError::new(Code::CrossSite, "This form was not sent from one of this site's pages."));
            }
            let body = body.await?;
            let pairs = url::form_urlencoded::parse(&body).into_owned().collect::<Vec<_>>();
            serde_json::to_value(pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>())
                .and_then(serde_json::from_value)
                .map(Self)
                .map_err(|error| ApiError::new(Code::InvalidRequest, format!("The form cannot be read: {error}.")))
        })
    }
}

/// The body, if it is of `content_type` and within the limits of size and time.
fn body(
    request: &HttpRequest,
    payload: &mut Payload,
    content_type: &'static str,
) -> impl Future<Output = Result<web::Bytes, ApiError>> + use<> {
    let header = request.headers().get(CONTENT_TYPE).cloned();
    let given = request.content_type().to_ascii_lowercase();
    let fits = header.is_none() || given == content_type;
    let bytes = web::Bytes::from_request(request, payload);
    let within = site(request).map(|site| site.server.connections.request_timeout);
    async move {
        if !fits {
            return Err(ApiError::new(Code::UnsupportedMediaType, format!("Send the body as {content_type}.")));
        }
        let received = tokio::time::timeout(within?, bytes).await;
        let late = |_| ApiError::new(Code::InvalidRequest, "The body took too long to arrive.");
        received.map_err(late)?.map_err(|error| match error.as_response_error().status_code().as_u16() {
            413 => ApiError::new(Code::TooLarge, "The body is too large."),
            _ => ApiError::new(Code::InvalidRequest, "The body could not be read."),
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn provenance_follows_what_scripts_cannot_forge() {
        let of = |lines: &[(&'static str, &str)]| Provenance::of(&headers(lines), "https://a.example");
        assert_eq!(of(&[("sec-fetch-site", "same-origin"), ("origin", "null")]), Provenance::SameOrigin);
        assert_eq!(of(&[("sec-fetch-site", "cross-site"), ("origin", "https://a.example")]), Provenance::CrossSite);
        assert_eq!(of(&[("sec-fetch-site", "same-site")]), Provenance::CrossSite);
        assert_eq!(of(&[("origin", "https://a.example")]), Provenance::SameOrigin);
        assert_eq!(of(&[("origin", "null")]), Provenance::CrossSite);
        assert_eq!(of(&[("origin", "https://a.example.evil")]), Provenance::CrossSite);
        assert_eq!(of(&[]), Provenance::Unknown);
    }
}
