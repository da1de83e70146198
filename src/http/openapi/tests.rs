use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{Api, complete, reference, values};
use crate::cache::{CacheStats, KindStats, TierStats};
use crate::http::error::Code;
use crate::templates::Templates;

/// Where routes for programs and operators are; everything else is a page.
const DESCRIBED: [&str; 7] =
    ["/api/", "/health", "/metrics", "/forward-auth", "/.well-known/", "/openapi.json", "/dev/mail/messages"];

fn document() -> Value {
    serde_json::to_value(Api::openapi()).unwrap()
}

/// Every operation with its name, `get /health`.
fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let named = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    };
    paths.iter().flat_map(named).collect()
}

/// Every route of the table: its method and path.
fn routed() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in include_str!("../routes.rs").lines() {
        let Some((path, rest)) = line.split_once("at(\"").and_then(|(_, rest)| rest.split_once('"')) else { continue };
        for method in ["get", "post", "put", "patch", "delete"] {
            if rest.contains(&format!(".route({method}()")) {
                found.insert(format!("{method} {path}"));
            }
        }
    }
    found
}

#[test]
fn the_document_lists_every_route_and_no_other() {
    let described: BTreeSet<String> = operations(&document()).into_iter().map(|(name, _)| name).collect();
    let routed: BTreeSet<String> = routed()
        .into_iter()
        .filter(|name| DESCRIBED.iter().any(|prefix| name.split_once(' ').unwrap().1.starts_with(prefix)))
        .collect();
    assert!(routed.len() > 25, "the table of routes is not read: {routed:?}");
    assert_eq!(described, routed);
}

#[test]
fn operations_are_named_once_and_described() {
    let document = document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}: its id is taken");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.contains('`')), "{name}: no summary");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{name}");
        assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{name}: an unknown tag");
        let in_path = operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "path");
        assert_eq!(in_path.count(), name.matches('{').count(), "{name}: parameters of the path");
    }
}

#[test]
fn failures_name_codes_that_exist_under_their_status() {
    // As the handlers wrote them, before they are completed: there a wrong name would have vanished.
    let sources = [
        include_str!("mod.rs"),
        include_str!("../forward_auth.rs"),
        include_str!("../health.rs"),
        include_str!("../pages/dev_mail.rs"),
        include_str!("../api/admin_audit.rs"),
        include_str!("../api/admin_cache.rs"),
        include_str!("../api/admin_limits.rs"),
        include_str!("../api/admin_mail.rs"),
        include_str!("../api/admin_stats.rs"),
        include_str!("../api/admin_suppressions.rs"),
        include_str!("../api/admin_users.rs"),
        include_str!("../api/magic_link.rs"),
        include_str!("../api/otp.rs"),
        include_str!("../api/password.rs"),
        include_str!("../api/profile.rs"),
        include_str!("../api/register.rs"),
        include_str!("../api/session.rs"),
        include_str!("../api/token.rs"),
        include_str!("../api/users.rs"),
    ];
    let mut seen = 0;
    for line in sources.iter().flat_map(|source| source.lines()) {
        let Some(rest) = line.trim().strip_prefix("(status = ") else { continue };
        let status = rest.get(..3).unwrap();
        if !complete::is_failure(status) {
            continue;
        }
        let codes = rest.split('"').nth(1).unwrap();
        for name in codes.split(", ") {
            let code = Code::ALL.iter().find(|code| code.as_str() == name);
            assert_eq!(code.map(|code| code.status().as_u16().to_string()).as_deref(), Some(status), "{line}");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} codes were found");
}

#[test]
fn every_failure_is_a_problem_with_examples() {
    for (name, operation) in operations(&document()) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            // Its body says in any case how Redis does.
            if !complete::is_failure(status) || (name.ends_with("/api/health/redis") && status == "503") {
                continue;
            }
            let content = &response["content"]["application/problem+json"];
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{name} {status}");
            let examples = content["examples"].as_object().unwrap();
            assert!(!examples.is_empty(), "{name} {status}");
            for (code, example) in examples {
                assert_eq!(example["value"]["code"], *code, "{name}");
                assert_eq!(example["value"]["status"].to_string(), *status, "{name}");
            }
        }
    }
}

#[test]
fn failures_follow_from_the_kind_of_a_route() {
    let document = document();
    let codes = |path: &str, method: &str| -> BTreeSet<String> {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        let examples = responses.values().filter_map(|response| {
            response["content"]["application/problem+json"]["examples"].as_object().map(serde_json::Map::keys)
        });
        examples.flatten().cloned().collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(codes("/health", "get"), set(&[]));
    assert_eq!(codes("/api/auth/validate", "get"), set(&["unauthorized", "internal", "unavailable"]));
    assert_eq!(
        codes("/api/auth/refresh", "post"),
        set(&[
            "invalid_request",
            "invalid_input",
            "invalid_refresh_token",
            "cross_site",
            "payload_too_large",
            "unsupported_media_type",
            "rate_limited",
            "internal",
            "unavailable",
        ])
    );
    assert!(codes("/api/admin/users", "get").contains("forbidden"));
    let taken = &document["paths"]["/api/auth/otp/request"]["post"]["responses"]["202"]["headers"];
    assert!(taken["RateLimit"].is_object() && taken["RateLimit-Policy"].is_object());
}

#[test]
fn references_lead_somewhere() {
    fn visit(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                }
                fields.values().for_each(|value| visit(value, document));
            }
            Value::Array(values) => values.iter().for_each(|value| visit(value, document)),
            _ => {}
        }
    }
    let document = document();
    visit(&document, &document);
}

