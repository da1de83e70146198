//! Every URL on one screen.

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::guard::{Any, Get, Head};
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route};

use super::api::{
    admin_audit, admin_cache, admin_limits, admin_mail, admin_stats, admin_suppressions, admin_users, magic_link, otp,
    password, profile, register, session, token, users,
};
use super::error::{ApiError, Code};
use super::pages::{
    account, admin, admin_audit as admin_audit_page, admin_cache as admin_cache_page,
    admin_limits as admin_limits_page, admin_mail as admin_mail_page, assets, dev_mail, docs, login,
};
use super::{Site, forward_auth, health, openapi, pages, redis_health};

/// Puts the handlers at their addresses.
#[rustfmt::skip]
pub(super) fn configure(config: &mut ServiceConfig, site: &Site) {
    config
        // Signing in, for programs
        .service(at("/api/auth/otp/request").route(post().to(otp::request)))
        .service(at("/api/auth/otp/verify").route(post().to(otp::verify)))
        .service(at("/api/auth/magic-link/request").route(post().to(magic_link::request)))
        .service(at("/api/auth/magic-link/verify").route(post().to(magic_link::verify)))
        .service(at("/api/auth/register").route(post().to(register::register)))
        .service(at("/api/auth/login").route(post().to(password::login)))
        .service(at("/api/auth/refresh").route(post().to(token::refresh)))
        .service(at("/api/auth/logout").route(post().to(session::logout)))
        // Signed in, for programs
        .service(at("/api/auth/validate").route(get().to(session::validate)))
        .service(at("/api/auth/me").route(get().to(session::me)))
        .service(at("/api/auth/change-password").route(post().to(password::change)))
        .service(at("/api/profile").route(put().to(profile::update)))
        .service(at("/api/sessions").route(get().to(session::list)).route(delete().to(session::end_others)))
        .service(at("/api/sessions/{id}").route(delete().to(session::end)))
        .service(at("/api/users/list").route(get().to(users::list)))
        .service(at("/api/users/{name}").route(get().to(users::show)))
        .service(at("/forward-auth").route(get().to(forward_auth::forward_auth)))
        // Admins, for programs
        .service(at("/api/admin/users").route(get().to(admin_users::list)).route(post().to(admin_users::invite)))
        .service(at("/api/admin/users/{id}").route(get().to(admin_users::show)))
        .service(at("/api/admin/users/{id}/sessions").route(delete().to(admin_users::end_sessions)))
        .service(at("/api/admin/users/{id}/{action}").route(post().to(admin_users::decide)))
        .service(at("/api/admin/stats").route(get().to(admin_stats::show)))
        .service(at("/api/admin/mail").route(get().to(admin_mail::list)))
        .service(at("/api/admin/mail/stats").route(get().to(admin_mail::stats)))
        .service(at("/api/admin/mail/retry").route(post().to(admin_mail::retry_many)))
        .service(at("/api/admin/mail/pause").route(post().to(admin_mail::pause)))
        .service(at("/api/admin/mail/resume").route(post().to(admin_mail::resume)))
        .service(at("/api/admin/mail/suppressions").route(get().to(admin_suppressions::list)).route(post().to(admin_suppressions::add)))
        .service(at("/api/admin/mail/suppressions/{email}").route(delete().to(admin_suppressions::lift)))
        .service(at("/api/admin/mail/{id}").route(get().to(admin_mail::show)))
        .service(at("/api/admin/mail/{id}/retry").route(post().to(admin_mail::retry)))
        .service(at("/api/admin/mail/{id}/bury").route(post().to(admin_mail::bury)))
        .service(at("/api/admin/audit").route(get().to(admin_audit::list)))
        .service(at("/api/admin/cache").route(get().to(admin_cache::show)))
        .service(at("/api/admin/cache/invalidate").route(post().to(admin_cache::invalidate)))
        .service(at("/api/admin/limits").route(get().to(admin_limits::show)))
        .service(at("/api/admin/limits/{policy}/{subject}").route(delete().to(admin_limits::reset)))
        // Operators
        .service(at("/health").route(get().to(health::live)))
        .service(at("/health/live").route(get().to(health::live)))
        .service(at("/health/ready").route(get().to(health::ready)))
        .service(at("/health/cache").route(get().to(health::cache)))
        .service(at("/api/health/redis").route(get().to(redis_health::redis)))
        .service(at("/metrics").route(get().to(health::metrics)))
        .service(at("/openapi.json").route(get().to(openapi::document)))
        .service(at("/.well-known/jwks.json").route(get().to(token::jwks)))
        // Pages
        .service(at("/").route(get().to(login::root)))
        .service(at("/login").route(get().to(login::show)).route(post().to(login::request)))
        .service(at("/login/password").route(post().to(login::password)))
        .service(at("/login/code").route(get().to(login::show_code)).route(post().to(login::verify_code)))
        .service(at("/login/link").route(get().to(login::show_link)).route(post().to(login::verify_link)))
        .service(at("/register").route(get().to(pages::register::show)).route(post().to(pages::register::submit)))
        .service(at("/pending").route(get().to(login::pending)))
        .service(at("/account").route(get().to(account::show)))
        .service(at("/account/profile").route(post().to(account::profile)))
        .service(at("/account/password").route(post().to(account::password)))
        .service(at("/account/sessions/end-others").route(post().to(account::end_others)))
        .service(at("/account/sessions/{id}/end").route(post().to(account::end_session)))
        .service(at("/logout").route(post().to(account::logout)))
        .service(at("/signed-out").route(get().to(account::signed_out)))
        .service(at("/admin").route(get().to(admin::show)))
        .service(at("/admin/invite").route(post().to(admin::invite)))
        .service(at("/admin/approvals/{id}").route(get().to(admin::approval)))
        .service(at("/admin/users/{id}/{action}").route(post().to(admin::decide)))
        .service(at("/admin/mail/pause").route(post().to(admin_mail_page::pause)))
        .service(at("/admin/mail/resume").route(post().to(admin_mail_page::resume)))
        .service(at("/admin/mail/suppressions/lift").route(post().to(admin_mail_page::lift)))
        .service(at("/admin/mail/{id}/retry").route(post().to(admin_mail_page::retry)))
        .service(at("/admin/audit").route(get().to(admin_audit_page::show)))
        .service(at("/admin/cache/invalidate").route(post().to(admin_cache_page::invalidate)))
        .service(at("/admin/limits/reset").route(post().to(admin_limits_page::reset)))
        .service(at("/docs").route(get().to(docs::show)))
        .service(at("/assets/{name}").route(get().to(assets::asset)))
        .service(at("/favicon.ico").route(get().to(assets::favicon)))
        .default_service(web::to(nothing_here));
    if site.dev_mailbox.is_some() {
        config
            .service(at("/dev/mail").route(get().to(dev_mail::show)))
            .service(at("/dev/mail/messages").route(get().to(dev_mail::list)))
            .service(at("/dev/mail/messages/{id}/html").route(get().to(dev_mail::html)));
    }
}

