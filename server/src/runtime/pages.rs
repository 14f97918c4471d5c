//! The thread that has full memory backed with huge pages ([`dunlin_storage::huge_pages`]).
//!
//! It works only while no client sends anything, at night rather than in the busy hour: the kernel
//! keeps the process's memory map locked while it copies a piece, and a worker that touches new memory
//! or the piece itself waits for that, up to some milliseconds. It looks when the store has grown,
//! and now and then at everything: the allocator gives parts of huge pages back to the system. It
//! takes a bounded share of the time, and ends where the system has no such thing.
//!
//! The work of a tick is done by a thread of its own, which runs only when nobody else wants its processor,
//! and cannot leave that state again. None may be there when the process ends: the last thread takes the
//! memory apart, and on a busy machine such a thread needs minutes for that, in which files stay locked. So
//! there is one only while there is work, and the end waits for it, even one that comes at once.

use crate::server::Server;
use dunlin_storage::huge_pages::{self, HUGE, HugePages, Step};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks at what the store holds.
const TICK: Duration = Duration::from_millis(100);
/// Ticks without a request before it begins.
const QUIET_TICKS: u32 = 2;
/// Work per tick, in nanoseconds.
const BUDGET_NS: u64 = 10_000_000;
/// After this many ticks everything is looked at again: a minute.
const WHOLE_PASS: u32 = 600;
/// Rest after the kernel had no huge page: 10 seconds.
const SCARCE_TICKS: u32 = 100;
/// Between two looks whether the thread of a tick is gone, and how many an end at once takes: 2 seconds.
const LOOK: Duration = Duration::from_millis(2);
const LOOKS: u32 = 1_000;

/// Held as long as there is a thread that runs only when nobody else wants its processor.
static AT_WORK: Mutex<()> = Mutex::new(());

/// The thread, which ends with this.
#[derive(Debug)]
pub struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread.
pub fn start(server: &'static Server) -> io::Result<Keeper> {
    let (stop, stopped) = channel();
    let thread = builder().spawn(move || keep(server, &stopped))?;
    Ok(Keeper { stop: Some(stop), thread: Some(thread) })
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It has panicked or not; there is nothing else to be done for it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Waits until the thread of a tick is gone, for whoever ends the process; there is none as long as the
/// guard is there. `None`: it takes too long.
pub(super) fn hold_off() -> Option<MutexGuard<'static, ()>> {
    for _ in 0..LOOKS {
        match AT_WORK.try_lock() {
            Ok(held) => return Some(held),
            Err(TryLockError::Poisoned(held)) => return Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
        }
    }
    None
}

fn builder() -> thread::Builder {
    thread::Builder::new().name("huge-pages".into())
}

/// What makes the thread work.
#[derive(Default)]
struct Pace {
    /// Bytes of the store when the last pass began.
    done: u64,
    /// Reads from sockets at the last tick.
    reads: u64,
    /// Ticks since there was one.
    quiet: u32,
    /// Ticks since everything was looked at.
    ticks: u32,
    /// Ticks to rest.
    rest: u32,
}

impl Pace {
    /// One tick later, after so many reads from sockets in all: whether it is quiet.
    fn tick(&mut self, reads: u64) -> bool {
        self.quiet = if reads == self.reads { self.quiet + 1 } else { 0 };
        self.reads = reads;
        self.rest = self.rest.saturating_sub(1);
        self.ticks += 1;
        self.rest == 0 && self.quiet >= QUIET_TICKS
    }

    /// Whether a store of so many bytes is worth a pass, over everything or over what is new.
    fn wants(&mut self, used: u64) -> Option<bool> {
        // What has shrunk may grow again.
        self.done = self.done.min(used);
        let whole = self.ticks >= WHOLE_PASS && used > 0;
        let grown = used > self.done + HUGE as u64;
        (whole || grown).then_some(whole)
    }

    fn began(&mut self, whole: bool, used: u64) {
        self.done = used;
        if whole {
            self.ticks = 0;
        }
    }
}

