//! Strings that must not come twice, from several collections.
//!
//! The same string may come as a number from one collection and as text from another, so what is a
//! number is always kept as such.

use core::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use hashbrown::HashTable;

use super::listpack::Element;

/// The strings seen so far.
pub(super) struct Distinct<'a> {
    seen: HashTable<Element<'a>>,
    state: RandomState,
}

impl<'a> Distinct<'a> {
    pub(super) fn new(seed: u64) -> Self {
        Self { seen: HashTable::new(), state: RandomState::with_seeds(seed, 0, 0, 0) }
    }

    /// Adds a string; false if it was there.
    pub(super) fn insert(&mut self, element: Element<'a>) -> bool {
        let element = element.normal();
        let hash = hash(&self.state, element);
        if self.seen.find(hash, |seen| *seen == element).is_some() {
            return false;
        }
        let rehash = |seen: &Element<'_>| self::hash(&self.state, *seen);
        self.seen.insert_unique(hash, element, rehash);
        true
    }

    pub(super) fn contains(&self, element: Element<'_>) -> bool {
        let element = element.normal();
        self.seen.find(hash(&self.state, element), |seen| *seen == element).is_some()
    }
}

fn hash(state: &RandomState, element: Element<'_>) -> u64 {
    let mut hasher = state.build_hasher();
    match element {
        Element::Int(value) => hasher.write_i64(value),
        Element::Bytes(bytes) => hasher.write(bytes),
    }
    hasher.finish()
}
