//! What this node does with each slot: a byte that dispatch reads for each key.
//!
//! ```text
//!              adopt: the map says so                 fence
//!  Unserved ----------------------------> Served <-----------> Fenced
//!                    Elsewhere <------------'        unfence     |
//!                     |  ^  ^                                    |
//!              expect |  |  `------------------------------------'  adopt: the taker owns it
//!                     v  | unexpect
//!                   Expected ------------> Served or Fenced: adopt, the map says so
//! ```
//!
//! # How a slot is given up
//!
//! A byte that changes stops nobody who has read it before. What makes it count is the epoch: every
//! command runs while its thread is pinned (a turn of a worker, a session run by the holder of a role, a
//! visit to the pool, a client that is served while it waits), and it reads the byte under that pin. So
//! when all who were pinned at the time of the change have unpinned, everybody who runs has read the new
//! value: the argument by which memory is freed, and it costs readers nothing. It does not matter
//! which thread runs a session, or what roles it waits for, because a session that was away reads the byte
//! again where it runs.
//!
//! [`Routes::fence`] sets the bytes and waits for that. Then nothing of these slots is read or changed by
//! a command, and every change that was made has been told to the store's observer. (Expiry and eviction
//! go on: both are misses, which are allowed at any time.)
//!
//! A command for a fenced slot is not refused: it waits like one under CLIENT PAUSE, and asks again when
//! [`Routes::changed`] says so. A transaction may still be queued; its EXEC waits. A script that
//! is under way and goes beyond the keys it has declared finds a fenced slot to be elsewhere. What removes
//! all keys waits while any slot is fenced, in transactions and, as long as they can begin anew, scripts.
//!
//! Whoever reads [`Route::Elsewhere`] (Acquire) sees the map that was stored before it (Release): first
//! the view, then the answer.

use dunlin_storage::{Keyspace, SLOTS, ShownSlots, SlotSet};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What this node does with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Route {
    /// Nobody owns it: CLUSTERDOWN.
    Unserved,
    /// This node serves it, while its lease lasts.
    Served,
    /// Another node owns it: MOVED.
    Elsewhere,
    /// This node owns it and hands it over, or is not ready to serve it yet: its commands wait.
    Fenced,
    /// Another node hands it over to this one, which does not know yet that it is done. Whoever knows
    /// sends clients here, and to send them back would make them run to and fro: their commands wait.
    Expected,
}

impl Route {
    /// Whether the node's own keys are in it, for those who look anywhere (SCAN, DBSIZE).
    #[must_use]
    pub fn is_own(self) -> bool {
        matches!(self, Route::Served | Route::Fenced)
    }
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Routes {
    states: Box<[AtomicU8]>,
    /// Those that are this node's own, for the store.
    shown: Arc<ShownSlots>,
    /// Makes changes one at a time; readers do without it.
    change: Mutex<()>,
    /// Announces changes to those who wait for a fenced slot.
    changed: Notify,
}

impl Default for Routes {
    fn default() -> Self {
        let unserved = |_| AtomicU8::new(Route::Unserved as u8);
        let states = (0..SLOTS).map(unserved).collect();
        let shown = Arc::new(ShownSlots::default());
        (0..SLOTS).for_each(|slot| shown.show(slot, false));
        Routes { states, shown, change: Mutex::new(()), changed: Notify::new() }
    }
}

/// How long those wait who wait for all others, between two looks.
const LOOK: Duration = Duration::from_millis(1);
/// Looks without waiting before that: workers that are idle or between turns have passed already.
const EAGER: usize = 8;

impl Routes {
    /// What becomes of a slot's commands now. Dispatch asks under a pin.
    #[inline]
    #[must_use]
    pub fn get(&self, slot: u16) -> Route {
        let state = self.states.get(usize::from(slot)).map(|state| state.load(Ordering::Acquire));
        match state {
            Some(state) if state == Route::Served as u8 => Route::Served,
            Some(state) if state == Route::Elsewhere as u8 => Route::Elsewhere,
            Some(state) if state == Route::Fenced as u8 => Route::Fenced,
            Some(state) if state == Route::Expected as u8 => Route::Expected,
            _ => Route::Unserved,
        }
    }

    /// Whether any slot is fenced.
    #[must_use]
    pub fn has_fenced(&self) -> bool {
        (0..SLOTS).any(|slot| self.get(slot) == Route::Fenced)
    }

