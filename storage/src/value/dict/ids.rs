//! A table of numbers, for collections that keep the keys elsewhere under these numbers.

use super::node::Node;
use super::{Keyed, Keys};

/// Numbers found by keys that the table does not have: every operation is given the function that
/// tells the key of a number.
pub(in crate::value) struct Ids {
    keyed: Keyed,
    root: Node<u32>,
    /// Bytes on the heap.
    memory: usize,
}

/// The function that tells keys, in the form in which the segments ask for it.
struct Told<F> {
    keyed: Keyed,
    key_of: F,
}

impl<'k, F: Fn(u32) -> &'k [u8]> Keys<u32> for Told<F> {
    fn hash(&self, id: &u32) -> u64 {
        self.keyed.hash_key((self.key_of)(*id))
    }

    fn heap_bytes(&self, _: &u32) -> usize {
        0
    }
}

impl Ids {
    /// An empty table whose hash function depends on `seed`, which clients must not know.
    pub(in crate::value) fn new(seed: u64) -> Self {
        let (keyed, root) = (Keyed::new(seed), Node::new());
        Self { memory: root.own_bytes(), keyed, root }
    }

    /// The number of `key`.
    #[inline]
    pub(in crate::value) fn find<'k>(
        &self,
        key: &[u8],
        key_of: impl Fn(u32) -> &'k [u8],
    ) -> Option<u32> {
        let hash = self.keyed.hash_key(key);
        self.root.leaf(hash).get(hash, |id| key_of(*id) == key).copied()
    }

    /// Adds a number whose key is not there yet.
    pub(in crate::value) fn insert<'k>(&mut self, id: u32, key_of: impl Fn(u32) -> &'k [u8]) {
        let hash = self.keyed.hash_key(key_of(id));
        let keys = Told { keyed: self.keyed.clone(), key_of };
        self.root.insert(hash, id, &keys, &mut self.memory);
    }

    /// Removes a number; its key must still be known.
    pub(in crate::value) fn remove<'k>(&mut self, id: u32, key_of: impl Fn(u32) -> &'k [u8]) {
        let hash = self.keyed.hash_key(key_of(id));
        let keys = Told { keyed: self.keyed.clone(), key_of };
        self.root.remove(hash, &|other| *other == id, 0, &keys, &mut self.memory);
    }

    /// Gives the key of the number `old` the number `new`.
    pub(in crate::value) fn renumber(&mut self, key: &[u8], old: u32, new: u32) {
        let hash = self.keyed.hash_key(key);
        if let Some(id) = self.root.leaf_mut(hash).get_mut(hash, |id| *id == old) {
            *id = new;
        }
    }

    /// As [`Dict::scan`](super::Dict::scan).
    pub(in crate::value) fn scan<'k>(
        &self,
        cursor: u64,
        count: usize,
        key_of: impl Fn(u32) -> &'k [u8],
        visit: &mut dyn FnMut(u32),
    ) -> u64 {
        let keys = Told { keyed: self.keyed.clone(), key_of };
        self.root.scan(cursor, count, &keys, &mut |id| visit(*id))
    }

    /// Bytes on the heap.
    pub(in crate::value) fn memory_usage(&self) -> usize {
        self.memory
    }

    /// Bytes on the heap, counted one by one.
    pub(in crate::value) fn heap_bytes(&self) -> usize {
        self.root.heap_bytes(&self.keyless())
    }

    /// For what moves no element.
    fn keyless(&self) -> impl Keys<u32> + use<> {
        Told { keyed: self.keyed.clone(), key_of: |_| &[][..] }
    }

    /// As [`Dict::shed`](super::Dict::shed).
    pub(in crate::value) fn shed(&mut self, max: usize) -> bool {
        let keys = self.keyless();
        let mut freed = 0;
        while freed < max.max(1) && self.root.len() > 0 {
            freed += self.root.shed_leaf(&keys, &mut self.memory);
        }
        self.root.len() > 0
    }
}

impl Clone for Ids {
    fn clone(&self) -> Self {
        // A copy has no spare room, so it may take less memory.
        let copy = Self { keyed: self.keyed.clone(), root: self.root.clone(), memory: 0 };
        Self { memory: copy.heap_bytes(), ..copy }
    }
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ids({})", self.root.len())
    }
}
