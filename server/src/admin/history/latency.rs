//! Percentiles of the last second and the last minute, from histograms that only grow.

use crate::commands::table::table;
use crate::stats::{Histogram, Stats};
use serde::Serialize;
use std::collections::VecDeque;

/// Seconds of the longer window.
const SECONDS: usize = 60;

/// Nanoseconds; all 0 if there were no executions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::admin) struct Percentiles {
    p50: u64,
    p99: u64,
    p999: u64,
}

impl Percentiles {
    /// Of what a histogram has counted.
    pub(in crate::admin) fn of(counts: &[u64]) -> Self {
        let at = |percent| Histogram::percentile(counts, percent);
        match counts.iter().all(|count| *count == 0) {
            true => Percentiles::default(),
            false => Percentiles { p50: at(50.0), p99: at(99.0), p999: at(99.9) },
        }
    }
}

/// All executions of all commands since the start.
pub(super) fn total(stats: &Stats) -> Vec<u64> {
    let mut total = Vec::new();
    let commands = stats.workers().flat_map(|worker| {
        table().entries().iter().filter_map(|entry| worker.command(entry.id).histogram())
    });
    commands.for_each(|histogram| histogram.add_to(&mut total));
    total
}

/// What has been counted lately.
#[derive(Default)]
pub(super) struct Window {
    last: Vec<u64>,
    /// By second, what was counted in it: bucket and count.
    seconds: VecDeque<Vec<(usize, u64)>>,
    /// The sum of `seconds`.
    sum: Vec<u64>,
}

impl Window {
    /// A second later: the percentiles of that second and of the minute. The first call only takes
    /// `counts` as what there was before.
    pub(super) fn push(&mut self, counts: Vec<u64>) -> (Percentiles, Percentiles) {
        if counts.len() != self.last.len() {
            self.sum.resize(counts.len(), 0);
            self.last = counts;
            return Default::default();
        }
        let grown = counts.iter().zip(&self.last).map(|(new, old)| new.saturating_sub(*old));
        let second: Vec<u64> = grown.collect();
        self.last = counts;
        if self.seconds.len() == SECONDS {
            for (bucket, count) in self.seconds.pop_front().into_iter().flatten() {
                self.sum[bucket] -= count;
            }
        }
        self.sum.iter_mut().zip(&second).for_each(|(sum, count)| *sum += count);
        let counted = second.iter().copied().enumerate().filter(|(_, count)| *count > 0);
        self.seconds.push_back(counted.collect());
        (Percentiles::of(&second), Percentiles::of(&self.sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_forgotten_after_a_minute() {
        let histogram = Histogram::default();
        let mut window = Window::default();
        let mut next = |value: Option<u64>| {
            value.into_iter().for_each(|value| histogram.record(value, 100));
            let mut counts = Vec::new();
            histogram.add_to(&mut counts);
            let (second, minute) = window.push(counts);
            (second.p50, minute.p50)
        };
        assert_eq!(next(Some(9)), (0, 0), "what was before the start does not count");
        assert_eq!(next(Some(20)), (20, 20));
        assert_eq!(next(Some(10)), (10, 10));
        for _ in 0..SECONDS - 2 {
            assert_eq!(next(None), (0, 10));
        }
        // The second with 20 has left the window, then the one with 10.
        assert_eq!(next(Some(30)), (30, 10));
        assert_eq!(next(None), (0, 30));
    }

    #[test]
    fn counters_that_were_reset_are_no_executions() {
        let mut window = Window::default();
        window.push(vec![5, 5]);
        assert_eq!(window.push(vec![0, 1]), Default::default());
        assert_eq!(window.push(vec![3, 1]).0.p99, Histogram::upper(0));
    }
}
