//! How a keyspace is built.

use crate::eviction::Policy;
use crate::hash::SHARD_BITS_MAX;
use crate::slots::{ShownSlots, SlotOf};
use crate::sync::Arc;

/// How a keyspace is built.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shards, rounded up to a power of two.
    pub shards: usize,
    /// Databases, at least one.
    pub databases: u8,
    /// Budget in bytes; 0 = none.
    pub max_memory: u64,
    /// What goes when the budget is used up.
    pub policy: Policy,
    /// Bytes at most for what is known of removed keys ([`Keyspace::why_missing`]); 0 = nothing.
    pub miss_memory: u64,
    /// Seed of the hash function; random if not given.
    pub seed: Option<[u64; 4]>,
    /// The slot of each key, if there are slots ([`crate::slots`]). Then there is one database.
    pub slot_of: Option<SlotOf>,
    /// The slots that are shown to those who look at all keys; all, if not given.
    pub shown: Option<Arc<ShownSlots>>,
}

/// Bytes of a budget for each shard at least, where nobody has asked for a number of shards.
const SHARD_LEAST: u64 = 1 << 20;

impl Options {
    /// How many shards of `wanted` ones (a power of two) a budget is enough for. Insertions evict
    /// from their own shard: one that holds a few dozen keys knows too little of them to choose.
    #[must_use]
    pub fn shards_within(wanted: usize, max_memory: u64) -> usize {
        let enough = |shards: &usize| max_memory == 0 || max_memory >= SHARD_LEAST * *shards as u64;
        std::iter::successors(Some(wanted.max(1)), |shards| Some(shards / 2))
            .find(|shards| *shards == 1 || enough(shards))
            .unwrap_or(1)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: 16,
            databases: 16,
            max_memory: 0,
            policy: Policy::default(),
            miss_memory: 0,
            seed: None,
            slot_of: None,
            shown: None,
        }
    }
}

impl Options {
    /// How many shards a keyspace will have.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.clamp(1, 1 << SHARD_BITS_MAX).next_power_of_two()
    }
}
