//! Threads for work that takes long.
//!
//! A worker's thread has connections to serve, so nothing on it may take long. What does goes to the
//! pool: jobs that are asked for by their effect and not by their speed. There is one pool for all
//! workers, and it knows nothing of what it runs.
//!
//! **Places.** Who wants something done asks for a [`Place`] first, and waits for one without holding
//! a thread. There are as many places as there may be threads ([`Pool::size`]), so whoever has a place
//! finds a thread at once: a job never lies in a queue with something in its hands that others wait
//! for, such as the roles of shards. Those who wait for a place are served in their order.
//!
//! **Threads** begin when places are taken, so there are as many as there is work for, and end when
//! they have had nothing to do for [`IDLE`], or are told to ([`Pool::dismiss_idle`]: what a thread keeps
//! for itself goes with it). How many there may be follows the quota. Each has a number beside those of
//! the workers, by which it finds its own counters ([`Worker::current`]). They run at a lower priority:
//! where processors are scarce, the connections go first. That is not enough: a scheduler may let a
//! thread finish its slice of some milliseconds before it looks at one that was woken. Work that can be
//! interrupted asks for it ([`Courtesy`]).
//!
//! **One queue** is all the stealing there is: whoever is free takes the oldest job, whoever has brought
//! it. Jobs take a hundred microseconds and more, so the lock around the queue is nothing beside them;
//! queues of their own for the threads would only be a way to wait behind somebody who is slow.

use super::worker::Worker;
use dunlin_storage::scheduling;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Threads at most, and so jobs at once, however large the machine.
pub const THREADS: usize = 32;
/// Numbers of threads beside those of the workers: the pool's, and one that the threads of the cluster
/// share.
pub const NUMBERS: usize = THREADS + 1;
/// Threads at most for each processor of the quota. More than one, because a job may be one that takes
/// seconds; not more, because each keeps what its jobs need, such as an interpreter.
const THREADS_PER_PROCESSOR: usize = 8;
/// A thread without work for so long ends.
const IDLE: Duration = Duration::from_secs(10);
/// How much less of a processor such a thread gets than a worker it shares it with: about a third.
const NICE: i32 = 5;

type Work = Box<dyn FnOnce() + Send>;

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Pool {
    /// The number of the first thread.
    first: usize,
    /// Where threads may run: a worker that begins one may be bound to a single processor.
    processors: Option<CpuSet>,
    size: usize,
    places: Semaphore,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Work whose place is taken; as many threads are there for it.
    queue: VecDeque<Work>,
    /// Places that are taken.
    taken: usize,
    threads: usize,
    /// Numbers of threads that are not there.
    free: Vec<usize>,
    /// How often idle threads have been dismissed.
    dismissed: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let State { taken, threads, .. } = self;
        f.debug_struct("State").field("taken", taken).field("threads", threads).finish()
    }
}

/// The right to have one job done at a time; dropped, it goes to the next who waits.
#[derive(Debug)]
pub struct Place {
    pool: &'static Pool,
    _permit: SemaphorePermit<'static>,
}

impl Pool {
    /// A pool without threads for a quota of so many processors. Its numbers begin with `first`; its
    /// threads may run wherever the calling one may.
    #[must_use]
    pub fn new(first: usize, processors: usize) -> Pool {
        let size = processors.max(1).saturating_mul(THREADS_PER_PROCESSOR).min(THREADS);
        let free = (0..size).rev().collect();
        Pool {
            first,
            processors: sched_getaffinity(None).ok(),
            size,
            places: Semaphore::new(size),
            state: Mutex::new(State { free, ..State::default() }),
            wake: Condvar::new(),
        }
    }

    /// Waits for a place. `None`: the system gives no thread, and whoever asks has to do the work.
    pub async fn place(&'static self) -> Option<Place> {
        let permit = self.places.acquire().await.ok()?;
        self.take(permit)
    }

