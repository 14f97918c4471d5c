//! State that one thread at a time works on, and that nobody waits for.
//!
//! As with the writer role of a shard ([`crate::shard`]): who finds the state taken leaves what is to
//! be done where the holder finds it, and goes on. One word has two bits:
//!
//! - **Enter**: `fetch_or(HELD)`; HELD was clear: the state is ours.
//! - **Leave word** (after publishing the work): `fetch_or(HELD | LEFT)`. HELD was clear: the state is
//!   ours, and we do it ourselves.
//! - **Release**: `CAS(HELD -> 0)`. It fails if LEFT is set: clear LEFT, do what was left, try again.
//!
//! Publishing and releasing meet on one word, so nothing is stranded.

use crate::sync::{AtomicU32, Ordering, RoleCell};

const HELD: u32 = 1;
const LEFT: u32 = 2;

/// See the module.
pub(crate) struct Custody<T> {
    word: AtomicU32,
    state: RoleCell<T>,
}

impl<T> Custody<T> {
    pub(crate) fn new(state: T) -> Self {
        Self { word: AtomicU32::new(0), state: RoleCell::new(state) }
    }

    /// Works on the state if nobody else does. `rest` does what others have left meanwhile.
    pub(crate) fn try_with<R>(
        &self,
        work: impl FnOnce(&mut T) -> R,
        rest: impl FnMut(&mut T),
    ) -> Option<R> {
        // Look first: a failing read-modify-write would take the line from the holder.
        let held = |word| word & HELD != 0;
        if held(self.word.load(Ordering::Relaxed))
            || held(self.word.fetch_or(HELD, Ordering::AcqRel))
        {
            return None;
        }
        // SAFETY: HELD was clear and we have set it.
        let result = unsafe { self.state.with(work) };
        self.release(rest);
        Some(result)
    }

    /// Something was published: `rest` does it, here or wherever the state is being worked on.
    pub(crate) fn leave_word(&self, mut rest: impl FnMut(&mut T)) {
        if self.word.fetch_or(HELD | LEFT, Ordering::AcqRel) & HELD == 0 {
            // SAFETY: HELD was clear and we have set it.
            unsafe { self.state.with(&mut rest) };
            self.release(rest);
        }
    }

    fn release(&self, mut rest: impl FnMut(&mut T)) {
        while self.word.compare_exchange(HELD, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            // Cleared first: what is published later sets it again.
            self.word.fetch_and(!LEFT, Ordering::AcqRel);
            // SAFETY: HELD is ours until the exchange succeeds.
            unsafe { self.state.with(&mut rest) };
        }
    }
}
