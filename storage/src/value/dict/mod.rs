//! A hash table for large collections that never does much at once.
//!
//! Elements live in *segments*, small hash tables of a few hundred elements. A trie over the top
//! bits of the hash says which segment an element belongs to; every node of the trie covers 64
//! slots (6 bits), and a segment covers a run of them:
//!
//! ```text
//! hash  63 ...... 58 | 57 ...... 52 | ... |  21 ............... 0
//!       slot, level 0  slot, level 1   ...   place in the segment
//!
//! root  | segment A (slots 0..32) | segment B (32..48) | segment C (48) | node (49) | D (50..52) ..
//!                                                                          |
//!                                                   | segment E (0..32) | segment F (32..64) |
//! ```
//!
//! A full segment is split in two, each with half of the slots, or under a node of its own if it
//! had one slot only; two neighbours with few elements are merged again. So no operation moves more
//! elements than one segment holds, however large the table is, and none copies a large array.
//!
//! The order of the trie is the order of the hash. A scan's cursor is therefore the top of a hash:
//! whatever happens between two steps, an element stays below the cursor or above it. So a scan
//! sees every element once that is there from its first step to its last, and none twice.

mod ids;
mod iter;
mod node;
mod segment;

use std::fmt;
use std::ops::{Deref, DerefMut};

use ahash::RandomState;

pub(super) use ids::Ids;
pub use iter::Iter;
use node::Node;

/// Bits of a hash that make up a cursor. Clients keep cursors in floating point numbers, too.
const CELL_BITS: u32 = 48;
/// The cell behind the last one.
const CELL_END: u64 = 1 << CELL_BITS;

/// What a [`Dict`] is made of.
pub trait Slot {
    /// The bytes that identify the element. They must not change while it is in a table.
    fn key(&self) -> &[u8];
    /// What the element takes on the heap, apart from its own size.
    fn heap_bytes(&self) -> usize;
}

/// A hash table of elements identified by byte strings.
pub struct Dict<T> {
    keyed: Keyed,
    root: Node<T>,
    /// Bytes on the heap.
    memory: usize,
}

/// The hash function of one table.
#[derive(Clone)]
struct Keyed(RandomState);

impl Keyed {
    fn new(seed: u64) -> Self {
        Keyed(RandomState::with_seeds(seed, 0, 0, 0))
    }

    fn hash_key(&self, key: &[u8]) -> u64 {
        use core::hash::{BuildHasher, Hasher};
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

/// What segments must know about their elements, whether those have their keys in them or only name
/// something that is kept elsewhere.
trait Keys<T> {
    /// The hash of the element's key.
    fn hash(&self, slot: &T) -> u64;
    /// What the element takes on the heap.
    fn heap_bytes(&self, slot: &T) -> usize;
}

impl<T: Slot> Keys<T> for Keyed {
    fn hash(&self, slot: &T) -> u64 {
        self.hash_key(slot.key())
    }

    fn heap_bytes(&self, slot: &T) -> usize {
        slot.heap_bytes()
    }
}

/// The part of a hash that orders scans.
fn cell_of(hash: u64) -> u64 {
    hash >> (u64::BITS - CELL_BITS)
}

impl<T: Slot> Dict<T> {
    /// An empty table whose hash function depends on `seed`, which clients must not know.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let (keyed, root) = (Keyed::new(seed), Node::<T>::new());
        Self { memory: root.heap_bytes(&keyed), keyed, root }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.root.len()
    }

    /// True if there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&T> {
        let hash = self.keyed.hash_key(key);
        self.root.leaf(hash).get(hash, |slot: &T| slot.key() == key)
    }

