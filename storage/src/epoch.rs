//! A thread's part in the reclamation: its participant in the epoch, and the memory it has unlinked.
//!
//! What a writer takes out of a table belongs to its **thread** from then on, not to the shard: a
//! shard that several threads write to would otherwise pull the lines of its garbage from core to
//! core with every write.
//!
//! ```text
//! Local (one thread)   limbo:  unlinked, not yet handed to the epoch
//!                      spares: blocks to be used again by this thread's next writes
//!                        |       (of other sizes: on the shelf)
//!                        ^ inbox (any thread pushes)
//! epoch                closure of a batch, run by whichever thread collects: pushes the batch
//!                      to the inbox it came from, or frees it if that is full
//! ```
//!
//! The limbo goes to the epoch as one closure per [`BATCH_ITEMS`] entries or [`BATCH_BYTES`] bytes,
//! followed by a flush. One closure per entry would outrun the collector, which frees a bounded
//! number of closures per pin. Overwrites in a steady load then cost neither an allocation nor a
//! free, and no block has to go back to the thread that allocated it.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | `Local::limbo` | its thread | its thread |
//! | `Inbox::head` | any thread pushes (Release) | its thread takes all (Acquire) |
//! | `Inbox::waiting` | pushers and the taker (Relaxed) | pushers: a bound, may be off by the pushes under way |

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::entry::Dead;
use crate::reclaim::Reclaim;
use crate::shelf::Shelf;
use crate::slab::{self, BLOCK_MAX, Block, Returns};
use crate::sync::{Arc, AtomicPtr, AtomicU64, Collector, LocalHandle, Ordering, Pin};

/// Entries per deferred closure.
const BATCH_ITEMS: usize = if cfg!(loom) { 1 } else { 256 };
/// Bytes per deferred closure.
const BATCH_BYTES: usize = 64 * 1024;
/// Largest class whose blocks are kept for the next writes of their thread.
const SPARE_CLASS_MAX: usize = if cfg!(loom) { 0 } else { BLOCK_MAX };
/// Bytes that may wait in an inbox; what comes beyond is freed. A thread that was away for some
/// milliseconds while it was pinned keeps the garbage of all from being reused, and then all of it
/// comes home at once.
const INBOX_BYTES: u64 = 1 << 20;
/// How many blocks ahead of the one being used again are fetched.
const REUSE_AHEAD: usize = 2;
/// How many entries ahead of the one being freed are fetched.
const FREE_AHEAD: usize = 4;

/// A thread's participant in the epoch of one keyspace. Dropping it hands on what it has unlinked.
pub struct Handle(Rc<Local>);

/// Keeps everything that is read through it alive until it is dropped. Stays on its thread.
pub struct Guard {
    /// Before `local`: it must unpin while its participant is still there.
    pin: Pin,
    local: Rc<Local>,
    /// Somebody has looked for a key whose time is over.
    met_expired: Cell<bool>,
}

struct Local {
    participant: LocalHandle,
    limbo: RefCell<Limbo>,
    inbox: Arc<Inbox>,
    reclaim: Arc<Reclaim>,
    /// What the slab knows this thread by.
    number: usize,
}

/// What this thread has unlinked, and what it may use again.
#[derive(Default)]
struct Limbo {
    entries: Vec<Dead>,
    /// Entries whose memory will not be used again by itself.
    heavy: Vec<Dead>,
    /// Bytes of the entries, and of the heavy ones.
    bytes: (u64, u64),
    spares: Vec<Dead>,
    shelf: Shelf,
}

impl Handle {
    pub(crate) fn new(collector: &Collector, reclaim: &Arc<Reclaim>) -> Self {
        Self(Rc::new(Local {
            participant: collector.register(),
            limbo: RefCell::default(),
            inbox: Arc::default(),
            reclaim: Arc::clone(reclaim),
            number: slab::next_thread(),
        }))
    }

    /// Keeps everything that is read from now on alive until the guard is dropped.
    #[inline]
    #[must_use]
    pub fn pin(&self) -> Guard {
        Guard {
            pin: self.0.participant.pin(),
            local: Rc::clone(&self.0),
            met_expired: Cell::new(false),
        }
    }
}

impl Guard {
    #[cold]
    pub(crate) fn note_expired(&self) {
        self.met_expired.set(true);
    }

    /// What [`Guard::take_expired`] would answer.
    #[inline]
    pub(crate) fn has_met_expired(&self) -> bool {
        self.met_expired.get()
    }

