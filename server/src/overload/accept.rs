//! How fast new connections are let in: two small machines without sockets or clocks.
//!
//! [`AcceptRate`] bounds the rate while workers are overloaded. Whoever is served already goes before
//! whoever comes: a storm of new connections must not take the time that the established ones need.
//! Those who wait do so in the kernel's queue, where they cost nothing.
//!
//! ```text
//!   no limit --overloaded--> half of what came in --overloaded--> half of that ... not below the floor
//!      ^                                             |
//!      '-- a second in which nobody had to wait <----+--good--> a step more, each interval
//! ```
//!
//! Each step is twice the one before, until there is an overload again: when a storm is over, the kernel's
//! queue may be full of clients that have gone, and whoever comes stands behind them. At steps of ten per
//! second that would take three seconds. For the same reason those who have gone do not count (the
//! acceptor looks): the rate is for those who are still there.
//!
//! [`failure_of`] and [`BackOff`] say what an error of `accept` means for the next one. An error that is
//! about one connection says nothing about the next. One that is about the system (no descriptors) would
//! come again at once, because the listener stays ready: asking again without a pause is a busy loop.

use rustix::io::Errno;
use std::io;

/// Length of an interval: the signal's own.
pub const INTERVAL_MS: u64 = 100;
/// Good intervals in which nobody had to wait before the limit is lifted.
const CALM: u64 = 10;
/// Time in which nobody came that may be made up for by a burst: timers are not finer than this.
const SLACK_NS: u64 = 10_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// The rate at which connections are accepted; see the [module documentation](self). All times are
/// nanoseconds of a clock that never goes back.
#[derive(Debug, Default)]
pub struct AcceptRate {
    /// Connections per second; `None`: as many as come.
    limit: Option<u64>,
    /// When the present interval began.
    began: u64,
    /// Accepted in it.
    accepted: u64,
    /// Whether one of these had to wait.
    delayed: bool,
    /// Intervals in a row in which the limit was of no consequence.
    calm: u64,
    /// Good intervals since the last overload.
    good: u32,
    /// When the next one may be accepted.
    due: u64,
}

/// After so many doublings a step stays as it is.
const DOUBLINGS: u32 = 10;

impl AcceptRate {
    /// How long nobody is to be accepted from `now` on, in nanoseconds; 0: the next one may come.
    /// `floor` is the least limit, and the first step by which it grows.
    pub fn wait(&mut self, now: u64, overloaded: bool, floor: u64) -> u64 {
        self.pass(now, overloaded, floor.max(1));
        match self.limit {
            Some(_) => self.due.saturating_sub(now),
            None => 0,
        }
    }

    /// One was accepted; `delayed`: only after a wait.
    pub fn accepted(&mut self, now: u64, delayed: bool) {
        self.accepted += 1;
        self.delayed |= delayed;
        if let Some(limit) = self.limit {
            self.due = self.due.max(now.saturating_sub(SLACK_NS)) + SECOND_NS / limit.max(1);
        }
    }

    /// Connections per second; `None`: as many as come.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Ends the intervals that are over. Nobody came in all but the first of them.
    fn pass(&mut self, now: u64, overloaded: bool, floor: u64) {
        let intervals = now.saturating_sub(self.began) / (INTERVAL_MS * 1_000_000);
        if intervals == 0 {
            return;
        }
        if overloaded {
            let per_second = self.accepted * 1_000 / (INTERVAL_MS * intervals);
            self.limit = Some((self.limit.unwrap_or(per_second) / 2).max(floor));
            self.calm = 0;
            self.good = 0;
        } else if let Some(limit) = self.limit {
            self.calm = if self.delayed { 0 } else { self.calm + intervals };
            let step = floor.saturating_mul(1 << self.good.min(DOUBLINGS));
            self.good = self.good.saturating_add(1);
            let more = limit.saturating_add(step.saturating_mul(intervals));
            self.limit = (self.calm < CALM).then_some(more);
        }
        self.began = now;
        self.accepted = 0;
        self.delayed = false;
    }
}

/// What an error of `accept` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// One connection, which is gone: the next may be fine.
    Connection,
    /// There are no descriptors.
    Descriptors,
    /// The system: memory, or something unknown.
    System,
}

/// What `error` of `accept` is about.
pub fn failure_of(error: &io::Error) -> Failure {
    // Numbers instead of kinds: the standard library has no kinds for some of them.
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE) => Failure::Descriptors,
        // Linux passes the network errors of a connection that was not accepted yet on to accept.
        Some(
            Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::INTR
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
            | Errno::TIMEDOUT,
        ) => Failure::Connection,
        _ => Failure::System,
    }
}

/// Pauses of one listener after failures that would come again at once.
#[derive(Debug, Default)]
pub struct BackOff {
    /// Failures in a row.
    failures: u32,
}

impl BackOff {
    /// The first pause and the longest, in milliseconds.
    const PAUSE_MS: (u64, u64) = (10, 100);

