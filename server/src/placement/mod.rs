//! Which worker serves which connection, and how many workers serve at all.
//!
//! **Load.** A worker's load is how much of the time its thread runs or wants to ([`Load::busy`]), and
//! how many connections are ready at once ([`Load::runnable`]). Neither costs a command anything: the
//! first one is what the kernel has counted, the second one is looked at some times per second.
//!
//! **New connections** go to the less loaded of two workers drawn at random ([`choose`]).
//!
//! **Moves.** A sidecar has few connections, and their loads differ, so what was even when they came
//! does not stay so. Once per window the [`director`] compares the workers; if one has been much busier
//! than another for some windows, connections are asked to go there ([`balance`]). A connection goes by
//! itself, between two commands, with its socket and its session ([`crate::connection`]); what it has
//! received and not executed goes along, so nothing is lost and nothing overtakes anything.
//!
//! **Workers.** All of them begin to serve. When there is little to do the last ones are parked, down
//! to `workers-min`; when more connections are ready than those who serve can take, or many come at
//! once, they serve again ([`scale`]). A parked worker has no connections and no background work, and
//! sleeps until it is called. The active ones are always the first ones, so that one number says
//! which they are.
//!
//! **Time** is counted in windows of `placement-window` milliseconds, a second: hysteresis, residence and
//! cooldowns are so and so many windows. Both controllers are pure; tests run them without a clock.

mod balance;
mod choose;
mod director;
mod load;
mod scale;

pub use balance::{Balance, Move, Tenant};
pub use director::direct;
pub use load::{Load, Meter};
pub use scale::{Sample, Scale};

use crate::client::ClientShared;
use crate::connection::Parcel;
use choose::Candidate;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc};

/// New connections per active worker and window beyond which parked workers are called.
const CROWD: usize = 10;

/// What everybody may know of the workers, and the ways to them.
#[derive(Debug)]
pub struct Placement {
    seats: Box<[Seat]>,
    /// Workers that serve: the first so many.
    active: AtomicUsize,
    /// The least that may be, as the settings say.
    min: AtomicUsize,
    /// Connections that have come in this window.
    arrivals: AtomicUsize,
    scale: Mutex<Scale>,
    /// What has happened so far.
    pub counts: Counts,
}

/// One worker, seen from the others.
#[derive(Debug)]
struct Seat {
    load: Arc<Load>,
    sender: mpsc::UnboundedSender<Parcel>,
    /// Until the worker takes it.
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Parcel>>>,
    /// Calls it when it is parked.
    called: Notify,
}

/// Figures about changes.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that have gone to another worker.
    pub moved: AtomicU64,
    /// Connections that were asked to and could not.
    pub stayed: AtomicU64,
    /// Workers that were called.
    pub added: AtomicU64,
    /// Workers that were parked.
    pub removed: AtomicU64,
}

impl Placement {
    /// For so many workers, all of which serve.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let seat = |_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let receiver = Mutex::new(Some(receiver));
            Seat { load: Arc::default(), sender, receiver, called: Notify::new() }
        };
        Placement {
            seats: (0..workers).map(seat).collect(),
            active: AtomicUsize::new(workers),
            min: AtomicUsize::new(1),
            arrivals: AtomicUsize::new(0),
            scale: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// Follows the settings: `min` is `workers-min`, 0 for all.
    pub fn configure(&self, min: u32) {
        let all = self.seats.len();
        let min = usize::try_from(min).unwrap_or(all);
        let min = if min == 0 { all } else { min.min(all) };
        self.min.store(min, Ordering::Relaxed);
    }

    /// Workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.seats.len()
    }

    /// Workers that serve; those behind them are parked, or on the way there.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// Whether worker `index` has anything to do beside waiting to be called.
    #[must_use]
    pub fn needs(&self, index: usize) -> bool {
        index < self.active() || self.connections(index) > 0
    }

    /// The load of worker `index`.
    ///
    /// # Panics
    ///
    /// If there is no such worker.
    #[must_use]
    pub fn load(&self, index: usize) -> &Arc<Load> {
        &self.seats[index].load
    }

    fn connections(&self, index: usize) -> usize {
        self.seats.get(index).map_or(0, |seat| seat.load.connections.load(Ordering::Relaxed))
    }

    /// The worker for a new connection.
    pub(crate) fn choose(&self, random: u64) -> usize {
        let arrivals = self.arrivals.fetch_add(1, Ordering::Relaxed) + 1;
        let active = self.active();
        if active < self.workers() && arrivals > CROWD * active {
            let wanted = self.scale().crowd(arrivals.div_ceil(CROWD).min(self.workers()), active);
            wanted.into_iter().for_each(|wanted| self.set_active(wanted));
        }
        let chosen = choose::choose(self.active(), random, |index| {
            let load = self.load(index);
            Candidate {
                busy: load.busy(),
                connections: load.connections.load(Ordering::Relaxed),
                newcomers: load.newcomers(),
            }
        });
        self.load(chosen).add_newcomer();
        chosen
    }

    /// Asks the client's connection to go to worker `to` as soon as it can.
    pub(crate) fn ask(&self, client: &ClientShared, to: usize) {
        if to < self.workers() {
            client.set_destination(Some(to));
            client.signal.notify();
        }
    }

    /// Sends a connection to worker `to`, which counts it from now on; gives it back if the worker
    /// has ended.
    pub(crate) fn send(&self, parcel: Parcel, to: usize) -> Result<(), Parcel> {
        let Some(seat) = self.seats.get(to) else { return Err(parcel) };
        // First: a worker that ends waits for all that it counts.
        seat.load.connections.fetch_add(1, Ordering::AcqRel);
        seat.sender.send(parcel).map_err(|mpsc::error::SendError(parcel)| {
            seat.load.connections.fetch_sub(1, Ordering::AcqRel);
            parcel
        })
    }

    /// Where connections come from other workers; the worker's own, once.
    pub(crate) fn take_parcels(&self, index: usize) -> mpsc::UnboundedReceiver<Parcel> {
        let taken = self.seats.get(index).and_then(|seat| lock(&seat.receiver).take());
        taken.unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    /// Waits until worker `index` is called.
    pub(crate) async fn called(&self, index: usize) {
        if let Some(seat) = self.seats.get(index) {
            seat.called.notified().await;
        }
    }

    /// Changes how many workers serve, and counts it.
    fn set_active(&self, wanted: usize) {
        let before = self.active.swap(wanted, Ordering::AcqRel);
        for seat in self.seats.get(before..wanted).unwrap_or(&[]) {
            seat.called.notify_one();
        }
        let count = |counter: &AtomicU64, n: usize| counter.fetch_add(n as u64, Ordering::Relaxed);
        count(&self.counts.added, wanted.saturating_sub(before));
        count(&self.counts.removed, before.saturating_sub(wanted));
        tracing::debug!(before, workers = wanted, "the number of active workers changes");
    }

    fn scale(&self) -> std::sync::MutexGuard<'_, Scale> {
        lock(&self.scale)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
