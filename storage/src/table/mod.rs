//! The lock-free hash table of one shard of one database.
//!
//! ```text
//! Table.head -> Array (being emptied) -next-> Array (being filled)
//!
//! Array: groups of nine buckets:  home home home home home home home home overflow
//!                                                                          `-> chained buckets
//! ```
//!
//! Buckets are in hash order: the bucket of a position (40 bits of the hash) is its share of the
//! range. A home that is full spills into the overflow bucket of its group, and that one into a
//! chain of heap buckets, so an insert cannot fail. A home knows how many of its items spilled;
//! a miss looks at the overflow only if there are some. Removing from such a home pulls one back.
//!
//! # Who does what
//!
//! One thread at a time holds the shard's writer role and changes the table. Readers hold nothing
//! but a pinned epoch. An item moves in two ways only, each copy first and clear after:
//!
//! 1. overflow chain -> its home (pull-back after a removal),
//! 2. array -> next array (growth and shrinking; `next` is set before the first move).
//!
//! # Why a reader cannot miss an item that is there
//!
//! In one array it reads: the home's about word, the home, then (if the about word said that some
//! of its items spilled) the overflow chain and the home again; then the next array if there is one.
//!
//! - The item sits in the home or the chain and does not move: seen.
//! - It moves from the chain to the home (move 1) at some moment: if the about word was read after
//!   that (the count goes down last), the copy in the home is visible to the first look. If the
//!   count was still there, the chain is read: either the item is still in it, or it reads the
//!   cleared word, which was stored after the copy, so the second look at the home sees it. It
//!   cannot leave the home again but by move 2.
//! - It moves to the next array: the reader either finds it before it is cleared or goes on to
//!   `next`, which was set before, and finds the copy, by the same argument there.
//!
//! If the item is removed and put back while the reader looks, there was a moment without it, and
//! that moment is where the miss is placed. Reads therefore never retry: a lookup walks as many
//! arrays as there were resizes during the lookup itself, plus one or two.

pub(crate) mod bucket;
mod buckets;
pub(crate) mod hand;
pub(crate) mod iter;
pub(crate) mod probe;
pub(crate) mod relocate;
pub(crate) mod resize;
pub(crate) mod sweep;

use crate::epoch::Guard;
use crate::hash::{POSITION_BITS, Spot};
use crate::sync::{
    AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, OwnLine, prefetch,
};
use bucket::{Bucket, Due, SLOTS};
use buckets::Buckets;

/// Bytes of an entry that are asked for before it is looked at: a short key, 64 bytes, and an expiry.
const USUAL: usize = 88;

/// Home buckets that share one overflow bucket.
pub(crate) const HOMES: usize = if cfg!(loom) { 2 } else { 8 };
/// Buckets of a group.
const GROUP: usize = HOMES + 1;
/// More groups than this would make the position too short for the fastrange product.
const GROUPS_MAX: usize = 1 << 20;
/// What a group summary says of the moment that those of its array count from.
const MIDDLE: i64 = 1 << 31;
/// An item's share of the table at the usual fill, for MEMORY USAGE.
pub(crate) const SLOT_SHARE: usize = 13;

/// A bucket array. Its size never changes.
pub(crate) struct Array {
    buckets: Buckets,
    /// Per group the earliest moment at which something may expire, as [`Array::moment`]; 0 =
    /// nothing. Only under the role.
    due: Box<[AtomicU32]>,
    /// What the moments count from: the first expiry that was noted, or a later now, plus one; 0 = none
    /// yet. Only under the role.
    due_base: AtomicU64,
    /// Set (Release) once, before the first item moves; read (Acquire) after a miss.
    next: AtomicPtr<Array>,
    /// Chained overflow buckets, for the memory count. Only under the role.
    chained: AtomicU64,
}

impl Array {
    pub(crate) fn new(groups: usize) -> Box<Self> {
        let groups = groups.clamp(1, GROUPS_MAX);
        Box::new(Self {
            buckets: buckets::zeroed(groups * GROUP),
            due: (0..groups).map(|_| AtomicU32::new(0)).collect(),
            due_base: AtomicU64::new(0),
            next: AtomicPtr::new(std::ptr::null_mut()),
            chained: AtomicU64::new(0),
        })
    }

