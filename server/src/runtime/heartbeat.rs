//! Whether every worker still comes round: what liveness is.
//!
//! Each worker stores the time whenever its background work gets its turn, several times a second
//! and however much there is to do: under overload turns come late, but they come. A worker whose
//! time stands still hangs, and only a restart helps. A worker that is not meant to run (not yet
//! started, parked, ended) is *at rest*, and nothing is expected of it.

use dunlin_storage::Millis;
use std::sync::atomic::{AtomicI64, Ordering};

/// No time: nothing is expected of the worker.
const AT_REST: Millis = Millis::MIN;

/// A worker that has been silent for this long hangs.
const SILENCE_LIMIT: Millis = 5_000;

/// When each worker came round last.
#[derive(Debug)]
pub struct Heartbeats {
    /// Server time, or [`AT_REST`]. Written by the worker, relaxed: a figure that orders nothing.
    last: Box<[AtomicI64]>,
}

/// A worker that has not come round for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Index of the worker.
    pub worker: usize,
    /// For how many milliseconds.
    pub millis: Millis,
}

impl Heartbeats {
    /// So many workers at rest.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Heartbeats { last: (0..workers).map(|_| AtomicI64::new(AT_REST)).collect() }
    }

    /// Worker `index` has come round.
    pub fn beat(&self, index: usize, now: Millis) {
        self.set(index, now);
    }

    /// Worker `index` is not meant to run from now on, until its next beat.
    pub fn rest(&self, index: usize) {
        self.set(index, AT_REST);
    }

    fn set(&self, index: usize, value: Millis) {
        if let Some(last) = self.last.get(index) {
            last.store(value, Ordering::Relaxed);
        }
    }

    /// How long each worker that is meant to run has been silent.
    pub fn silences(&self, now: Millis) -> impl Iterator<Item = Silence> {
        self.last.iter().enumerate().filter_map(move |(worker, last)| {
            let last = last.load(Ordering::Relaxed);
            let millis = now.saturating_sub(last).max(0);
            (last != AT_REST).then_some(Silence { worker, millis })
        })
    }

    /// The longest silence.
    #[must_use]
    pub fn longest(&self, now: Millis) -> Option<Silence> {
        self.silences(now).max_by_key(|silence| silence.millis)
    }

    /// A worker that hangs, if there is one.
    #[must_use]
    pub fn hanging(&self, now: Millis) -> Option<Silence> {
        self.longest(now).filter(|silence| silence.millis >= SILENCE_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::{Heartbeats, Silence};

    #[test]
    fn the_most_silent_worker_is_named() {
        let hearts = Heartbeats::new(3);
        assert_eq!(hearts.longest(1_000), None, "nobody has started");
        hearts.beat(0, 1_000);
        hearts.beat(2, 700);
        assert_eq!(hearts.longest(1_100), Some(Silence { worker: 2, millis: 400 }));
        assert_eq!(hearts.silences(1_100).count(), 2);
        hearts.beat(2, 1_100);
        assert_eq!(hearts.longest(1_100), Some(Silence { worker: 0, millis: 100 }));
    }

    #[test]
    fn nothing_is_expected_of_a_worker_at_rest() {
        let hearts = Heartbeats::new(2);
        hearts.beat(0, 5);
        hearts.beat(1, 5);
        hearts.rest(1);
        assert_eq!(hearts.longest(9), Some(Silence { worker: 0, millis: 4 }));
        hearts.beat(1, 9);
        hearts.rest(0);
        assert_eq!(hearts.longest(9), Some(Silence { worker: 1, millis: 0 }));
        hearts.beat(7, 0);
        assert_eq!(hearts.silences(9).count(), 1, "there is no worker 7");
    }

    #[test]
    fn a_clock_that_is_read_a_little_later_is_no_negative_silence() {
        let hearts = Heartbeats::new(1);
        hearts.beat(0, 10);
        assert_eq!(hearts.longest(9).map(|silence| silence.millis), Some(0));
    }
}
