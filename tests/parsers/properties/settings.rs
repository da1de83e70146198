//! What an operator sets: environment variables, a file, the command line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gatepost::settings::{Settings, Sources};

/// Nobody should see it.
const SECRET: &str = "kept-to-itself-kept-to-itself-kept-to-itself";

/// Where files of settings are written.
static PLACE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory"));

/// The first byte says what the rest is: lines of variables, `name=value`; keys and values of the command line; or a file.
/// Settings are right or what is wrong with them is told, and neither shows a secret.
pub(super) fn settings(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let mut sources = Sources::default();
    sources.environment.insert("GATEPOST_SECRET".to_owned(), SECRET.to_owned());
    let pairs = || {
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    match kind {
        b'e' => sources.environment.extend(pairs().filter(|(name, _)| names_no_file(name))),
        b'o' => sources.overrides.extend(pairs()),
        b'f' => {
            let path = PLACE.path().join("settings.toml");
            std::fs::write(&path, text).expect("a file");
            sources.file = Some(path);
        }
        _ => return,
    }
    match Settings::load(&sources) {
        Ok(settings) => {
            let shown: BTreeMap<_, _> =
                settings.effective().into_iter().map(|setting| (setting.key.clone(), setting.value)).collect();
            assert!(shown.len() > 20 && !format!("{shown:?}").contains(SECRET), "{shown:?}");
        }
        Err(error) => {
            assert!(!error.0.is_empty(), "a refusal without a reason");
            assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
            for problem in &error.0 {
                assert!(!problem.reason.is_empty() && !problem.example.is_empty(), "{problem:?}");
            }
        }
    }
}

/// The fuzzer has no business in the machine's files.
fn names_no_file(name: &str) -> bool {
    !name.ends_with("_FILE") && name != "GATEPOST_CONFIG" && name != "GATEPOST_SECRET"
}