    pub(crate) fn groups(&self) -> usize {
        self.due.len()
    }

    pub(crate) fn homes(&self) -> usize {
        self.groups() * HOMES
    }

    /// Slots in home buckets: what fill is measured against.
    pub(crate) fn capacity(&self) -> usize {
        self.homes() * SLOTS
    }

    #[inline(always)]
    pub(crate) fn home_of(&self, spot: Spot) -> usize {
        ((spot.position * self.homes() as u64) >> POSITION_BITS) as usize
    }

    /// The first position that belongs to `home`.
    pub(crate) fn position_of(&self, home: usize) -> u64 {
        ((home as u64) << POSITION_BITS).div_ceil(self.homes() as u64)
    }

    #[inline(always)]
    pub(crate) fn home(&self, home: usize) -> &Bucket {
        // One overflow bucket for every group before it.
        &self.buckets[home + home / HOMES]
    }

    /// The overflow bucket that `home` shares with its group.
    pub(crate) fn overflow(&self, home: usize) -> &Bucket {
        &self.buckets[home / HOMES * GROUP + HOMES]
    }

    /// The array that items move to, if one was set.
    #[inline]
    pub(crate) fn next(&self) -> Option<&Array> {
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: a published array is freed only after every reader that could reach it through
        // this one has unpinned; this one is alive, being borrowed, so its successor is.
        unsafe { next.as_ref() }
    }

    /// The successor, of an array that is being taken apart.
    fn take_next(&mut self) -> *mut Array {
        self.next.swap(std::ptr::null_mut(), Ordering::Relaxed)
    }

    /// Usable bytes of the array and its chains.
    pub(crate) fn bytes(&self) -> usize {
        let chained = self.chained.load(Ordering::Relaxed) as usize;
        (self.buckets.len() + chained) * 64 + self.groups() * 4 + 64
    }

    /// Lowers the summaries of a home to `due`. Only under the role.
    fn note_due(&self, home: usize, due: Due) {
        let bucket = self.home(home);
        let about = bucket.about();
        if about.due().is_none_or(|old| due < old) {
            bucket.set_about(about.with_due(Some(due)));
        }
        let group = &self.due[home / HOMES];
        let moment = self.moment(due);
        let old = group.load(Ordering::Relaxed);
        if old == 0 || moment < old {
            group.store(moment, Ordering::Relaxed);
        }
    }

    /// A due time in the 32 bits of a group summary: 64-ms steps, four years around the first one of
    /// this array. What lies outside is looked at too often, never too late. Only under the role.
    fn moment(&self, due: Due) -> u32 {
        let mut base = self.due_base.load(Ordering::Relaxed);
        if base == 0 {
            base = due.0 + 1;
            self.due_base.store(base, Ordering::Relaxed);
        }
        let relative = due.0 as i64 - (base - 1) as i64 + MIDDLE;
        relative.clamp(1, 2 * MIDDLE - 2) as u32
    }

    /// Counts from `now` on if the first expiry that was noted was so far away that this is the same
    /// moment as all usual ones. What was noted by then says an earlier time than it should, and the
    /// next sweep of its group corrects that. Only under the role.
    fn rebase(&self, now: Due) {
        let base = self.due_base.load(Ordering::Relaxed);
        if base as i64 - now.0 as i64 > MIDDLE {
            self.due_base.store(now.0 + 1, Ordering::Relaxed);
        }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if self.chained.load(Ordering::Relaxed) == 0 {
            return;
        }
        for group in 0..self.groups() {
            let mut next = self.buckets[group * GROUP + HOMES].chained();
            while !next.is_null() {
                // SAFETY: chained buckets come from `Box::into_raw` and belong to this array only.
                let bucket = unsafe { Box::from_raw(next) };
                next = bucket.chained();
            }
        }
    }
}

/// Frees an array that nobody can reach any more. Its items are somebody else's.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn free_array(array: Box<Array>) {
    drop(array);
}

