//! Overload: one signal, and the gates that read it.
//!
//! A worker is overloaded when its run queue takes too long to come round ([`signal`]; [`sentinel`]
//! measures it). Cheap commands are served all the same, and TCP slows their senders: a rejection
//! costs as much as the command, and a refused GET is a query on the database behind the cache. What
//! depends on the signal is dear work and new connections. How long a turn may be depends on who else
//! is active ([`turn`]), overloaded or not; how fast connections are let in is in [`accept`] and
//! [`arrivals`], and what clients may hold in [`bytes`].

pub mod accept;
pub mod arrivals;
pub mod bytes;
mod cost;
pub mod dear;
pub mod garbage;
mod gate;
mod limit;
mod recent;
pub mod sentinel;
pub mod signal;
pub mod turn;

use crate::config::Settings;
use arrivals::Arrivals;
use bytes::ClientBytes;
use dear::Dear;
use garbage::Garbage;
pub use recent::Spread;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the workers know of their load.
#[derive(Debug)]
pub struct Overload {
    workers: Box<[WorkerLoad]>,
    dear: Dear,
    /// New connections.
    pub arrivals: Arrivals,
    /// What clients hold.
    pub bytes: ClientBytes,
    /// Removed memory that does not come back.
    pub garbage: Garbage,
    /// `overload-control`.
    control: AtomicBool,
    /// `overload-target-delay` and `overload-interval`, in nanoseconds.
    target: AtomicU64,
    interval: AtomicU64,
}

/// What one worker says of itself; written by itself only.
#[derive(Debug, Default)]
struct WorkerLoad {
    overloaded: AtomicBool,
    /// In nanoseconds, as [`Spread`] has them.
    least: AtomicU64,
    median: AtomicU64,
    high: AtomicU64,
    throttled: AtomicU64,
    overloaded_nanos: AtomicU64,
    turn_budget: AtomicU64,
    runnable: AtomicU64,
}

/// The figures of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerFigures {
    /// Its state, whether or not anybody acts on it.
    pub overloaded: bool,
    /// How long its run queue took to come round of late, in nanoseconds: in the last second in which
    /// it had something to do.
    pub sojourn: Spread,
    /// Intervals that say nothing, because the container has stopped the process in them.
    pub throttled_intervals: u64,
    /// How long it was overloaded altogether.
    pub overloaded_for: Duration,
    /// Commands that a turn may run beside other connections.
    pub turn_budget: u64,
    /// Turns in the last round of the run queue that was looked at.
    pub runnable: u64,
}

impl WorkerLoad {
    fn show(&self, spread: Spread) {
        self.least.store(spread.least, Ordering::Relaxed);
        self.median.store(spread.median, Ordering::Relaxed);
        self.high.store(spread.high, Ordering::Relaxed);
    }

    fn figures(&self) -> WorkerFigures {
        let get = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        WorkerFigures {
            overloaded: self.overloaded.load(Ordering::Relaxed),
            sojourn: Spread {
                least: get(&self.least),
                median: get(&self.median),
                high: get(&self.high),
            },
            throttled_intervals: get(&self.throttled),
            overloaded_for: Duration::from_nanos(get(&self.overloaded_nanos)),
            turn_budget: get(&self.turn_budget),
            runnable: get(&self.runnable),
        }
    }
}

impl Overload {
    /// For so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Overload {
            workers: (0..workers).map(|_| WorkerLoad::default()).collect(),
            dear: Dear::new(workers),
            arrivals: Arrivals::default(),
            garbage: Garbage::default(),
            bytes: ClientBytes::default(),
            control: AtomicBool::new(true),
            target: AtomicU64::new(0),
            interval: AtomicU64::new(0),
        }
    }

    /// The directives have changed.
    pub fn configure(&self, settings: &Settings) {
        self.control.store(settings.overload_control, Ordering::Relaxed);
        self.target.store(settings.overload_target_delay * 1_000, Ordering::Relaxed);
        self.interval.store(settings.overload_interval * 1_000_000, Ordering::Relaxed);
        self.dear.configure(settings);
        let pause = &settings.output_pause;
        let scarce = if settings.overload_control { pause.when_scarce } else { pause.always };
        self.garbage.set_budget(settings.maxmemory);
        self.bytes.configure(settings.maxmemory_clients, pause.always, scarce.min(pause.always));
    }

    /// Whether anything depends on the load: `overload-control`.
    #[must_use]
    #[inline]
    pub fn is_controlled(&self) -> bool {
        self.control.load(Ordering::Relaxed)
    }

    /// Whether worker `index` is overloaded and something is to be done about it.
    #[must_use]
    pub fn is_overloaded(&self, index: usize) -> bool {
        let overloaded = |worker: &WorkerLoad| worker.overloaded.load(Ordering::Relaxed);
        self.is_controlled() && self.workers.get(index).is_some_and(overloaded)
    }

    /// Whether any worker is.
    #[must_use]
    pub fn any(&self) -> bool {
        (0..self.workers.len()).any(|index| self.is_overloaded(index))
    }

    /// Says so, for a worker.
    pub fn set(&self, index: usize, overloaded: bool) {
        if let Some(worker) = self.workers.get(index) {
            worker.overloaded.store(overloaded, Ordering::Relaxed);
        }
    }

    /// The figures of every worker.
    pub fn figures(&self) -> impl Iterator<Item = WorkerFigures> {
        self.workers.iter().map(WorkerLoad::figures)
    }

    fn worker(&self, index: usize) -> &WorkerLoad {
        &self.workers[index]
    }

    /// The sojourn from which a queue is long, in nanoseconds.
    fn target(&self) -> u64 {
        self.target.load(Ordering::Relaxed)
    }

    /// The length of an interval in nanoseconds.
    fn interval(&self) -> u64 {
        self.interval.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Overload;

    #[test]
    fn nobody_acts_on_a_load_that_is_not_controlled() {
        let overload = Overload::new(2);
        overload.set(1, true);
        overload.set(7, true);
        assert!(overload.is_overloaded(1) && !overload.is_overloaded(0) && overload.any());
        overload.control.store(false, std::sync::atomic::Ordering::Relaxed);
        assert!(!overload.any());
        assert!(overload.figures().any(|worker| worker.overloaded));
    }
}
