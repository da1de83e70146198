//! What the handlers' descriptions leave out because it follows from a route's kind: the failures that all routes of
//! the kind share, the whole form of a failure, the headers of limits, and the ways to show a session.

use std::collections::BTreeSet;

use serde_json::json;
use utoipa::Modify;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, ContentBuilder, Header, ObjectBuilder, OpenApi, Ref, RefOr, Required, Schema, Type};

use crate::http::cookies::SESSION_COOKIE;
use crate::http::error::{ApiError, Code, FieldError};
use crate::http::guard;

/// Completes the derived document.
pub(super) struct Completion;

impl Modify for Completion {
    fn modify(&self, api: &mut OpenApi) {
        add_security(api);
        add_alias(api);
        for (path, item) in &mut api.paths.paths {
            for (operation, writes) in operations(item) {
                complete(path, operation, writes);
            }
        }
    }
}

/// The operations at a path, and whether each is a write.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&mut Operation, bool)> {
    let reads = item.get.iter_mut().map(|operation| (operation, false));
    let writes = [&mut item.post, &mut item.put, &mut item.delete].into_iter().flatten();
    reads.chain(writes.map(|operation| (operation, true)))
}

fn add_security(api: &mut OpenApi) {
    let components = api.components.get_or_insert_default();
    let about = "Set by signing in with `mode` `cookie`; on https its name begins with `__Host-`. A write that shows it must come from this site.";
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description(SESSION_COOKIE, about));
    components.add_security_scheme("session_cookie", SecurityScheme::ApiKey(cookie));
    let about = "An access token, or the session token that is also the cookie's value.";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(about));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
}

/// `/health` is another name of `/health/live`, and its handler is described once.
fn add_alias(api: &mut OpenApi) {
    if let Some(mut item) = api.paths.paths.get("/health/live").cloned() {
        for (operation, _) in operations(&mut item) {
            operation.operation_id = Some("health".to_owned());
            operation.description = Some("The same as `/health/live`.".to_owned());
        }
        api.paths.paths.insert("/health".to_owned(), item);
    }
}

/// A body that can be left out is described as one that can be `null`, which none here can.
fn without_null(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(Content { schema: Some(schema), .. }) = content else { continue };
        if let RefOr::T(Schema::OneOf(choice)) = schema
            && let Some(named) = choice.items.iter().find(|item| matches!(item, RefOr::Ref(_)))
        {
            *schema = named.clone();
        }
    }
}

fn complete(path: &str, operation: &mut Operation, writes: bool) {
    without_null(operation);
    let mut failures = shared_failures(path, operation, writes);
    let responses = &mut operation.responses.responses;
    for response in responses.extract_if(.., |status, response| is_failure(status) && names_codes(response)) {
        if let RefOr::T(response) = response.1 {
            failures.extend(named_codes(&response.description));
        }
    }
    let signs_in = operation.tags.iter().flatten().any(|tag| tag == "Signing in");
    if signs_in && failures.contains(&Code::RateLimited) {
        for response in responses.values_mut() {
            if let RefOr::T(response) = response {
                add_limit_headers(response);
            }
        }
    }
    let statuses: BTreeSet<u16> = failures.iter().map(|code| code.status().as_u16()).collect();
    for status in statuses {
        let codes: Vec<Code> =
            Code::ALL.iter().copied().filter(|c| c.status().as_u16() == status && failures.contains(c)).collect();
        responses.entry(status.to_string()).or_insert_with(|| failure(&codes).into());
    }
}

/// Whether a failure is described by its codes. One that has a body of its own is described by that.
fn names_codes(response: &RefOr<Response>) -> bool {
    matches!(response, RefOr::T(response) if response.content.is_empty())
}

/// Whether a response tells a failure.
pub(super) fn is_failure(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

/// The codes that a description lists. A name that is none is left out here and found by a test.
fn named_codes(description: &str) -> impl Iterator<Item = Code> {
    let code = |name: &str| Code::ALL.iter().copied().find(|code| code.as_str() == name.trim());
    description.split(',').filter_map(code)
}

/// The failures that follow from where a route is, who may use it and what it takes.
fn shared_failures(path: &str, operation: &Operation, writes: bool) -> Vec<Code> {
    let mut codes = Vec::new();
    if let Some(RefOr::T(body)) = &operation.request_body {
        // A body that can be left out is read whatever type it has.
        codes.extend([Code::InvalidRequest, Code::TooLarge]);
        if body.required == Some(Required::True) {
            codes.push(Code::UnsupportedMediaType);
        }
    }
    if writes {
        codes.push(Code::CrossSite);
    }
    if operation.security.is_some() {
        codes.push(Code::Unauthorized);
    }
    if path.starts_with("/api/admin/") {
        codes.push(Code::Forbidden);
    }
    if path.starts_with("/api/") && !guard::is_hot(path) {
        codes.push(Code::RateLimited);
    }
    if path.starts_with("/api/") || path == "/forward-auth" {
        codes.extend([Code::Internal, Code::Unavailable]);
    }
    codes
}

/// The response of a failure by one of `codes`, which share their status.
fn failure(codes: &[Code]) -> Response {
    let lines: Vec<String> = codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.title())).collect();
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    for code in codes {
        let example = json!({ "summary": code.title(), "value": example(*code) });
        if let Ok(example) = serde_json::from_value::<utoipa::openapi::example::Example>(example) {
            content = content.examples_from_iter([(code.as_str(), example)]);
        }
    }
    let mut response = ResponseBuilder::new()
        .description(lines.join("\n"))
        .content("application/problem+json", content.build())
        .build();
    if codes.contains(&Code::RateLimited) {
        add_limit_headers(&mut response);
    }
    let waits = [Code::RateLimited, Code::TooManyGuesses, Code::Unavailable, Code::CaptchaUnavailable];
    if codes.iter().any(|code| waits.contains(code)) {
        add_header(&mut response, "Retry-After", Type::Integer, "Seconds to wait.");
    }
    if codes.contains(&Code::Unauthorized) {
        add_header(&mut response, "WWW-Authenticate", Type::String, "`Bearer`.");
    }
    response
}

/// A body that tells `code`.
fn example(code: Code) -> serde_json::Value {
    let error = match code {
        Code::InvalidInput => ApiError::invalid(vec![FieldError {
            field: "email",
            code: "invalid_email",
            detail: "Enter an address like name@example.com.".to_owned(),
        }]),
        code => ApiError::new(code, format!("{}.", code.title())),
    };
    json!(error.problem("01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21"))
}

fn add_limit_headers(response: &mut Response) {
    let policy = "What your address may do, by policy: `q` requests in `w` seconds.";
    add_header(response, "RateLimit-Policy", Type::String, policy);
    let left = "What is left of it: `r` requests, and more of them in `t` seconds.";
    add_header(response, "RateLimit", Type::String, left);
}

fn add_header(response: &mut Response, name: &str, kind: Type, about: &str) {
    let mut header = Header::new(ObjectBuilder::new().schema_type(kind).build());
    header.description = Some(about.to_owned());
    response.headers.insert(name.to_owned(), header.into());
}
