//! Snapshots: the keyspace as a file, so that a server that is started again is warm.
//!
//! # The way of a snapshot
//!
//! ```text
//!  SAVE, BGSAVE, a save point ---> request ---> keeper (a task of the first worker)
//!                                                  |  a place on the pool
//!                                                  v
//!  save: walk -> entries -> blocks -> temp-PID.dunlin -> fsync -> rename -> fsync of the directory
//!     |      one bucket after the other, under a pin of at most 100 us; large collections in
//!     |      parts, under their shard's role; disk, compression and pauses under neither
//!     v
//!  done: figures for INFO; whoever has sent SAVE goes on
//! ```
//!
//! There is no fork, so there is no second copy of what changes meanwhile and no stall before it
//! begins: memory for a few blocks is all it takes. It is **not a picture of one instant**: each
//! key has a value that it had at some moment between begin and end
//! ([`dunlin_storage::Walk`] says what is promised), and of a set, sorted set or hash of more than 512
//! items (`part`) that holds for each item, and it expires as it would have when its last item was read;
//! a large collection that is removed or replaced while it is written is left out. Those who need more
//! than a warm cache need another program.
//!
//! A snapshot that fails is a line in the log and a counter; the file of the last one stays as it
//! was, and nobody is refused anything because of it.
//!
//! # Loading
//!
//! [`load`] runs at the start, while clients are told `LOADING`: one thread reads and checks
//! blocks, others make values of them. A file that is not whole is refused as a whole: the process
//! says why and ends, or with `load-on-corrupt ignore` puts the file aside and starts empty.

pub(crate) mod entry;
mod files;
mod fill;
pub mod format;
mod gather;
mod keeper;
mod load;
mod pace;
pub(crate) mod part;
mod points;
mod rdb_file;
mod reload;
mod save;

use dunlin_storage::Millis;
pub(crate) use keeper::keep;
pub use load::Loading;
pub(crate) use load::{first_phase, load};
pub use reload::Reload;
pub(crate) use save::{LongValue, at_exit, check_directory, value};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;

/// What is done about the keys when the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtExit {
    /// They are saved if there are save points.
    Default,
    /// They are saved.
    Save,
    /// They are not.
    NoSave,
}

impl AtExit {
    const ALL: [AtExit; 3] = [AtExit::Default, AtExit::Save, AtExit::NoSave];
}

/// A snapshot that was asked for.
#[derive(Debug)]
pub struct Job {
    /// Somebody waits for it.
    pub awaited: bool,
    /// The keys come back from the file afterwards.
    reload: Option<Reload>,
    cancelled: AtomicBool,
    outcome: OnceLock<Result<(), String>>,
    done: Notify,
}

impl Job {
    fn new(awaited: bool, reload: Option<Reload>) -> Self {
        let (outcome, done) = (OnceLock::new(), Notify::new());
        Job { awaited, reload, cancelled: AtomicBool::new(false), outcome, done }
    }

    /// How it has ended; none: it has not.
    pub fn outcome(&self) -> Option<&Result<(), String>> {
        self.outcome.get()
    }

