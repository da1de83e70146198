//! The parsers of everything that comes from outside, over the seeds of the fuzz targets and what chance makes of those.
//!
//! `properties` says what has to hold for each. `scripts/fuzz` looks for inputs for which it does not, for as long as one likes;
//! what it finds becomes a seed. With `PROPTEST_CASES` this does so, too, without anything to install.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

mod properties;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

/// Pieces that parsers take for more than bytes.
const WORDS: [&str; 32] = [
    "\r\n",
    "\n",
    "\0",
    "\t",
    " ",
    "@",
    ".",
    "..",
    "//",
    "\\",
    "%00",
    "%0d%0a",
    ";",
    ",",
    "=",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "null",
    "-1",
    "18446744073709551616",
    "1e999",
    "NaN",
    "\u{202e}",
    "\u{200b}",
    "\u{430}",
    "\u{130}",
    "\u{fdfa}",
    "\u{1f600}",
    "xn--",
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = fuzz().join("seeds").join(name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A change of an input.
#[derive(Clone, Debug)]
enum Edit {
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Word(Index, &'static str),
    /// Goes on as another seed does.
    Splice(Index, Index),
}

impl Edit {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Put(at, byte)),
            (any::<Index>(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            (any::<Index>(), 1..9_u8).prop_map(|(at, count)| Self::Remove(at, count)),
            (any::<Index>(), select(WORDS.as_slice())).prop_map(|(at, word)| Self::Word(at, word)),
            (any::<Index>(), any::<Index>()).prop_map(|(at, seed)| Self::Splice(at, seed)),
        ]
    }

    fn apply(&self, input: &mut Vec<u8>, seeds: &[(PathBuf, Vec<u8>)]) {
        let place = |at: &Index| at.index(input.len() + 1);
        match self {
            Self::Put(at, byte) => {
                if !input.is_empty() {
                    let at = at.index(input.len());
                    input[at] = *byte;
                }
            }
            Self::Insert(at, bytes) => drop(input.splice(place(at)..place(at), bytes.iter().copied())),
            Self::Remove(at, count) => {
                let from = place(at);
                drop(input.drain(from..(from + usize::from(*count)).min(input.len())));
            }
            Self::Word(at, word) => drop(input.splice(place(at)..place(at), word.bytes())),
            Self::Splice(at, seed) => {
                let other = &seeds[seed.index(seeds.len())].1;
                let at = place(at);
                input.truncate(at);
                input.extend_from_slice(other.get(at..).unwrap_or(other));
            }
        }
    }
}

#[test]
fn every_seed_keeps_its_parsers_property() {
    for (name, property) in properties::ALL {
        for (path, seed) in seeds(name) {
            let kept = std::panic::catch_unwind(|| property(&seed));
            assert!(kept.is_ok(), "{} breaks a property", path.display());
        }
    }
}

#[test]
fn whatever_chance_makes_of_the_seeds_keeps_it_too() {
    for (name, property) in properties::ALL {
        let seeds = seeds(name);
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let strategy = (any::<Index>(), vec(Edit::any(), 1..6));
        let outcome = runner.run(&strategy, |(seed, edits)| {
            let mut input = seeds[seed.index(seeds.len())].1.clone();
            for edit in &edits {
                edit.apply(&mut input, &seeds);
            }
            let shown = String::from_utf8_lossy(&input).into_owned();
            let kept = std::panic::catch_unwind(|| property(&input));
            prop_assert!(kept.is_ok(), "input {:?}, as bytes {:?}", shown, input);
            Ok(())
        });
        assert!(outcome.is_ok(), "{name}: {}", outcome.unwrap_err());
    }
}

#[test]
fn every_parser_has_a_fuzz_target_and_some_seeds() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in properties::ALL {
        assert!(seeds(name).len() >= 3, "{name} has too few seeds");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "fuzz/Cargo.toml lacks {name}");
        let target = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("properties::named(\"{name}\")")), "the target {name} runs another property");
    }
    let known = properties::ALL.map(|(name, _)| name);
    for entry in fs::read_dir(fuzz().join("seeds")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "seeds of no parser: {name}");
    }
}
