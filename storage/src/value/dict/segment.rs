//! A segment: the few hundred elements that growth moves together.

use hashbrown::HashTable;

use super::Keys;
use crate::memory::usable;

/// Elements of a full segment: what fits into 512 places.
pub(super) const FULL: usize = 448;
/// Two neighbours with no more elements than this become one.
pub(super) const SPARSE: usize = FULL / 4;
/// A segment with less than this share of its places in use gets a smaller table.
const SHRINK_SHARE: usize = 4;
/// A table is not made smaller below so many places.
const SHRINK_MIN: usize = 16;

/// A small hash table.
#[derive(Clone)]
pub(super) struct Segment<T>(HashTable<T>);

/// The bits that place an element inside its segment. The elements of a segment have the top bits
/// of their hashes in common, but the table takes its tags from there: so they go out of the way.
fn inner(hash: u64) -> u64 {
    hash.rotate_right(20)
}

fn rehash<T>(keys: &impl Keys<T>) -> impl Fn(&T) -> u64 {
    move |slot| inner(keys.hash(slot))
}

impl<T> Segment<T> {
    pub(super) const fn new() -> Self {
        Segment(HashTable::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> hashbrown::hash_table::Iter<'_, T> {
        self.0.iter()
    }

    pub(super) fn get(&self, hash: u64, wanted: impl Fn(&T) -> bool) -> Option<&T> {
        self.0.find(inner(hash), wanted)
    }

    pub(super) fn get_mut(&mut self, hash: u64, wanted: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.0.find_mut(inner(hash), wanted)
    }

    /// Adds an element that is not there.
    pub(super) fn insert(&mut self, hash: u64, slot: T, keys: &impl Keys<T>) {
        self.0.insert_unique(inner(hash), slot, rehash(keys));
    }

    pub(super) fn remove(
        &mut self,
        hash: u64,
        wanted: &dyn Fn(&T) -> bool,
        keys: &impl Keys<T>,
    ) -> Option<T> {
        let (slot, _) = self.0.find_entry(inner(hash), wanted).ok()?.remove();
        let places = self.0.num_buckets();
        if places > SHRINK_MIN && self.0.len() * SHRINK_SHARE < places {
            self.0.shrink_to(0, rehash(keys));
        }
        Some(slot)
    }

    /// Moves the elements whose hash `goes_high` out into a segment of their own.
    pub(super) fn split(
        &mut self,
        keys: &impl Keys<T>,
        goes_high: impl Fn(u64) -> bool,
    ) -> Segment<T> {
        let count = self.iter().filter(|slot| goes_high(keys.hash(slot))).count();
        // One place more: a split makes room for an element that is about to come.
        let mut low = HashTable::with_capacity(self.len() - count + 1);
        let mut high = HashTable::with_capacity(count + 1);
        for slot in self.0.drain() {
            let hash = keys.hash(&slot);
            let half = if goes_high(hash) { &mut high } else { &mut low };
            half.insert_unique(inner(hash), slot, rehash(keys));
        }
        self.0 = low;
        Segment(high)
    }

    /// Takes the elements of `other` in.
    pub(super) fn absorb(&mut self, other: Segment<T>, keys: &impl Keys<T>) {
        self.0.reserve(other.len(), rehash(keys));
        for slot in other.0 {
            self.insert(keys.hash(&slot), slot, keys);
        }
    }

    /// Bytes of the table itself.
    pub(super) fn own_bytes(&self) -> usize {
        match self.0.allocation_size() {
            0 => 0,
            size => usable(size),
        }
    }

    /// Bytes on the heap: the table's and the elements'.
    pub(super) fn all_bytes(&self, keys: &impl Keys<T>) -> usize {
        self.own_bytes() + self.iter().map(|slot| keys.heap_bytes(slot)).sum::<usize>()
    }
}