    /// Until it has ended.
    pub(crate) async fn ended(&self) {
        loop {
            let done = self.done.notified();
            if self.outcome().is_some() {
                return;
            }
            done.await;
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn end(&self, outcome: Result<(), String>) {
        // It ends once: whoever comes second (a cancellation) changes nothing.
        let _ = self.outcome.set(outcome);
        self.done.notify_waiters();
    }
}

/// Why no snapshot is begun: one is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InProgress;

/// Figures of snapshots, for INFO and probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// When the last one was complete, or the server started, in milliseconds.
    pub last_save: Millis,
    /// Whether the last one succeeded; true before the first.
    pub last_ok: bool,
    /// Seconds that the last one took; -1 before the first.
    pub last_seconds: i64,
    /// When the one under way began; none: there is none.
    pub began: Option<Millis>,
    /// Completed since the start.
    pub saves: u64,
    /// Failed since the start.
    pub failures: u64,
    /// Entries that the one under way has written.
    pub keys_done: u64,
    /// Keys there were when it began.
    pub keys_total: u64,
    /// Bytes of the last one.
    pub last_bytes: u64,
}

/// The snapshots of a server: what is under way, and figures. The figures are relaxed words; they
/// publish nothing but themselves.
#[derive(Debug)]
pub struct Snapshots {
    current: Mutex<Option<Arc<Job>>>,
    /// Tells the keeper of a new job.
    wanted: Notify,
    /// How often all keys were flushed.
    flushes: AtomicU64,
    /// Of so many of these the file knows, or need not know.
    flushes_known: AtomicU64,
    at_exit: AtomicU8,
    last_save: AtomicI64,
    /// When the last one was tried, whatever came of it.
    last_try: AtomicI64,
    last_ok: AtomicBool,
    last_seconds: AtomicI64,
    began: AtomicI64,
    saves: AtomicU64,
    failures: AtomicU64,
    keys_done: AtomicU64,
    keys_total: AtomicU64,
    last_bytes: AtomicU64,
    /// Changes of the store of which the last snapshot, or the file that was loaded, knows.
    changes: AtomicU64,
    /// The reading of a file at the start.
    pub loading: Loading,
}

impl Snapshots {
    /// A server that has started now.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Snapshots {
            current: Mutex::default(),
            wanted: Notify::new(),
            flushes: AtomicU64::new(0),
            flushes_known: AtomicU64::new(0),
            at_exit: AtomicU8::new(0),
            last_save: AtomicI64::new(now),
            last_try: AtomicI64::new(now),
            last_ok: AtomicBool::new(true),
            last_seconds: AtomicI64::new(-1),
            began: AtomicI64::new(0),
            saves: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            keys_done: AtomicU64::new(0),
            keys_total: AtomicU64::new(0),
            last_bytes: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            loading: Loading::default(),
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Job>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a snapshot, which begins as soon as a thread of the pool is free.
    ///
    /// # Errors
    /// One is under way.
    pub fn request(&self, awaited: bool, now: Millis) -> Result<Arc<Job>, InProgress> {
        self.enter(Job::new(awaited, None), now)
    }

    /// Asks for the keys to be read from the file again.
    ///
    /// # Errors
    /// A snapshot is under way.
    pub fn request_reload(&self, how: Reload, now: Millis) -> Result<Arc<Job>, InProgress> {
        self.enter(Job::new(true, Some(how)), now)
    }

    fn enter(&self, job: Job, now: Millis) -> Result<Arc<Job>, InProgress> {
        let mut current = self.current();
        if current.is_some() {
            return Err(InProgress);
        }
        let job = Arc::new(job);
        *current = Some(Arc::clone(&job));
        self.keys_done.store(0, Ordering::Relaxed);
        self.keys_total.store(0, Ordering::Relaxed);
        self.began.store(now.max(1), Ordering::Relaxed);
        self.last_try.store(now, Ordering::Relaxed);
        self.wanted.notify_one();
        Ok(job)
    }

    /// Ends the snapshot under way, if there is one, without one. It notices within some milliseconds.
    pub fn cancel(&self) -> Option<Arc<Job>> {
        let job = self.current().clone()?;
        job.cancelled.store(true, Ordering::Relaxed);
        Some(job)
    }

    /// All keys were flushed. What is being written has keys that were to go; `saves`: and so has the file
    /// of the last snapshot, which another one is to replace soon.
    pub fn flushed(&self, saves: bool) {
        self.cancel();
        // Whoever sees the number finds the keys gone.
        let number = self.flushes.fetch_add(1, Ordering::Release) + 1;
        if !saves {
            self.flushes_known.fetch_max(number, Ordering::Relaxed);
        }
    }

    /// How often all keys were flushed until now.
    fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Whether the file has keys that were flushed, and is to be replaced.
    fn has_flushed_keys(&self) -> bool {
        self.flushes_known.load(Ordering::Relaxed) < self.flushes()
    }

    /// The job under way has ended.
    fn finish(&self, job: &Job, outcome: Result<Option<Saved>, Failed>, now: Millis) {
        let began = self.began.swap(0, Ordering::Relaxed);
        let outcome = match outcome {
            Ok(Some(saved)) => {
                self.saves.fetch_add(1, Ordering::Relaxed);
                self.last_ok.store(true, Ordering::Relaxed);
                self.last_save.store(now, Ordering::Relaxed);
                self.changes.store(saved.changes, Ordering::Relaxed);
                self.flushes_known.fetch_max(saved.flushes, Ordering::Relaxed);
                self.last_bytes.store(saved.bytes, Ordering::Relaxed);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(Failed::Cancelled) => Err("it was cancelled".to_owned()),
            Err(Failed::NotLoaded(why)) => Err(why),
            Err(Failed::Error(why)) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.last_ok.store(false, Ordering::Relaxed);
                Err(why)
            }
        };
        self.last_seconds.store((now - began).max(0) / 1000, Ordering::Relaxed);
        *self.current() = None;
        job.end(outcome);
    }

