//! The front: what is answered before actix makes a request of its own out of what came in, routes it and asks anybody.
//!
//! Those are the checks of sessions (`hot`) and the refusals of addresses that flood (`shield`). Everything else goes on
//! to the application, which is `middleware` and the routes.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_http::{Request, Response};
use actix_service::{Service, Transform, forward_ready};
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::{HttpResponse, web};
use futures_util::future::{Either, FutureExt, LocalBoxFuture, MapOk, TryFutureExt};

use super::Site;
use super::headers::Common;
use super::hot::{Hot, Question};
use super::shield::Shield;

/// What is in front of the application. One for the process.
#[derive(Clone)]
pub(super) struct Front(Arc<Parts>);

struct Parts {
    site: web::Data<Site>,
    hot: Hot,
    shield: Shield,
    common: Arc<Common>,
}

impl Front {
    /// In front of the application that serves `site`.
    pub(super) fn new(site: &web::Data<Site>, common: &Arc<Common>) -> Self {
        let (hot, shield) = (Hot::new(site), Shield::new(site));
        Self(Arc::new(Parts { site: site.clone(), hot, shield, common: common.clone() }))
    }
}

impl<S> Transform<S, Request> for Front
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse> + 'static,
{
    type Response = Response<BoxBody>;
    type Error = HttpResponse;
    type InitError = ();
    type Transform = Fronted<S>;
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, application: S) -> Self::Future {
        ready(Ok(Fronted { front: self.0.clone(), application: Rc::new(application) }))
    }
}

/// The application of one thread, and what is in front of it.
pub(super) struct Fronted<S> {
    front: Arc<Parts>,
    application: Rc<S>,
}

type Outcome = Result<Response<BoxBody>, HttpResponse>;
/// The application's answer.
type Behind<F> = MapOk<F, fn(ServiceResponse<BoxBody>) -> Response<BoxBody>>;

impl<S> Service<Request> for Fronted<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse> + 'static,
{
    type Response = Response<BoxBody>;
    type Error = HttpResponse;
    type Future = Either<Ready<Outcome>, Either<Behind<S::Future>, LocalBoxFuture<'static, Outcome>>>;

    forward_ready!(application);

    fn call(&self, request: Request) -> Self::Future {
        let Parts { site, hot, shield, common } = &*self.front;
        if let Some(question) = Question::of(request.head()) {
            if site.auth.asks_redis_alone() {
                let by_redis = by_redis(self.front.clone(), question, request, self.application.clone());
                return Either::Right(Either::Right(by_redis.boxed_local()));
            }
            if let Some(response) = hot.answer(question, request.head(), site, common) {
                return Either::Left(ready(Ok(response.into())));
            }
        } else if let Some(response) = shield.refuse(request.head(), site, common) {
            return Either::Left(ready(Ok(response.into())));
        }
        Either::Right(Either::Left(behind(&*self.application, request)))
    }
}

fn behind<S>(application: &S, request: Request) -> Behind<S::Future>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse>,
{
    application.call(request).map_ok(Response::from)
}

/// Has Redis answer `question`, which `request` asks, and `application` where it cannot.
async fn by_redis<S>(front: Arc<Parts>, question: Question, request: Request, application: Rc<S>) -> Outcome
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse>,
{
    let Parts { site, hot, common, .. } = &*front;
    match hot.ask_redis(question, request.head(), site, common).await {
        Some(response) => Ok(response.into()),
        None => behind(&*application, request).await,
    }
}
