//! Memory that was unlinked: waiting for its readers (limbo), or waiting to be freed in slices.
//!
//! Entries that a turn of the role takes out of the table are collected in the shard and handed to
//! the epoch as one closure per [`BATCH_ITEMS`] entries or [`BATCH_BYTES`] bytes, followed by a
//! flush. One closure per entry would outrun the collector, which frees a bounded number of
//! closures per pin. What is too large to free in one go (big strings, flushed tables) is queued
//! after its grace period and worked off by `free_slice`.
//!
//! After its grace period a batch of small entries is offered to the shard it came from, whose next
//! writes take their memory from it: overwrites then cost neither an allocation nor a free, and no
//! block has to go back to the thread that allocated it.

use crate::entry::{self, Block, Dead};
use crate::hash::ShardId;
use crate::sync::{Arc, AtomicI64, AtomicPtr, AtomicU32, Guard, Ordering, RoleCell};
use crate::table::resize::Detached;
use crate::value::rope::Rope;

/// Entries per deferred closure.
pub(crate) const BATCH_ITEMS: usize = if cfg!(loom) { 1 } else { 128 };
/// Bytes per deferred closure.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;
/// Largest class whose blocks are kept for the next writes of their shard: two batches per shard
/// at most, beside what counts as limbo.
const SPARE_CLASS_MAX: usize = if cfg!(loom) { 0 } else { 512 };
/// How many entries ahead of the one being freed are fetched.
const FREE_AHEAD: usize = 4;
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
    /// How many things are in the queue or being freed.
    waiting: AtomicI64,
    /// 1 while a thread works on `pending`.
    freeing: AtomicU32,
    pending: RoleCell<Pending>,
    /// Per shard a batch of freed blocks that the shard's writer may use again. Put there by
    /// whoever frees them (Release), taken by the role holder (Acquire).
    spares: Box<[AtomicPtr<Vec<Dead>>]>,
}

/// The list that is being worked off. Protected by `freeing`.
#[derive(Default)]
struct Pending(Option<Box<Node>>);

// SAFETY: the nodes form a list that belongs to this value only.
unsafe impl Send for Pending {}

impl Reclaim {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            limbo: AtomicI64::new(0),
            limbo_peak: AtomicI64::new(0),
            queue: AtomicPtr::new(std::ptr::null_mut()),
            waiting: AtomicI64::new(0),
            freeing: AtomicU32::new(0),
            pending: RoleCell::new(Pending::default()),
            spares: (0..shards).map(|_| AtomicPtr::new(std::ptr::null_mut())).collect(),
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
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let node = Box::into_raw(Box::new(Node { big, bytes, next: std::ptr::null_mut() }));
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

