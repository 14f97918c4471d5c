//! How long the copying of a base rests between two slices.
//!
//! Nobody waits for a base, and many may wait for the processor on which it is copied. Whether they do
//! shows when the copying thread wants to go on: it is late, because somebody else runs. Then it rests
//! longer, each time, and a little shorter whenever it is not late.
//!
//! ```text
//!   rest:  at least SHARE slices --- x GROW, when it was late ---> at most LONGEST
//!                                <-- x SHRINK, when it was not --
//! ```
//!
//! However busy the machine is, there is a slice after [`LONGEST`]: a base comes to its end.

use std::time::Duration;

/// It rests at least for so many times as long as the slice took: also where nobody else runs, others
/// may have work for the thread that takes what is sent.
const SHARE: u32 = 2;
/// The longest rest: a hundredth of the time is left for a base, however many others run.
const LONGEST: Duration = Duration::from_millis(10);
/// Where nobody else runs, a timer is late by less than this.
const LATE: Duration = Duration::from_micros(500);
const GROW: f64 = 1.5;
const SHRINK: f64 = 0.9;

/// See the [module documentation](self).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    rest: Duration,
}

impl Pace {
    /// How long to rest after a slice that took so long, when the thread woke from the last rest so late.
    pub(super) fn rest(&mut self, took: Duration, late: Duration) -> Duration {
        let factor = if late > LATE { GROW } else { SHRINK };
        let least = took.saturating_mul(SHARE).min(LONGEST);
        self.rest = self.rest.mul_f64(factor).clamp(least, LONGEST);
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_micros(100);

    #[test]
    fn it_rests_twice_as_long_as_it_works_where_nobody_else_runs() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.rest(SLICE, LATE), SLICE * 2);
        }
    }

    #[test]
    fn it_gives_way_where_others_run_but_not_for_ever() {
        let mut pace = Pace::default();
        let rests: Vec<Duration> = (0..100).map(|_| pace.rest(SLICE, LATE * 2)).collect();
        assert!(rests.is_sorted());
        assert_eq!(rests.last(), Some(&LONGEST));
        assert_eq!(pace.rest(Duration::MAX, LATE * 2), LONGEST, "however long a slice takes");
    }

    #[test]
    fn it_comes_back() {
        let mut pace = Pace::default();
        assert_eq!((0..100).map(|_| pace.rest(SLICE, Duration::MAX)).last(), Some(LONGEST));
        assert!((0..100).any(|_| pace.rest(SLICE, Duration::ZERO) == SLICE * 2));
    }

    /// Whoever is late every other time gives way as well: what is gained is less than what was lost.
    #[test]
    fn now_and_then_is_enough() {
        let mut pace = Pace::default();
        for turn in 0..200 {
            pace.rest(SLICE, if turn % 2 == 0 { LATE * 2 } else { Duration::ZERO });
        }
        assert!(pace.rest(SLICE, LATE * 2) > LONGEST / 2);
    }
}
