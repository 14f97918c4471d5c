//! What the models need to see of the inside. Exists under `--cfg loom` only.
//!
//! Freed memory stays mapped until the execution is over, so that a read of it is reported by its
//! [`Alive`](crate::sync::Alive) mark and not by a crash.

use std::alloc::{Layout, dealloc};
use std::cell::{Cell, RefCell};

use crate::hash::POSITION_BITS;
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