    /// The slots that are this node's own.
    #[must_use]
    pub fn own(&self) -> SlotSet {
        (0..SLOTS).filter(|slot| self.get(*slot).is_own()).collect()
    }

    /// The same for the store, which shows only these to commands that look at all keys. What is here of
    /// other slots is a copy for later.
    #[must_use]
    pub fn shown(&self) -> &Arc<ShownSlots> {
        &self.shown
    }

    /// Gives each slot the state that `next` says, which is given the present one.
    pub fn set(&self, mut next: impl FnMut(u16, Route) -> Route) {
        let _guard = self.lock();
        for (slot, state) in (0..SLOTS).zip(&self.states) {
            let now = self.get(slot);
            let then = next(slot, now);
            if then != now {
                self.shown.show(slot, then.is_own());
                state.store(then as u8, Ordering::Release);
            }
        }
        self.changed.notify_waiters();
    }

    /// Makes commands for these slots wait, as far as they are served here. When the future is done no
    /// command touches them any more, until [`Routes::unfence`] or a new map. It takes as long as the
    /// longest command that runs now, on whichever slot; who will not wait unfences them.
    pub async fn fence(&self, keyspace: &Keyspace, slots: &SlotSet) {
        self.set(|slot, now| match now {
            Route::Served if slots.contains(slot) => Route::Fenced,
            now => now,
        });
        passed(keyspace).await;
    }

    /// Serves these slots, as far as they are fenced.
    pub fn unfence(&self, slots: &SlotSet) {
        self.set(|slot, now| match now {
            Route::Fenced if slots.contains(slot) => Route::Served,
            now => now,
        });
    }

    /// These slots are about to become this node's own.
    pub fn expect(&self, slots: &SlotSet) {
        self.set(|slot, now| match now {
            Route::Elsewhere if slots.contains(slot) => Route::Expected,
            now => now,
        });
    }

    /// They are not, or it takes too long.
    pub fn unexpect(&self, slots: &SlotSet) {
        self.set(|slot, now| match now {
            Route::Expected if slots.contains(slot) => Route::Elsewhere,
            now => now,
        });
    }

    /// The notification of changes. Who waits registers (`Notified::enable`) before asking
    /// [`Routes::get`], or looks again after a while.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until everybody who runs a command now has finished it, or its turn.
pub async fn passed(keyspace: &Keyspace) {
    let all_have = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&all_have);
    keyspace.handle().pin().when_all_have_passed(move || done.store(true, Ordering::Release));
    let mut looks = 0;
    while !all_have.load(Ordering::Acquire) {
        keyspace.handle().pin().flush();
        looks += 1;
        match looks {
            ..=EAGER => tokio::task::yield_now().await,
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_storage::Options;

    #[test]
    fn only_what_is_served_can_be_fenced_and_only_what_is_fenced_unfenced() {
        let routes = Routes::default();
        assert_eq!(routes.get(0), Route::Unserved);
        routes.set(|slot, _| if slot < 100 { Route::Served } else { Route::Elsewhere });
        let keyspace = Keyspace::new(Options::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let slots = (90..110).collect();
        runtime.expect("a runtime").block_on(routes.fence(&keyspace, &slots));
        let states = [89, 90, 99, 100, 110].map(|slot| routes.get(slot));
        use Route::{Elsewhere, Fenced, Served};
        assert_eq!(states, [Served, Fenced, Fenced, Elsewhere, Elsewhere]);
        assert_eq!(routes.own(), (0..100).collect());
        routes.set(|slot, now| if slot == 90 { Elsewhere } else { now });
        routes.unfence(&slots);
        let states = [89, 90, 99, 100, 110].map(|slot| routes.get(slot));
        assert_eq!(states, [Served, Elsewhere, Served, Elsewhere, Elsewhere]);
        assert_eq!(routes.get(SLOTS), Route::Unserved);
        let slots = (0..SLOTS).collect();
        routes.expect(&slots);
        assert_eq!([99, 100].map(|slot| routes.get(slot)), [Served, Route::Expected]);
        assert_eq!(routes.own().len(), 99);
        routes.unexpect(&slots);
        assert_eq!([99, 100].map(|slot| routes.get(slot)), [Served, Elsewhere]);
        assert!((0..SLOTS).all(|slot| routes.shown().contains(slot) == routes.get(slot).is_own()));
    }
}
