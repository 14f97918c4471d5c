//! When a worker is overloaded: a standing queue.
//!
//! The figure is the **sojourn**, the time in which a worker's run queue comes round once: so long a
//! connection that is ready now waits for its turn. Long sojourns are no overload by themselves: a
//! burst makes one, and is worked off. A queue that stands is one that never becomes short, so what
//! counts is the *least* sojourn of an interval (CoDel): above the target the worker is overloaded,
//! and it is no more after [`GOOD`] intervals below it.
//!
//! An interval in which the container has stopped the process says nothing about the load: the time
//! away looks like a queue. It changes nothing and is counted apart.
//!
//! The machine here is told of samples and of the end of intervals; it knows no clock.

/// So many good intervals in a row end an overload.
const GOOD: u32 = 2;

/// What an interval was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// The queue was short at least once, or there was none.
    Good,
    /// The queue was long all the time.
    Bad,
    /// The container has stopped the process in between.
    Throttled,
}

/// See the [module documentation](self). Times are in nanoseconds.
#[derive(Debug, Default)]
pub struct Signal {
    /// The least sojourn of this interval, if there was any.
    least: Option<u64>,
    /// Good intervals since the last bad one.
    good: u32,
    overloaded: bool,
}

impl Signal {
    /// The run queue has come round in `sojourn`.
    pub fn sample(&mut self, sojourn: u64) {
        self.least = Some(self.least.map_or(sojourn, |least| least.min(sojourn)));
    }

    /// Whether anything has run in this interval.
    #[must_use]
    pub fn has_samples(&self) -> bool {
        self.least.is_some()
    }

    /// An interval is over; `throttled`: the container has stopped the process in it.
    pub fn end_interval(&mut self, target: u64, throttled: bool) -> Interval {
        let least = self.least.take();
        if throttled {
            return Interval::Throttled;
        }
        if least.is_some_and(|least| least > target) {
            self.good = 0;
            self.overloaded = true;
            return Interval::Bad;
        }
        self.good = self.good.saturating_add(1);
        self.overloaded &= self.good < GOOD;
        Interval::Good
    }

    /// Whether the worker is overloaded.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.overloaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: u64 = 1_000_000;
    const INTERVAL: u64 = 100_000_000;

    /// A worker that serves its queue at a fixed rate, beside the signal that watches it: work
    /// arrives as a share of what it can do, and the queue comes round in the time it takes to do
    /// what waits.
    #[derive(Default)]
    struct Worker {
        signal: Signal,
        backlog: f64,
        /// Per interval, whether it ended overloaded.
        states: Vec<bool>,
    }

    impl Worker {
        /// Runs for so many milliseconds under a load.
        fn run(&mut self, millis: u64, load: f64) {
            for _ in 0..millis * 10 {
                // A tenth of a millisecond.
                self.backlog = (self.backlog + (load - 1.0) * 100_000.0).max(0.0);
                // Closed loops and socket buffers bound what waits.
                self.backlog = self.backlog.min(50_000_000.0);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                self.signal.sample(self.backlog as u64 + 20_000);
            }
            if millis * 1_000_000 >= INTERVAL {
                self.signal.end_interval(TARGET, false);
                self.states.push(self.signal.is_overloaded());
            }
        }

        fn intervals(&mut self, count: usize, load: f64) -> Vec<bool> {
            let before = self.states.len();
            (0..count).for_each(|_| self.run(100, load));
            self.states[before..].to_vec()
        }
    }

    #[test]
    fn a_step_is_seen_within_two_intervals_and_so_is_its_end() {
        let mut worker = Worker::default();
        assert_eq!(worker.intervals(5, 0.5), [false; 5]);
        let during = worker.intervals(10, 2.0);
        assert_eq!(during[1..], [true; 9], "{during:?}");
        // The queue is worked off at twice the speed at which it came, then two intervals pass.
        let after = worker.intervals(10, 0.5);
        assert_eq!(after[3..], [false; 7], "{after:?}");
    }

    #[test]
    fn a_burst_is_no_overload() {
        let mut worker = Worker::default();
        for _ in 0..20 {
            // Every 100 ms come 40 ms of work at once: the queue is long most of the time, and always
            // becomes short.
            worker.run(20, 3.0);
            worker.run(100, 0.1);
            assert!(!worker.signal.is_overloaded());
        }
    }

    #[test]
    fn a_square_wave_changes_the_state_once_per_edge() {
        let mut worker = Worker::default();
        let mut changes = 0;
        for _ in 0..10 {
            let states = [worker.intervals(5, 2.0), worker.intervals(5, 0.5)].concat();
            changes += states.windows(2).filter(|pair| pair[0] != pair[1]).count();
        }
        assert!((10..=20).contains(&changes), "{changes}");
    }

    #[test]
    fn an_interval_without_work_is_good() {
        let mut signal = Signal::default();
        signal.sample(5 * TARGET);
        assert_eq!(signal.end_interval(TARGET, false), Interval::Bad);
        assert!(signal.is_overloaded());
        assert_eq!(signal.end_interval(TARGET, false), Interval::Good);
        assert!(signal.is_overloaded(), "one may be luck");
        assert!(!signal.has_samples());
        assert_eq!(signal.end_interval(TARGET, false), Interval::Good);
        assert!(!signal.is_overloaded());
    }

    #[test]
    fn a_throttled_interval_changes_nothing() {
        let mut signal = Signal::default();
        signal.sample(90 * TARGET);
        assert_eq!(signal.end_interval(TARGET, true), Interval::Throttled);
        assert!(!signal.is_overloaded());
        assert!(!signal.has_samples(), "nor is it carried over");
        signal.sample(2 * TARGET);
        signal.end_interval(TARGET, false);
        signal.sample(TARGET);
        signal.end_interval(TARGET, false);
        signal.end_interval(TARGET, true);
        assert!(signal.is_overloaded());
        signal.end_interval(TARGET, false);
        assert!(!signal.is_overloaded());
    }
}
