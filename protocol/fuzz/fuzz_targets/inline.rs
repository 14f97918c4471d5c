//! See `bodies::inline`.
#![no_main]

#[path = "../../tests/bodies/mod.rs"]
#[allow(dead_code, missing_docs)]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::inline(data));
