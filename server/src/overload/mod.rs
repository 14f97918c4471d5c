//! Overload: one signal, and the gates that read it.
//!
//! A worker is overloaded when its run queue takes too long to come round. Cheap commands are served
//! all the same, and TCP slows their senders: a rejection costs as much as the command, and a refused
//! GET is a query on the database behind the cache. What depends on the signal is dear work and new
//! connections.

pub mod accept;
pub mod arrivals;

use arrivals::Arrivals;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the workers know of their load.
#[derive(Debug)]
pub struct Overload {
    /// Per worker, whether it is overloaded: written by the worker itself, read by whoever decides.
    workers: Box<[AtomicBool]>,
    /// New connections.
    pub arrivals: Arrivals,
}

impl Overload {
    /// For so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Overload {
            workers: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            arrivals: Arrivals::default(),
        }
    }

    /// Whether worker `index` is overloaded.
    #[must_use]
    pub fn is_overloaded(&self, index: usize) -> bool {
        self.workers.get(index).is_some_and(|worker| worker.load(Ordering::Relaxed))
    }

    /// Whether any worker is.
    #[must_use]
    pub fn any(&self) -> bool {
        (0..self.workers.len()).any(|index| self.is_overloaded(index))
    }

    /// Says so, for a worker.
    pub fn set(&self, index: usize, overloaded: bool) {
        if let Some(worker) = self.workers.get(index) {
            worker.store(overloaded, Ordering::Relaxed);
        }
    }
}
