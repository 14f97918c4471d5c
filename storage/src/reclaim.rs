//! Memory that was unlinked: waiting for its readers (limbo), or waiting to be freed in slices.
//!
//! Entries that a turn of the role takes out of the table are collected in the shard and handed to
//! the epoch as one closure per [`BATCH_ITEMS`] entries or [`BATCH_BYTES`] bytes, followed by a
//! flush. One closure per entry would outrun the collector, which frees a bounded number of
//! closures per pin. What is too large to free in one go (big strings, flushed tables) is queued
//! after its grace period and worked off by `free_slice`.

use crate::entry::{self, EntryPtr};
use crate::sync::{Arc, AtomicI64, AtomicPtr, Guard, Ordering};
use crate::table::resize::Detached;
use crate::value::rope::Rope;

/// Entries per deferred closure.
pub(crate) const BATCH_ITEMS: usize = if cfg!(loom) { 1 } else { 64 };
/// Bytes per deferred closure.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;
/// Chunks of a big string freed per unit of a slice.
const CHUNKS_PER_UNIT: usize = 1;

/// Something that is freed piece by piece.
pub(crate) enum Big {
    Rope(Box<Rope>),
    Table(Detached),
}

struct Node {
    big: Big,
    bytes: u64,
    next: *mut Node,
}

/// The free queue and the count of unlinked bytes, shared with the deferred closures.
pub(crate) struct Reclaim {
    /// Unlinked and not freed yet.
    limbo: AtomicI64,
    limbo_peak: AtomicI64,
    /// Stack of things to free in slices. Pushed by anybody (Release), taken whole (Acquire).
    queue: AtomicPtr<Node>,
}

impl Reclaim {
    pub(crate) fn new() -> Self {
        Self {
            limbo: AtomicI64::new(0),
            limbo_peak: AtomicI64::new(0),
            queue: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    pub(crate) fn limbo(&self) -> u64 {
        self.limbo.load(Ordering::Relaxed).max(0) as u64
    }

    pub(crate) fn limbo_peak(&self) -> u64 {
        self.limbo_peak.load(Ordering::Relaxed).max(0) as u64
    }

    pub(crate) fn reset_peak(&self) {
        self.limbo_peak.store(self.limbo.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        let now = self.limbo.fetch_add(bytes as i64, Ordering::Relaxed) + bytes as i64;
        if now > self.limbo_peak.load(Ordering::Relaxed) {
            self.limbo_peak.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn sub(&self, bytes: u64) {
        self.limbo.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    pub(crate) fn push(&self, big: Big, bytes: u64) {
        let node = Box::new(Node { big, bytes, next: std::ptr::null_mut() });
        self.push_node(Box::into_raw(node));
    }

    fn push_node(&self, node: *mut Node) {
        let mut head = self.queue.load(Ordering::Relaxed);
        loop {
            // SAFETY: the node is ours until the exchange below succeeds.
            unsafe { (*node).next = head };
            match self.queue.compare_exchange(head, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Frees up to `units` pieces; true if there is more.
    pub(crate) fn free(&self, units: usize) -> bool {
        if self.queue.load(Ordering::Relaxed).is_null() {
            return false;
        }
        let mut list = self.queue.swap(std::ptr::null_mut(), Ordering::Acquire);
        let mut left = units;
        while !list.is_null() {
            // SAFETY: the swap made the whole list ours.
            let mut node = unsafe { Box::from_raw(list) };
            list = node.next;
            let done = left > 0
                && match &mut node.big {
                    Big::Rope(rope) => rope_done(rope, &mut left),
                    Big::Table(table) => table.free(&mut left, self),
                };
            if done {
                self.sub(node.bytes);
            } else {
                self.push_node(Box::into_raw(node));
            }
        }
        !self.queue.load(Ordering::Relaxed).is_null()
    }

    /// Frees entries that nobody can reach any more.
    ///
    /// # Safety
    /// The caller owns the entry, as for [`entry::free`].
    pub(crate) unsafe fn free_entry(&self, entry: EntryPtr) {
        // SAFETY: by the contract of this function.
        if let Some(rope) = unsafe { entry::free(entry) } {
            let bytes = rope.memory_usage() as u64;
            self.add(bytes);
            self.push(Big::Rope(rope), bytes);
        }
    }
}

fn rope_done(rope: &mut Rope, left: &mut usize) -> bool {
    let chunks = (*left * CHUNKS_PER_UNIT).min(rope.chunk_count().max(1));
    *left -= chunks.div_ceil(CHUNKS_PER_UNIT);
    !rope.shed(chunks)
}

impl Drop for Reclaim {
    fn drop(&mut self) {
        while self.free(usize::MAX) {}
    }
}

/// Entries that go to the epoch together.
struct Batch {
    entries: Vec<EntryPtr>,
    bytes: u64,
    reclaim: Arc<Reclaim>,
}

/// What a shard has unlinked and not yet handed to the epoch. Only under the role.
#[derive(Default)]
pub(crate) struct Limbo {
    entries: Vec<EntryPtr>,
    bytes: u64,
}

impl Limbo {
    /// Takes over an entry that was just unlinked.
    pub(crate) fn retire(&mut self, entry: EntryPtr, bytes: usize) {
        self.entries.push(entry);
        self.bytes += bytes as u64;
    }

    /// Hands what was collected to the epoch, if it is enough or `all` is asked for.
    pub(crate) fn flush(&mut self, all: bool, reclaim: &Arc<Reclaim>, guard: &Guard) {
        let enough = self.entries.len() >= BATCH_ITEMS || self.bytes as usize >= BATCH_BYTES;
        if self.entries.is_empty() || !(enough || all) {
            return;
        }
        let entries = std::mem::replace(&mut self.entries, Vec::with_capacity(BATCH_ITEMS));
        let bytes = std::mem::take(&mut self.bytes);
        reclaim.add(bytes);
        let batch = Box::new(Batch { entries, bytes, reclaim: Arc::clone(reclaim) });
        // SAFETY: the entries are unlinked, and every reader that may have found one is pinned
        // since before; the closure runs after they have all unpinned, on whichever thread, and
        // is the only owner.
        unsafe { guard.defer_unchecked(move || free_batch(*batch)) };
        guard.flush();
    }
}

/// Queues a table's arrays for freeing in slices, after the grace period.
pub(crate) fn retire_table(reclaim: &Arc<Reclaim>, detached: Detached, bytes: u64, guard: &Guard) {
    if detached.is_empty() {
        return;
    }
    reclaim.add(bytes);
    let reclaim = Arc::clone(reclaim);
    let parcel = Box::new((detached, bytes, reclaim));
    let send = move || {
        let (detached, bytes, reclaim) = *parcel;
        reclaim.push(Big::Table(detached), bytes);
    };
    // SAFETY: the closure owns what it moves; the arrays are unlinked, and are freed only after it
    // has run.
    unsafe { guard.defer_unchecked(send) };
    guard.flush();
}

fn free_batch(batch: Batch) {
    for entry in batch.entries {
        // SAFETY: called once, after the grace period of all of the batch's entries.
        unsafe { batch.reclaim.free_entry(entry) };
    }
    batch.reclaim.sub(batch.bytes);
}
