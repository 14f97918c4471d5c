//! What watches a worker's run queue.
//!
//! The run queue of a single-threaded runtime is a line: a task that wakes itself runs again when all
//! that were ready before it have run. So the sentinel is such a task. Now and then the end of a turn
//! wakes it and notes the time ([`Sentinel::turn_ended`]); when it runs, the queue has come round once.
//! That is one wake-up and two readings of the clock per [`STRIDE`] turns. While nothing runs nobody
//! wakes it: an idle worker pays nothing.
//!
//! A second task ends the intervals. It has a timer while there is something to end and sleeps else.
//! The two are separate because a task that a timer has woken stands in the line already: it would run
//! too early.
//!
//! What is learned goes to [`super::Overload`], and into the length of turns ([`super::turn`]).

use super::WorkerLoad;
use super::recent::Recent;
use super::signal::{Interval, Signal};
use super::turn::{self, Measured};
use crate::runtime::container::Throttling;
use crate::server::Server;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// The queue is measured after so many turns, or after [`SPACING`], whatever is sooner.
const STRIDE: u32 = 16;
/// See [`STRIDE`].
const SPACING: u64 = 1_000_000;
/// Another connection that had a turn within this time counts as active.
const COMPANY: u64 = 100_000_000;
/// The figures that INFO shows are of so many intervals.
const WINDOW: u32 = 10;

/// What one turn may do.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Commands.
    pub commands: usize,
    /// Nanoseconds, as far as they are known without asking.
    pub nanos: u64,
}

/// See the [module documentation](self).
pub struct Sentinel {
    server: &'static Server,
    index: usize,
    /// When the round that is being measured has begun, in nanoseconds; 0: none is.
    began: Cell<u64>,
    /// Turns since the last measurement, and those before this one began.
    turns: Cell<(u32, u32)>,
    /// When the last measurement was made.
    measured: Cell<u64>,
    /// Commands and nanoseconds of turns at the last measurement.
    work: Cell<(u64, u64)>,
    /// The client that had the last turn, and when there was last a turn of another one.
    company: Cell<(u64, u64)>,
    /// Whether that was of late.
    has_company: Cell<bool>,
    /// Commands per turn beside others.
    budget: Cell<usize>,
    waker: OnceCell<Waker>,
    state: RefCell<State>,
    /// There is something to end.
    begin: Notify,
}

#[derive(Default)]
struct State {
    signal: Signal,
    recent: Recent,
    /// Intervals in `recent`.
    intervals: u32,
    /// Somebody ends intervals.
    ticking: bool,
    throttling: Throttling,
}

impl Sentinel {
    /// That of worker `index`.
    #[must_use]
    pub fn new(server: &'static Server, index: usize) -> Rc<Sentinel> {
        let state = State { throttling: Throttling::find(), ..State::default() };
        Rc::new(Sentinel {
            server,
            index,
            began: Cell::default(),
            turns: Cell::default(),
            measured: Cell::default(),
            work: Cell::default(),
            company: Cell::default(),
            has_company: Cell::default(),
            budget: Cell::new(turn::ALONE),
            waker: OnceCell::new(),
            state: RefCell::new(state),
            begin: Notify::new(),
        })
    }

    /// Starts its two tasks on this thread's runtime.
    pub fn start(self: &Rc<Self>) {
        tokio::task::spawn_local(Rc::clone(self).rounds());
        tokio::task::spawn_local(Rc::clone(self).intervals());
    }

    /// A turn of `client` begins at `now`: what it may do.
    #[inline]
    pub fn turn_begins(&self, client: u64, now: u64) -> Allowance {
        let (last, mut seen) = self.company.get();
        if last != client {
            seen = now;
            self.company.set((client, now));
        }
        let has_company = now.saturating_sub(seen) < COMPANY;
        self.has_company.set(has_company);
        match has_company {
            true => {
                Allowance { commands: self.budget.get(), nanos: turn::LONGEST.as_nanos() as u64 }
            }
            false => Allowance { commands: turn::ALONE, nanos: u64::MAX },
        }
    }