    /// It failed: how long to leave the listener alone, in milliseconds.
    pub fn failed(&mut self) -> u64 {
        let pause = Self::PAUSE_MS.0 << self.failures.min(8);
        self.failures = self.failures.saturating_add(1);
        pause.min(Self::PAUSE_MS.1)
    }

    /// It did not.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Lets `per_second` arrive for `ms`, and says how many got in.
    fn run(rate: &mut AcceptRate, now: &mut u64, per_second: u64, ms: u64, busy: bool) -> u64 {
        let end = *now + ms * MS;
        let gap = SECOND_NS / per_second;
        let (mut arrived, mut let_in) = (*now + gap, 0);
        while arrived < end {
            let mut delayed = false;
            *now = arrived.max(*now);
            loop {
                let wait = rate.wait(*now, busy, 20);
                if wait == 0 {
                    break;
                }
                delayed = true;
                // No timer is finer than a millisecond.
                *now += wait.next_multiple_of(MS);
            }
            if *now >= end {
                break;
            }
            rate.accepted(*now, delayed);
            let_in += 1;
            arrived += gap;
        }
        *now = end;
        let_in
    }

    #[test]
    fn nobody_waits_without_overload() {
        let (mut rate, mut now) = (AcceptRate::default(), 0);
        assert_eq!(run(&mut rate, &mut now, 10_000, 1_000, false), 9_999);
        assert_eq!(rate.limit(), None);
    }

    #[test]
    fn overload_halves_the_rate_down_to_the_floor_and_a_good_time_raises_it() {
        let (mut rate, mut now) = (AcceptRate::default(), 0);
        run(&mut rate, &mut now, 10_000, 200, false);
        // 10,000 are halved nine times in a second, and end at the floor of 20.
        let first = run(&mut rate, &mut now, 10_000, 1_000, true);
        assert!((1_000..2_200).contains(&first), "{first}");
        let floored = run(&mut rate, &mut now, 10_000, 5_000, true);
        assert_eq!(rate.limit(), Some(20));
        assert!((95..=105).contains(&floored), "{floored}");
        // 40, 80, 160 ... a second, for a tenth of a second each.
        let half = run(&mut rate, &mut now, 10_000, 500, false);
        assert!((30..130).contains(&half), "{half}");
        let limit = rate.limit().expect("there is still a limit: clients wait");
        assert!((320..=1_280).contains(&limit), "{limit}");
        let whole = half + run(&mut rate, &mut now, 10_000, 500, false);
        assert!((1_000..4_100).contains(&whole), "a queue of 1,000 is empty in a second: {whole}");
        // One bad interval, and the steps are small again.
        run(&mut rate, &mut now, 10_000, 2_000, true);
        assert_eq!(rate.limit(), Some(20));
        let half = run(&mut rate, &mut now, 10_000, 500, false);
        assert!((30..130).contains(&half), "{half}");
    }

    #[test]
    fn the_limit_is_lifted_when_nobody_has_to_wait() {
        let (mut rate, mut now) = (AcceptRate::default(), 0);
        run(&mut rate, &mut now, 1_000, 3_000, true);
        assert_eq!(rate.limit(), Some(20));
        run(&mut rate, &mut now, 10, 500, false);
        assert!(rate.limit().is_some(), "not at once");
        run(&mut rate, &mut now, 10, 1_500, false);
        assert_eq!(rate.limit(), None);
        // A time in which nobody comes counts as well.
        run(&mut rate, &mut now, 1_000, 3_000, true);
        now += 5_000 * MS;
        assert_eq!(rate.wait(now, false, 20), 0);
        assert_eq!(rate.limit(), None);
    }

    #[test]
    fn load_in_waves_does_not_make_the_rate_swing_above_what_was_fine() {
        let (mut rate, mut now) = (AcceptRate::default(), 0);
        let mut waves = Vec::new();
        for _ in 0..10 {
            let busy = run(&mut rate, &mut now, 5_000, 500, true);
            let good = run(&mut rate, &mut now, 5_000, 500, false);
            waves.push(busy + good);
        }
        let last = waves.split_off(5);
        let (least, most) = (last.iter().min().unwrap(), last.iter().max().unwrap());
        assert!(most - least <= most / 10 + 2, "{waves:?} {last:?}");
    }

    #[test]
    fn errors_are_told_apart() {
        let of = |errno: rustix::io::Errno| failure_of(&errno.into());
        assert_eq!(of(Errno::MFILE), Failure::Descriptors);
        assert_eq!(of(Errno::NFILE), Failure::Descriptors);
        assert_eq!(of(Errno::CONNABORTED), Failure::Connection);
        assert_eq!(of(Errno::NOBUFS), Failure::System);
        assert_eq!(failure_of(&io::ErrorKind::Other.into()), Failure::System);
    }

    #[test]
    fn pauses_grow_to_a_tenth_of_a_second() {
        let mut back_off = BackOff::default();
        let pauses: Vec<u64> = (0..6).map(|_| back_off.failed()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 100, 100]);
        back_off.succeeded();
        assert_eq!(back_off.failed(), 10);
    }
}
