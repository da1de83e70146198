//! The names of settings: which variable sets which key, and what an unknown name was probably meant to be.

use std::collections::BTreeMap;

use super::problem::{Problem, Source, example};

/// The variable that names the file of settings. It is not a setting itself.
pub(super) const CONFIG_VARIABLE: &str = "GATEPOST_CONFIG";

const PREFIX: &str = "GATEPOST_";

/// Keys whose variables are not simply `GATEPOST_{SECTION}_{KEY}`; earlier variables win.
const NAMED: &[(&str, &[&str])] = &[
    ("server.bind", &["GATEPOST_BIND"]),
    ("server.public_url", &["GATEPOST_PUBLIC_URL"]),
    ("server.data_dir", &["GATEPOST_DATA_DIR"]),
    ("server.workers", &["GATEPOST_WORKERS"]),
    ("server.trusted_proxies", &["GATEPOST_TRUSTED_PROXIES"]),
    ("database.url", &["DATABASE_URL"]),
    ("redis.url", &["REDIS_URL", "REDIS_PRIVATE_URL"]),
    ("redis.pool_size", &["REDIS_POOL_SIZE"]),
    ("redis.pool_timeout", &["REDIS_POOL_TIMEOUT"]),
    ("mail.smtp_url", &["SMTP_URL"]),
    ("mail.from", &["MAIL_FROM"]),
    ("auth.methods", &["LOGIN_METHOD"]),
    ("auth.admins", &["GATEPOST_ADMINS"]),
    ("auth.registration", &["GATEPOST_REGISTRATION"]),
    ("limits.enabled", &["GATEPOST_RATE_LIMITS"]),
    ("log.filter", &["RUST_LOG"]),
];

/// Whether the value must not be shown, and may be given by a file of its own.
pub(super) fn is_secret(key: &str) -> bool {
    is_opaque(key) || matches!(key, "database.url" | "redis.url" | "mail.smtp_url")
}

/// Whether no part of the value may be shown.
pub(super) fn is_opaque(key: &str) -> bool {
    key.starts_with("secret")
        || matches!(key, "mail.dkim_private_key" | "mail.dkim_private_key_2" | "abuse.captcha_secret")
}

/// The variables that set `key`; the first that is set wins.
pub(super) fn variables(key: &str) -> Vec<String> {
    match NAMED.iter().find(|(named, _)| *named == key) {
        Some((_, names)) => names.iter().map(|&name| name.to_owned()).collect(),
        None => vec![derived(key)],
    }
}

/// The variable that a person is told to set.
pub(super) fn main_variable(key: &str) -> String {
    variables(key).into_iter().next().unwrap_or_default()
}

fn derived(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "_"))
}

/// The problem of a key in a file or on the command line that is none of `defaults`.
pub(super) fn unknown_key(key: &str, source: Source, defaults: &BTreeMap<String, String>) -> Problem {
    let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
    let meant = nearest(key, defaults.keys().map(String::as_str))
        .or_else(|| defaults.keys().map(String::as_str).find(|known| last(known) == last(key)));
    let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    let example = match meant {
        Some(meant) => example_of(meant, &source, defaults),
        None => "config/default.toml lists every setting".to_owned(),
    };
    Problem { key: key.to_owned(), source, value: None, reason: format!("there is no setting {key}{hint}"), example }
}

/// The problems of variables that look like settings and are none.
pub(super) fn unknown_variables(
    environment: &BTreeMap<String, String>,
    defaults: &BTreeMap<String, String>,
) -> Vec<Problem> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for key in defaults.keys() {
        for variable in variables(key) {
            if is_secret(key) {
                known.insert(format!("{variable}_FILE"), key);
            }
            known.insert(variable, key);
        }
    }
    environment
        .iter()
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.trim().is_empty())
        .filter(|(name, value)| !known.contains_key(*name) && !is_exempt(name, value))
        .map(|(name, _)| unknown_variable(name, &known, defaults))
        .collect()
}

fn unknown_variable(name: &str, known: &BTreeMap<String, &str>, defaults: &BTreeMap<String, String>) -> Problem {
    let exact = defaults.keys().find(|key| derived(key) == name).map(|key| main_variable(key));
    let plain = name.strip_suffix("_FILE").filter(|plain| known.contains_key(*plain)).map(str::to_owned);
    let (meant, hint) = match (exact, plain) {
        (Some(variable), _) => (Some(variable.clone()), format!("; the variable of that setting is {variable}")),
        (None, Some(variable)) => {
            (Some(variable.clone()), format!("; only secrets are read from files: set {variable}"))
        }
        (None, None) => match nearest(name, known.keys().map(String::as_str)) {
            Some(meant) => (Some(meant.to_owned()), format!("; did you mean {meant}?")),
            None => (None, String::new()),
        },
    };
    let example = match meant.as_deref().and_then(|meant| Some((meant, *known.get(meant)?))) {
        Some((meant, _)) if meant.ends_with("_FILE") => format!("{meant}=/run/secrets/gatepost"),
        Some((meant, key)) => example_of(key, &Source::Environment(meant.to_owned()), defaults),
        None => "config/default.toml lists every setting with its variable".to_owned(),
    };
    Problem {
        key: name.to_owned(),
        source: Source::Environment(name.to_owned()),
        // It may be a secret under a mistyped name.
        value: None,
        reason: format!("there is no setting {name}{hint}"),
        example,
    }
}

