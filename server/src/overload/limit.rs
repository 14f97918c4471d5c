//! How many dear commands may run at once.
//!
//! More at once than there are processors for only makes all of them slower, and how many there are is
//! not known: other programs, other connections and a container's quota take their part. So the limit
//! finds out. It is raised by one per interval while it is made use of and nothing suffers, and
//! lowered by a third when something does (additive increase, multiplicative decrease): a worker is
//! overloaded, or all dear commands took much longer than they have worked, because they waited for a
//! processor or for each other's shards.

/// The share that is left of a limit that was too high.
const DECREASE: (usize, usize) = (7, 10);
/// Time over processor time of a dear command from which there are too many: at this, each of two had
/// half of a processor.
const STRETCH: u64 = 2;
/// Nanoseconds of the way to another thread, which do not count.
const WAY: u64 = 200_000;

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Limit {
    limit: usize,
    cap: usize,
    /// The most that ran at once in this interval.
    most: usize,
    /// The least stretch of those that have ended in it.
    stretch: Option<u64>,
}

impl Limit {
    pub(super) fn new(start: usize, cap: usize) -> Limit {
        let cap = cap.max(1);
        Limit { limit: start.clamp(1, cap), cap, most: 0, stretch: None }
    }

    pub(super) fn get(&self) -> usize {
        self.limit
    }

    /// The cap has changed.
    pub(super) fn set_cap(&mut self, cap: usize) {
        self.cap = cap.max(1);
        self.limit = self.limit.min(self.cap);
    }

    /// So many run.
    pub(super) fn runs(&mut self, running: usize) {
        self.most = self.most.max(running);
    }

    /// One has ended that took so long since it was let in, and so much processor time.
    pub(super) fn ended(&mut self, time: u64, processor: u64) {
        let stretch = time.saturating_sub(WAY) / processor.max(1);
        self.stretch = Some(self.stretch.map_or(stretch, |least| least.min(stretch)));
    }

    /// An interval is over; `overloaded`: a worker is.
    pub(super) fn end_interval(&mut self, overloaded: bool, running: usize) {
        let crowded = self.stretch.take().is_some_and(|stretch| stretch >= STRETCH);
        let used = std::mem::replace(&mut self.most, running) * 2 >= self.limit;
        if overloaded || crowded {
            self.limit = (self.limit * DECREASE.0 / DECREASE.1).max(1);
        } else if used {
            self.limit = (self.limit + 1).min(self.cap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit over so many processors for an interval in which there is always more to run.
    fn interval(limit: &mut Limit, processors: f64) -> f64 {
        #[expect(clippy::cast_precision_loss)]
        let running = limit.get() as f64;
        limit.runs(limit.get());
        let stretch = (running / processors).max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        limit.ended((stretch * 2e6) as u64 + WAY, 2_000_000);
        limit.end_interval(false, limit.get());
        // Work done, as a share of what could be.
        running.min(processors) / processors
    }

    #[test]
    fn it_finds_the_processors_and_keeps_them_busy() {
        for processors in [1.0, 2.0, 6.0, 14.0] {
            let mut limit = Limit::new(2, 64);
            let _: f64 = (0..40).map(|_| interval(&mut limit, processors)).sum();
            for _ in 0..100 {
                let done = interval(&mut limit, processors);
                assert!(done > 0.9, "{processors}: {} of {limit:?}", done);
                #[expect(clippy::cast_precision_loss)]
                let limit = limit.get() as f64;
                assert!(limit <= 2.0 * processors + 1.0, "{processors}: {limit}");
            }
        }
    }

    #[test]
    fn a_step_of_what_there_is_changes_the_work_done_by_nothing_else() {
        // Half of the processors go to somebody else and come back, once a second.
        let mut limit = Limit::new(8, 64);
        for second in 0..20 {
            let processors = if second % 2 == 0 { 4.0 } else { 2.0 };
            let done: Vec<f64> = (0..10).map(|_| interval(&mut limit, processors)).collect();
            // Settled after two intervals.
            assert!(done[2..].iter().all(|done| *done > 0.9), "{second}: {done:?}");
        }
    }

    #[test]
    fn overload_lowers_it_to_one_and_no_use_does_not_raise_it() {
        let mut limit = Limit::new(16, 64);
        let mut seen = Vec::new();
        for _ in 0..10 {
            limit.end_interval(true, 0);
            seen.push(limit.get());
        }
        assert_eq!(seen, [11, 7, 4, 2, 1, 1, 1, 1, 1, 1]);
        limit.runs(1);
        limit.end_interval(false, 0);
        assert_eq!(limit.get(), 2);
        (0..50).for_each(|_| limit.end_interval(false, 0));
        assert_eq!(limit.get(), 2, "nobody makes use of it");
    }

    #[test]
    fn it_stays_below_its_cap() {
        let mut limit = Limit::new(2, 4);
        for _ in 0..10 {
            limit.runs(limit.get());
            limit.end_interval(false, 0);
        }
        assert_eq!(limit.get(), 4);
        limit.set_cap(0);
        assert_eq!(limit.get(), 1);
    }

    /// The limit after an interval in which these ran at once and took such times and processor times.
    fn after(start: usize, running: usize, ended: &[(u64, u64)]) -> usize {
        let mut limit = Limit::new(start, 64);
        limit.runs(running);
        ended.iter().for_each(|(time, processor)| limit.ended(*time, *processor));
        limit.end_interval(false, 0);
        limit.get()
    }

    #[test]
    fn what_takes_twice_its_processor_time_is_too_much_if_all_do() {
        assert_eq!(after(10, 10, &[]), 11);
        assert_eq!(after(10, 10, &[(WAY + 199, 100)]), 11);
        assert_eq!(after(10, 10, &[(WAY + 200, 100)]), 7);
        assert_eq!(after(10, 10, &[(WAY + 900, 100), (WAY + 199, 100), (WAY + 900, 100)]), 11);
        assert_eq!(after(10, 10, &[(WAY + 2, 0)]), 7, "no time at all is some");
        assert_eq!(after(10, 10, &[(WAY + 1, 0)]), 11);
    }

    #[test]
    fn a_limit_is_made_use_of_from_half_of_it_on() {
        assert_eq!(after(10, 4, &[]), 10);
        assert_eq!(after(10, 5, &[]), 11);
        let mut limit = Limit::new(10, 64);
        limit.runs(9);
        limit.runs(2);
        limit.end_interval(false, 2);
        assert_eq!(limit.get(), 11, "the most counts");
        limit.end_interval(false, 5);
        assert_eq!(limit.get(), 11, "two run on");
        limit.end_interval(false, 0);
        assert_eq!(limit.get(), 11, "five run on: not half of it");
        assert_eq!(after(0, 0, &[]), 1);
        assert_eq!(Limit::new(70, 64).get(), 64);
        assert_eq!(Limit::new(70, 0).get(), 1);
    }
}
