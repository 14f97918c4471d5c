//! One keyed hash per key decides everything: shard, bucket and tag.
//!
//! ```text
//! 63 ............ | ........................ | ........ 12 | 11 ...... 0
//! shard bits      | position, 40 bits: bucket by fastrange  | tag
//! ```
//!
//! With slots (see [`crate::slots`]) what decides where a key goes is its slot, and what spreads the keys
//! within a shard is the hash, however many of them are in one slot:
//!
//! ```text
//! shard: the slot's lower bits | position: hash, 40 bits | the slot's other bits | slot / 256, 6 bits | hash, 6 bits
//!                                                                                `-------- tag --------'
//! ```
//!
//! So the slot can be read from the hash, and a walk that looks for some slots need not look at entries
//! whose tag says that they are in others. Neighbouring slots are in different shards: nodes have
//! ranges of slots.

use crate::slots::{SLOT_BITS, SLOTS, SlotOf};
use ahash::RandomState;
use core::hash::{BuildHasher, Hasher as _};

/// Bits of a position inside its shard.
pub(crate) const POSITION_BITS: u32 = 40;
/// Bits of the tag that a slot word carries.
pub(crate) const TAG_BITS: u32 = 12;
/// Shards are at most this many (as a power of two), so that tag and position stay independent.
pub(crate) const SHARD_BITS_MAX: u32 = 12;
/// Bits of the tag that are the hash's own where there are slots.
pub(crate) const TAG_HASH_BITS: u32 = 6;
/// The slots of which the upper bits, those in the tag, are the same.
const SLOT_GROUP_BITS: u32 = 8;

/// A key's hash under the keyspace's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// The hash for tables of one's own: as it is, its bits are not all random where there are slots.
    #[inline]
    #[must_use]
    pub fn mixed(self) -> u64 {
        let product = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ product >> 32
    }
}

/// A shard's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// Key bytes with their hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key.
    pub bytes: &'a [u8],
    /// Its hash.
    pub hash: KeyHash,
}

/// Where in its shard's table a key belongs: bucket order is position order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) position: u64,
    pub(crate) tag: u16,
}

/// The keyed hash function of one keyspace.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    state: RandomState,
    shards: u64,
    slots: Option<SlotBits>,
}

/// Where the bits of a slot are in a hash.
#[derive(Clone, Copy, Debug)]
struct SlotBits {
    slot_of: SlotOf,
    shard_bits: u32,
    /// Those that neither shard nor tag has.
    middle: u64,
}

impl Hasher {
    pub(crate) fn new(seed: Option<[u64; 4]>, shard_bits: u32, slot_of: Option<SlotOf>) -> Self {
        assert!(shard_bits <= SHARD_BITS_MAX);
        let state = match seed {
            Some([a, b, c, d]) => RandomState::with_seeds(a, b, c, d),
            None => RandomState::new(),
        };
        let middle = (1 << SLOT_GROUP_BITS.saturating_sub(shard_bits)) - 1;
        let slots = slot_of.map(|slot_of| SlotBits { slot_of, shard_bits, middle });
        Self { state, shards: 1 << shard_bits, slots }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        match &self.slots {
            None => KeyHash(hasher.finish()),
            Some(slots) => slots.put(hasher.finish(), (slots.slot_of)(key)),
        }
    }

    /// A hash that has nothing to do with slots.
    pub(crate) fn plain(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// The slot of a key with this hash; 0 without slots.
    #[inline]
    pub(crate) fn slot(&self, hash: KeyHash) -> u16 {
        let Some(slots) = &self.slots else { return 0 };
        let middle = (hash.0 >> TAG_BITS & slots.middle) << slots.shard_bits;
        let group = (hash.0 & ((1 << TAG_BITS) - 1)) >> TAG_HASH_BITS << SLOT_GROUP_BITS;
        self.shard(hash).0 | (middle | group) as u16
    }

    /// The shard of a slot's keys.
    pub(crate) fn shard_of_slot(&self, slot: u16) -> ShardId {
        ShardId((u64::from(slot) & (self.shards - 1)) as u16)
    }

    #[inline]
    pub(crate) fn shard(&self, hash: KeyHash) -> ShardId {
        // Fastrange: the product's upper word is the top bits, its lower word all others.
        ShardId(((u128::from(hash.0) * u128::from(self.shards)) >> 64) as u16)
    }

    #[inline]
    pub(crate) fn spot(&self, hash: KeyHash) -> Spot {
        Spot {
            position: hash.0.wrapping_mul(self.shards) >> (64 - POSITION_BITS),
            tag: (hash.0 & ((1 << TAG_BITS) - 1)) as u16,
        }
    }

    #[inline]
    pub(crate) fn spot_of(&self, key: &[u8]) -> Spot {
        self.spot(self.hash(key))
    }
}

impl SlotBits {
    #[inline]
    fn put(self, hash: u64, slot: u16) -> KeyHash {
        let slot = u64::from(slot % SLOTS);
        // In two steps, because there may be no bits of a shard at all.
        let shard = slot << (u64::BITS - SLOT_BITS) << (SLOT_BITS - self.shard_bits);
        let unused = u64::BITS - POSITION_BITS;
        let position = hash >> unused << (unused - self.shard_bits);
        let middle = (slot >> self.shard_bits & self.middle) << TAG_BITS;
        let tag = slot >> SLOT_GROUP_BITS << TAG_HASH_BITS | hash & ((1 << TAG_HASH_BITS) - 1);
        KeyHash(shard | position | middle | tag)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The slot is written in the key.
    fn slot_of(key: &[u8]) -> u16 {
        u16::from_le_bytes([key[0], key[1]])
    }

    #[test]
    fn a_hash_knows_its_slot_whatever_the_number_of_shards() {
        for shard_bits in 0..=SHARD_BITS_MAX {
            let plain = Hasher::new(Some([1, 2, 3, 4]), shard_bits, None);
            let hasher = Hasher::new(Some([1, 2, 3, 4]), shard_bits, Some(slot_of));
            for slot in 0..SLOTS {
                let key = [slot.to_le_bytes(), [7, (slot % 251) as u8]].concat();
                let hash = hasher.hash(&key);
                assert_eq!(hasher.slot(hash), slot, "{shard_bits} bits");
                assert_eq!(hasher.shard(hash), hasher.shard_of_slot(slot));
                let spot = hasher.spot(hash);
                assert_eq!(spot.tag >> TAG_HASH_BITS, slot / 256);
                // All of it is the hash's.
                assert_eq!(spot.position, plain.hash(&key).0 >> 24);
                assert_eq!(u64::from(spot.tag & 63), plain.plain(&key) & 63);
            }
        }
    }
}