#[cfg(shuttle)]
pub(crate) fn free_array(array: Box<Array>) {
    crate::steps::at_once(|| {
        let spilled = (0..array.groups()).flat_map(|group| array.chain(group * HOMES));
        for bucket in array.buckets.iter().chain(spilled) {
            bucket.slots.iter().for_each(|slot| {
                slot.store(crate::steps::FREED_WORD, Ordering::Relaxed);
            });
        }
    });
    crate::steps::bury(array);
}

#[cfg(loom)]
pub(crate) fn free_array(array: Box<Array>) {
    use std::alloc::Layout;
    for bucket in &array.buckets {
        bucket.alive.free();
    }
    for group in 0..array.groups() {
        let mut next = array.buckets[group * GROUP + HOMES].about_word() as usize;
        while next != 0 {
            let bucket: *mut Bucket = std::ptr::with_exposed_provenance_mut(next);
            // SAFETY: chained buckets belong to this array, and are buried, not unmapped.
            let chained = unsafe { &*bucket };
            chained.alive.free();
            next = chained.about_word() as usize;
            crate::model::bury(bucket.cast(), Layout::new::<Bucket>());
        }
    }
    let array = Box::into_raw(array);
    // SAFETY: the field is not used after this but by readers that must not be there any more.
    let buckets = Box::into_raw(unsafe { std::ptr::read(&raw const (*array).buckets) });
    // SAFETY: the box has just been taken apart; its length is that of a live slice.
    let layout = Layout::for_value(unsafe { &*buckets });
    crate::model::bury(buckets.cast(), layout);
    crate::model::bury(array.cast(), Layout::new::<Array>());
}

/// Figures of a table. Written under the role, read by anybody (Relaxed).
#[derive(Default)]
pub(crate) struct Figures {
    len: AtomicU64,
    expires: AtomicU64,
    /// 1 if a hash with a field that expires was here since the table was emptied.
    fields_expire: AtomicU8,
    /// Sum of the expiries in seconds.
    expire_sum: AtomicI64,
    entry_bytes: AtomicU64,
    table_bytes: AtomicU64,
}

/// The items of one database in one shard.
#[repr(align(64))]
pub(crate) struct Table {
    /// The array that readers start with. Written under the role (Release), read by everybody
    /// (Acquire); on a line that nothing else is written on.
    head: AtomicPtr<Array>,
    figures: OwnLine<Figures>,
}

/// What only the role holder knows about a table.
#[derive(Default)]
pub(crate) struct TableCore {
    /// The next home of the head array to be moved, while there are two arrays.
    moving: usize,
    /// Where the expiry walk stands.
    pub(crate) expire_group: usize,
    /// Where the eviction hand stands, as a position.
    pub(crate) hand: u64,
    /// How many slots at that position lie behind it, where it stops at single items.
    pub(crate) hand_slot: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(std::ptr::null_mut()), figures: OwnLine(Figures::default()) }
    }

    /// The oldest array. The guard (or the role) keeps it alive.
    #[inline(always)]
    pub(crate) fn head<'g>(&self, _guard: &'g Guard) -> Option<&'g Array> {
        let head = self.head.load(Ordering::Acquire);
        // SAFETY: arrays are unlinked before they are retired, and freed only when every guard
        // that was pinned at that time is gone.
        unsafe { head.as_ref() }
    }

    /// The array that takes new items.
    pub(crate) fn newest<'g>(&self, guard: &'g Guard) -> Option<&'g Array> {
        let mut array = self.head(guard)?;
        while let Some(next) = array.next() {
            array = next;
        }
        Some(array)
    }

    pub(crate) fn len(&self) -> u64 {
        self.figures.len.load(Ordering::Relaxed)
    }

    pub(crate) fn expires(&self) -> u64 {
        self.figures.expires.load(Ordering::Relaxed)
    }

    /// True if the expiry walk may have something to do here.
    pub(crate) fn may_expire(&self) -> bool {
        self.expires() != 0 || self.figures.fields_expire.load(Ordering::Relaxed) != 0
    }

    /// Sum of all expiries in seconds.
    pub(crate) fn expire_sum(&self) -> i64 {
        self.figures.expire_sum.load(Ordering::Relaxed)
    }

    pub(crate) fn entry_bytes(&self) -> u64 {
        self.figures.entry_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn table_bytes(&self) -> u64 {
        self.figures.table_bytes.load(Ordering::Relaxed)
    }

    /// Asks for the line of a home bucket.
    #[inline]
    pub(crate) fn approach<'g>(&self, spot: Spot, guard: &'g Guard) -> Option<Home<'g>> {
        let array = self.head(guard)?;
        let number = array.home_of(spot);
        let bucket = array.home(number);
        prefetch(bucket);
        Some(Home { array, bucket, number: number as u32, tag: spot.tag })
    }
}

