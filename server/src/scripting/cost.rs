//! What the runs of a script cost.
//!
//! A script that is cheap runs in front of the other connections of its worker, one that is not
//! goes to the pool, and so does one of which nothing is known yet. What counts is the latest run that
//! took long: it is forgotten slowly, because a script whose work depends on its arguments will do so
//! again.

use std::sync::atomic::{AtomicU64, Ordering};

/// A run that costs more than this, in nanoseconds, is long.
const LONG: u64 = 1_000_000;
/// Each run takes a part of what the cost was higher before: one in so many.
const FORGETTING: u64 = 8;

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Cost {
    /// Nanoseconds and one more; 0: it has not run yet.
    nanos: AtomicU64,
}

impl Cost {
    /// Whether it has run and was cheap of late.
    #[must_use]
    #[inline]
    pub fn is_low(&self) -> bool {
        (1..=LONG).contains(&self.nanos.load(Ordering::Relaxed))
    }

    /// Notes what a run has cost.
    pub fn note(&self, nanos: u64) {
        let (was, now) = (self.nanos.load(Ordering::Relaxed), nanos.saturating_add(1));
        if (1..=LONG).contains(&was) && now <= LONG {
            // Nobody wants to know it more exactly: the line is shared by all workers.
            return;
        }
        let now = if now >= was { now } else { was - (was - now).div_ceil(FORGETTING) };
        self.nanos.store(now, Ordering::Relaxed);
    }

    /// Notes that a run would have cost too much.
    pub fn note_long(&self) {
        self.note(2 * LONG);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_run_is_not_cheap() {
        let cost = Cost::default();
        assert!(!cost.is_low());
        cost.note(0);
        assert!(cost.is_low());
    }

    #[test]
    fn one_long_run_is_remembered_for_a_while() {
        let cost = Cost::default();
        cost.note(20_000);
        cost.note(50 * LONG);
        let mut runs = 0;
        while !cost.is_low() {
            cost.note(20_000);
            runs += 1;
        }
        assert!((20..100).contains(&runs), "{runs}");
        cost.note_long();
        assert!(!cost.is_low());
        cost.note(LONG);
        assert!(!cost.is_low());
    }
}