    /// Frees up to `units` pieces; true if there is more. One thread at a time; others are told that
    /// there is more.
    pub(crate) fn free(&self, units: usize) -> bool {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        if self.freeing.swap(1, Ordering::Acquire) == 1 {
            return true;
        }
        // SAFETY: `freeing` makes this thread the only one here until the store below.
        unsafe { self.pending.with(|pending| self.free_pending(pending, units)) };
        self.freeing.store(0, Ordering::Release);
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn free_pending(&self, pending: &mut Pending, units: usize) {
        let mut left = units;
        while left > 0 {
            if pending.0.is_none() {
                let list = self.queue.swap(std::ptr::null_mut(), Ordering::Acquire);
                if list.is_null() {
                    return;
                }
                // SAFETY: the swap made the whole list ours.
                pending.0 = Some(unsafe { Box::from_raw(list) });
            }
            let Some(mut node) = pending.0.take() else { return };
            let done = match &mut node.big {
                Big::Rope(rope) => rope_done(rope, &mut left),
                Big::Table(table) => table.free(&mut left, self),
            };
            if !done {
                pending.0 = Some(node);
                continue;
            }
            self.sub(node.bytes);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            if !node.next.is_null() {
                // SAFETY: the rest of the list that the swap gave us.
                pending.0 = Some(unsafe { Box::from_raw(node.next) });
            }
        }
    }

    /// Frees an entry that nobody can reach any more.
    ///
    /// # Safety
    /// The caller owns the entry, as for [`entry::free`].
    pub(crate) unsafe fn free_entry(&self, dead: Dead) {
        // SAFETY: by the contract of this function.
        if let Some(rope) = unsafe { entry::free(dead) } {
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

impl Reclaim {
    /// Offers blocks to their shard; comes back if it has some already.
    fn offer(&self, shard: ShardId, blocks: Vec<Dead>) -> Option<Vec<Dead>> {
        let slot = &self.spares[usize::from(shard.0)];
        if !slot.load(Ordering::Relaxed).is_null() {
            return Some(blocks);
        }
        let blocks = Box::into_raw(Box::new(blocks));
        let null = std::ptr::null_mut();
        match slot.compare_exchange(null, blocks, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => None,
            // SAFETY: not published, so still ours.
            Err(_) => Some(*unsafe { Box::from_raw(blocks) }),
        }
    }

    /// Takes the blocks that were offered to a shard.
    fn take_spares(&self, shard: ShardId) -> Option<Vec<Dead>> {
        let slot = &self.spares[usize::from(shard.0)];
        if slot.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let blocks = slot.swap(std::ptr::null_mut(), Ordering::Acquire);
        // SAFETY: published by `offer`, and the swap made it ours.
        (!blocks.is_null()).then(|| *unsafe { Box::from_raw(blocks) })
    }
}

impl Drop for Reclaim {
    fn drop(&mut self) {
        for shard in 0..self.spares.len() {
            for dead in self.take_spares(ShardId(shard as u16)).into_iter().flatten() {
                // SAFETY: spare blocks belong to nobody else.
                unsafe { self.free_entry(dead) };
            }
        }
        while self.free(usize::MAX) {}
    }
}

/// Entries that go to the epoch together.
struct Batch {
    entries: Vec<Dead>,
    bytes: u64,
    shard: ShardId,
    reclaim: Arc<Reclaim>,
}

/// What a shard has unlinked and not yet handed to the epoch. Only under the role.
#[derive(Default)]
pub(crate) struct Limbo {
    entries: Vec<Dead>,
    bytes: u64,
    /// Freed blocks to be used again.
    spares: Vec<Dead>,
}

impl Limbo {
    /// A freed block of a class, if the next one at hand fits. One that does not fit is freed: the
    /// spares keep flowing when sizes change.
    #[inline]
    pub(crate) fn block(
        &mut self,
        class: usize,
        reclaim: &Reclaim,
        shard: ShardId,
    ) -> Option<Block> {
        if class > SPARE_CLASS_MAX {
            return None;
        }
        if self.spares.is_empty() {
            self.spares = reclaim.take_spares(shard)?;
        }
        let spare = self.spares.pop()?;
        if let Some(next) = self.spares.last() {
            next.prefetch();
        }
        if spare.class() != class {
            // SAFETY: spare blocks belong to nobody else.
            unsafe { reclaim.free_entry(spare) };
            return None;
        }
        // SAFETY: as above; entries with something hanging on them do not become spares.
        Some(unsafe { spare.into_block() })
    }

    /// Gives the spare blocks back to the allocator.
    pub(crate) fn free_spares(&mut self, reclaim: &Reclaim, shard: ShardId) {
        let offered = reclaim.take_spares(shard).into_iter().flatten();
        for dead in self.spares.drain(..).chain(offered) {
            // SAFETY: spare blocks belong to nobody else.
            unsafe { reclaim.free_entry(dead) };
        }
    }

    /// Takes over an entry that was just unlinked; true if it is time to flush.
    #[inline]
    pub(crate) fn retire(&mut self, dead: Dead, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        self.entries.push(dead);
        self.is_enough()
    }

    fn is_enough(&self) -> bool {
        self.entries.len() >= BATCH_ITEMS || self.bytes as usize >= BATCH_BYTES
    }

    /// Hands what was collected to the epoch, if it is enough or `all` is asked for. True if it did:
    /// the guard wants flushing then, better after the role was given back.
    pub(crate) fn flush(
        &mut self,
        all: bool,
        reclaim: &Arc<Reclaim>,
        shard: ShardId,
        guard: &Guard,
    ) -> bool {
        if self.entries.is_empty() || !(self.is_enough() || all) {
            return false;
        }
        let entries = std::mem::replace(&mut self.entries, Vec::with_capacity(BATCH_ITEMS));
        let bytes = std::mem::take(&mut self.bytes);
        reclaim.add(bytes);
        let batch = Box::new(Batch { entries, bytes, shard, reclaim: Arc::clone(reclaim) });
        // SAFETY: the entries are unlinked, and every reader that may have found one is pinned
        // since before; the closure runs after they have all unpinned, on whichever thread, and
        // is the only owner.
        unsafe { guard.defer_unchecked(move || free_batch(*batch)) };
        true
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
}

fn free_batch(mut batch: Batch) {
    let fits = |dead: &Dead| !dead.has_rope() && dead.class() <= SPARE_CLASS_MAX;
    if batch.entries.iter().all(fits) {
        let entries = std::mem::take(&mut batch.entries);
        batch.entries = batch.reclaim.offer(batch.shard, entries).unwrap_or_default();
    }
    batch.entries.iter().rev().take(FREE_AHEAD).for_each(Dead::prefetch);
    while let Some(dead) = batch.entries.pop() {
        if let Some(next) = batch.entries.len().checked_sub(FREE_AHEAD) {
            batch.entries[next].prefetch();
        }
        // SAFETY: popped once, after the grace period of all of the batch's entries.
        unsafe { batch.reclaim.free_entry(dead) };
    }
    batch.reclaim.sub(batch.bytes);
}
