//! Checks of fuzz targets on random inputs, and on those that a fuzzer has kept (`server/fuzz/seeds`).
//!
//! `DUNLIN_FUZZ_SECONDS` sets how long each runs, `DUNLIN_FUZZ_SEED` where it starts; a failure
//! prints the seed of its input.

mod bodies;
mod inputs;
#[path = "../support/mod.rs"]
mod support;
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use support::Rng;
use targets::Target;

impl Target {
    /// What the fuzzer has kept, then random inputs: a fixed number, or for the time asked for.
    fn run(&self) {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(self.name);
        for file in fs::read_dir(kept).into_iter().flatten().flatten() {
            let input = fs::read(file.path()).expect("a file");
            self.check(&input, &file.path().display().to_string());
        }
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let seconds = number("DUNLIN_FUZZ_SECONDS");
        let first = number("DUNLIN_FUZZ_SEED").unwrap_or(1);
        let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        for seed in first.. {
            let more = end.map_or(seed < first + self.inputs, |end| Instant::now() < end);
            if !more {
                println!("{}: seeds {first}..{seed}", self.name);
                return;
            }
            let input = (self.generate)(&mut Rng::new(seed));
            self.check(&input, &format!("DUNLIN_FUZZ_SEED={seed}"));
        }
    }

    fn check(&self, input: &[u8], what: &str) {
        if std::panic::catch_unwind(|| (self.body)(input)).is_err() {
            let start = &input[..input.len().min(300)];
            panic!("{what}, input {}", start.escape_ascii());
        }
    }
}

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            targets::$name.run();
        }
    )*};
}

tests! { acl config frames glob hyperloglog lua rdb restore server snapshot }

/// A server that refuses everything would pass.
#[test]
fn most_commands_are_understood() {
    let (mut all, mut good) = (0, 0);
    for seed in 1..=50 {
        let inside = bodies::inside::Inside::new();
        let (replies, done) = bodies::program::play(&inside, &inputs::any(&mut Rng::new(seed)));
        (all, good) = (all + replies, good + done);
    }
    assert!(all > 500 && good > all / 3, "{good} of {all}");
}