#[test]
fn the_cache_schema_has_the_fields_of_the_cache() {
    fn same(value: &Value, schema: &Value) {
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(value), keys(&schema["properties"]));
        let required = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        assert_eq!(keys(value), required.collect());
    }
    let tier = TierStats { hits: 0, misses: 0, errors: 0 };
    let kind = KindStats {
        memory: tier,
        redis: tier,
        loads: 0,
        load_errors: 0,
        average_load_micros: 0,
        invalidations: 0,
        refused_fills: 0,
        discarded: 0,
        ..KindStats::default()
    };
    let stats = CacheStats {
        backend: "memory",
        redis_available: false,
        hits: 0,
        misses: 0,
        hit_rate_percent: 0.0,
        errors: 0,
        invalidations: 0,
        refused_fills: 0,
        discarded: 0,
        memory_cache_size: 0,
        users: kind.clone(),
        sessions: kind.clone(),
        answers: kind,
    };
    let schemas = &document()["components"]["schemas"];
    let value = json!(stats);
    same(&value["users"]["memory"], &schemas["TierStats"]);
    same(&value["users"], &schemas["KindStats"]);
    same(&value, &serde_json::to_value(<values::CacheStats as utoipa::PartialSchema>::schema()).unwrap());
}

#[test]
fn the_page_shows_the_whole_document() {
    let document = document();
    let mut context = reference::of(&document);
    context["page"] = json!({
        "title": "API reference", "product": "Gatepost", "css": "/c.css", "icon": "/i.svg", "path": "/docs",
        "viewer": null, "notice": null, "dev_mail": false, "registration": "open",
        "methods": { "otp": true, "magic_link": true, "password": false },
    });
    let html = Templates::load(None).unwrap().render("pages/docs.html", &context).unwrap();
    for (name, operation) in operations(&document) {
        let anchor = format!("id=\"op-{}\"", operation["operationId"].as_str().unwrap().replace('_', "-"));
        assert_eq!(html.matches(&anchor).count(), 1, "{name}");
    }
    for name in ["UserView", "SignInView", "DevicesView", "CacheStats", "Problem", "FieldError"] {
        assert!(html.contains(&format!("id=\"schema-{}\"", name.to_lowercase())), "{name}");
    }
    // Every link within the page leads to one place.
    for link in html.split("href=\"#").skip(1) {
        let anchor = link.split('"').next().unwrap();
        assert_eq!(html.matches(&format!("id=\"{anchor}\"")).count(), 1, "{anchor}");
    }
    assert!(html.contains("invalid_code") && html.contains("ada@example.com"));
}

#[test]
fn fields_of_parts_and_choices_are_resolved() {
    let context = reference::of(&document());
    let names: Vec<&str> =
        context["schemas"].as_array().unwrap().iter().filter_map(|schema| schema["name"].as_str()).collect();
    for shown_in_its_place in ["OtpRequest", "SignInTokens", "ModeField"] {
        assert!(!names.contains(&shown_in_its_place), "{shown_in_its_place}");
    }
    let schema = |name: &str| {
        let schemas = context["schemas"].as_array().unwrap();
        schemas.iter().find(|schema| schema["name"] == name).unwrap()["fields"].as_array().unwrap().clone()
    };
    let kind = |name: &str, field: &str| {
        let fields = schema(name);
        fields.iter().find(|row| row["name"] == field).unwrap()["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind("AdminUserView", "email"), "e-mail address");
    assert_eq!(kind("AdminUserView", "username"), "string or null");
    assert_eq!(kind("UserView", "role"), "user | admin");
    assert_eq!(kind("DevicesView", "sessions"), "list of DeviceView");
    assert_eq!(kind("SignInView", "access_token"), "string");
    assert_eq!(schema("WhoView").iter().find(|row| row["name"] == "user").unwrap()["link"], "schema-userview");
    let last = context["groups"][0]["operations"][0]["responses"].as_array().unwrap().last().unwrap();
    assert_eq!(last["status"], "Also");
    assert!(last["description"].as_str().unwrap().starts_with("403\u{a0}`cross_site`, 413\u{a0}`payload_too_large`"));
    let first = &context["groups"][0]["operations"][1]["body"]["fields"];
    let mode = first.as_array().unwrap().iter().find(|row| row["name"] == "mode").unwrap();
    assert_eq!((&mode["kind"], &mode["link"]), (&json!("cookie | token"), &Value::Null));
    assert_eq!(schema("SignInView")[0]["name"], "status");
}
