//! The document as the page `/docs` reads it: groups of operations and the schemas they use, with every reference
//! resolved and every key present.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::http::error::Code;

/// The operations that lead their groups, in the order in which a client meets them; the others follow by path.
const LEADING: [&str; 19] = [
    "request_code",
    "verify_code",
    "request_link",
    "verify_link",
    "register",
    "log_in",
    "refresh_tokens",
    "validate_session",
    "forward_auth",
    "log_out",
    "my_account",
    "update_profile",
    "list_users",
    "show_user",
    "health",
    "live",
    "ready",
    "cache_health",
    "metrics",
];

/// The schema of every failure: told once, at the top of the page.
const PROBLEM: &str = "Problem";

/// What the page shows of `document`.
pub(super) fn of(document: &Value) -> Value {
    let info = &document["info"];
    let mut linked = BTreeSet::from([PROBLEM]);
    link(document, false, &mut linked);
    let schemas: Vec<Value> = pairs(&document["components"]["schemas"])
        .filter(|(name, schema)| linked.contains(name.as_str()) && has_fields(schema))
        .map(|(name, schema)| {
            json!({
                "name": name,
                "anchor": schema_anchor(name),
                "description": schema["description"],
                "fields": fields(document, schema),
            })
        })
        .collect();
    json!({
        "info": { "title": info["title"], "version": info["version"], "description": info["description"] },
        "groups": list(&document["tags"]).map(|tag| group(document, tag)).collect::<Vec<_>>(),
        "schemas": schemas,
    })
}

/// Collects the schemas that answers and fields refer to. Those of bodies are shown in their place, those that are
/// only parts of others with these.
fn link<'a>(value: &'a Value, shown: bool, linked: &mut BTreeSet<&'a str>) {
    linked.extend(referred(value).filter(|_| shown));
    for (key, value) in pairs(value) {
        let shown = match key.as_str() {
            "responses" | "properties" => true,
            "allOf" | "requestBody" => false,
            _ => shown,
        };
        link(value, shown, linked);
    }
    list(value).for_each(|value| link(value, shown, linked));
}

/// Whether values of `schema` have fields.
fn has_fields(schema: &Value) -> bool {
    schema["properties"].is_object() || schema["allOf"].is_array()
}

/// The name of the schema that `schema` is a reference to.
fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn pairs(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `text` as the end of a URL.
fn slug(text: &str) -> String {
    text.to_lowercase().replace([' ', '_'], "-")
}

fn schema_anchor(name: &str) -> String {
    format!("schema-{}", slug(name))
}

fn group(document: &Value, tag: &Value) -> Value {
    let methods = |(path, item)| pairs(item).map(move |(method, operation)| (path, method, operation));
    let mut operations: Vec<_> = pairs(&document["paths"])
        .flat_map(methods)
        .filter(|(_, _, operation)| operation["tags"][0] == tag["name"])
        .collect();
    operations.sort_by_key(|(path, method, operation)| {
        let id = text(&operation["operationId"]);
        (LEADING.iter().position(|leading| *leading == id).unwrap_or(LEADING.len()), *path, rank(method))
    });
    json!({
        "name": tag["name"],
        "anchor": slug(text(&tag["name"])),
        "description": tag["description"],
        "operations": operations.into_iter()
            .map(|(path, method, operation)| self::operation(document, path, method, operation))
            .collect::<Vec<_>>(),
    })
}

/// Reading before writing before removing.
fn rank(method: &str) -> usize {
    ["get", "post", "put"].iter().position(|known| *known == method).unwrap_or(3)
}

fn operation(document: &Value, path: &str, method: &str, operation: &Value) -> Value {
    let parameter = |parameter: &Value| {
        let schema = &parameter["schema"];
        json!({
            "name": parameter["name"],
            "where": parameter["in"],
            "required": parameter["required"] == true,
            "kind": kind(document, schema).trim_end_matches(" or null"),
            "link": null,
            "description": given(&parameter["description"]).unwrap_or(&schema["description"]),
        })
    };
    json!({
        "method": method,
        "path": path,
        "anchor": format!("op-{}", slug(text(&operation["operationId"]))),
        "summary": operation["summary"],
        "description": operation["description"],
        "auth": list(&operation["security"]).next().is_some(),
        "parameters": list(&operation["parameters"]).map(parameter).collect::<Vec<_>>(),
        "body": body(document, &operation["requestBody"]),
        "responses": responses(&operation["responses"]),
    })
}

fn body(document: &Value, body: &Value) -> Option<Value> {
    let (content_type, content) = pairs(&body["content"]).next()?;
    let schema = &content["schema"];
    let example = given(&content["example"]).or_else(|| given(&resolved(document, schema)["example"]));
    Some(json!({
        "content_type": content_type,
        "fields": fields(document, schema),
        "example": example.and_then(|example| serde_json::to_string_pretty(example).ok()),
    }))
}

/// The answers of an operation. Failures that nearly every operation has share the last row.
fn responses(responses: &Value) -> Vec<Value> {
    const COMMON: [Code; 5] =
        [Code::CrossSite, Code::TooLarge, Code::UnsupportedMediaType, Code::Internal, Code::Unavailable];
    let codes = |answer: &Value| {
        let examples = pairs(&answer["content"]["application/problem+json"]["examples"]);
        examples.map(|(code, _)| code.clone()).collect::<Vec<_>>()
    };
    let is_common = |code: &String| COMMON.iter().any(|common| common.as_str() == code);
    let (common, own): (Vec<_>, Vec<_>) = pairs(responses).partition(|(_, answer)| {
        let codes = codes(answer);
        !codes.is_empty() && codes.iter().all(is_common)
    });
    let mut rows: Vec<Value> = own.into_iter().map(response).collect();
    let named = |(status, answer): &(&String, &Value)| format!("{status}\u{a0}`{}`", codes(answer).join("`, `"));
    if !common.is_empty() {
        let also = common.iter().map(named).collect::<Vec<_>>().join(", ");
        rows.push(json!({ "status": "Also", "description": also, "schema": null, "headers": [] }));
    }
    rows
}

fn response((status, response): (&String, &Value)) -> Value {
    let schema = pairs(&response["content"]).next().and_then(|(_, content)| name_in(&content["schema"]));
    json!({
        "status": status,
        "description": response["description"],
        "schema": schema.filter(|name| *name != PROBLEM),
        "headers": pairs(&response["headers"]).map(|(name, _)| name).collect::<Vec<_>>(),
    })
}

/// What is not null.
fn given(value: &Value) -> Option<&Value> {
    Some(value).filter(|value| !value.is_null())
}

/// The name of the schema that `schema` refers to, be it alone, in a list or with null.
fn name_in(schema: &Value) -> Option<&str> {
    let within = || schema.get("items").and_then(name_in);
    referred(schema).or_else(within).or_else(|| list(&schema["oneOf"]).find_map(name_in))
}

/// The schema behind a reference, or behind what can be that or null.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = referred(schema) {
        return &document["components"]["schemas"][name];
    }
    match list(&schema["oneOf"]).find(|part| part["type"] != "null") {
        Some(part) => resolved(document, part),
        None => schema,
    }
}

