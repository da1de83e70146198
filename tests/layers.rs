//! The direction of imports: down the layers, never up, never sideways, never in a circle.
//!
//! Reads the source as text: every `crate::<module>` in a file of `src/<module>` counts as an import, wherever it
//! stands. Unit tests in the files count too: a test that needs a higher layer belongs into `tests/`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy's exceptions for tests cover only #[test] functions")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the bottom up; modules of one layer do not know each other.
const LAYERS: &[&[&str]] = &[
    &["domain"],
    &["settings", "templates"],
    &["telemetry"],
    &["store", "redis"],
    &["mail", "cache", "limit"],
    &["auth"],
    &["http"],
    &["app"],
    &["cli"],
];

/// What may be named in one place only.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("diesel::", &["store"]),
    ("diesel_async::", &["store"]),
    ("actix_web::", &["http", "app"]),
    ("actix_http::", &["http"]),
    ("actix_service::", &["http"]),
    ("lettre::", &["mail"]),
    ("::redis::", &["redis", "mail", "cache", "limit"]),
    ("minijinja::", &["templates", "mail"]),
    ("fluent_bundle::", &["templates"]),
    ("fluent_syntax::", &["templates"]),
    ("governor::", &["limit"]),
    ("argon2::", &["auth"]),
    ("zxcvbn::", &["auth"]),
    ("jsonwebtoken::", &["auth"]),
    ("hyper::", &["auth"]),
];

fn layer(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|modules| modules.contains(&module))
        .unwrap_or_else(|| panic!("src/{module} is in no layer: add it to LAYERS, and to the map in src/lib.rs"))
}

/// Every source file with the top-level module it belongs to.
fn sources() -> Vec<(String, PathBuf)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files
        .into_iter()
        .filter_map(|path| {
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            (module != "lib" && module != "main").then_some((module, path))
        })
        .collect()
}

/// The code of a file: without comments, so that documentation may point anywhere.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The top-level modules that a piece of code names: `crate::auth::…` and `use crate::{auth, mail::…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let identifier = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        if let Some(group) = after.strip_prefix('{') {
            let mut depth = 0;
            let mut start = 0;
            for (at, character) in group.char_indices() {
                match character {
                    '{' => depth += 1,
                    '}' | ',' if depth == 0 => {
                        found.insert(identifier(&group[start..at]));
                        start = at + 1;
                        if character == '}' {
                            break;
                        }
                    }
                    '}' => depth -= 1,
                    _ => {}
                }
            }
        } else {
            found.insert(identifier(after));
        }
    }
    found.remove("");
    found
}

#[test]
fn the_scan_sees_every_form_of_import() {
    let code = "use crate::auth;\nuse crate::{mail::{Outbox, Queue}, store::read};\nlet x = crate::domain::y();";
    let expected = ["auth", "mail", "store", "domain"].map(str::to_owned);
    assert_eq!(imports(code), BTreeSet::from(expected));
}

#[test]
fn imports_go_down_the_layers() {
    let sources = sources();
    let modules: BTreeSet<_> = sources.iter().map(|(module, _)| module.clone()).collect();
    let mut wrong = Vec::new();
    for (module, path) in &sources {
        for import in imports(&code(path)).iter().filter(|import| modules.contains(*import) && *import != module) {
            if layer(import) >= layer(module) {
                wrong.push(format!("{} imports crate::{import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "upward or sideways imports:\n{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_in_their_layer() {
    let mut wrong = Vec::new();
    for (module, path) in sources() {
        let code = code(&path);
        for (library, places) in ONLY_IN {
            let named = code.match_indices(library).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if named && !places.contains(&module.as_str()) {
                wrong.push(format!("{} names {library}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "libraries outside their layer:\n{}", wrong.join("\n"));
}

#[test]
fn the_map_in_the_crates_page_names_every_module() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let mut seen = BTreeMap::new();
    for (module, _) in sources() {
        seen.entry(module.clone()).or_insert_with(|| page.contains(&format!("[`{module}`]")));
    }
    let missing: Vec<_> = seen.into_iter().filter(|(_, named)| !named).map(|(module, _)| module).collect();
    assert!(missing.is_empty(), "src/lib.rs does not name {missing:?}");
}
