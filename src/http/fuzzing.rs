//! The readers of what clients send, for the fuzz targets: they are private, and take actix's types.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{COOKIE, HeaderMap, HeaderValue, IF_NONE_MATCH};
use actix_web::test::TestRequest;

use super::api::{fields::Fields, otp, password, profile, register, token};
use super::error::ApiError;
use super::{cached, client_address, cookies, extract, proxy_protocol};
use crate::domain::{FlowToken, Language};
use crate::settings::Proxies;

/// What a request with these `Cookie` lines is recognised by: the text of its session cookie, and that of its flow token.
/// Lines that no header can hold are left out.
pub fn cookies(lines: &[&[u8]]) -> (Option<String>, Option<String>) {
    let mut request = TestRequest::default();
    for line in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        request = request.append_header((COOKIE, line));
    }
    let request = request.to_http_request();
    let value = |name| cookies::value(request.headers(), name);
    let flow = value(cookies::FLOW_COOKIE).and_then(FlowToken::parse).map(|token| token.expose().to_owned());
    (value(cookies::SESSION_COOKIE).map(str::to_owned), flow)
}

/// The address that a request from `peer` counts as that carries these lines of the header that `proxies` forward with.
pub fn client_address(peer: IpAddr, lines: &[&[u8]], proxies: &Proxies) -> IpAddr {
    let mut headers = HeaderMap::new();
    if let Some(name) = client_address::read_header(proxies) {
        for line in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
            headers.append(name.clone(), line);
        }
    }
    client_address::forwarded(peer, &headers, proxies)
}

/// What this says as a line of version 1 of the PROXY protocol, and as what follows the signature of version 2; `None` where it
/// is malformed as that.
pub fn proxied(bytes: &[u8]) -> [Option<Option<SocketAddr>>; 2] {
    let binary = match bytes {
        [kind, family, _, _, facts @ ..] => proxy_protocol::binary(*kind, *family, facts).ok(),
        _ => None,
    };
    [proxy_protocol::text(bytes).ok(), binary]
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
