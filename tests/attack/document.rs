//! `docs/security.md` names for each defence the tests that show it. They exist, and none of this binary's is missing there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `path/to/file.rs::name` of the page, in backquotes.
fn named(page: &str) -> BTreeSet<(String, String)> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|text| text.split_once(".rs::"))
        .map(|(file, name)| (format!("{file}.rs"), name.to_owned()))
        .collect()
}

fn declares(source: &str, name: &str) -> bool {
    source.contains(&format!("fn {name}("))
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 40, "the page names its tests in another way");
    let missing: Vec<_> = named
        .iter()
        .filter(|(file, name)| !fs::read_to_string(root().join(file)).is_ok_and(|source| declares(&source, name)))
        .collect();
    assert!(missing.is_empty(), "docs/security.md names tests that do not exist: {missing:#?}");
}

#[test]
fn every_attack_is_on_the_page() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let (named, mut missing) = (named(&page), Vec::new());
    for entry in fs::read_dir(root().join("tests/attack")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(source) = fs::read_to_string(&path) else { continue };
        let file = format!("tests/attack/{}", path.file_name().unwrap().to_string_lossy());
        // Stories within the macros, and tests with an attribute of their own.
        let lines: Vec<&str> = source.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let story =
                line.strip_prefix("    async fn ").filter(|rest| rest.contains("(app: TestApp") || rest.ends_with('('));
            let test = at.checked_sub(1).is_some_and(|before| lines[before].starts_with("#[tokio::test"));
            let name = story.or_else(|| line.strip_prefix("async fn ").filter(|_| test));
            if let Some((name, _)) = name.and_then(|rest| rest.split_once('('))
                && !named.contains(&(file.clone(), name.to_owned()))
            {
                missing.push(format!("{file}::{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/security.md does not tell of {missing:#?}");
}
