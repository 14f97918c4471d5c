//! One keyed hash per key decides everything: shard, bucket and tag.
//!
//! ```text
//! 63 ............ | ........................ | ........ 12 | 11 ...... 0
//! shard bits      | position, 40 bits: bucket by fastrange  | tag
//! ```

use ahash::RandomState;
use core::hash::{BuildHasher, Hasher as _};

/// Bits of a position inside its shard.
pub(crate) const POSITION_BITS: u32 = 40;
/// Bits of the tag that a slot word carries.
pub(crate) const TAG_BITS: u32 = 12;
/// Shards are at most this many (as a power of two), so that tag and position stay independent.
pub(crate) const SHARD_BITS_MAX: u32 = 12;

/// A key's hash under the keyspace's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub u64);

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
}

impl Hasher {
    pub(crate) fn new(seed: Option<[u64; 4]>, shard_bits: u32) -> Self {
        assert!(shard_bits <= SHARD_BITS_MAX);
        let state = match seed {
            Some([a, b, c, d]) => RandomState::with_seeds(a, b, c, d),
            None => RandomState::new(),
        };
        Self { state, shards: 1 << shard_bits }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        KeyHash(hasher.finish())
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
