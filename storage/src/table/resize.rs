//! Growing and shrinking, a few homes per write.
//!
//! A table whose homes are filled beyond [`FILL_MAX`] gets a second array, [`GROWTH`] times as
//! large, and every following write moves [`HOMES_PER_WRITE`] homes to it, in hash order. New items
//! go to the new array. When the last home has moved, the new array becomes the head and the old
//! one is retired. Small steps in size keep the fill, and with it the memory per item, nearly the
//! same at every item count; different shards take their steps at different counts.

use super::bucket::{Bucket, SLOTS, Word};
use super::probe::{entry_of, key_of};
use super::{Array, GROUPS_MAX, HOMES, Table, TableCore};
use crate::entry;
use crate::epoch::Guard;
use crate::hash::Hasher;
use crate::misses::Misses;
use crate::reclaim::Reclaim;
use crate::slab::Returns;
use crate::sync::{Arc, Ordering, prefetch};

/// Share of home slots, in percent, above which a table grows.
const FILL_MAX: usize = 92;
/// Share of home slots, in percent, below which a table shrinks.
const FILL_MIN: usize = 20;
/// Fill after shrinking, in percent.
const FILL_SHRUNK: usize = 60;
/// A table does not become more times smaller at once: until the move is over, which takes as long as the
/// old array is, the new one has to hold all that comes.
const SHRINK_MOST: usize = 4;
/// Bytes up to which a table is small: some groups, or one with a long chain.
const SMALL_TABLE: u64 = 16 * 1024;
/// Growth per step, in percent.
const GROWTH: usize = 120;
/// Homes moved per write.
const HOMES_PER_WRITE: usize = if cfg!(loom) { 1 } else { 16 };
/// Writes' worth of moves at once where there are no writes, and of an empty table: its buckets are only
/// looked at.
const STEPS: usize = 8;
const EMPTY_STEPS: usize = 64;
/// Groups at which the sizes of different shards part ways.
const STAGGER_AT: usize = 128;

/// What changing a table needs beside the table.
pub(crate) struct Context<'a> {
    pub(crate) hasher: &'a Hasher,
    pub(crate) guard: &'a Guard,
    pub(crate) reclaim: &'a Arc<Reclaim>,
    /// 0..256, different from shard to shard.
    pub(crate) phase: usize,
}

impl Table {
    /// Called before every insertion: there is an array with room, and a running move goes on.
    pub(super) fn make_room(&self, core: &mut TableCore, cx: &Context<'_>) {
        let Some(head) = self.head(cx.guard) else {
            let first = Array::new(1);
            super::add(&self.figures.table_bytes, first.bytes() as u64);
            self.head.store(Box::into_raw(first), Ordering::Release);
            return;
        };
        if head.next().is_some() {
            self.move_homes(core, HOMES_PER_WRITE, cx);
        } else if self.len() as usize * 100 >= head.capacity() * FILL_MAX {
            self.start_resize(core, head, grown(head.groups(), cx.phase));
        }
    }

    /// Called after a removal: a running move goes on; an almost empty table begins to shrink.
    pub(crate) fn tidy(&self, core: &mut TableCore, cx: &Context<'_>) {
        let Some(head) = self.head(cx.guard) else {
            return;
        };
        if head.next().is_some() {
            self.move_homes(core, HOMES_PER_WRITE, cx);
        } else if self.is_sparse(head) {
            let slots = self.len() as usize * 100 / FILL_SHRUNK;
            let least = head.groups().div_ceil(SHRINK_MOST);
            self.start_resize(core, head, slots.div_ceil(HOMES * SLOTS).max(least));
        }
    }

    fn is_sparse(&self, head: &Array) -> bool {
        head.groups() > 1 && self.len() as usize * 100 < head.capacity() * FILL_MIN
    }

    /// Whether an empty table takes so much memory that [`Table::tidy`] has something to do.
    pub(crate) fn is_oversized(&self) -> bool {
        self.len() == 0 && self.table_bytes() > SMALL_TABLE
    }

    /// Whether a move has begun, or a table of some size is mostly empty.
    pub(crate) fn is_untidy(&self, guard: &Guard) -> bool {
        let Some(head) = self.head(guard) else {
            return false;
        };
        head.next().is_some() || self.table_bytes() > SMALL_TABLE && self.is_sparse(head)
    }

    /// Goes some steps on with a move, or towards the size of a table that is mostly empty; whether
    /// there was any to go.
    pub(crate) fn tidy_on(&self, core: &mut TableCore, cx: &Context<'_>) -> bool {
        let before = (core.moving, self.table_bytes());
        let steps = if self.len() == 0 { EMPTY_STEPS } else { STEPS };
        for _ in 0..steps {
            self.tidy(core, cx);
        }
        (core.moving, self.table_bytes()) != before
    }

    fn start_resize(&self, core: &mut TableCore, head: &Array, groups: usize) {
        // A full table of the largest size comes here with every insertion.
        let groups = groups.clamp(1, GROUPS_MAX);
        if groups == head.groups() {
            return;
        }
        let next = Array::new(groups);
        super::add(&self.figures.table_bytes, next.bytes() as u64);
        core.moving = 0;
        core.expire_group = 0;
        head.next.store(Box::into_raw(next), Ordering::Release);
    }