    /// What is to be done when the process ends.
    #[must_use]
    pub fn at_exit(&self) -> AtExit {
        let number = usize::from(self.at_exit.load(Ordering::Relaxed));
        AtExit::ALL.get(number).copied().unwrap_or(AtExit::Default)
    }

    /// Says what is to be done when the process ends.
    pub fn set_at_exit(&self, what: AtExit) {
        self.at_exit.store(what as u8, Ordering::Relaxed);
    }

    /// Of these changes of the store the file knows all.
    fn note_changes(&self, changes: u64) {
        self.changes.store(changes, Ordering::Relaxed);
    }

    /// Changes since the last snapshot, of `changes` in all.
    #[must_use]
    pub fn changes_since(&self, changes: u64) -> u64 {
        changes.saturating_sub(self.changes.load(Ordering::Relaxed))
    }

    /// All figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let began = self.began.load(Ordering::Relaxed);
        let is_running = began != 0;
        let of_running = |count: &AtomicU64| match is_running {
            true => count.load(Ordering::Relaxed),
            false => 0,
        };
        Figures {
            last_save: self.last_save.load(Ordering::Relaxed),
            last_ok: self.last_ok.load(Ordering::Relaxed),
            last_seconds: self.last_seconds.load(Ordering::Relaxed),
            began: is_running.then_some(began),
            saves: self.saves.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            keys_done: of_running(&self.keys_done),
            keys_total: of_running(&self.keys_total),
            last_bytes: self.last_bytes.load(Ordering::Relaxed),
        }
    }
}

/// A snapshot that was written.
#[derive(Clone, Copy, Debug)]
struct Saved {
    entries: u64,
    bytes: u64,
    /// Changes of the store when it began: it knows these for certain.
    changes: u64,
    /// The same of flushes of all keys.
    flushes: u64,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Whoever it was for does not want it any more.
    Cancelled,
    /// Something went wrong.
    Error(String),
    /// The file was not to be read again.
    NotLoaded(String),
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Failed::Error(crate::files::reason(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let snapshots = Snapshots::new(1_000);
        let job = snapshots.request(false, 5_000).expect("none is under way");
        assert_eq!(snapshots.request(true, 5_000).err(), Some(InProgress));
        assert_eq!(snapshots.figures().began, Some(5_000));
        let saved = Saved { entries: 3, bytes: 100, changes: 7, flushes: 0 };
        snapshots.finish(&job, Ok(Some(saved)), 7_500);
        assert_eq!(job.outcome(), Some(&Ok(())));
        let figures = snapshots.figures();
        assert_eq!((figures.began, figures.last_save, figures.last_seconds), (None, 7_500, 2));
        assert_eq!((figures.saves, figures.last_ok, figures.last_bytes), (1, true, 100));
        assert_eq!(snapshots.changes_since(10), 3);
        snapshots.request(true, 8_000).expect("none is under way");
    }

    #[test]
    fn a_failure_is_counted_and_a_cancellation_is_none() {
        let snapshots = Snapshots::new(1_000);
        let job = snapshots.request(false, 2_000).expect("none is under way");
        snapshots.finish(&job, Err(Failed::Error("No space left on device".into())), 2_000);
        let figures = snapshots.figures();
        assert_eq!((figures.failures, figures.last_ok, figures.last_save), (1, false, 1_000));
        let job = snapshots.request(false, 3_000).expect("none is under way");
        assert!(!job.is_cancelled());
        snapshots.cancel();
        assert!(job.is_cancelled());
        snapshots.finish(&job, Err(Failed::Cancelled), 3_000);
        assert_eq!(snapshots.figures().failures, 1);
        assert!(snapshots.cancel().is_none());
    }

    #[test]
    fn a_flush_is_known_when_a_snapshot_that_began_after_it_is_there() {
        let snapshots = Snapshots::new(1_000);
        let saved = |flushes| Ok(Some(Saved { entries: 0, bytes: 0, changes: 0, flushes }));
        assert!(!snapshots.has_flushed_keys());
        snapshots.flushed(true);
        assert!(snapshots.has_flushed_keys());
        let failed = Err(Failed::Error("No space left on device".to_owned()));
        for (outcome, known) in [(failed, false), (saved(0), false), (saved(1), true)] {
            let job = snapshots.request(false, 2_000).expect("none is under way");
            snapshots.finish(&job, outcome, 2_000);
            assert_eq!(!snapshots.has_flushed_keys(), known);
        }
        snapshots.flushed(true);
        assert!(snapshots.has_flushed_keys());
        snapshots.flushed(false);
        assert!(!snapshots.has_flushed_keys(), "there are no save points any more");
    }
}
