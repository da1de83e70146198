//! The hot path: what every application behind this server asks at each of its own requests.
//!
//! `GET /api/auth/validate` and `GET /forward-auth` are answered from here by `front`, before routing and without a task of their own,
//! when their credential was recognised before and that still stands (`Auth::recognise`). The answer is as good as ready: its
//! body and the headers that name the person are made once for a recognised credential and kept with it, the headers that
//! every answer has are constants. An instance that keeps nothing in memory asks Redis here, once, and compares
//! (`Auth::recognise_by_redis`). Whatever is not as usual (no credential, one that is not known here, another
//! method) goes on to the router, whose handlers give the same answers by the long way, from the same functions.

use std::time::Instant;

use actix_http::RequestHead;
use actix_web::body::BoxBody;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use prometheus::{Histogram, IntCounter};

use super::api::session::WhoView;
use super::headers::{Common, RequestId};
use super::{Site, extract};
use crate::auth::{AskedRedis, Authenticated};

/// Where the session is checked.
const VALIDATE: &str = "/api/auth/validate";
/// Where reverse proxies ask.
const FORWARD_AUTH: &str = "/forward-auth";

/// The headers by which applications behind a proxy learn who is asking.
const IDENTITY: [HeaderName; 5] = [
    HeaderName::from_static("remote-user"),
    HeaderName::from_static("remote-email"),
    HeaderName::from_static("remote-name"),
    HeaderName::from_static("remote-groups"),
    HeaderName::from_static("x-gatepost-user-id"),
];

/// What is told about a recognised person.
struct Told {
    body: web::Bytes,
    /// The values of [`IDENTITY`].
    identity: [Option<HeaderValue>; 5],
}

impl Told {
    fn of(who: &Authenticated) -> Self {
        let user = &who.user;
        let handle = user.username.as_ref().map_or(user.email.as_str(), |username| username.as_str());
        let id = user.id.to_string();
        let identity = [handle, user.email.as_str(), user.name.as_str(), user.role.as_str(), &id];
        // Fails for no value of these types.
        let body = serde_json::to_vec(&WhoView::from(who)).unwrap_or_default();
        // In one piece: it is read for every request, and seldom the same as for the last.
        let mut rest = web::Bytes::from([identity.concat().as_bytes(), &body].concat());
        // Header values may hold any bytes but controls; names were checked for those when they were stored.
        let identity = identity.map(|value| HeaderValue::from_maybe_shared(rest.split_to(value.len())).ok());
        Self { body: rest, identity }
    }
}

/// Who is signed in, in full.
pub(super) fn validated(who: &Authenticated) -> HttpResponse {
    who.answer(Told::of, |told| {
        let mut response = named(told, told.body.clone());
        response.headers_mut().append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    })
}

/// That a request may pass, and who makes it, in headers alone.
pub(super) fn passed(who: &Authenticated) -> HttpResponse {
    who.answer(Told::of, |told| named(told, web::Bytes::new()))
}

fn named(told: &Told, body: web::Bytes) -> HttpResponse {
    let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new(body));
    for (name, value) in IDENTITY.into_iter().zip(&told.identity) {
        if let Some(value) = value {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// The figures of one route's good answers, looked up once.
struct Figures {
    answered: IntCounter,
    seconds: Histogram,
}

impl Figures {
    fn of(site: &Site, route: &str) -> Self {
        Self {
            answered: site.metrics.requests.with_label_values(&[route, "GET", "200"]),
            seconds: site.metrics.request_seconds.with_label_values(&[route]),
        }
    }
}

/// One of the hot routes.
#[derive(Clone, Copy)]
enum Route {
    Validate,
    ForwardAuth,
}

/// What is asked on one of the hot routes, and when.
#[derive(Clone, Copy)]
pub(super) struct Question {
    route: Route,
    asked: Instant,
}

impl Question {
    /// That of `request`, if it is one that can be answered here.
    pub(super) fn of(request: &RequestHead) -> Option<Self> {
        let route = match request.uri.path() {
            VALIDATE => Route::Validate,
            FORWARD_AUTH => Route::ForwardAuth,
            _ => return None,
        };
        (request.method == Method::GET).then(|| Self { route, asked: Instant::now() })
    }
}

/// What the hot path keeps ready.
pub(super) struct Hot {
    validate: Figures,
    forward_auth: Figures,
}

impl Hot {
    /// For `site`.
    pub(super) fn new(site: &Site) -> Self {
        Self { validate: Figures::of(site, VALIDATE), forward_auth: Figures::of(site, FORWARD_AUTH) }
    }

    /// The complete answer to `question`, which `request` asks, if it can be given at once.
    pub(super) fn answer(
        &self,
        question: Question,
        request: &RequestHead,
        site: &Site,
        common: &Common,
    ) -> Option<HttpResponse> {
        let who = extract::recognised(request, site, question.asked)?;
        Some(self.about(&who, question, site, common))
    }

    /// The complete answer to `question`, which `request` asks and of which Redis was `asked`, if that can tell it. May be
    /// dropped.
    pub(super) async fn answer_by_redis(
        &self,
        question: Question,
        asked: &mut AskedRedis,
        request: &RequestHead,
        site: &Site,
        common: &Common,
    ) -> Option<HttpResponse> {
        let who = extract::recognised_by_redis(asked, request, site).await?;
        Some(self.about(&who, question, site, common))
    }

    fn about(&self, who: &Authenticated, question: Question, site: &Site, common: &Common) -> HttpResponse {
        let (figures, mut response, route) = match question.route {
            Route::Validate => (&self.validate, validated(who), VALIDATE),
            Route::ForwardAuth => (&self.forward_auth, passed(who), FORWARD_AUTH),
        };
        let id = RequestId::new(site, question.asked);
        common.stamp(response.headers_mut(), &id);
        figures.answered.inc();
        figures.seconds.observe(question.asked.elapsed().as_secs_f64());
        log::debug!(request_id = &*id, status = 200; "GET {route}");
        response
    }
}