/// What is at `path`.
fn at(path: &str) -> At {
    At { resource: web::resource(path), methods: Vec::new() }
}

/// A resource that knows its methods, and tells them to whom comes with another.
struct At {
    resource: Resource,
    methods: Vec<&'static str>,
}

impl At {
    fn route(mut self, verb: Verb) -> Self {
        self.methods.push(verb.methods);
        Self { resource: self.resource.route(verb.route), ..self }
    }
}

impl HttpServiceFactory for At {
    fn register(self, config: &mut AppService) {
        let allowed = self.methods.join(", ");
        self.resource.default_service(web::to(move || std::future::ready(wrong_method(&allowed)))).register(config);
    }
}

/// A route and the methods that it takes.
struct Verb {
    methods: &'static str,
    route: Route,
}

impl Verb {
    fn to<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        Self { route: self.route.to(handler), ..self }
    }
}

/// GET, and HEAD, which is GET without the body.
fn get() -> Verb {
    Verb { methods: "GET, HEAD", route: web::route().guard(Any(Get()).or(Head())) }
}

fn post() -> Verb {
    Verb { methods: "POST", route: web::post() }
}

fn put() -> Verb {
    Verb { methods: "PUT", route: web::put() }
}

fn delete() -> Verb {
    Verb { methods: "DELETE", route: web::delete() }
}

async fn nothing_here() -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found())
}

/// RFC 9110, 15.5.6: an answer of this kind has to name the methods that would be right.
fn wrong_method(allowed: &str) -> Result<HttpResponse, ApiError> {
    let detail = format!("The method is not allowed here: use {allowed}.");
    Err(ApiError { headers: vec![("Allow", allowed.to_owned())], ..ApiError::new(Code::MethodNotAllowed, detail) })
}
