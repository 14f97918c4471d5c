//! For how long this node may act on the map it knows.
//!
//! The leader grants a lease of [`LENGTH`] from the moment at which it last made sure that it leads; the
//! node counts it from the moment at which it asked, which is earlier than the leader's answer, so its
//! lease ends before the leader believes it does. A member is removed only after [`REMOVAL`] without a
//! grant, which is longer: whoever follows it never serves beside it.
//!
//! A node that votes alone needs nobody to tell it that it leads: nobody else can before it has proposed
//! another voter itself. Its lease has no end, until it is about to do that.
//!
//! Times are nanoseconds of the clock that goes on while the machine sleeps (CLOCK_BOOTTIME): a node
//! that was stopped or suspended finds its lease over when it wakes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a lease lasts at most.
pub const LENGTH: Duration = Duration::from_millis(2500);
/// How long a member is not heard of before it is removed (`cluster-node-timeout`), at least.
pub const REMOVAL: Duration = Duration::from_millis(3000);
/// How often a lease is renewed.
pub const RENEWAL: Duration = Duration::from_millis(250);

/// The lease of this node. It is for what the node does by the newest map that the leader knew when it
/// granted it: it is extended when the node acts on that one, and not before. What a node knew when it was
/// stopped may have come true and be over since.
#[derive(Debug, Default)]
pub struct Lease {
    /// When it ends. Written by the task that renews it, read by every worker before a turn, before a
    /// route, and before replies are sent. Whoever reads a longer one (Acquire) and then a route sees the
    /// routes of the map for which it was granted, which were set before it was extended (Release). A
    /// worker that reads an old value reads an earlier end.
    until: AtomicU64,
    /// A test has set its end ([`Lease::force`]).
    forced: AtomicBool,
}

impl Lease {
    /// Whether it lasts at `now`.
    #[inline]
    pub fn lasts(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Acquire)
    }

    /// When it ends.
    pub fn until(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }

    /// The leader has granted one to `until`. An end that was granted is never taken back by an
    /// earlier one.
    pub fn extend(&self, until: u64) {
        if self.forced.load(Ordering::Relaxed) {
            return;
        }
        self.until.fetch_max(until, Ordering::AcqRel);
    }

    /// It ends at `limit` if it was to last longer.
    pub fn limit(&self, limit: u64) {
        if self.forced.load(Ordering::Relaxed) {
            return;
        }
        self.until.fetch_min(limit, Ordering::Relaxed);
    }

    /// It ends at `until`, whatever the leader grants from now on: DEBUG, for tests.
    pub fn force(&self, until: u64) {
        self.forced.store(true, Ordering::Relaxed);
        self.until.store(until, Ordering::Relaxed);
    }

    /// It is over: this node has been removed, or goes.
    pub fn end(&self) {
        if self.forced.load(Ordering::Relaxed) {
            return;
        }
        self.until.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lasts_until_its_end() {
        let lease = Lease::default();
        assert!(!lease.lasts(0));
        lease.extend(10);
        lease.extend(5);
        assert!(lease.lasts(9) && !lease.lasts(10));
        lease.limit(20);
        assert_eq!(lease.until(), 10);
        lease.extend(u64::MAX);
        lease.limit(20);
        assert_eq!(lease.until(), 20);
        lease.end();
        assert!(!lease.lasts(0));
    }

    #[test]
    fn nobody_follows_within_a_lease() {
        assert!(LENGTH < REMOVAL && RENEWAL * 4 < LENGTH);
    }
}
