//! Several clients change the same keys, by all commands that look before they change; what they saw is
//! kept, and has to be [`linear`].

use super::super::linear::{self, Call, Op};
use super::super::support::Rng;
use super::client::Router;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

/// Keys in use at a time.
const CELLS: usize = 6;
/// The history of one is at most about so long.
const LONGEST: u64 = 400;

/// The keys, and the clock of the histories.
pub(super) struct Cells {
    began: Instant,
    /// So many calls were begun for each, or a multiple of [`LONGEST`] when something was lost.
    calls: [AtomicU64; CELLS],
}

/// A cell, and how many other keys were in its place before.
type Key = (usize, u64);

/// What one client saw.
pub(super) type Seen = Vec<(Key, Call)>;

impl Cells {
    pub(super) fn new() -> Self {
        Cells { began: Instant::now(), calls: Default::default() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a test is short")
    }

    /// One command on one of the keys.
    pub(super) fn step(&self, router: &mut Router, rng: &mut Rng, seen: &mut Seen) {
        let cell = rng.below(CELLS);
        let round = self.calls[cell].fetch_add(1, SeqCst) / LONGEST;
        let name = format!("cell:{cell}:{round}");
        let op = Op::any(rng);
        let invoked = self.now();
        let words = op.words(&name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = router.once(&words).ok().map(|reply| op.answer(&reply));
        let answered = answer.map(|answer| (self.now(), answer));
        if answered.is_none() {
            // What may still come would have to be thought of in all that follows: so little does.
            self.calls[cell].fetch_max((round + 1) * LONGEST, SeqCst);
        }
        seen.push(((cell, round), Call { op, invoked, answered }));
    }
}

/// What is not linear of what all clients saw.
pub(super) fn judge(seen: Vec<Seen>) -> Vec<String> {
    let mut histories: BTreeMap<Key, Vec<Call>> = BTreeMap::new();
    for (key, call) in seen.into_iter().flatten() {
        histories.entry(key).or_default().push(call);
    }
    let wrong = |((cell, round), calls): (&Key, &Vec<Call>)| {
        let why = linear::check(calls, false).err()?;
        Some(format!("cell:{cell}:{round}: {why}"))
    };
    histories.iter().filter_map(wrong).collect()
}
