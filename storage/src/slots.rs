//! Slots: groups of keys that come and go together, for a cluster of stores.
//!
//! Whoever builds a keyspace may say which of [`SLOTS`] slots each key is in
//! ([`Options::slot_of`](crate::Options::slot_of)); the store does not know why. Then
//!
//! - all keys of a slot are in one shard, so what happens to a slot has an order: that of its role;
//! - keys are counted per slot;
//! - a [walk](Keyspace::walk_slots) can go through the keys of some slots in a shard, and a [`Clearing`]
//!   removes them a piece at a time;
//! - slots may be hidden ([`ShownSlots`]): who asks for a key finds it, but who looks at all keys of a
//!   database (a scan, a count, a survey, a walk, a flush) does not come upon those of hidden slots, and
//!   nobody is told when they expire or are evicted. Of which slots some were evicted is remembered.
//!
//! Without slots nothing of this is there, and nothing is counted.
//!
//! The counts of a shard lie together, so its writers do not share their lines with those of others:
//!
//! ```text
//! counts:  | shard 0: slots 0, S, 2 S, .. | shard 1: slots 1, S + 1, .. | ..       S shards
//! ```

use crate::epoch::Guard;
use crate::eviction::SliceReport;
use crate::hash::{KeyHash, ShardId};
use crate::keyspace::{DbId, Keyspace};
use crate::shard::ShardSet;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::table::iter::POSITION_END;
use crate::writer::Writer;
use std::sync::Arc;

/// How many slots there are.
pub const SLOTS: u16 = 1 << SLOT_BITS;
/// Bits of a slot's number.
pub(crate) const SLOT_BITS: u32 = 14;

/// Says which slot a key is in: less than [`SLOTS`].
pub type SlotOf = fn(&[u8]) -> u16;

const WORDS: usize = SLOTS as usize / 64;

/// Some of the slots.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet([u64; WORDS]);

impl Default for SlotSet {
    fn default() -> Self {
        SlotSet([0; WORDS])
    }
}

impl std::fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl SlotSet {
    /// All of them.
    #[must_use]
    pub fn all() -> SlotSet {
        SlotSet([u64::MAX; WORDS])
    }

    /// Adds a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn insert(&mut self, slot: u16) {
        self.0[usize::from(slot) / 64] |= 1 << (slot % 64);
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: u16) {
        if let Some(word) = self.0.get_mut(usize::from(slot) / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    /// Whether a slot is among them.
    #[inline]
    #[must_use]
    pub fn contains(&self, slot: u16) -> bool {
        self.0.get(usize::from(slot) / 64).is_some_and(|word| word >> (slot % 64) & 1 != 0)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..SLOTS).filter(|slot| self.contains(*slot))
    }

    /// The groups of 256 slots of which one is among them, a bit each.
    pub(crate) fn groups(&self) -> u64 {
        let group = |words: &[u64]| u64::from(words.iter().any(|word| *word != 0));
        self.0.chunks(4).zip(0..).fold(0, |groups, (words, at)| groups | group(words) << at)
    }
}

impl FromIterator<u16> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut set = SlotSet::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

/// The slots that are shown to those who look at all keys; the others are there for somebody else. All
/// are at first. Each word is whole and says nothing of another (Relaxed): who hides a slot waits
/// until those have passed who look.
#[derive(Debug)]
pub struct ShownSlots {
    shown: Box<[AtomicU64]>,
    /// Those of which keys were evicted while they were hidden.
    thinned: Box<[AtomicU64]>,
}

impl Default for ShownSlots {
    fn default() -> Self {
        let words = |word| (0..WORDS).map(|_| AtomicU64::new(word)).collect();
        ShownSlots { shown: words(u64::MAX), thinned: words(0) }
    }
}

