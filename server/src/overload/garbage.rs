//! Removed memory that does not come back, because a thread stands still.
//!
//! What a writer removes is freed when everybody who may still read it has finished a turn. A thread that
//! the system does not run in the middle of a turn (it stops for a debugger, waits for a disk, or its
//! processor is lent to another machine) keeps all of it, and overwrites would fill the memory at
//! the speed of the network. So where there is more garbage than a tenth of `maxmemory`, and it has not
//! come back for a while, writes wait; reads go on.
//!
//! Much garbage alone is no reason: FLUSHALL makes all memory garbage at once, and it is freed in slices.

use dunlin_storage::{Guard, Millis};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Least and most garbage that is of no concern, whatever `maxmemory` is.
const BOUNDS: (u64, u64) = (32 << 20, 1 << 30);
/// Everybody finishes a turn within this, but for scripts; those that have not written are ended when they
/// have kept garbage for a second ([`crate::runtime::sweep`]).
const LATE: Millis = 250;
/// How long writes wait before it is looked again.
const HOLD: Millis = 20;

/// A tenth of the budget, within bounds.
fn share(maxmemory: u64) -> u64 {
    match maxmemory {
        0 => BOUNDS.1,
        budget => (budget / 10).clamp(BOUNDS.0, BOUNDS.1),
    }
}

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Garbage {
    /// How much may wait for those who read.
    limit: AtomicU64,
    /// When it was asked whether everybody passes; 0: they have, or nobody has asked. Whoever sets it
    /// asks, and the answer clears it, on whichever thread. Relaxed: it stands for nothing but itself.
    asked: Arc<AtomicI64>,
    /// Times that writes were held back.
    holds: AtomicU64,
}

impl Garbage {
    /// Follows `maxmemory`.
    pub fn set_budget(&self, maxmemory: u64) {
        self.limit.store(share(maxmemory), Ordering::Relaxed);
    }

    /// Whether that is more than may wait.
    #[must_use]
    pub fn is_much(&self, bytes: u64) -> bool {
        bytes > self.limit.load(Ordering::Relaxed)
    }

    /// There is [much](Garbage::is_much): until when writes should wait.
    #[cold]
    pub fn look(&self, guard: &Guard, now: Millis) -> Option<Millis> {
        let asked = &self.asked;
        if asked.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let asked = Arc::clone(asked);
            guard.when_all_have_passed(move || asked.store(0, Ordering::Relaxed));
        }
        // Everybody may have passed, and nobody has looked.
        guard.flush();
        let asked = asked.load(Ordering::Relaxed);
        if asked == 0 || now.saturating_sub(asked) < LATE {
            return None;
        }
        self.holds.fetch_add(1, Ordering::Relaxed);
        Some(now + HOLD)
    }

    /// Times that writes were held back.
    #[must_use]
    pub fn holds(&self) -> u64 {
        self.holds.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_storage::{Keyspace, Options};

    #[test]
    fn a_tenth_within_bounds() {
        assert_eq!(share(0), BOUNDS.1);
        assert_eq!(share(1 << 20), BOUNDS.0);
        assert_eq!(share(1_000_000_000), 100_000_000);
        assert_eq!(share(u64::MAX), BOUNDS.1);
    }

    #[test]
    fn writes_wait_while_somebody_does_not_pass() {
        let keyspace = Keyspace::new(Options::default());
        let (mine, others) = (keyspace.handle(), keyspace.handle());
        let garbage = Garbage::default();
        let still = others.pin();
        assert_eq!(garbage.look(&mine.pin(), 1_000), None, "it is asked");
        assert_eq!(garbage.look(&mine.pin(), 1_000 + LATE - 1), None, "it is early");
        assert_eq!(garbage.look(&mine.pin(), 1_000 + LATE), Some(1_000 + LATE + HOLD));
        assert_eq!(garbage.look(&mine.pin(), 9_000), Some(9_000 + HOLD));
        drop(still);
        // The epoch moves on by one with each look.
        let answered = |now: &Millis| garbage.look(&mine.pin(), *now).is_none();
        let first = (9_001..9_020).find(answered).expect("everybody has passed");
        assert_eq!(garbage.look(&mine.pin(), first + LATE - 1), None, "it is asked anew");
        assert_eq!(garbage.holds(), 2 + u64::try_from(first - 9_001).unwrap());
    }

    #[test]
    fn who_looks_often_finds_that_all_have_passed() {
        let keyspace = Keyspace::new(Options::default());
        let (mine, garbage) = (keyspace.handle(), Garbage::default());
        // As after FLUSHALL: there is much for seconds, and nobody stands still.
        for now in 1..10 * LATE {
            assert_eq!(garbage.look(&mine.pin(), now), None);
        }
        assert_eq!(garbage.holds(), 0);
    }
}
