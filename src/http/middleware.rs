//! What happens around every request: an id, a look at where it comes from, headers, figures, and the bodies of errors.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{Error, FromRequest, HttpResponse, web};
use futures_util::future::{FutureExt, LocalBoxFuture};

use super::client_address::PassedOver;
use super::error::{ApiError, Code};
use super::extract::{Client, Provenance};
use super::guard::{self, LimitHeaders, Limited};
use super::headers::{Common, RequestId};
use super::{Site, pages};

/// What is around the routes. One for the process.
#[derive(Clone)]
pub(super) struct Around(Arc<Parts>);

struct Parts {
    site: web::Data<Site>,
    common: Arc<Common>,
    passed_over: PassedOver,
}

impl Around {
    /// Around the routes of `site`.
    pub(super) fn new(site: &web::Data<Site>, common: &Arc<Common>) -> Self {
        Self(Arc::new(Parts { site: site.clone(), common: common.clone(), passed_over: PassedOver::new() }))
    }
}

type Outcome = Result<ServiceResponse<BoxBody>, Error>;

impl<S, B> Transform<S, ServiceRequest> for Around
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type InitError = ();
    type Transform = Surrounded<S>;
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, routes: S) -> Self::Future {
        ready(Ok(Surrounded { around: self.0.clone(), routes: Rc::new(routes) }))
    }
}

/// The routes of one thread, and what is around them.
pub(super) struct Surrounded<S> {
    around: Arc<Parts>,
    routes: Rc<S>,
}

impl<S, B> Service<ServiceRequest> for Surrounded<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Outcome>;

    forward_ready!(routes);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        around(self.around.clone(), request, self.routes.clone()).boxed_local()
    }
}

/// Has `routes` answer `request`. Every error of a handler becomes an answer here.
async fn around<S, B>(around: Arc<Parts>, request: ServiceRequest, routes: Rc<S>) -> Outcome
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let started = Instant::now();
    let site = &around.site;
    let id = RequestId::new(site, started);
    let _in_flight = InFlight::new(site);
    around.passed_over.look(request.head(), site);
    let response = if is_foreign_write(&request, site) {
        let detail = "Another site caused this request. Open the page here and try again.";
        let error = ApiError::new(Code::CrossSite, detail);
        refused(request, error)
    } else {
        match limits(&request, site).await {
            Ok(limits) => {
                let mut response = carry_through(request, routes).await?;
                guard::tell(response.headers_mut(), &limits);
                response
            }
            Err(error) => refused(request, error),
        }
    };
    let (http, inner) = response.into_parts();
    let inner = match inner.error().map(told) {
        Some(error) => answer(&http, site, &error, &id).await,
        None => inner,
    };
    let mut response = ServiceResponse::new(http.clone(), inner);
    around.common.complete(response.headers_mut(), &id);
    let route = http.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let status = response.status();
    let elapsed = started.elapsed();
    site.metrics.requests.with_label_values(&[route.as_str(), method_label(http.method()), status.as_str()]).inc();
    site.metrics.request_seconds.with_label_values(&[route.as_str()]).observe(elapsed.as_secs_f64());
    // The route, not the path: a path or query may hold a token.
    log::debug!(request_id = &*id, status = status.as_u16(), seconds = elapsed.as_secs_f64();
        "{} {route}", http.method());
    Ok(response)
}

fn refused(request: ServiceRequest, error: ApiError) -> ServiceResponse<BoxBody> {
    ServiceResponse::new(request.into_parts().0, HttpResponse::from_error(error))
}

/// Asks the limit that the route has by itself, if any; gives what to tell of it.
async fn limits(request: &ServiceRequest, site: &Site) -> Result<LimitHeaders, ApiError> {
    let Limited::By(policy) = guard::by_route(request.method(), request.uri()) else { return Ok(Vec::new()) };
    let client = Client::extract(request.request()).await?;
    guard::call(site, &client, policy).await
}