    /// A place, if one is free right now.
    pub fn try_place(&'static self) -> Option<Place> {
        let permit = self.places.try_acquire().ok()?;
        self.take(permit)
    }

    fn take(&'static self, permit: SemaphorePermit<'static>) -> Option<Place> {
        let mut state = self.lock();
        if state.threads <= state.taken && !self.begin_thread(&mut state) && state.threads == 0 {
            return None;
        }
        state.taken += 1;
        Some(Place { pool: self, _permit: permit })
    }

    /// Threads there may be.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.lock().threads
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_thread(&'static self, state: &mut State) -> bool {
        let Some(number) = state.free.pop() else { return false };
        let thread = std::thread::Builder::new().name(format!("pool-{number}"));
        let dismissed = state.dismissed;
        match thread.spawn(move || self.run(number, dismissed)) {
            Ok(_) => {
                state.threads += 1;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "no thread for work that takes long");
                state.free.push(number);
                false
            }
        }
    }

    /// Lets threads end that have nothing to do, and the others as soon as they have.
    pub fn dismiss_idle(&self) {
        self.lock().dismissed += 1;
        self.wake.notify_all();
    }

    /// Body of a thread; `dismissed`: what it was when the thread began.
    fn run(&self, number: usize, dismissed: u64) {
        Worker::set_current(self.first + number);
        // A system that does not allow these still runs the thread, as equal among equals.
        let _ = rustix::process::nice(NICE);
        // Whoever has brought the work may be a worker, whose slices are short.
        let _ = scheduling::ask_for_usual_slices();
        let _ = self.processors.as_ref().map(|processors| sched_setaffinity(None, processors));
        while let Some(work) = self.next(number, dismissed) {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("a job of the pool has panicked");
            }
        }
    }

    /// The next work, or `None` if the thread is to end.
    fn next(&self, number: usize, dismissed: u64) -> Option<Work> {
        let (mut state, mut bored) = (self.lock(), false);
        loop {
            if let Some(work) = state.queue.pop_front() {
                return Some(work);
            }
            bored |= state.dismissed != dismissed;
            if bored && state.threads > state.taken {
                state.threads -= 1;
                state.free.push(number);
                return None;
            }
            let waited =
                self.wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            (state, bored) = (waited.0, waited.1.timed_out());
        }
    }
}

impl Place {
    /// Has the work done by the thread that is there for it. The place is free again afterwards.
    pub fn run(self, work: impl FnOnce() + Send + 'static) {
        let pool = self.pool;
        let work = Box::new(move || {
            // Also if it panics.
            let _place = self;
            work();
        });
        pool.lock().queue.push_back(work);
        pool.wake.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.lock().taken -= 1;
    }
}

/// Shortest and longest time, in nanoseconds, between two moments in which others are let run.
const COURTESY: (u64, u64) = (50_000, 4_000_000);

/// Lets other threads run in between, where they share a processor with this work: often, as long as
/// they are soon done, and for no longer than it then runs itself, if they are not.
#[derive(Debug, Default)]
pub struct Courtesy {
    /// When the work was last resumed, in nanoseconds.
    since: Cell<u64>,
    /// How long it may run from then on.
    quota: Cell<u64>,
}

