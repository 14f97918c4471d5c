//! Dear commands: which they are, and the gate that they pass.
//!
//! A command is dear when it is likely to take longer than `dear-command-threshold` ([`super::cost`]).
//! Such a command does not run in front of its worker's other connections but on the pool, and there
//! only so many run at once, so that what a machine can do is not spent on changing between them
//! ([`super::limit`]). Others wait, or are turned away with [`SHED`] while more come than can be done
//! ([`super::gate`]): turning one away costs a hundredth of running it. Cheap commands are never turned
//! away, scripts have a limit of their own (`busy-reply-threshold`), and what a transaction has queued
//! was accepted: EXEC runs on the pool if something in it is dear, and passes no gate.
//!
//! On the pool a command holds the roles of its keys' shards as long as it runs. GETs do not notice;
//! writes to these shards, and reads of large collections in them, wait in the shards' queues, with
//! their sessions and without a thread.

use super::Overload;
pub(crate) use super::cost::Forecast;
use super::cost::{self, Costs};
use super::gate::{Arrival, Gate, Rules, Verdict};
use crate::commands::error::ReplyError;
use crate::commands::spec::Flags;
use crate::commands::table::Entry;
use crate::config::Settings;
use crate::server::Server;
use dunlin_protocol::Request;
use dunlin_storage::DbId;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The reply to a command that is turned away.
pub(crate) const SHED: ReplyError =
    ReplyError::new("BUSY overloaded: command not executed, retry later");

/// Dear commands that run at once, per worker, before anything is known of the machine.
const START: usize = 2;
/// Nanoseconds that a key of the database costs a command that walks over all of them.
const WALKED_KEY: u64 = 40;

/// Who waits at the gate is told through this whether it may run.
type Bell = oneshot::Sender<Option<Permit>>;

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Dear {
    costs: Costs,
    /// Made when the first dear command comes: the time is not known before.
    gate: OnceLock<Mutex<Gate<Bell>>>,
    workers: usize,
    /// The directives: nanoseconds, or numbers per worker.
    threshold: AtomicU64,
    max_running: AtomicUsize,
    max_waiting: AtomicUsize,
    max_wait: AtomicU64,
    admitted: AtomicU64,
    shed: AtomicU64,
}

/// The figures of the gate.
#[derive(Clone, Copy, Debug, Default)]
pub struct DearFigures {
    /// Dear commands that may run at once.
    pub limit: usize,
    /// Those that run.
    pub running: usize,
    /// Those that wait.
    pub waiting: usize,
    /// The queue stands: more come than can be done.
    pub standing: bool,
    /// Those that were let in.
    pub admitted: u64,
    /// Those that were turned away.
    pub shed: u64,
}

/// The right of one dear command to run; dropped, it goes to the next.
pub(crate) struct Permit {
    server: &'static Server,
    /// When it was given, in nanoseconds.
    since: u64,
    times: Option<(u64, u64)>,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").field("times", &self.times).finish_non_exhaustive()
    }
}

impl Permit {
    fn new(server: &'static Server) -> Permit {
        Permit { server, since: server.clock.monotonic_ns(), times: None }
    }

    /// The command has run, with so many nanoseconds of a processor.
    pub(crate) fn ran(&mut self, processor: u64) {
        let time = self.server.clock.monotonic_ns().saturating_sub(self.since);
        self.times = Some((time, processor));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (server, times) = (self.server, self.times);
        server.overload.dear.change(server, |gate, _, verdicts| gate.leave(times, verdicts));
    }
}

/// One who waits, until it is told or gives up.
struct Waiting {
    server: &'static Server,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let gate = self.server.overload.dear.gate.get();
        if let Some(gate) = gate {
            gate.lock().unwrap_or_else(PoisonError::into_inner).withdraw(self.id);
        }
    }
}

impl Dear {
    pub(super) fn new(workers: usize) -> Dear {
        Dear {
            costs: Costs::default(),
            gate: OnceLock::new(),
            workers,
            threshold: AtomicU64::new(0),
            max_running: AtomicUsize::new(0),
            max_waiting: AtomicUsize::new(0),
            max_wait: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            shed: AtomicU64::new(0),
        }
    }

    pub(super) fn configure(&self, settings: &Settings) {
        self.threshold.store(settings.dear_command_threshold * 1_000, Ordering::Relaxed);
        self.max_running.store(settings.dear_commands_max_running, Ordering::Relaxed);
        self.max_waiting.store(settings.dear_commands_max_waiting, Ordering::Relaxed);
        self.max_wait.store(settings.dear_commands_max_wait * 1_000_000, Ordering::Relaxed);
    }