/// Has `routes` answer in a task of its own. A client that leaves takes its request's future with it, wherever that is; what
/// has been begun for it is carried through all the same: a commit is followed by its mail's way into the queue, and
/// no look at `SQLite` is dropped half-way, which its driver cannot bear on one of actix's threads.
async fn carry_through<S, B>(request: ServiceRequest, routes: Rc<S>) -> Outcome
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let answering = actix_web::rt::spawn(async move { routes.call(request).await });
    let answer = answering.await.map_err(|error| {
        log::error!("a handler ended early: {error}");
        ApiError::internal(error)
    })?;
    Ok(answer?.map_into_boxed_body())
}

/// Counts a request for as long as it is being answered, also if its client leaves first.
struct InFlight(prometheus::IntGauge);

impl InFlight {
    fn new(site: &Site) -> Self {
        site.metrics.in_flight.inc();
        Self(site.metrics.in_flight.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A write that another site's page caused. Requests that do not say where they come from are no browser's; those that
/// carry a cookie are looked at more strictly by the extractors.
fn is_foreign_write(request: &ServiceRequest, site: &Site) -> bool {
    // What a bearer token or a refresh token in the body authorises, no page of another site can forge.
    let has_token = request.headers().contains_key(AUTHORIZATION) || request.path() == "/api/auth/refresh";
    !request.method().is_safe()
        && !has_token
        && Provenance::of(request.headers(), &site.server.public_origin()) == Provenance::CrossSite
}

/// The method as a label: whatever a client makes up must not become a series of its own.
fn method_label(method: &Method) -> &str {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if known.contains(method) { method.as_str() } else { "other" }
}

/// The error as one of ours; actix's own (a malformed path, say) keep their status.
fn told(error: &Error) -> ApiError {
    if let Some(error) = error.as_error::<ApiError>() {
        return ApiError {
            code: error.code,
            detail: error.detail.clone(),
            errors: error.errors.clone(),
            headers: error.headers.clone(),
            cause: error.cause.clone(),
        };
    }
    match error.as_response_error().status_code().as_u16() {
        404 => ApiError::not_found(),
        405 => ApiError::new(Code::MethodNotAllowed, "The method is not allowed here."),
        413 => ApiError::new(Code::TooLarge, "The body is too large."),
        415 => ApiError::new(Code::UnsupportedMediaType, "The content type is not supported."),
        400..=499 => ApiError::new(Code::InvalidRequest, "The request cannot be read."),
        _ => ApiError::internal(error),
    }
}

/// The answer that tells an error: a page for people, problem+json for programs.
async fn answer(request: &actix_web::HttpRequest, site: &web::Data<Site>, error: &ApiError, id: &str) -> HttpResponse {
    if let Some(cause) = &error.cause {
        let route = request.match_pattern().unwrap_or_default();
        log::error!(request_id = id, code = error.code.as_str(); "{} {route}: {cause}", request.method());
    }
    let mut response = HttpResponse::build(error.code.status());
    for (name, value) in &error.headers {
        response.insert_header((*name, value.as_str()));
    }
    if wants_page(request) {
        if error.code == Code::Unauthorized {
            return pages::to_login(request);
        }
        if let Ok(page) = pages::error(request, site, error, id).await {
            return response.content_type("text/html; charset=utf-8").body(page);
        }
    }
    match serde_json::to_string(&error.problem(id)) {
        Ok(body) => response.content_type("application/problem+json").body(body),
        Err(_) => response.finish(),
    }
}

fn wants_page(request: &actix_web::HttpRequest) -> bool {
    const FOR_PROGRAMS: [&str; 6] = ["/api/", "/health", "/metrics", "/openapi.json", "/.well-known/", "/forward-auth"];
    let accepts_html = request
        .headers()
        .get(actix_web::http::header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    accepts_html && !FOR_PROGRAMS.iter().any(|prefix| request.path().starts_with(prefix))
}