    /// True if there is an element `key`.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// The element `key`, to be changed in place.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<SlotMut<'_, T>> {
        let hash = self.keyed.hash_key(key);
        let slot = self.root.leaf_mut(hash).get_mut(hash, |slot: &T| slot.key() == key)?;
        Some(SlotMut { before: slot.heap_bytes(), slot, memory: &mut self.memory })
    }

    /// Adds an element and returns the one it replaces.
    pub fn insert(&mut self, slot: T) -> Option<T> {
        let hash = self.keyed.hash_key(slot.key());
        let found = self.root.leaf_mut(hash).get_mut(hash, |old: &T| old.key() == slot.key());
        if let Some(old) = found {
            self.memory = self.memory + slot.heap_bytes() - old.heap_bytes();
            return Some(std::mem::replace(old, slot));
        }
        self.insert_absent(hash, slot);
        None
    }

    /// Adds the element that `make` gives, unless there is an element `key`; whether it was added.
    /// `make` must give an element with the key `key`.
    pub fn insert_new(&mut self, key: &[u8], make: impl FnOnce() -> T) -> bool {
        let hash = self.keyed.hash_key(key);
        if self.root.leaf(hash).get(hash, |slot: &T| slot.key() == key).is_some() {
            return false;
        }
        let slot = make();
        debug_assert!(slot.key() == key, "the element has the key that was looked for");
        self.insert_absent(hash, slot);
        true
    }

    fn insert_absent(&mut self, hash: u64, slot: T) {
        self.memory += slot.heap_bytes();
        self.root.insert(hash, slot, &self.keyed, &mut self.memory);
    }

    /// Removes the element `key`.
    pub fn remove(&mut self, key: &[u8]) -> Option<T> {
        self.remove_hashed(self.hash_of(key), &|slot| slot.key() == key)
    }

    /// What [`Dict::remove_hashed`] finds `key` by.
    #[must_use]
    pub fn hash_of(&self, key: &[u8]) -> u64 {
        self.keyed.hash_key(key)
    }

    /// Removes an element whose key has the hash `hash` and that is `wanted`, for callers which
    /// keep hashes in place of keys.
    pub fn remove_hashed(&mut self, hash: u64, wanted: &dyn Fn(&T) -> bool) -> Option<T> {
        let slot = self.root.remove(hash, wanted, 0, &self.keyed, &mut self.memory)?;
        self.memory -= slot.heap_bytes();
        Some(slot)
    }

    /// All elements, in no order that means anything.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(&self.root)
    }

    /// Visits `count` elements from `cursor` on (0 = start), or some more if their hashes begin alike,
    /// and returns the cursor to go on with (0 = end; below 2^48). An element that is there from the first step of a scan to its
    /// last is visited once, whatever is added and removed meanwhile.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, visit: &mut dyn FnMut(&'a T)) -> u64 {
        self.root.scan(cursor, count, &self.keyed, visit)
    }

    /// The element that `random` picks: every one is equally likely if every `u64` is.
    #[must_use]
    pub fn random(&self, random: u64) -> Option<&T> {
        let rank = (u128::from(random) * self.len() as u128) >> u64::BITS;
        self.nth(usize::try_from(rank).unwrap_or(usize::MAX))
    }

    /// The element at `rank` in the order of [`Dict::iter`], without walking there.
    #[must_use]
    pub fn nth(&self, rank: usize) -> Option<&T> {
        self.root.nth(rank)
    }

    /// Bytes on the heap, those of the elements included.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        self.memory
    }

    /// Frees at least `max` elements, and at most a segment more; whether some are left.
    pub fn shed(&mut self, max: usize) -> bool {
        let mut freed = 0;
        while freed < max.max(1) && !self.is_empty() {
            freed += self.root.shed_leaf(&self.keyed, &mut self.memory);
        }
        !self.is_empty()
    }
}

impl<T: Slot + Clone> Clone for Dict<T> {
    fn clone(&self) -> Self {
        // A copy has no spare room, so it may take less memory.
        let root = self.root.clone();
        Self { keyed: self.keyed.clone(), memory: root.heap_bytes(&self.keyed), root }
    }
}

impl<T: fmt::Debug + Slot> fmt::Debug for Dict<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// An element that is being changed; what it takes on the heap is accounted for in the end.
#[derive(Debug)]
pub struct SlotMut<'a, T: Slot> {
    slot: &'a mut T,
    before: usize,
    memory: &'a mut usize,
}

impl<T: Slot> Deref for SlotMut<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.slot
    }
}

impl<T: Slot> DerefMut for SlotMut<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.slot
    }
}

impl<T: Slot> Drop for SlotMut<'_, T> {
    fn drop(&mut self) {
        *self.memory = *self.memory + self.slot.heap_bytes() - self.before;
    }
}

#[cfg(test)]
mod tests;