    fn rules(&self, overload: &Overload) -> Rules {
        Rules {
            interval: overload.interval(),
            max_waiting: self.max_waiting.load(Ordering::Relaxed) * self.workers,
            max_wait: self.max_wait.load(Ordering::Relaxed),
            cap: self.max_running.load(Ordering::Relaxed) * self.workers,
        }
    }

    /// Tells the gate that something has happened, and those who wait what becomes of them.
    fn change<T>(
        &self,
        server: &'static Server,
        event: impl FnOnce(&mut Gate<Bell>, &Rules, &mut Vec<Verdict<Bell>>) -> T,
    ) -> T {
        let overload = &server.overload;
        let (now, rules) = (server.clock.monotonic_ns(), self.rules(overload));
        let gate =
            self.gate.get_or_init(|| Mutex::new(Gate::new(START * self.workers, rules.cap, now)));
        let mut verdicts = Vec::new();
        let result = {
            let mut gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
            gate.advance(now, overload.any(), &rules, &mut verdicts);
            event(&mut gate, &rules, &mut verdicts)
        };
        for verdict in verdicts {
            // One that has just given up is not there: its permit comes back by being dropped.
            let _ = match verdict {
                Verdict::Run(bell) => bell.send(Some(Permit::new(server))),
                Verdict::Shed(bell) => bell.send(None),
            };
        }
        result
    }

    /// Waits until a dear command may run. `None`: it is turned away.
    pub(crate) async fn enter(&self, server: &'static Server) -> Option<Permit> {
        let permit = self.wait(server).await;
        let counter = if permit.is_some() { &self.admitted } else { &self.shed };
        counter.fetch_add(1, Ordering::Relaxed);
        permit
    }

    async fn wait(&self, server: &'static Server) -> Option<Permit> {
        let (bell, told) = oneshot::channel();
        let arrival =
            self.change(server, |gate, rules, verdicts| gate.arrive(rules, || bell, verdicts));
        let Arrival::Wait { id, at_most } = arrival else { return Some(Permit::new(server)) };
        let _waiting = Waiting { server, id };
        tokio::time::timeout(Duration::from_nanos(at_most), told).await.ok()?.ok()?
    }

    /// The figures at a time of the monotonic clock.
    fn figures(&self, now: u64, interval: u64) -> DearFigures {
        let counts = DearFigures {
            limit: START * self.workers,
            admitted: self.admitted.load(Ordering::Relaxed),
            shed: self.shed.load(Ordering::Relaxed),
            ..DearFigures::default()
        };
        let Some(gate) = self.gate.get() else { return counts };
        let gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
        DearFigures {
            limit: gate.limit(),
            running: gate.running(),
            waiting: gate.waiting(),
            standing: gate.is_standing(now, interval),
            ..counts
        }
    }
}

impl Overload {
    /// The gate of dear commands.
    pub(crate) fn dear(&self) -> &Dear {
        &self.dear
    }

    /// Its figures; `now` in nanoseconds of the monotonic clock.
    #[must_use]
    pub fn dear_figures(&self, now: u64) -> DearFigures {
        self.dear.figures(now, self.interval())
    }

    /// What is to be expected of a command that may be dear.
    #[inline]
    pub(crate) fn forecast(
        &self,
        server: &Server,
        entry: &Entry,
        request: Request<'_>,
        db: DbId,
    ) -> Forecast {
        let threshold = self.dear.threshold.load(Ordering::Relaxed);
        if threshold == 0 || !self.is_controlled() {
            return Forecast::Cheap;
        }
        if entry.has(Flags::WALKS) {
            let cost = server.keyspace.len(db).saturating_mul(WALKED_KEY);
            return if cost >= threshold { Forecast::Dear(cost / 1_000) } else { Forecast::Cheap };
        }
        self.dear.costs.forecast(&server.keyspace, entry, request)
    }

    /// A command that may be dear has cost so much. Certain: it is processor time.
    #[inline]
    pub(crate) fn note_cost(
        &self,
        server: &Server,
        entry: &Entry,
        request: Request<'_>,
        nanos: u64,
        certain: bool,
    ) {
        let threshold = self.dear.threshold.load(Ordering::Relaxed);
        if threshold > 0 && !entry.has(Flags::WALKS) {
            let costs = &self.dear.costs;
            let threshold = threshold + cost::allowed(request.len());
            costs.note(&server.keyspace, entry, request, nanos, threshold, certain);
        }
    }
}