/// The fields of an object, with those of the objects it is made of; the required ones first.
fn fields(document: &Value, schema: &Value) -> Vec<Value> {
    let mut found = Map::new();
    collect(document, schema, &mut found);
    let (required, optional): (Vec<_>, Vec<_>) =
        found.into_iter().map(|(_, field)| field).partition(|field| field["required"] == true);
    required.into_iter().chain(optional).collect()
}

fn collect(document: &Value, schema: &Value, found: &mut Map<String, Value>) {
    let schema = resolved(document, schema);
    for part in list(&schema["allOf"]) {
        collect(document, part, found);
    }
    for (name, field) in pairs(&schema["properties"]) {
        let required = list(&schema["required"]).any(|required| required == name);
        let target = name_in(field).filter(|name| has_fields(&document["components"]["schemas"][*name]));
        let row = json!({
            "name": name,
            "required": required,
            "kind": kind(document, field),
            "link": target.map(schema_anchor),
            "description": given(&field["description"]).unwrap_or(&resolved(document, field)["description"]),
        });
        found.insert(name.clone(), row);
    }
}

/// What a value is, in a few words.
fn kind(document: &Value, schema: &Value) -> String {
    const SHOWN_VALUES: usize = 8;
    if let Some(name) = referred(schema) {
        let target = resolved(document, schema);
        return if has_fields(target) { name.to_owned() } else { kind(document, target) };
    }
    let choices: Vec<&Value> = ["oneOf", "anyOf", "allOf"].iter().flat_map(|key| list(&schema[*key])).collect();
    if !choices.is_empty() {
        // What can be null is called by its name first.
        let (null, named): (Vec<_>, Vec<_>) = choices.into_iter().partition(|choice| choice["type"] == "null");
        return named.into_iter().chain(null).map(|choice| kind(document, choice)).collect::<Vec<_>>().join(" or ");
    }
    let values: Vec<&str> = list(&schema["enum"]).map(text).collect();
    if (1..=SHOWN_VALUES).contains(&values.len()) {
        return values.join(" | ");
    }
    let one = |name: &str| match (name, text(&schema["format"])) {
        ("array", _) => format!("list of {}", kind(document, &schema["items"])),
        ("string", "uuid") => "UUID".to_owned(),
        ("string", "date-time") => "date and time".to_owned(),
        ("string", "email") => "e-mail address".to_owned(),
        ("", _) => "anything".to_owned(),
        (name, _) => name.to_owned(),
    };
    match &schema["type"] {
        Value::Array(types) => types.iter().map(|name| one(text(name))).collect::<Vec<_>>().join(" or "),
        name => one(text(name)),
    }
}
