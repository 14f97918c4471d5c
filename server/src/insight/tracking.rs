//! HOTKEYS: for a time every command is measured on its own, and its CPU time and bytes are put down
//! to its keys.
//!
//! That is what [`super::sampler`] does not know. It costs two clock readings per command, so it is
//! done only between HOTKEYS START and the end of the session: [`Tracking::is_active`] is one of the
//! reasons for [`Server::time_each`], and only commands that are timed on their own come here. A session with
//! a duration ends with the first command after it, or when somebody asks.
//!
//! What a command takes is divided evenly among its keys, as Redis does; those that a script or a
//! function runs are its own time, those of a transaction are counted one by one. Each thread has
//! bounded tables of its own ([`TopK`]), with ten places for each key that is to be shown.

use super::id_of;
use super::top::TopK;
use crate::cluster::slot;
use crate::commands::table::Entry;
use crate::dispatch::Context;
use crate::runtime::pool;
use crate::runtime::process::{CpuTime, cpu_time};
use crate::runtime::worker::Worker;
use crate::server::Server;
use dunlin_protocol::Request;
use dunlin_storage::{DbId, Millis, SlotSet};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places of a table for each key that is to be shown.
const PLACES_PER_KEY: usize = 10;
/// The session has not been stopped.
const RUNNING: Millis = Millis::MIN;

/// What a session is to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By CPU time.
    pub cpu: bool,
    /// By bytes of commands and replies.
    pub net: bool,
    /// Keys that are shown.
    pub count: usize,
    /// Milliseconds after which it ends, if by itself.
    pub duration: Option<Millis>,
    /// One command in so many is looked at.
    pub sample: u32,
    /// Only keys of these slots; none: of all.
    pub slots: Option<SlotSet>,
}

/// A session, running or over.
#[derive(Debug)]
pub struct Session {
    /// What was asked for.
    pub plan: Plan,
    /// When it began.
    pub started: Millis,
    /// When it was stopped, or [`RUNNING`].
    stopped: AtomicI64,
    cpu: CpuTime,
    /// By thread.
    tallies: Box<[Mutex<Tally>]>,
}

#[derive(Debug)]
struct Tally {
    cpu: TopK<()>,
    net: TopK<()>,
    totals: Totals,
    random: u64,
}

/// What all commands with keys have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Nanoseconds of all of them.
    pub nanos: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Nanoseconds of those in the slots of the plan.
    pub selected_nanos: u64,
    /// Bytes of those in the slots of the plan.
    pub selected_bytes: u64,
    /// Nanoseconds of those that were looked at.
    pub sampled_nanos: u64,
    /// Bytes of those that were looked at.
    pub sampled_bytes: u64,
}

/// A command that was measured on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done<'a> {
    pub(crate) entry: &'static Entry,
    pub(crate) request: &'a Request<'a>,
    pub(crate) db: DbId,
    pub(crate) nanos: u64,
    /// Bytes of its reply.
    pub(crate) reply: usize,
}

/// Key and figure, the highest first.
pub(crate) type Ranking = Vec<(Box<[u8]>, u64)>;

/// Which figure a ranking is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// CPU time, in nanoseconds.
    Cpu,
    /// Bytes.
    Net,
}

impl Session {
    fn new(plan: Plan, threads: usize, now: Millis) -> Self {
        let table = || TopK::new(plan.count * PLACES_PER_KEY);
        let tally = |_| {
            let totals = Totals::default();
            Mutex::new(Tally { cpu: table(), net: table(), totals, random: now.unsigned_abs() })
        };
        let tallies = (0..threads).map(tally).collect();
        let (stopped, cpu) = (AtomicI64::new(RUNNING), cpu_time());
        Session { plan, started: now, stopped, cpu, tallies }
    }

    /// Whether it is still running; if not, how many milliseconds it has been.
    pub fn state(&self, now: Millis) -> (bool, Millis) {
        let age = now - self.started;
        match self.stopped.load(Ordering::Relaxed) {
            RUNNING => match self.plan.duration {
                Some(duration) if age >= duration => (false, duration),
                _ => (true, age),
            },
            stopped => (false, stopped - self.started),
        }
    }

    /// Milliseconds of CPU that the process has used since the session began, in its own code and in
    /// the kernel.
    pub fn cpu_millis(&self) -> (u64, u64) {
        let now = cpu_time();
        let millis = |after: f64, before: f64| ((after - before) * 1000.0).max(0.0) as u64;
        (millis(now.user, self.cpu.user), millis(now.system, self.cpu.system))
    }

    fn tally(&self, thread: usize) -> Option<MutexGuard<'_, Tally>> {
        let tally = self.tallies.get(thread)?;
        Some(tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn each_tally(&self) -> impl Iterator<Item = MutexGuard<'_, Tally>> {
        (0..self.tallies.len()).filter_map(|thread| self.tally(thread))
    }