/// Where a key belongs, for those who prepare to look it up: its entry may be elsewhere by now.
pub(crate) struct Home<'g> {
    array: &'g Array,
    bucket: &'g Bucket,
    number: u32,
    tag: u16,
}

impl Home<'_> {
    /// Asks for the entries whose tag fits. The bucket should be near already. False if there is none
    /// in the home, but maybe among the spilled items: then their bucket is asked for.
    #[inline]
    pub(crate) fn prefetch_entry(&self) -> bool {
        let candidates = self.bucket.candidates(self.tag);
        if candidates.is_empty() && self.bucket.about().overflow() > 0 {
            prefetch(self.array.overflow(self.number as usize));
            return false;
        }
        self.bucket.prefetch(candidates);
        true
    }

    /// The same for an item that has spilled.
    #[inline(never)]
    pub(crate) fn prefetch_spilled(&self) {
        let bucket = self.array.overflow(self.number as usize);
        bucket.prefetch(bucket.candidates(self.tag));
    }
}

impl Bucket {
    #[inline]
    fn prefetch(&self, slots: bucket::Candidates) {
        for slot in slots {
            let address = self.word(slot).address();
            prefetch(address);
            // Small entries lie across two lines more often than not, and as they begin anywhere,
            // those of the usual size across three at times.
            prefetch(address.wrapping_add(64));
            prefetch(address.wrapping_add(USUAL - 1));
        }
    }
}

impl Table {
    /// A large collection has grown by that many bytes, or shrunk. Only under the role.
    pub(crate) fn object_changed(&self, grown: i64) {
        let old = self.figures.entry_bytes.load(Ordering::Relaxed);
        self.figures.entry_bytes.store(old.wrapping_add_signed(grown), Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

fn sub(counter: &AtomicU64, less: u64) {
    let old = counter.load(Ordering::Relaxed);
    debug_assert!(old >= less, "a count went below zero");
    counter.store(old.wrapping_sub(less), Ordering::Relaxed);
}

impl Figures {
    fn clear(&self) {
        self.len.store(0, Ordering::Relaxed);
        self.expires.store(0, Ordering::Relaxed);
        self.fields_expire.store(0, Ordering::Relaxed);
        self.expire_sum.store(0, Ordering::Relaxed);
        self.entry_bytes.store(0, Ordering::Relaxed);
        self.table_bytes.store(0, Ordering::Relaxed);
    }

    /// Something here is due at another time than its key expires.
    pub(crate) fn fields_expire(&self) {
        if self.fields_expire.load(Ordering::Relaxed) == 0 {
            self.fields_expire.store(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn entry_added(&self, bytes: usize, expire_at: Option<crate::Millis>) {
        add(&self.len, 1);
        self.entry_changed(bytes, expire_at, true);
    }

    pub(crate) fn entry_removed(&self, bytes: usize, expire_at: Option<crate::Millis>) {
        sub(&self.len, 1);
        self.entry_changed(bytes, expire_at, false);
    }

    pub(crate) fn entry_changed(&self, bytes: usize, at: Option<crate::Millis>, more: bool) {
        let change = if more { add } else { sub };
        change(&self.entry_bytes, bytes as u64);
        if let Some(at) = at {
            change(&self.expires, 1);
            let old = self.expire_sum.load(Ordering::Relaxed);
            let seconds = at / 1000;
            let new = if more { old.wrapping_add(seconds) } else { old.wrapping_sub(seconds) };
            self.expire_sum.store(new, Ordering::Relaxed);
        }
    }
}
