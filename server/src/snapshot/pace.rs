//! How fast a snapshot may be written.

use std::time::Duration;

/// Bytes that may be written at once, however low the rate: a few blocks.
const BURST: u64 = 256 * 1024;
/// The longest pause at once, so that a cancellation is noticed.
const LONGEST: Duration = Duration::from_millis(20);

/// Spreads bytes over time. What was written too early has to be waited for; what could have been
/// written before, while the disk was slow, is not made up for beyond the burst.
#[derive(Debug)]
pub(super) struct Pace {
    /// When, in nanoseconds, everything written so far would have been written at the rate.
    due: u64,
}

impl Pace {
    pub(super) fn new(now_ns: u64) -> Self {
        Pace { due: now_ns }
    }

    /// So many bytes are about to be written, at `rate` bytes per second (0: no limit).
    pub(super) fn add(&mut self, bytes: u64, rate: u64, now_ns: u64) {
        let Some(cost) = nanos(bytes, rate) else {
            self.due = now_ns;
            return;
        };
        let credit = nanos(BURST, rate).unwrap_or(0);
        self.due = self.due.max(now_ns.saturating_sub(credit)).saturating_add(cost);
    }

    /// How long to wait now, a part of it at a time; none: go on.
    pub(super) fn wait(&self, now_ns: u64) -> Option<Duration> {
        let early = self.due.saturating_sub(now_ns);
        (early > 0).then(|| Duration::from_nanos(early).min(LONGEST))
    }
}

/// How long so many bytes take; none: no time.
fn nanos(bytes: u64, rate: u64) -> Option<u64> {
    let nanos = u128::from(bytes).saturating_mul(1_000_000_000).checked_div(rate.into())?;
    Some(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn bytes_take_the_time_that_the_rate_says() {
        let (mut pace, mut now) = (Pace::new(0), 0);
        for _ in 0..160 {
            pace.add(MB / 16, MB, now);
            while let Some(wait) = pace.wait(now) {
                assert!(wait <= LONGEST);
                now += wait.as_nanos() as u64;
            }
        }
        assert!((9 * SECOND..=10 * SECOND).contains(&now), "{now}");
    }

    #[test]
    fn a_slow_disk_is_not_made_up_for() {
        let mut pace = Pace::new(0);
        let late = 100 * SECOND;
        pace.add(BURST, MB, late);
        assert_eq!(pace.wait(late), None, "a burst");
        pace.add(MB, MB, late);
        assert_eq!(pace.wait(late), Some(LONGEST));
        assert_eq!(pace.wait(late + SECOND), None);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut pace = Pace::new(0);
        pace.add(u64::MAX, 0, 5);
        assert_eq!(pace.wait(5), None);
        pace.add(u64::MAX, 1, 5);
        assert_eq!(pace.wait(5), Some(LONGEST));
        pace.add(1, 0, 6);
        assert_eq!(pace.wait(6), None, "the limit was lifted");
    }
}
