//! What the targets share: the bodies and inputs of `server/tests/fuzz`.

#[path = "../tests/fuzz/bodies/mod.rs"]
mod bodies;
#[path = "../tests/fuzz/inputs/mod.rs"]
mod inputs;
#[path = "../tests/support/rng.rs"]
mod rng;
mod support {
    pub use crate::rng::Rng;
}
#[path = "../tests/fuzz/targets.rs"]
pub mod targets;

pub use libfuzzer_sys;
use targets::Target;

/// One input in so many is a new one instead of a change of one that is there.
const NEW: usize = 16;

impl Target {
    /// Changes an input. What looks like a file or a script does so by its making, which changes of bytes
    /// would not find: so now and then it is a new one.
    pub fn mutate(&self, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
        let mut random = support::Rng::new(seed.into());
        if !random.chance(1, NEW) {
            return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
        }
        let input = (self.generate)(&mut random);
        let length = input.len().min(max_size);
        data[..length].copy_from_slice(&input[..length]);
        length
    }
}

/// The program of a target.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        use $crate::{libfuzzer_sys, targets::$name as target};
        libfuzzer_sys::fuzz_target!(|data: &[u8]| (target.body)(data));
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            target.mutate(data, size, max_size, seed)
        });
    };
}
