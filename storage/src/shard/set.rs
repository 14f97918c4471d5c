//! Several shards.

use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::sync::Arc;

/// The shards of a turn: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSet(Set);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Set {
    One(ShardId),
    Many(Arc<[ShardId]>),
}

impl ShardSet {
    /// One shard.
    #[must_use]
    pub fn one(shard: ShardId) -> Self {
        Self(Set::One(shard))
    }

    /// Every shard of a keyspace.
    #[must_use]
    pub fn all(keyspace: &Keyspace) -> Self {
        (0..keyspace.shards()).map(|i| ShardId(i as u16)).collect()
    }

    /// How many shards.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// True if there is none (then there is nothing to hold, and nothing can be changed).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shards in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.as_slice().iter().copied()
    }

    /// The shard, if it is one: the case that has to be quick.
    #[inline(always)]
    pub(crate) fn only(&self) -> Option<ShardId> {
        match self.0 {
            Set::One(shard) => Some(shard),
            Set::Many(_) => None,
        }
    }

    /// True if the shard is one of them.
    #[must_use]
    #[inline]
    pub fn contains(&self, shard: ShardId) -> bool {
        match &self.0 {
            Set::One(only) => *only == shard,
            Set::Many(all) => all.binary_search(&shard).is_ok(),
        }
    }

    pub(crate) fn as_slice(&self) -> &[ShardId] {
        match &self.0 {
            Set::One(shard) => std::slice::from_ref(shard),
            Set::Many(shards) => shards,
        }
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> Self {
        let mut shards: Vec<ShardId> = shards.into_iter().collect();
        shards.sort_unstable();
        shards.dedup();
        match shards[..] {
            [only] => Self(Set::One(only)),
            _ => Self(Set::Many(shards.into())),
        }
    }
}