/// Variables that are not ours although they begin like ours: those of the tests, and those that Kubernetes adds to
/// every container for a service called `gatepost`.
fn is_exempt(name: &str, value: &str) -> bool {
    name == CONFIG_VARIABLE
        || name.starts_with("GATEPOST_TEST_")
        || name == "GATEPOST_SERVICE_HOST"
        || name.starts_with("GATEPOST_SERVICE_PORT")
        || name.starts_with("GATEPOST_PORT_")
        || (name == "GATEPOST_PORT" && value.contains("://"))
}

fn example_of(key: &str, source: &Source, defaults: &BTreeMap<String, String>) -> String {
    let value = defaults.get(key).filter(|value| !value.is_empty());
    example(key, value.map_or("…", String::as_str), source)
}

/// The candidate that takes the fewest edits to become `name`, if it is near enough to have been meant.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(edits, _)| *edits <= (name.len() / 5).max(2))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: insertions, deletions and substitutions of characters.
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (right, above) in two.iter().zip(row.iter_mut().skip(1)) {
            let edits = (diagonal + usize::from(left != *right)).min(before + 1).min(*above + 1);
            diagonal = *above;
            *above = edits;
            before = edits;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn defaults() -> BTreeMap<String, String> {
        ["server.bind", "auth.registration", "mail.from", "secret", "session.idle_lifetime"]
            .map(|key| (key.to_owned(), if key == "server.bind" { "127.0.0.1:8080" } else { "" }.to_owned()))
            .into()
    }

    fn reasons(variables: &[(&str, &str)]) -> Vec<String> {
        let environment = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        unknown_variables(&environment, &defaults()).into_iter().map(|problem| problem.reason).collect()
    }

    #[test]
    fn a_mistyped_variable_gets_a_suggestion_and_its_value_is_not_shown() {
        let environment = BTreeMap::from([("GATEPOST_SECERT".to_owned(), "hunter2".to_owned())]);
        let problems = unknown_variables(&environment, &defaults());
        assert_eq!(problems[0].reason, "there is no setting GATEPOST_SECERT; did you mean GATEPOST_SECRET?");
        assert!(!format!("{problems:?}").contains("hunter2"));
        let binds = [("GATEPOST_BNID", "x")];
        assert_eq!(reasons(&binds), ["there is no setting GATEPOST_BNID; did you mean GATEPOST_BIND?"]);
    }

    #[test]
    fn a_variable_under_the_regular_name_is_told_its_own() {
        let reason = "there is no setting GATEPOST_MAIL_FROM; the variable of that setting is MAIL_FROM";
        assert_eq!(reasons(&[("GATEPOST_MAIL_FROM", "x")]), [reason]);
        let reason = "there is no setting GATEPOST_BIND_FILE; only secrets are read from files: set GATEPOST_BIND";
        assert_eq!(reasons(&[("GATEPOST_BIND_FILE", "x")]), [reason]);
    }

    #[test]
    fn variables_that_are_not_ours_pass() {
        assert!(
            reasons(&[
                ("GATEPOST_TEST_POSTGRES", "postgres://x"),
                ("GATEPOST_CONFIG", "x.toml"),
                ("GATEPOST_EMPTY", " "),
                ("GATEPOST_SERVICE_HOST", "10.0.0.1"),
                ("GATEPOST_SERVICE_PORT_HTTP", "80"),
                ("GATEPOST_PORT", "tcp://10.0.0.1:80"),
                ("GATEPOST_PORT_80_TCP_ADDR", "10.0.0.1"),
                ("GATEPOST_SECRET_FILE", "x"),
                ("OTHER", "x"),
            ])
            .is_empty()
        );
        assert_eq!(reasons(&[("GATEPOST_PORT", "8080")]).len(), 1);
    }

    #[test]
    fn an_unknown_key_is_found_by_its_spelling_or_its_last_word() {
        let reason = |key: &str| unknown_key(key, Source::File("x.toml".into()), &defaults());
        assert!(reason("server.bidn").reason.ends_with("did you mean server.bind?"));
        assert_eq!(reason("server.bidn").example, r#"[server] bind = "127.0.0.1:8080""#);
        assert!(reason("server.registration").reason.ends_with("did you mean auth.registration?"));
        assert_eq!(reason("colour.scheme").reason, "there is no setting colour.scheme");
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(one in "[abc]{0,8}", two in "[abc]{0,8}", three in "[abc]{0,8}") {
            prop_assert_eq!(distance(&one, &two) == 0, one == two);
            prop_assert_eq!(distance(&one, &two), distance(&two, &one));
            prop_assert!(distance(&one, &three) <= distance(&one, &two) + distance(&two, &three));
        }
    }
}