    /// What all commands have taken.
    pub fn totals(&self) -> Totals {
        self.each_tally().fold(Totals::default(), |sum, tally| Totals {
            nanos: sum.nanos + tally.totals.nanos,
            bytes: sum.bytes + tally.totals.bytes,
            selected_nanos: sum.selected_nanos + tally.totals.selected_nanos,
            selected_bytes: sum.selected_bytes + tally.totals.selected_bytes,
            sampled_nanos: sum.sampled_nanos + tally.totals.sampled_nanos,
            sampled_bytes: sum.sampled_bytes + tally.totals.sampled_bytes,
        })
    }

    /// The keys with the highest figures.
    pub(crate) fn ranking(&self, metric: Metric) -> Ranking {
        let mut all: HashMap<u64, (Box<[u8]>, f64)> = HashMap::new();
        for tally in self.each_tally() {
            let table = if metric == Metric::Cpu { &tally.cpu } else { &tally.net };
            for item in table.items() {
                all.entry(item.id).or_insert_with(|| (item.name.clone(), 0.0)).1 += item.least();
            }
        }
        let mut keys: Ranking = all.into_values().map(|(name, sum)| (name, sum as u64)).collect();
        keys.retain(|(_, figure)| *figure > 0);
        keys.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        keys.truncate(self.plan.count);
        keys
    }

    /// A command has run on a thread.
    fn record(&self, server: &Server, thread: usize, done: &Done<'_>, keys: &[&[u8]]) {
        let (nanos, bytes) = (done.nanos, (done.request.wire_len() + done.reply) as u64);
        let Some(mut tally) = self.tally(thread) else { return };
        tally.totals.nanos += nanos;
        tally.totals.bytes += bytes;
        // All keys of a command are of one slot, where slots can be named.
        let is_selected = match (&self.plan.slots, keys.first()) {
            (Some(slots), Some(key)) => slots.contains(slot::of(key)),
            _ => true,
        };
        if !is_selected {
            return;
        }
        tally.totals.selected_nanos += nanos;
        tally.totals.selected_bytes += bytes;
        if !tally.is_sample(self.plan.sample) {
            return;
        }
        tally.totals.sampled_nanos += nanos;
        tally.totals.sampled_bytes += bytes;
        let share = |whole: u64| whole as f64 / keys.len() as f64;
        for name in keys {
            let id = id_of(&server.keyspace, done.db, name);
            if self.plan.cpu {
                tally.cpu.add(id, name, share(nanos), |()| ());
            }
            if self.plan.net {
                tally.net.add(id, name, share(bytes), |()| ());
            }
        }
    }
}

impl Tally {
    fn is_sample(&mut self, ratio: u32) -> bool {
        if ratio <= 1 {
            return true;
        }
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 29).is_multiple_of(u64::from(ratio))
    }
}

/// The session of the server, if there is or was one.
#[derive(Debug, Default)]
pub struct Tracking {
    /// Commands are to be measured. Relaxed: one more or less makes no difference.
    active: AtomicBool,
    session: Mutex<Option<Arc<Session>>>,
}

impl Tracking {
    /// Whether commands are to be measured one by one.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// The session, running or over.
    pub fn session(&self) -> Option<Arc<Session>> {
        self.slot().clone()
    }

    /// Begins a session, if none is running.
    pub fn start(&self, server: &Server, plan: Plan, now: Millis) -> bool {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|session| session.state(now).0) {
            return false;
        }
        let threads = server.workers + pool::NUMBERS;
        *slot = Some(Arc::new(Session::new(plan, threads, now)));
        drop(slot);
        self.active.store(true, Ordering::Relaxed);
        server.time_commands();
        true
    }

    /// Ends the session; false if none is running.
    pub fn stop(&self, server: &Server, now: Millis) -> bool {
        let was_running = self.session().is_some_and(|session| {
            let (running, _) = session.state(now);
            if running {
                session.stopped.store(now, Ordering::Relaxed);
            }
            running
        });
        self.rest(server);
        was_running
    }

    /// Forgets the session; false if it is running.
    pub fn reset(&self, server: &Server, now: Millis) -> bool {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|session| session.state(now).0) {
            return false;
        }
        *slot = None;
        drop(slot);
        self.rest(server);
        true
    }

    /// A command that was measured on its own has run.
    pub(crate) fn record(&self, ctx: &Context<'_, '_>, done: &Done<'_>) {
        let Some(session) = self.session() else { return };
        if !session.state(ctx.now).0 {
            self.rest(ctx.server);
            return;
        }
        let mut keys = Vec::new();
        done.entry.command.each_key(done.request, &mut |at| keys.extend(done.request.get(at)));
        if !keys.is_empty() {
            session.record(ctx.server, Worker::current(), done, &keys);
        }
    }

    /// Commands need not be measured any more.
    fn rest(&self, server: &Server) {
        self.active.store(false, Ordering::Relaxed);
        server.time_commands();
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