    /// Moves up to `count` homes; after the last one retires the emptied array.
    pub(crate) fn move_homes(&self, core: &mut TableCore, count: usize, cx: &Context<'_>) {
        let Some(head) = self.head(cx.guard) else {
            return;
        };
        let Some(next) = head.next() else { return };
        let end = (core.moving + count).min(head.homes());
        for home in core.moving..end {
            if home + 1 < head.homes() {
                head.prefetch_entries(home + 1);
            }
            let bytes = move_home(head, next, home, cx.hasher);
            super::add(&self.figures.table_bytes, bytes as u64);
        }
        core.moving = end;
        if end == head.homes() {
            self.finish_resize(core, head, cx);
        }
    }

    fn finish_resize(&self, core: &mut TableCore, head: &Array, cx: &Context<'_>) {
        core.moving = 0;
        core.expire_group = 0;
        let bytes = head.bytes() as u64;
        super::sub(&self.figures.table_bytes, bytes);
        cx.reclaim.add(bytes);
        let reclaim = Arc::clone(cx.reclaim);
        let next = head.next.load(Ordering::Relaxed);
        let old = self.head.swap(next, Ordering::AcqRel);
        let free = move || {
            // SAFETY: `old` came from `Box::into_raw`, and only this closure frees it.
            super::free_array(unsafe { Box::from_raw(old) });
            reclaim.sub(bytes);
        };
        // SAFETY: `old` is unlinked from now on, and only the role holder unlinks. Readers that
        // still walk it are pinned; the closure waits for them and may run on any thread.
        unsafe { cx.guard.defer(free) };
        // At once: one array may be worth many thousands of entries.
        cx.guard.flush();
    }
}

/// The size after `groups`. The shards begin their series of steps at different sizes, so that
/// they do not all hold two arrays at the same time.
fn grown(groups: usize, phase: usize) -> usize {
    let next = (groups * GROWTH).div_ceil(100).max(groups + 1);
    if groups < STAGGER_AT && next >= STAGGER_AT {
        return STAGGER_AT + STAGGER_AT * (GROWTH - 100) * phase / (256 * 100);
    }
    next
}

impl Array {
    /// Asks for all entries of a home bucket.
    pub(super) fn prefetch_entries(&self, home: usize) {
        let bucket = self.home(home);
        for slot in 0..SLOTS {
            let word = bucket.word(slot);
            if !word.is_empty() {
                prefetch(word.address());
            }
        }
    }
}

/// Copies a home's items to `next`, then clears them here.
fn move_home(head: &Array, next: &Array, home: usize, hasher: &Hasher) -> usize {
    let bucket = head.home(home);
    let mut bytes = 0;
    for slot in 0..SLOTS {
        let word = bucket.word(slot);
        if let Some(key) = key_of(word) {
            bytes += move_word(next, word, hasher.spot_of(key));
            bucket.set_word(slot, Word::EMPTY);
        }
    }
    let mut spilled = bucket.about().overflow_most();
    if spilled > 0 {
        for (overflow, slot, word) in head.spilled_of(home, hasher) {
            if let Some(key) = key_of(word) {
                bytes += move_word(next, word, hasher.spot_of(key));
                overflow.set_word(slot, Word::EMPTY);
                bucket.set_about(bucket.about().overflow_changed(false));
            }
            spilled -= 1;
            if spilled == 0 {
                break;
            }
        }
    }
    bucket.set_about(bucket.about().with_due(None));
    bytes
}

fn move_word(next: &Array, word: Word, spot: crate::hash::Spot) -> usize {
    if let Some(at) = entry_of(word).and_then(|entry| entry.due()) {
        next.note_due(next.home_of(spot), super::Due::at(at));
    }
    next.place(spot, word)
}

/// Who remembers removed keys, and of which physical database these are.
type Rememberer = (Arc<Misses>, usize);

/// A table's arrays taken out of the keyspace, freed piece by piece after their grace period.
pub(crate) struct Detached {
    head: *mut Array,
    home: usize,
    /// Who remembers that the keys were removed, if anybody does.
    misses: Option<Rememberer>,
}

// SAFETY: nobody else knows the arrays any more.
unsafe impl Send for Detached {}

impl Table {
    /// Empties the table at once. Only under the role (or with `&mut`).
    pub(crate) fn detach(&self, core: &mut TableCore) -> (Detached, u64) {
        let bytes = self.entry_bytes() + self.table_bytes();
        let head = self.head.swap(std::ptr::null_mut(), Ordering::AcqRel);
        self.figures.clear();
        *core = TableCore::default();
        (Detached { head, home: 0, misses: None }, bytes)
    }
}

impl Detached {
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// As it is freed, its keys are remembered as deleted.
    pub(crate) fn remembered_by(mut self, misses: Option<&Arc<Misses>>, physical: usize) -> Self {
        self.misses = misses.map(|misses| (Arc::clone(misses), physical));
        self
    }