fn keep(server: &Server, stopped: &Receiver<()>) {
    let (mut pages, mut pace) = (HugePages::default(), Pace::default());
    let mut under_way = false;
    // Not beside the last snapshot, either: nobody sends anything then.
    while !server.shutdown.requested()
        && stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout)
    {
        if !pace.tick(reads(server)) {
            continue;
        }
        if !under_way {
            let used = server.keyspace.used_bytes();
            let Some(whole) = pace.wants(used) else { continue };
            if pages.begin(whole).is_err() {
                return;
            }
            pace.began(whole, used);
        }
        let Some(step) = when_idle(|| work(server, &mut pages, pace.reads)) else { return };
        under_way = matches!(step, Step::Looked { .. });
        match step {
            Step::Unsupported => return,
            Step::Scarce => pace.rest = SCARCE_TICKS,
            Step::Over | Step::Looked { .. } => {}
        }
    }
}

/// What comes of `work`, done while nobody else wants the processor; `None` if the system does not allow
/// that.
fn when_idle<R: Send>(work: impl FnOnce() -> R + Send) -> Option<R> {
    let _at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        let body = || huge_pages::run_when_idle().ok().map(|()| work());
        builder().spawn_scoped(scope, body).ok()?.join().ok()?
    })
}

fn reads(server: &Server) -> u64 {
    server.stats.sum(|worker| &worker.reads)
}

/// Works for one tick's budget, or until there is a request or the process ends; how it ended.
fn work(server: &Server, pages: &mut HugePages, before: u64) -> Step {
    let begin = server.clock.monotonic_ns();
    loop {
        let step = pages.step();
        let spent = server.clock.monotonic_ns().saturating_sub(begin);
        let over = spent >= BUDGET_NS || reads(server) != before;
        if over || server.shutdown.requested() || !matches!(step, Step::Looked { .. }) {
            return step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn it_waits_until_nobody_asks_for_anything() {
        let mut pace = Pace::default();
        let quiet: Vec<bool> = [0, 0, 5, 5, 5, 6, 6, 6].map(|reads| pace.tick(reads)).into();
        assert_eq!(quiet, [false, true, false, false, true, false, false, true]);
        pace.rest = 2;
        assert_eq!([(); 2].map(|()| pace.tick(6)), [false, true]);
    }

    #[test]
    fn who_ends_the_process_waits_for_the_thread_that_must_not_be_its_last() {
        let (begun, begins) = channel();
        let (end, ended) = channel::<()>();
        let works = thread::spawn(move || {
            when_idle(move || {
                let _ = begun.send(());
                let _ = ended.recv();
            })
        });
        // Unless the system does not allow such a thread.
        if begins.recv().is_ok() {
            assert!(AT_WORK.try_lock().is_err());
        }
        drop(end);
        works.join().expect("nothing panics");
        let held = hold_off();
        assert!(held.is_some() && AT_WORK.try_lock().is_err(), "no other one begins");
    }

    #[test]
    fn slow_growth_adds_up() {
        let mut pace = Pace::default();
        assert_eq!(pace.wants(MB), None, "less than a huge page");
        assert_eq!(pace.wants(101 * MB), Some(false));
        pace.began(false, 101 * MB);
        assert_eq!(pace.wants(102 * MB), None, "nothing new to speak of");
        assert_eq!(pace.wants(104 * MB), Some(false));
        pace.began(false, 104 * MB);
        assert_eq!(pace.wants(10 * MB), None);
        assert_eq!(pace.wants(12 * MB + 1), Some(false), "what has shrunk grows again");
    }

    #[test]
    fn everything_is_looked_at_once_a_minute() {
        let mut pace = Pace::default();
        let mut wholes = 0;
        for _ in 0..3 * WHOLE_PASS {
            pace.tick(0);
            if let Some(whole) = pace.wants(MB) {
                assert!(whole);
                pace.began(whole, MB);
                wholes += 1;
            }
        }
        assert_eq!(wholes, 3);
    }
}
