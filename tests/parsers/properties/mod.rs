//! What has to hold for every input of a parser of outside input, however strange. One function a parser; each panics where
//! something does not hold.
//!
//! `tests/parsers` runs them over the seeds and what is made of those by chance; the fuzz targets (`fuzz/fuzz_targets`, run by
//! `scripts/fuzz`) run them over whatever reaches new code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a property fails by panicking; clippy's exceptions for tests cover only #[test] functions"
)]

mod headers;
mod settings;
mod stored;
mod text;
mod tokens;
mod wire;

/// A property of one parser.
pub(crate) type Property = fn(&[u8]);

/// Every parser, by the name of its fuzz target and of the directory of its seeds.
pub(crate) const ALL: [(&str, Property); 16] = [
    ("access_token", tokens::access_token),
    ("cookies", headers::cookies),
    ("device", tokens::device),
    ("email", text::email),
    ("etag", headers::etag),
    ("forwarded", headers::forwarded),
    ("json", wire::json),
    ("language", headers::language),
    ("next", text::next),
    ("profile", text::profile),
    ("proxy", headers::proxy),
    ("limiter", stored::limiter),
    ("settings", settings::settings),
    ("smtp", wire::smtp),
    ("stored", stored::stored),
    ("tokens", tokens::tokens),
];

/// The property of this name.
#[allow(dead_code, reason = "the fuzz targets name theirs")]
pub(crate) fn named(name: &str) -> Property {
    ALL.iter().find(|(of, _)| *of == name).unwrap_or_else(|| panic!("there is no parser {name}")).1
}
