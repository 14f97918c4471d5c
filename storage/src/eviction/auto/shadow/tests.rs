//! A miniature against a naive model of itself, and against what a cache of a rule must do.

use super::super::rule::RULES;
use super::*;

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27) % n
    }
}

/// The same without places: names in a sorted list, looked through each time.
struct Naive {
    held: Vec<(Id, u8)>,
}

impl Naive {
    fn of(shadow: &Shadow) -> Self {
        let pairs = shadow.ids.iter().copied().zip(shadow.states.iter().copied());
        let mut held: Vec<(Id, u8)> = pairs.filter(|(id, _)| *id != 0).collect();
        held.sort_unstable();
        Self { held }
    }

    fn state(&self, id: Id) -> Option<u8> {
        self.held.iter().find(|(held, _)| *held == id).map(|(_, state)| *state)
    }
}

/// Checks what one request may change, from what was held before it.
fn check(before: &Naive, shadow: &Shadow, id: Id, hit: bool) {
    let after = Naive::of(shadow);
    assert_eq!(hit, before.state(id).is_some(), "it says whether it had {id}");
    assert_eq!(after.held.len(), shadow.len);
    assert!(after.held.windows(2).all(|pair| pair[0].0 != pair[1].0), "each once");
    assert!(shadow.len <= shadow.capacity.max(before.held.len()));
    if hit {
        let uses = |state: Option<u8>| state.map(|state| state & USES);
        assert_eq!(uses(after.state(id)), uses(before.state(id)).map(|uses| (uses + 1).min(USES)));
        assert_eq!(after.held.len(), before.held.len(), "a hit moves nothing out");
    } else {
        let came = after.held.iter().filter(|(id, _)| before.state(*id).is_none());
        assert!(came.clone().all(|(came, _)| *came == id), "nothing else came");
        assert!(after.held.len() >= before.held.len().min(shadow.capacity), "no more than need be");
    }
    // Everybody is found from its home on.
    after.held.iter().for_each(|(id, _)| assert!(shadow.find(*id).is_ok(), "{id} is lost"));
    // Who says that it is on the ring is there.
    let small = after.held.iter().filter(|(_, state)| state & SMALL != 0);
    small.for_each(|(id, _)| assert!(shadow.ring.contains(id), "{id} is nowhere"));
}

#[test]
fn random_requests_keep_it_whole() {
    for (seed, rule) in (0..40).flat_map(|seed| RULES.map(|rule| (seed, rule))) {
        let mut rng = Rng(seed);
        let capacity = rng.below(40) as usize;
        let mut shadow = Shadow::new(rule, capacity);
        let keys = 1 + rng.below(100);
        for _ in 0..400 {
            if rng.below(50) == 0 {
                shadow.fit(rng.below(60) as usize);
            }
            let id = 1 + (rng.below(keys) * rng.below(keys) / keys) as Id;
            let before = Naive::of(&shadow);
            let hit = shadow.request(id);
            check(&before, &shadow, id, hit);
        }
    }
}

fn misses(rule: Rule, capacity: usize, requests: impl Iterator<Item = Id>) -> usize {
    let mut shadow = Shadow::new(rule, capacity);
    let misses = requests.filter(|&id| !shadow.request(id)).count();
    assert!(shadow.len() <= capacity);
    misses
}

#[test]
fn what_fits_misses_once() {
    for rule in RULES {
        assert_eq!(misses(rule, 100, (0..10_000).map(|i| i % 100 + 1)), 100, "{rule:?}");
    }
}

#[test]
fn a_loop_is_for_frequency_and_a_drift_for_recency() {
    let looping = || (0..100_000).map(|i| i % 200 + 1);
    let (often, lately) =
        (misses(Rule::Frequency, 100, looping()), misses(Rule::Recency, 100, looping()));
    assert!(often < 70_000 && lately > 80_000, "{often} {lately}");
    // Back and forth: what was last is next.
    let zigzag = || {
        (0..100_000u32)
            .map(|i| if (i / 400).is_multiple_of(2) { i % 400 } else { 399 - i % 400 } + 1)
    };
    let (often, lately) =
        (misses(Rule::Frequency, 100, zigzag()), misses(Rule::Recency, 100, zigzag()));
    assert!(lately < 78_000 && lately + 5000 < often, "{often} {lately}");
}

/// All are used equally often, so whoever drives out another one has won nothing.
#[test]
fn of_a_loop_stays_what_fits() {
    for fits in [100, 150, 170, 180] {
        let mut shadow = Shadow::new(Rule::Frequency, fits);
        let mut round = || (1..=200).filter(|&id| !shadow.request(id)).count();
        (0..20).for_each(|_| _ = round());
        let missed: usize = (0..50).map(|_| round()).sum();
        // What does not fit, the ring, and a fifteenth.
        let most = 50 * (200 - fits + fits / 20 + 13);
        assert!(missed <= most, "{fits} of 200 fit: {missed} misses, {most} at most");
    }
}

#[test]
fn it_takes_few_bytes() {
    for rule in RULES {
        let mut rng = Rng(7);
        let mut shadow = Shadow::new(rule, 1000);
        (0..20_000).for_each(|_| _ = shadow.request(1 + rng.below(5000) as Id));
        let bytes = shadow.bytes();
        assert!(bytes < 1000 * BYTES_PER_ITEM * 3 / 2, "{rule:?} {bytes}");
        shadow.fit(10);
        (0..20_000).for_each(|_| _ = shadow.request(1 + rng.below(5000) as Id));
        assert!(shadow.len() == 10);
        shadow.fit(10);
        assert!(shadow.bytes() < bytes / 4, "{rule:?} {} {bytes}", shadow.bytes());
    }
}
