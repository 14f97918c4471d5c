//! The latency monitor: the worst moments of each kind of event, as LATENCY shows them.
//!
//! An event that took at least `latency-monitor-threshold` milliseconds is kept: one sample per
//! second (the worst) and the last 160 of them per event. Locked only by slow events and LATENCY.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Samples kept per event.
pub const HISTORY: usize = 160;

/// The worst event of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix time in seconds.
    pub time: i64,
    /// Duration in milliseconds.
    pub millis: u64,
}

/// What is known of one kind of event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Samples, oldest first.
    pub samples: VecDeque<Sample>,
    /// The worst ever, in milliseconds.
    pub max: u64,
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.max = self.max.max(sample.millis);
        if let Some(last) = self.samples.back_mut()
            && last.time == sample.time
        {
            last.millis = last.millis.max(sample.millis);
            return;
        }
        if self.samples.len() == HISTORY {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// All kinds of events.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    threshold: AtomicU64,
    events: Mutex<BTreeMap<&'static str, Series>>,
}

impl LatencyMonitor {
    /// Applies the setting; 0 = off.
    pub fn configure(&self, threshold_millis: u64) {
        self.threshold.store(threshold_millis, Ordering::Relaxed);
    }

    /// Milliseconds from which an event is kept, 0 = off.
    #[inline]
    pub fn threshold(&self) -> u64 {
        self.threshold.load(Ordering::Relaxed)
    }

    /// Keeps an event if it was slow enough.
    pub fn record(&self, event: &'static str, millis: u64, unix_seconds: i64) {
        let threshold = self.threshold();
        if threshold != 0 && millis >= threshold {
            self.lock().entry(event).or_default().add(Sample { time: unix_seconds, millis });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Series>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every event with its samples.
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        self.lock().iter().map(|(event, series)| (*event, series.clone())).collect()
    }

    /// The samples of one event.
    pub fn series(&self, event: &[u8]) -> Option<(&'static str, Series)> {
        let events = self.lock();
        let found = events.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(event))?;
        Some((*found.0, found.1.clone()))
    }

    /// Forgets one event, or all; how many were forgotten.
    pub fn reset(&self, event: Option<&[u8]>) -> usize {
        let mut events = self.lock();
        let before = events.len();
        match event {
            Some(event) => events.retain(|name, _| !name.as_bytes().eq_ignore_ascii_case(event)),
            None => events.clear(),
        }
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slow_events_are_kept() {
        let monitor = LatencyMonitor::default();
        monitor.record("command", 1000, 1);
        assert!(monitor.all().is_empty());
        monitor.configure(10);
        monitor.record("command", 9, 1);
        assert!(monitor.all().is_empty());
        monitor.record("command", 10, 1);
        assert_eq!(monitor.all().len(), 1);
    }

    #[test]
    fn one_sample_per_second_and_a_bounded_history() {
        let monitor = LatencyMonitor::default();
        monitor.configure(1);
        for millis in [5, 9, 7] {
            monitor.record("command", millis, 1);
        }
        let (_, series) = monitor.series(b"COMMAND").expect("recorded above");
        assert_eq!(series.samples, [Sample { time: 1, millis: 9 }]);
        for time in 2..=200 {
            monitor.record("command", 3, time);
        }
        let (_, series) = monitor.series(b"command").expect("recorded above");
        assert_eq!((series.samples.len(), series.max), (HISTORY, 9));
        assert_eq!(series.samples.back().map(|s| s.time), Some(200));
    }

    #[test]
    fn reset_counts_what_it_forgets() {
        let monitor = LatencyMonitor::default();
        monitor.configure(1);
        monitor.record("command", 1, 1);
        monitor.record("fast-command", 1, 1);
        assert_eq!(monitor.reset(Some(b"none")), 0);
        assert_eq!(monitor.reset(Some(b"command")), 1);
        assert_eq!(monitor.reset(None), 1);
    }
}
