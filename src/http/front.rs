//! The front: what is answered before actix makes a request of its own out of what came in, routes it and asks anybody.
//!
//! Those are the checks of sessions (`hot`) and the refusals of addresses that flood (`shield`). Everything else goes on
//! to the application, which is `middleware` and the routes.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_http::{Request, Response};
use actix_service::{Service, Transform};
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::{HttpResponse, web};
use futures_util::future::{Either, FutureExt, LocalBoxFuture, TryFutureExt};

use super::headers::Common;
use super::hot::{Hot, Question};
use super::shield::Shield;
use super::{Site, extract};
use crate::auth::AskedRedis;

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
        ready(Ok(Fronted(Rc::new((self.clone(), application)))))
    }
}

/// The application of one thread, and what is in front of it. Shared with the requests of that thread alone: what all threads
/// count is slow to count.
pub(super) struct Fronted<S>(Rc<(Front, S)>);

type Outcome = Result<Response<BoxBody>, HttpResponse>;

impl<S> Service<Request> for Fronted<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse> + 'static,
{
    type Response = Response<BoxBody>;
    type Error = HttpResponse;
    /// What has to be waited for is on the heap: actix moves this about, and most of it is ready.
    type Future = Either<Ready<Outcome>, LocalBoxFuture<'static, Outcome>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), HttpResponse>> {
        self.0.1.poll_ready(cx)
    }

    fn call(&self, request: Request) -> Self::Future {
        let (Front(parts), application) = &*self.0;
        let Parts { site, hot, shield, common } = &**parts;
        if let Some(question) = Question::of(request.head()) {
            if site.auth.asks_redis_alone() {
                if let Some(asked) = extract::ask_redis(request.head(), site) {
                    return Either::Right(by_redis(self.0.clone(), question, asked, request).boxed_local());
                }
            } else if let Some(response) = hot.answer(question, request.head(), site, common) {
                return Either::Left(ready(Ok(response.into())));
            }
        } else if let Some(response) = shield.refuse(request.head(), site, common) {
            return Either::Left(ready(Ok(response.into())));
        }
        Either::Right(behind(application, request))
    }
}

/// Has `application` answer `request`.
fn behind<S>(application: &S, request: Request) -> LocalBoxFuture<'static, Outcome>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse> + 'static,
{
    application.call(request).map_ok(Response::from).boxed_local()
}

/// Has Redis answer `question`, which `request` asks and of which it was `asked`, and the application where it cannot.
async fn by_redis<S>(thread: Rc<(Front, S)>, question: Question, mut asked: AskedRedis, request: Request) -> Outcome
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = HttpResponse> + 'static,
{
    let (Front(parts), application) = &*thread;
    let Parts { site, hot, common, .. } = &**parts;
    match hot.answer_by_redis(question, &mut asked, request.head(), site, common).await {
        Some(response) => Ok(response.into()),
        None => behind(application, request).await,
    }
}