    /// Frees up to `left` homes with their items; true when nothing is left.
    pub(crate) fn free(&mut self, left: &mut usize, reclaim: &Reclaim) -> bool {
        let returns = &mut Returns::default();
        while !self.head.is_null() {
            // SAFETY: the arrays belong to this value only.
            let array = unsafe { &*self.head };
            while self.home < array.homes() {
                if *left == 0 {
                    return false;
                }
                *left -= 1;
                free_home(array, self.home, reclaim, self.misses.as_ref(), returns);
                self.home += 1;
            }
            // SAFETY: came from `Box::into_raw`; nobody else knows it.
            let mut array = unsafe { Box::from_raw(self.head) };
            self.head = array.take_next();
            self.home = 0;
            super::free_array(array);
        }
        true
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        debug_assert!(
            self.head.is_null() || std::thread::panicking(),
            "a detached table was dropped before it was freed"
        );
    }
}

fn free_home(
    array: &Array,
    home: usize,
    reclaim: &Reclaim,
    misses: Option<&Rememberer>,
    returns: &mut Returns,
) {
    let bucket = array.home(home);
    free_words(bucket, reclaim, misses, returns);
    if home % HOMES == HOMES - 1 {
        for overflow in array.chain(home) {
            free_words(overflow, reclaim, misses, returns);
        }
    }
}

fn free_words(
    bucket: &Bucket,
    reclaim: &Reclaim,
    misses: Option<&Rememberer>,
    returns: &mut Returns,
) {
    for slot in 0..SLOTS {
        let word = bucket.word(slot);
        if let Some(entry) = word.entry() {
            if let (Some((misses, physical)), Some(key)) = (misses, key_of(word)) {
                misses.flushed(*physical, key);
            }
            // SAFETY: the table was detached and its grace period is over: no reader is left, and
            // every item is in exactly one slot.
            let dead = unsafe { entry::dead(entry) };
            // SAFETY: as above.
            unsafe { reclaim.free_entry(dead, returns) };
            bucket.set_word(slot, Word::EMPTY);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::hash::ShardId;
    use crate::keyspace::{DbId, Keyspace, Options};
    use crate::shard::ShardSet;
    use crate::value::string::NewValue;

    fn items(array: &Array) -> usize {
        let homes = (0..array.homes()).map(|home| array.home(home));
        let spilled = (0..array.groups()).flat_map(|group| array.chain(group * HOMES));
        let count = |bucket: &Bucket| (0..SLOTS).filter(|&i| !bucket.word(i).is_empty()).count();
        homes.chain(spilled).map(count).sum()
    }

    #[test]
    fn a_home_is_moved_whole_however_many_have_spilled() {
        let (hasher, reclaim) = (Hasher::new(Some([1, 2, 3, 4]), 0, None), Reclaim::new());
        let (from, to) = (Array::new(1), Array::new(200));
        let keys = (0..u64::MAX).map(u64::to_be_bytes);
        let of_one = keys.filter(|key| from.home_of(hasher.spot_of(key)) == 3);
        for key in of_one.take(5000) {
            let entry = entry::build(&key, NewValue::Bytes(b"v"), None, |_| None).entry;
            let spot = hasher.spot_of(&key);
            from.place(spot, Word::new(entry, spot.tag, false));
        }
        assert_eq!((items(&from), items(&to)), (5000, 0));
        move_home(&from, &to, 3, &hasher);
        assert_eq!((items(&from), items(&to)), (0, 5000));
        let mut moved = Detached { head: Box::into_raw(to), home: 0, misses: None };
        let mut left = usize::MAX;
        assert!(moved.free(&mut left, &reclaim));
    }

    #[test]
    fn an_emptied_table_becomes_smaller_step_by_step() {
        let keyspace = Keyspace::new(Options { shards: 1, ..Options::default() });
        let handle = keyspace.handle();
        let (guard, id) = (handle.pin(), ShardId(0));
        let table = keyspace.table(0, id);
        let groups = || {
            let arrays = std::iter::successors(table.head(&guard), |array| array.next());
            arrays.map(Array::groups).collect::<Vec<_>>()
        };
        let enter = || keyspace.try_enter(&ShardSet::one(id), &guard).expect("nobody else is here");
        for n in 0..20_000_u32 {
            let bytes = n.to_be_bytes();
            enter().put(DbId(0), &keyspace.key(&bytes), NewValue::Bytes(b"v"), Some(10), 0);
        }
        while keyspace.expire_slice(id, 20, 1000, &guard).more {}
        for n in 0..2000_u32 {
            let bytes = n.to_be_bytes();
            let key = keyspace.key(&bytes);
            enter().put(DbId(0), &key, NewValue::Bytes(b"v"), None, 0);
            enter().remove(DbId(0), &key, 0);
            let groups = groups();
            assert!(groups.windows(2).all(|pair| pair[0] <= pair[1] * SHRINK_MOST), "{groups:?}");
        }
        assert_eq!(groups(), [1]);
    }
}