    /// Whether a read, with or without a role, has found nothing because the time of its key was over, since
    /// this was last asked. Then there may be something for [`Keyspace::bury`](crate::Keyspace::bury).
    #[inline]
    #[must_use]
    pub fn take_expired(&self) -> bool {
        self.met_expired.replace(false)
    }

    /// A block of a class, unless it is too large: the freed one that is next at hand, if it fits, or one
    /// from the shelf. One that does not fit goes there: the spares keep flowing when sizes change.
    #[inline]
    pub(crate) fn block(&self, class: usize) -> Option<Block> {
        if class > SPARE_CLASS_MAX {
            return None;
        }
        let limbo = &mut *self.local.limbo.borrow_mut();
        if limbo.spares.is_empty() {
            self.local.inbox.take(&mut limbo.spares);
        }
        let Some(spare) = limbo.spares.pop() else {
            return Some(limbo.shelf.take(self.local.number, class));
        };
        if let Some(next) = limbo.spares.len().checked_sub(REUSE_AHEAD) {
            limbo.spares[next].prefetch_to_write();
        }
        let had = spare.class();
        // SAFETY: spare blocks belong to nobody else; entries with something hanging on them do not
        // become spares.
        let block = unsafe { spare.into_block() };
        Some(match had == class {
            true => block,
            false => limbo.shelf.exchange(self.local.number, (block, had), class),
        })
    }

    /// Takes over an entry that was just unlinked. True if a batch went to the epoch: the guard
    /// wants flushing then, better after the role was given back.
    #[inline(always)]
    pub(crate) fn retire(&self, dead: Dead, bytes: usize) -> bool {
        let limbo = &mut *self.local.limbo.borrow_mut();
        if dead.is_laden() || dead.class() > SPARE_CLASS_MAX {
            return self.local.retire_heavy(limbo, dead, bytes, &self.pin);
        }
        limbo.entries.push(dead.unladen());
        limbo.bytes.0 += bytes as u64;
        if limbo.entries.len() < BATCH_ITEMS && (limbo.bytes.0 as usize) < BATCH_BYTES {
            return false;
        }
        self.local.hand_on(limbo, &self.pin);
        true
    }

    /// [`Guard::retire`] of an entry whose block is not to be used again by this thread.
    pub(crate) fn retire_for_good(&self, dead: Dead, bytes: usize) -> bool {
        let limbo = &mut *self.local.limbo.borrow_mut();
        self.local.retire_heavy(limbo, dead, bytes, &self.pin)
    }

    /// A block that is on no page that is to become empty, of a class of at most [`BLOCK_MAX`].
    pub(crate) fn fresh_block(&self, class: usize) -> Block {
        slab::allocate(self.local.number, class)
    }

    /// Hands everything on that this thread has unlinked, and gives its spare blocks back.
    pub(crate) fn clear(&self) {
        self.local.clear(&self.pin);
    }

    /// Calls `f` when everybody who is pinned now has unpinned, on whichever thread.
    ///
    /// # Safety
    /// As for crossbeam's `Guard::defer_unchecked`: `f` may outlive what it borrows, and may run on
    /// another thread.
    pub(crate) unsafe fn defer<F: FnOnce()>(&self, f: F) {
        // SAFETY: by the contract of this function.
        unsafe { self.pin.defer_unchecked(f) };
    }

    /// Calls `done` when every guard that is there now has been dropped, on whichever thread; not before
    /// this one is. It needs somebody who [flushes](Guard::flush).
    pub fn when_all_have_passed(&self, done: impl FnOnce() + Send + 'static) {
        // SAFETY: the closure owns what it uses, and may run on any thread.
        unsafe { self.pin.defer_unchecked(done) };
    }

    /// Hands deferred calls to all threads and runs some that are due.
    pub fn flush(&self) {
        self.pin.flush();
    }
}

impl Local {
    #[inline(never)]
    fn retire_heavy(&self, limbo: &mut Limbo, dead: Dead, bytes: usize, pin: &Pin) -> bool {
        limbo.heavy.push(dead);
        limbo.bytes.1 += bytes as u64;
        if limbo.heavy.len() < BATCH_ITEMS && (limbo.bytes.1 as usize) < BATCH_BYTES {
            return false;
        }
        self.hand_on(limbo, pin);
        true
    }

