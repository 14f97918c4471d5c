//! Traces that are made, for where none can be had: each shows one thing that caches meet.

use super::trace::{KeyId, Trace};
use crate::rng::{Rng, Zipf, mix};

/// A made trace by name.
pub const NAMES: [&str; 8] =
    ["zipf0.7", "zipf1.0", "zipf1.2", "drift", "scans", "loop", "once", "sizes"];

const KEYS: u64 = 100_000;
const REQUESTS: usize = 1_000_000;
/// Largest value of mixed sizes.
const SIZE_MAX: f64 = 16_384.0;

/// Numbers keys as they come.
#[derive(Default)]
struct Numbers {
    known: std::collections::HashMap<u64, KeyId>,
    requests: Vec<KeyId>,
}

impl Numbers {
    fn ask(&mut self, key: u64) {
        let next = self.known.len() as KeyId;
        self.requests.push(*self.known.entry(key).or_insert(next));
    }
}

/// The trace of a name.
#[must_use]
pub fn make(name: &str, seed: u64) -> Option<Trace> {
    let mut rng = Rng::new(seed);
    let mut numbers = Numbers::default();
    let zipf = |s| Zipf::new(KEYS, s);
    match name {
        "zipf0.7" => still(&mut numbers, &mut rng, &zipf(0.7)),
        "zipf1.0" | "sizes" => still(&mut numbers, &mut rng, &zipf(1.0)),
        "zipf1.2" => still(&mut numbers, &mut rng, &zipf(1.2)),
        "drift" => drift(&mut numbers, &mut rng, &zipf(1.0)),
        "scans" => scans(&mut numbers, &mut rng, &zipf(0.9)),
        "loop" => (0..REQUESTS as u64).for_each(|i| numbers.ask(i % (KEYS / 2))),
        "once" => once(&mut numbers, &mut rng, &zipf(1.0)),
        _ => return None,
    }
    let size = |id: KeyId| match name {
        // Every order of magnitude alike.
        "sizes" => (mix(u64::from(id)) as f64 / u64::MAX as f64 * SIZE_MAX.ln()).exp() as u32 + 1,
        _ => 0,
    };
    let sizes = (0..numbers.known.len() as KeyId).map(size).collect();
    Some(Trace { name: name.to_owned(), requests: numbers.requests, sizes })
}

/// Popularity that never changes.
fn still(numbers: &mut Numbers, rng: &mut Rng, zipf: &Zipf) {
    (0..REQUESTS).for_each(|_| numbers.ask(zipf.sample(rng)));
}

/// Every hundred requests another key becomes the most popular one.
fn drift(numbers: &mut Numbers, rng: &mut Rng, zipf: &Zipf) {
    for i in 0..REQUESTS as u64 {
        let newest = i / 100;
        numbers.ask((newest + KEYS - zipf.sample(rng)) % KEYS + newest / KEYS * KEYS);
    }
}

/// Popular keys, and now and then a scan through a tenth of all.
fn scans(numbers: &mut Numbers, rng: &mut Rng, zipf: &Zipf) {
    let mut from = 0;
    while numbers.requests.len() < REQUESTS {
        (0..KEYS / 2).for_each(|_| numbers.ask(zipf.sample(rng)));
        (0..KEYS / 10).for_each(|i| numbers.ask((from + i) % KEYS));
        from += KEYS / 10;
    }
}

/// Half of the requests are for keys that never come again.
fn once(numbers: &mut Numbers, rng: &mut Rng, zipf: &Zipf) {
    for i in 0..REQUESTS as u64 {
        let key = if rng.below(2) == 0 { KEYS + i } else { zipf.sample(rng) };
        numbers.ask(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_traces_and_seeds_repeat_them() {
        for name in NAMES {
            let trace = make(name, 1).expect(name);
            assert!(trace.requests.len() >= REQUESTS, "{name}");
            assert!(trace.requests.iter().all(|&id| (id as usize) < trace.sizes.len()), "{name}");
        }
        assert!(make("nonsense", 1).is_none());
        let (a, b) = (make("drift", 7), make("drift", 7));
        assert_eq!(a.map(|t| t.requests), b.map(|t| t.requests));
    }
}
