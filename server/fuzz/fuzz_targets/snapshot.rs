//! See `bodies::snapshot`.
#![no_main]

#[path = "../../tests/files/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::snapshot(data));