    #[cold]
    fn hand_on(&self, limbo: &mut Limbo, pin: &Pin) {
        if limbo.entries.is_empty() && limbo.heavy.is_empty() {
            return;
        }
        let entries = std::mem::replace(&mut limbo.entries, Vec::with_capacity(BATCH_ITEMS));
        let bytes = std::mem::take(&mut limbo.bytes);
        let heavy = std::mem::take(&mut limbo.heavy);
        self.reclaim.add(bytes.0 + bytes.1);
        let (inbox, reclaim) = (Arc::clone(&self.inbox), Arc::clone(&self.reclaim));
        let batch = Box::new(Batch { entries, heavy, bytes, inbox, reclaim });
        // SAFETY: the entries are unlinked, and every reader that may have found one is pinned
        // since before; the closure runs after they have all unpinned, on whichever thread, and
        // is the only owner.
        unsafe { pin.defer_unchecked(move || batch.end()) };
    }

    fn clear(&self, pin: &Pin) {
        let limbo = &mut *self.limbo.borrow_mut();
        self.hand_on(limbo, pin);
        self.inbox.take(&mut limbo.spares);
        free_all(std::mem::take(&mut limbo.spares), &self.reclaim);
        limbo.shelf.clear();
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let pin = self.participant.pin();
        self.clear(&pin);
        pin.flush();
    }
}

/// Entries that go to the epoch together. Whoever runs its end should not have to look at them: they
/// are on lines of the thread that they go back to.
struct Batch {
    entries: Vec<Dead>,
    heavy: Vec<Dead>,
    /// As in [`Limbo`].
    bytes: (u64, u64),
    inbox: Arc<Inbox>,
    reclaim: Arc<Reclaim>,
}

impl Batch {
    /// After the grace period.
    fn end(self) {
        #[cfg(shuttle)]
        self.entries.iter().for_each(Dead::spoil);
        free_all(self.heavy, &self.reclaim);
        if self.inbox.is_full() {
            free_all(self.entries, &self.reclaim);
        } else if !self.entries.is_empty() {
            self.inbox.push(self.entries, self.bytes.0, &self.reclaim);
        }
        self.reclaim.sub(self.bytes.0 + self.bytes.1);
    }
}

/// Frees entries whose grace period is over and which nobody else knows.
fn free_all(mut entries: Vec<Dead>, reclaim: &Reclaim) {
    let returns = &mut Returns::default();
    entries.iter().rev().take(FREE_AHEAD).for_each(Dead::prefetch);
    while let Some(dead) = entries.pop() {
        if let Some(next) = entries.len().checked_sub(FREE_AHEAD) {
            entries[next].prefetch();
        }
        // SAFETY: popped once, after the grace period of all of them.
        unsafe { reclaim.free_entry(dead, returns) };
    }
}

/// Batches of free blocks on their way home.
#[derive(Default)]
struct Inbox {
    head: AtomicPtr<Parcel>,
    waiting: AtomicU64,
}

struct Parcel {
    blocks: Vec<Dead>,
    bytes: u64,
    /// For the parcels that are left when the thread is gone.
    reclaim: Arc<Reclaim>,
    next: *mut Parcel,
}

impl Inbox {
    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= INBOX_BYTES
    }

    fn push(&self, blocks: Vec<Dead>, bytes: u64, reclaim: &Arc<Reclaim>) {
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let reclaim = Arc::clone(reclaim);
        let parcel =
            Box::into_raw(Box::new(Parcel { blocks, bytes, reclaim, next: std::ptr::null_mut() }));
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the parcel is ours until the exchange below succeeds.
            unsafe { (*parcel).next = head };
            match self.head.compare_exchange(head, parcel, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Moves everything to `spares`.
    fn take(&self, spares: &mut Vec<Dead>) {
        for parcel in self.parcels() {
            if spares.is_empty() {
                *spares = parcel.blocks;
            } else {
                spares.extend(parcel.blocks);
            }
        }
    }

    fn parcels(&self) -> impl Iterator<Item = Parcel> + '_ {
        let mut next = match self.head.load(Ordering::Relaxed).is_null() {
            true => std::ptr::null_mut(),
            false => self.head.swap(std::ptr::null_mut(), Ordering::Acquire),
        };
        std::iter::from_fn(move || {
            if next.is_null() {
                return None;
            }
            // SAFETY: the swap made the whole list ours.
            let parcel = *unsafe { Box::from_raw(next) };
            next = parcel.next;
            self.waiting.fetch_sub(parcel.bytes, Ordering::Relaxed);
            Some(parcel)
        })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        for parcel in self.parcels() {
            free_all(parcel.blocks, &parcel.reclaim);
        }
    }
}