impl ShownSlots {
    /// Shows a slot, or hides it.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn show(&self, slot: u16, shown: bool) {
        let (word, bit) = (&self.shown[usize::from(slot) / 64], 1 << (slot % 64));
        match shown {
            true => word.fetch_or(bit, Ordering::Relaxed),
            false => word.fetch_and(!bit, Ordering::Relaxed),
        };
    }

    /// Whether a slot is shown.
    #[must_use]
    pub fn contains(&self, slot: u16) -> bool {
        let word = self.shown.get(usize::from(slot) / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (slot % 64) & 1 != 0)
    }

    /// A key of a slot was evicted.
    pub(crate) fn note_eviction(&self, slot: u16) {
        if !self.contains(slot) {
            self.thinned[usize::from(slot) / 64].fetch_or(1 << (slot % 64), Ordering::Relaxed);
        }
    }

    /// The slots that are shown by now, and of which keys were evicted while they were hidden; each once.
    /// Who evicts at the moment at which a slot is shown may be late: it is among those of the next call.
    #[must_use]
    pub fn take_thinned(&self) -> SlotSet {
        let mut all = SlotSet::default();
        for ((shown, thinned), word) in self.shown.iter().zip(&self.thinned).zip(&mut all.0) {
            *word = shown.load(Ordering::Relaxed) & thinned.load(Ordering::Relaxed);
            if *word != 0 {
                thinned.fetch_and(!*word, Ordering::Relaxed);
            }
        }
        all
    }

    /// A slot gets all its keys anew: it does not count what was evicted of it before.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn forget_evictions(&self, slot: u16) {
        self.thinned[usize::from(slot) / 64].fetch_and(!(1 << (slot % 64)), Ordering::Relaxed);
    }
}

/// Keys per slot. Written under the role of the slot's shard, read by anybody (Relaxed).
pub(crate) struct SlotCounts {
    counts: Box<[AtomicU32]>,
    shards: usize,
}

impl SlotCounts {
    pub(crate) fn new(shards: usize) -> Self {
        Self { counts: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(), shards }
    }

    /// Shards are a power of two, and fewer than slots.
    fn per_shard(&self) -> usize {
        self.counts.len() / self.shards
    }

    fn of(&self, slot: u16) -> &AtomicU32 {
        let slot = usize::from(slot % SLOTS);
        &self.counts[slot % self.shards * self.per_shard() + slot / self.shards]
    }

    fn of_shard(&self, shard: ShardId) -> impl Iterator<Item = (u16, &AtomicU32)> {
        let (first, per_shard) = (usize::from(shard.0), self.per_shard());
        let counts = &self.counts[first * per_shard..(first + 1) * per_shard];
        counts.iter().enumerate().map(move |(at, count)| ((at * self.shards + first) as u16, count))
    }

    /// The shard was emptied.
    pub(crate) fn clear(&self, shard: ShardId) {
        self.of_shard(shard).for_each(|(_, count)| count.store(0, Ordering::Relaxed));
    }
}

impl Keyspace {
    /// The slot of a key with this hash; 0 if there are no slots.
    #[inline]
    #[must_use]
    pub fn slot_of(&self, hash: KeyHash) -> u16 {
        self.hasher.slot(hash)
    }

    /// The shard in which all keys of a slot are.
    #[must_use]
    pub fn shard_of_slot(&self, slot: u16) -> ShardId {
        self.hasher.shard_of_slot(slot)
    }

    /// Keys of a slot, expired ones that were not removed yet included.
    #[must_use]
    pub fn keys_in_slot(&self, slot: u16) -> u64 {
        self.slots.as_ref().map_or(0, |slots| u64::from(slots.of(slot).load(Ordering::Relaxed)))
    }

    /// Keys of all slots for which `counts` says yes.
    pub fn keys_in_slots(&self, mut counts: impl FnMut(u16) -> bool) -> u64 {
        (0..SLOTS).filter(|slot| counts(*slot)).map(|slot| self.keys_in_slot(slot)).sum()
    }

    /// Whether those who look at all keys come upon this one.
    #[inline]
    pub(crate) fn shows(&self, key: &[u8]) -> bool {
        match &self.shown {
            None => true,
            Some(shown) => shown.contains(self.slot_of(self.hasher.hash(key))),
        }
    }

    /// The slots that are shown.
    pub(crate) fn shown_slots(&self) -> SlotSet {
        match &self.shown {
            None => SlotSet::all(),
            Some(slots) => {
                SlotSet(std::array::from_fn(|at| slots.shown[at].load(Ordering::Relaxed)))
            }
        }
    }

    /// Keys of hidden slots.
    #[must_use]
    pub fn hidden_keys(&self) -> u64 {
        match &self.shown {
            None => 0,
            Some(shown) => self.keys_in_slots(|slot| !shown.contains(slot)),
        }
    }

