//! What the models need to see of the inside. Exists under `--cfg loom` only.
//!
//! Freed memory stays mapped until the execution is over, so that a read of it is reported by its
//! [`Alive`](crate::sync::Alive) mark and not by a crash.

use std::alloc::{Layout, dealloc};
use std::cell::{Cell, RefCell};

use crate::hash::POSITION_BITS;
use crate::slab::custody::Custody;
use crate::sync::{AtomicU64, Ordering};
use crate::{DbId, KeyHash, Keyspace};

std::thread_local! {
    /// All threads of an execution run on one thread of the system.
    static BURIED: RefCell<Vec<(*mut u8, Layout)>> = const { RefCell::new(Vec::new()) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static BUMP: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn count(change: i64) {
    LIVE.set(LIVE.get() + change);
}

/// Takes memory that is freed; what was in it has been dropped or must not be.
pub(crate) fn bury(base: *mut u8, layout: Layout) {
    BURIED.with_borrow_mut(|buried| buried.push((base, layout)));
}

/// Call at the start of every execution.
pub fn begin() {
    LIVE.set(0);
    BUMP.set(false);
    for (base, layout) in BURIED.take() {
        // SAFETY: allocated with this layout, and the execution that used it is over.
        unsafe { dealloc(base, layout) };
    }
}

/// To be called by models whose readers use `Touch::Yes`.
pub fn let_readers_bump() {
    BUMP.set(true);
}

pub(crate) fn readers_bump() -> bool {
    BUMP.get()
}

/// Entries and buckets that were made and not freed yet.
#[must_use]
pub fn live() -> i64 {
    LIVE.get()
}

/// State that one thread at a time works on, as the arenas of the slab, and what others leave there.
pub struct Kept {
    sum: Custody<u64>,
    left: AtomicU64,
}

impl Kept {
    /// Nothing.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "models say what they make")]
    pub fn new() -> Self {
        Self { sum: Custody::new(0), left: AtomicU64::new(0) }
    }

    /// Adds to the sum, or leaves it to who is at it.
    pub fn add(&self, more: u64) {
        if self.sum.try_with(|sum| *sum += more, |sum| self.rest(sum)).is_none() {
            self.left.fetch_add(more, Ordering::Release);
            self.sum.leave_word(|sum| self.rest(sum));
        }
    }

    fn rest(&self, sum: &mut u64) {
        *sum += self.left.swap(0, Ordering::Acquire);
    }

    /// The sum, when nobody is at it; what was left must be in it.
    pub fn sum(&self) -> Option<u64> {
        self.sum.try_with(|sum| *sum, |_| {})
    }
}

/// What freeing a flushed table notes of a key, without the table.
pub fn note_flushed(keyspace: &Keyspace, key: &[u8]) {
    if let Some(misses) = &keyspace.misses {
        misses.flushed(0, key);
    }
}

/// Home buckets of a new table.
pub const HOMES: usize = crate::table::HOMES;
/// Slots of a bucket.
pub const SLOTS: usize = crate::table::bucket::SLOTS;

/// The home bucket of a hash in a table with so many homes.
#[must_use]
pub fn home(keyspace: &Keyspace, hash: KeyHash, homes: usize) -> usize {
    ((keyspace.hasher.spot(hash).position * homes as u64) >> POSITION_BITS) as usize
}

/// How many arrays a shard's table has: two while items move.
#[must_use]
pub fn arrays(keyspace: &Keyspace, db: DbId, shard: crate::ShardId, guard: &crate::Guard) -> usize {
    let table = keyspace.table(keyspace.physical(db), shard);
    let mut array = table.head(guard);
    let mut count = 0;
    while let Some(current) = array {
        count += 1;
        array = current.next();
    }
    count
}