    /// Whether the last turn was a short one, for the sake of others.
    #[inline]
    pub fn has_company(&self) -> bool {
        self.has_company.get()
    }

    /// A turn that has begun at `began` is over.
    #[inline]
    pub fn turn_ended(&self, began: u64) {
        let (turns, before) = self.turns.get();
        self.turns.set((turns + 1, before));
        let due = turns + 1 >= STRIDE || began.saturating_sub(self.measured.get()) >= SPACING;
        if due && self.began.get() == 0 {
            self.begin_round(turns);
        }
    }

    #[cold]
    fn begin_round(&self, turns: u32) {
        // Before the first poll there is nobody to wake.
        let Some(waker) = self.waker.get() else { return };
        self.turns.set((turns + 1, turns));
        self.began.set(self.server.clock.monotonic_ns());
        waker.wake_by_ref();
    }

    /// Measures rounds.
    async fn rounds(self: Rc<Self>) {
        poll_fn(|cx| {
            self.waker.get_or_init(|| cx.waker().clone());
            if self.began.get() > 0 {
                self.round();
            }
            Poll::<()>::Pending
        })
        .await;
    }

    /// The queue has come round.
    fn round(&self) {
        let now = self.server.clock.monotonic_ns();
        let sojourn = now.saturating_sub(self.began.replace(0));
        let (turns, before) = self.turns.replace((0, 0));
        self.measured.set(now);
        let stats = self.server.stats.worker(self.index);
        let work = (stats.turn_commands.get(), stats.turn_nanos.get());
        let since = self.work.replace(work);
        let runnable = turns - before;
        let budget = turn::budget(Measured {
            runnable,
            turns: u64::from(turns),
            commands: work.0.saturating_sub(since.0),
            nanos: work.1.saturating_sub(since.1),
        });
        self.budget.set(budget);
        self.load().turn_budget.store(budget as u64, Ordering::Relaxed);
        self.load().runnable.store(u64::from(runnable), Ordering::Relaxed);
        let mut state = self.state.borrow_mut();
        if !std::mem::replace(&mut state.ticking, true) {
            self.begin.notify_one();
        }
        state.signal.sample(sojourn);
        state.recent.record(sojourn);
    }

    fn load(&self) -> &'static WorkerLoad {
        self.server.overload.worker(self.index)
    }

    /// Ends intervals for as long as there are any.
    async fn intervals(self: Rc<Self>) {
        loop {
            self.begin.notified().await;
            let mut since = self.server.clock.monotonic_ns();
            // What was throttled before was not in this interval.
            self.state.borrow_mut().throttling.has_risen();
            loop {
                tokio::time::sleep(Duration::from_nanos(self.server.overload.interval())).await;
                let now = self.server.clock.monotonic_ns();
                if !self.end_interval(now.saturating_sub(since)) {
                    break;
                }
                since = now;
            }
        }
    }

    /// Whether there will be another one.
    fn end_interval(&self, length: u64) -> bool {
        let state = &mut *self.state.borrow_mut();
        let any = state.signal.has_samples();
        let throttled = state.throttling.has_risen();
        let was = state.signal.is_overloaded();
        let interval = state.signal.end_interval(self.server.overload.target(), throttled);
        let load = self.load();
        if interval == Interval::Throttled {
            load.throttled.fetch_add(1, Ordering::Relaxed);
        }
        if was {
            load.overloaded_nanos.fetch_add(length, Ordering::Relaxed);
        }
        let overloaded = state.signal.is_overloaded();
        self.server.overload.set(self.index, overloaded);
        state.intervals += 1;
        let goes_on = any || overloaded;
        if state.intervals >= WINDOW || !goes_on {
            state.intervals = 0;
            if let Some(spread) = state.recent.take() {
                load.show(spread);
            }
        }
        state.ticking = goes_on;
        goes_on
    }
}