    /// One key more or less. Only under the role.
    #[inline]
    pub(crate) fn count_slot(&self, hash: KeyHash, change: i32) {
        if let Some(slots) = &self.slots {
            let count = slots.of(self.slot_of(hash));
            let old = count.load(Ordering::Relaxed);
            debug_assert!(change > 0 || old > 0, "the count of a slot went below zero");
            count.store(old.wrapping_add_signed(change), Ordering::Relaxed);
        }
    }

    /// Whether a shard has keys of these slots.
    fn has_keys_of(&self, shard: ShardId, slots: &SlotSet) -> bool {
        let counts = self.slots.iter().flat_map(|counts| counts.of_shard(shard));
        counts
            .filter(|(slot, _)| slots.contains(*slot))
            .any(|(_, count)| count.load(Ordering::Relaxed) > 0)
    }
}

impl Writer<'_, '_> {
    /// Removes the keys of `slots` in the next `buckets` buckets of a shard, from `position` on; where to
    /// go on, if there are more. Nobody is told, and no miss remembers them: they are not here any more.
    pub fn clear_slots(
        &mut self,
        shard: ShardId,
        slots: &SlotSet,
        position: u64,
        buckets: usize,
    ) -> (usize, Option<u64>) {
        let (keyspace, guard) = (self.keyspace, self.guard);
        let (mut removed, mut position) = (0, position);
        if !keyspace.has_keys_of(shard, slots) {
            return (removed, None);
        }
        for _ in 0..buckets {
            let physical = keyspace.physical(DbId(0));
            let table = keyspace.table(physical, shard);
            let (hasher, mut entries) = (&keyspace.hasher, Vec::new());
            let next = table.visit_groups(position, slots.groups(), hasher, guard, &mut |entry| {
                entries.push(entry);
            });
            for entry in entries {
                let key = keyspace.key(entry.key());
                if slots.contains(keyspace.slot_of(key.hash))
                    && let Some(hit) = table.find(hasher.spot(key.hash), key.bytes, guard)
                {
                    self.remove_hits(physical, shard, &[hit]);
                    removed += 1;
                }
            }
            if next == POSITION_END {
                return (removed, None);
            }
            position = next;
        }
        (removed, Some(position))
    }

    /// Removes all keys of `slots`, as [`Writer::flush`] does all keys. Needs all roles, and time for each
    /// key.
    pub fn flush_slots(&mut self, slots: &SlotSet) {
        for shard in 0..self.keyspace.shards() {
            self.clear_slots(ShardId(shard as u16), slots, 0, usize::MAX);
        }
        self.tell_flushed(DbId(0), slots);
    }
}

/// Removes all keys of some slots beside those who use the others, a slice at a time. Nobody may write
/// to the slots meanwhile: what comes where the clearing has been stays.
#[derive(Clone, Debug)]
pub struct Clearing {
    slots: Arc<SlotSet>,
    shard: usize,
    position: u64,
}

impl Clearing {
    /// One that has not begun.
    #[must_use]
    pub fn new(slots: Arc<SlotSet>) -> Clearing {
        Clearing { slots, shard: 0, position: 0 }
    }

    /// Clears up to `buckets` buckets of a shard. Skips nothing: if the role is busy it has to be
    /// called again.
    pub fn slice(&mut self, keyspace: &Keyspace, buckets: usize, guard: &Guard) -> SliceReport {
        while self.shard < keyspace.shards() {
            let shard = ShardId(self.shard as u16);
            if !keyspace.has_keys_of(shard, &self.slots) {
                (self.shard, self.position) = (self.shard + 1, 0);
                continue;
            }
            let Some(mut writer) = keyspace.try_enter(&ShardSet::one(shard), guard) else {
                return SliceReport { busy: true, more: true, removed: 0 };
            };
            let (removed, next) = writer.clear_slots(shard, &self.slots, self.position, buckets);
            (self.shard, self.position) = match next {
                Some(position) => (self.shard, position),
                None => (self.shard + 1, 0),
            };
            return SliceReport { busy: false, more: self.shard < keyspace.shards(), removed };
        }
        SliceReport::default()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
