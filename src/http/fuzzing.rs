//! The readers of what clients send, for the fuzz targets: they are private, and take actix's types.

use std::net::IpAddr;

use actix_web::http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use actix_web::test::TestRequest;
use ipnet::IpNet;

use super::api::{fields::Fields, otp, password, profile, register, token};
use super::error::ApiError;
use super::{cached, cookies, extract};
use crate::domain::Language;

/// What a request with these `Cookie` lines is recognised by: the text of its session cookie, and that of its flow token.
/// Lines that no header can hold are left out.
pub fn cookies(lines: &[&[u8]]) -> (Option<String>, Option<String>) {
    let mut request = TestRequest::default();
    for line in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        request = request.append_header((COOKIE, line));
    }
    let request = request.to_http_request();
    let session = cookies::session_token(request.headers()).map(str::to_owned);
    (session, cookies::flow_token(&request).map(|token| token.expose().to_owned()))
}

/// The address that a request from `peer` with these `X-Forwarded-For` lines counts as.
pub fn client_address(peer: IpAddr, lines: &[&[u8]], trusted: &[IpNet]) -> IpAddr {
    let mut headers = HeaderMap::new();
    for line in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(HeaderName::from_static("x-forwarded-for"), line);
    }
    extract::forwarded_address(peer, &headers, trusted)
}

/// Whether this `If-None-Match` names the answer with the tag `etag`.
pub fn names_answer(if_none_match: &[u8], etag: &str) -> bool {
    HeaderValue::from_bytes(if_none_match).is_ok_and(|value| {
        cached::is_known(&TestRequest::default().insert_header((IF_NONE_MATCH, value)).to_http_request(), etag)
    })
}

/// Reads `body` as each of the bodies that the public routes take, and its fields; gives the status of each refusal, or
/// 200.
pub fn json_bodies(body: &[u8]) -> Vec<u16> {
    let outcomes = [
        extract::object::<otp::OtpRequest>(body).and_then(|body| {
            let mut fields = Fields::default();
            fields.email("email", body.email.as_deref());
            fields.next(body.next.as_deref(), &["https://app.example.com".to_owned()]);
            fields.locale(body.locale.as_deref(), Language::English);
            fields.finish()
        }),
        extract::object::<otp::OtpVerify>(body).map(drop),
        extract::object::<super::api::magic_link::LinkVerify>(body).map(drop),
        extract::object::<register::Register>(body).and_then(|body| {
            let mut fields = Fields::default();
            fields.email("email", body.email.as_deref());
            fields.name("name", body.name.as_deref());
            fields.note("note", body.note.as_deref());
            fields.finish()
        }),
        extract::object::<password::Login>(body).map(drop),
        extract::object::<token::Refresh>(body).map(drop),
        extract::object::<profile::ProfileFields>(body)
            .and_then(|body| body.change().map(drop).map_err(ApiError::invalid)),
    ];
    let status = |outcome: Result<(), ApiError>| outcome.map_or_else(|error| error.code.status().as_u16(), |()| 200);
    outcomes.into_iter().map(status).collect()
}
