//! Memory that was unlinked and is too large to be freed in one go: big strings, flushed tables.
//!
//! After its grace period (see [`crate::epoch`]) it is queued here and worked off by `free_slice`.
//! The count of everything unlinked and not yet freed is here too.

use crate::entry::{self, Dead};
use crate::epoch::Guard;
use crate::slab::Returns;
use crate::sync::{Arc, AtomicI64, AtomicPtr, AtomicU32, Ordering, RoleCell};
use crate::table::resize::Detached;
use crate::value::object::Object;
use crate::value::rope::Rope;

/// Chunks of a big string freed per unit of a slice.
const CHUNKS_PER_UNIT: usize = 1;

/// Something that is freed piece by piece.
pub(crate) enum Big {
    Rope(Box<Rope>),
    Object(Box<Object>),
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
}

/// The list that is being worked off. Protected by `freeing`.
#[derive(Default)]
struct Pending(Option<Box<Node>>);

// SAFETY: the nodes form a list that belongs to this value only.
unsafe impl Send for Pending {}

impl Reclaim {
    pub(crate) fn new() -> Self {
        Self {
            limbo: AtomicI64::new(0),
            limbo_peak: AtomicI64::new(0),
            queue: AtomicPtr::new(std::ptr::null_mut()),
            waiting: AtomicI64::new(0),
            freeing: AtomicU32::new(0),
            pending: RoleCell::new(Pending::default()),
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
        // Not a swap: one that finds 1 would write it once more, and the model checker does not order
        // that before the store by which the other thread gives it back.
        if self.freeing.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
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
                Big::Object(object) => object_done(object, &mut left),
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
    pub(crate) unsafe fn free_entry(&self, dead: Dead, returns: &mut Returns) {
        let shared = dead.shared();
        // SAFETY: by the contract of this function.
        let Some(big) = (unsafe { entry::free(dead, returns) }) else { return };
        let bytes = match &big {
            Big::Rope(rope) => rope.memory_usage().saturating_sub(shared) as u64,
            Big::Object(object) => object.memory_usage() as u64,
            Big::Table(_) => 0,
        };
        self.add(bytes);
        self.push(big, bytes);
    }
}

/// Parts of a large collection freed per unit of a slice.
const PARTS_PER_UNIT: usize = 8;

fn object_done(object: &mut Object, left: &mut usize) -> bool {
    let units = (*left).min(UNITS_PER_LOOK);
    *left -= units;
    !object.shed(units * PARTS_PER_UNIT)
}

/// Units that one look at a large collection takes at most.
const UNITS_PER_LOOK: usize = 64;

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
    unsafe { guard.defer(send) };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::hash::ShardId;
    use crate::keyspace::{DbId, Keyspace, Options};
    use crate::shard::ShardSet;
    use crate::value::string::NewValue;

    #[test]
    fn what_a_changed_string_has_of_the_old_one_is_no_garbage() {
        let keyspace = Keyspace::new(Options { shards: 1, ..Options::default() });
        let (handle, reader) = (keyspace.handle(), keyspace.handle());
        let put = |rope: &Rope| {
            let (guard, value) = (handle.pin(), NewValue::Rope(rope.clone()));
            let set = ShardSet::one(ShardId(0));
            let mut writer = keyspace.try_enter(&set, &guard).expect("a free role");
            writer.put(DbId(0), &keyspace.key(b"bits"), value, None, 0);
            drop(writer);
            keyspace.flush_limbo(&guard);
        };
        let mut rope = Rope::from_bytes(&vec![7; 64 << 20]);
        put(&rope);
        let pinned = reader.pin();
        for i in 0..10 {
            rope = rope.write_at(i * 6_000_000, &[1]);
            put(&rope);
        }
        let memory = keyspace.memory();
        assert!(memory.limbo > 0 && memory.limbo < 2 << 20, "{memory:?}");
        drop(pinned);
        for _ in 0..1000 {
            handle.pin().flush();
            while keyspace.free_slice(16) {}
        }
        let memory = keyspace.memory();
        assert!(memory.limbo == 0 && memory.limbo_peak < 2 << 20, "{memory:?}");
    }
}
