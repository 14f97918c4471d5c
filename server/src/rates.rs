//! How much happens per second: the `instantaneous_*` figures of INFO.
//!
//! The first worker's tick takes a sample every 100 ms; a rate is the difference of the newest and
//! the oldest of the last [`SAMPLES`].

use crate::stats::Stats;
use dunlin_storage::Millis;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Samples kept: 1.6 seconds.
const SAMPLES: usize = 17;
/// Milliseconds between two samples.
const INTERVAL: Millis = 100;

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    time: Millis,
    commands: u64,
    net_in: u64,
    net_out: u64,
}

/// What happens per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerSecond {
    /// Commands.
    pub commands: u64,
    /// Bytes received.
    pub net_in: u64,
    /// Bytes sent.
    pub net_out: u64,
}

/// The latest samples.
#[derive(Debug, Default)]
pub struct Rates(Mutex<VecDeque<Sample>>);

impl Rates {
    /// Takes a sample if it is time.
    pub fn tick(&self, now: Millis, stats: &Stats) {
        let mut samples = self.lock();
        if samples.back().is_some_and(|last| (0..INTERVAL).contains(&(now - last.time))) {
            return;
        }
        let (net_in, net_out) = (stats.sum(|w| &w.net_in), stats.sum(|w| &w.net_out));
        // Counters of several hundred commands are not added up ten times a second for nothing.
        let quiet = |last: &&Sample| (last.net_in, last.net_out) == (net_in, net_out);
        let last = samples.back().filter(quiet);
        let commands = last.map_or_else(|| stats.calls(), |last| last.commands);
        Self::push(&mut samples, Sample { time: now, commands, net_in, net_out });
    }

    fn push(samples: &mut VecDeque<Sample>, sample: Sample) {
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rates over the samples at hand.
    pub fn per_second(&self) -> PerSecond {
        let samples = self.lock();
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
            return PerSecond::default();
        };
        let Some(millis) = u64::try_from(last.time - first.time).ok().filter(|ms| *ms > 0) else {
            return PerSecond::default();
        };
        // Counters fall when they are reset.
        let rate = |old: u64, new: u64| new.saturating_sub(old).saturating_mul(1000) / millis;
        PerSecond {
            commands: rate(first.commands, last.commands),
            net_in: rate(first.net_in, last.net_in),
            net_out: rate(first.net_out, last.net_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_the_difference_over_the_window() {
        let rates = Rates::default();
        assert_eq!(rates.per_second(), PerSecond::default());
        for i in 0..40_u32 {
            let commands = u64::from(i) * 50;
            let sample = Sample { time: i64::from(i) * 100, commands, ..Sample::default() };
            Rates::push(&mut rates.lock(), sample);
        }
        assert_eq!(rates.lock().len(), SAMPLES);
        assert_eq!(rates.per_second().commands, 500);
        let reset = Sample { time: 9_000, ..Sample::default() };
        Rates::push(&mut rates.lock(), reset);
        assert_eq!(rates.per_second().commands, 0);
    }
}
