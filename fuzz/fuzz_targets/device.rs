#![no_main]

#[path = "../../tests/parsers/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::named("device")(input));