impl Courtesy {
    /// Called often; `now` reads a clock that never goes back.
    pub fn let_others_run(&self, now: impl Fn() -> u64) {
        let before = now();
        if before.saturating_sub(self.since.get()) < self.quota.get() {
            return;
        }
        std::thread::yield_now();
        let after = now();
        self.since.set(after);
        self.quota.set(after.saturating_sub(before).clamp(COURTESY.0, COURTESY.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn others_get_no_more_time_than_the_work_itself() {
        let (courtesy, time) = (Courtesy::default(), Cell::new(0));
        // After so much work; if others are let run, they take `away`.
        let work = |nanos: u64, away: u64| {
            time.set(time.get() + nanos);
            let reads = Cell::new(0);
            courtesy.let_others_run(|| {
                reads.set(reads.get() + 1);
                if reads.get() == 2 {
                    time.set(time.get() + away);
                }
                time.get()
            });
            reads.get() == 2
        };
        assert!(work(0, 1_000_000), "at first");
        assert!(!work(900_000, 0), "they were away for longer");
        assert!(work(100_000, 0));
        assert!(!work(COURTESY.0 - 1, 0));
        assert!(work(1, 1_000_000_000));
        assert!(!work(COURTESY.1 - 1, 0));
        assert!(work(1, 0), "no longer than that");
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    }

    fn pool() -> &'static Pool {
        Box::leak(Box::new(Pool::new(100, 8)))
    }

    #[test]
    fn work_runs_on_threads_with_numbers_of_their_own() {
        let (pool, (sender, receiver)) = (pool(), channel());
        runtime().block_on(async {
            for _ in 0..2 * THREADS {
                let sender = sender.clone();
                let place = pool.place().await.expect("a thread");
                place.run(move || sender.send(Worker::current()).expect("somebody listens"));
            }
        });
        let numbers: Vec<usize> =
            (0..2 * THREADS).map(|_| receiver.recv().expect("runs")).collect();
        assert!(numbers.iter().all(|number| (100..100 + THREADS).contains(number)), "{numbers:?}");
        assert!(pool.threads() <= THREADS);
    }

    #[test]
    fn who_has_a_place_finds_a_thread_and_others_wait() {
        let (pool, (sender, receiver)) = (pool(), channel::<()>());
        let receiver = std::sync::Arc::new(Mutex::new(receiver));
        runtime().block_on(async {
            let mut places = Vec::new();
            for _ in 0..THREADS {
                places.push(pool.place().await.expect("a thread"));
            }
            let none = tokio::time::timeout(Duration::from_millis(20), pool.place()).await;
            assert!(none.is_err(), "all places are taken");
            assert_eq!(pool.threads(), THREADS);
            // All but one are busy with work that does not end.
            let last = places.pop().expect("a place");
            for place in places {
                let receiver = receiver.clone();
                place.run(move || drop(receiver.lock().map(|receiver| receiver.recv())));
            }
            let (done, wait) = channel();
            last.run(move || done.send(()).expect("somebody listens"));
            wait.recv().expect("it has run beside the others");
            let again = pool.place().await.expect("the place is free again");
            drop(again);
            drop(sender);
            // As soon as the others end, all places are to be had.
            for _ in 0..THREADS {
                pool.place().await.expect("a thread");
            }
        });
    }

    #[test]
    fn idle_threads_are_dismissed() {
        let pool = pool();
        runtime().block_on(async {
            let place = pool.place().await.expect("a thread");
            drop(pool.place().await.expect("another thread"));
            assert_eq!(pool.threads(), 2);
            pool.dismiss_idle();
            while pool.threads() > 1 {
                std::thread::yield_now();
            }
            let (sender, receiver) = channel();
            place.run(move || sender.send(()).expect("somebody listens"));
            receiver.recv().expect("the one whose place is taken has stayed");
            while pool.threads() > 0 {
                std::thread::yield_now();
            }
            drop(pool.place().await.expect("a new thread"));
        });
    }

    #[test]
    fn its_size_follows_the_quota_within_bounds() {
        let size = |processors| Pool::new(0, processors).size();
        assert_eq!([size(0), size(1), size(2), size(64)], [8, 8, 16, THREADS]);
    }

    #[test]
    fn a_panic_costs_neither_thread_nor_place() {
        let pool = pool();
        runtime().block_on(async {
            for _ in 0..2 * THREADS {
                pool.place().await.expect("a thread").run(|| panic!("as it was told to"));
            }
            let mut places = Vec::new();
            for _ in 0..THREADS {
                places.push(pool.place().await.expect("a thread"));
            }
            assert_eq!(pool.lock().taken, THREADS);
        });
    }
}
