//! CLIENT PAUSE: commands of clients wait until a moment, or until CLIENT UNPAUSE.
//!
//! Dispatch asks [`Pause::blocks`] before each command, which costs one relaxed load while nothing
//! is paused. A command that is blocked waits for the moment or for [`Pause::changed`], whichever
//! comes first, and asks again. Pauses add up: a later one never shortens or weakens an earlier
//! one that still lasts.

use dunlin_storage::Millis;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// What a pause stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseKind {
    /// Only commands that write.
    Write,
    /// Every command.
    All,
}

/// The pause that lasts now, if any.
#[derive(Debug, Default)]
pub struct Pause {
    /// End of the pause; 0 = none.
    until: AtomicI64,
    /// Whether reads wait as well.
    all: AtomicBool,
    /// Makes changes one at a time; readers do without it.
    change: Mutex<()>,
    /// Announces every change.
    changed: Notify,
}

impl Pause {
    /// Pauses until `until`.
    pub fn start(&self, kind: PauseKind, until: Millis, now: Millis) {
        let _guard = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.until.load(Ordering::Relaxed);
        let lasts = old > now;
        let all = kind == PauseKind::All || (lasts && self.all.load(Ordering::Relaxed));
        self.all.store(all, Ordering::Relaxed);
        // Released after `all`, so that whoever sees the moment sees what it is for.
        self.until.store(if lasts { old.max(until) } else { until }, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Ends the pause.
    pub fn stop(&self) {
        let _guard = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.until.store(0, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Until when a command has to wait, `write` = it changes data.
    #[inline]
    pub fn blocks(&self, write: bool, now: Millis) -> Option<Millis> {
        if self.until.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let until = self.until.load(Ordering::Acquire);
        (until > now && (write || self.all.load(Ordering::Relaxed))).then_some(until)
    }

    /// Whether the pause until `until`, of which [`Pause::blocks`] has told, lasts unchanged.
    pub fn is_still(&self, until: Millis, now: Millis) -> bool {
        self.blocks(true, now) == Some(until)
    }

    /// The notification of changes. It reaches those who have a `Notified` of it by then, so whoever
    /// is to wait takes one and asks [`Pause::is_still`] after that: what has changed since dispatch
    /// asked, it would not hear of.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_of_writes_lets_reads_pass() {
        let pause = Pause::default();
        assert_eq!(pause.blocks(true, 10), None);
        pause.start(PauseKind::Write, 100, 10);
        assert_eq!(pause.blocks(true, 10), Some(100));
        assert_eq!(pause.blocks(false, 10), None);
        assert_eq!(pause.blocks(true, 100), None);
    }

    #[test]
    fn later_pause_neither_shortens_nor_weakens() {
        let pause = Pause::default();
        pause.start(PauseKind::All, 100, 10);
        pause.start(PauseKind::Write, 50, 20);
        assert_eq!(pause.blocks(false, 60), Some(100));
        pause.start(PauseKind::Write, 500, 30);
        assert_eq!(pause.blocks(false, 200), Some(500));
    }

    #[test]
    fn who_is_to_wait_learns_that_it_has_changed_meanwhile() {
        let pause = Pause::default();
        pause.start(PauseKind::All, 100, 10);
        assert!(pause.is_still(100, 20));
        pause.start(PauseKind::Write, 200, 30);
        assert!(!pause.is_still(100, 40) && pause.is_still(200, 40));
        pause.stop();
        assert!(!pause.is_still(200, 50));
    }

    #[test]
    fn ended_pause_leaves_nothing_to_the_next() {
        let pause = Pause::default();
        pause.start(PauseKind::All, 100, 10);
        pause.start(PauseKind::Write, 300, 200);
        assert_eq!(pause.blocks(false, 250), None);
        assert_eq!(pause.blocks(true, 250), Some(300));
        pause.stop();
        assert_eq!(pause.blocks(true, 250), None);
    }
}
