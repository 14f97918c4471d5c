//! Staying within the budget.

pub mod policy;

pub use policy::Policy;

use crate::Millis;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::shard::{Shard, ShardSet};
use crate::sync::{Guard, Ordering};
use crate::writer::Writer;

/// What a background slice did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SliceReport {
    /// Keys removed.
    pub removed: usize,
    /// True if there is more to do now.
    pub more: bool,
    /// True if the role was busy and nothing was done.
    pub busy: bool,
}

/// Role-protected eviction state of a shard.
#[derive(Default)]
pub(crate) struct Eviction {
    /// The database the hand is in.
    db: usize,
}

/// Victims per insertion at most.
const VICTIMS_PER_INSERT: usize = 16;
/// Buckets looked at per victim at most.
const BUCKETS_PER_VICTIM: usize = 64;

/// Called after every insertion.
pub(crate) fn after_insert(writer: &mut Writer<'_, '_>, id: ShardId, now: Millis) {
    if writer.keyspace.excess() > 0 {
        evict(writer, id, VICTIMS_PER_INSERT, now);
    }
}

fn evict(writer: &mut Writer<'_, '_>, id: ShardId, max: usize, now: Millis) -> usize {
    let policy = writer.keyspace.policy();
    let mut removed = 0;
    if policy == Policy::NoEviction {
        return 0;
    }
    let databases = usize::from(writer.keyspace.databases());
    for _ in 0..databases {
        let db = writer.with_core(id, |core| core.eviction.db % databases);
        for _ in 0..max * BUCKETS_PER_VICTIM {
            if removed >= max || writer.keyspace.excess() == 0 {
                return removed;
            }
            let table = writer.keyspace.table(db, id);
            if table.len() == 0 {
                break;
            }
            let hand = writer.with_core(id, |core| core.tables[db].hand);
            let (next, hits) = table.clock(hand, policy.is_volatile(), now, writer.guard);
            writer.with_core(id, |core| core.tables[db].hand = next);
            writer.remove_hits(db, id, &hits);
            Shard::count(
                &writer.keyspace.shard(id).counters.evicted,
                hits.len() as u64,
            );
            removed += hits.len();
        }
        writer.with_core(id, |core| core.eviction.db += 1);
    }
    removed
}

impl Keyspace {
    /// Bytes above the budget.
    pub(crate) fn excess(&self) -> u64 {
        match self.budget.max.load(Ordering::Relaxed) {
            0 => 0,
            max => self.used().saturating_sub(max),
        }
    }

    /// True if commands that need memory must be refused: the budget is used up and nothing can go,
    /// or eviction has fallen behind by 2 %.
    #[must_use]
    pub fn over_limit(&self) -> bool {
        let max = self.budget.max.load(Ordering::Relaxed);
        if max == 0 {
            return false;
        }
        let slack = if self.policy() == Policy::NoEviction {
            0
        } else {
            max / 50
        };
        self.used() > max + slack
    }

    /// Evicts up to `max_items` keys of a shard while the store is above its budget.
    pub fn evict_slice(
        &self,
        shard: ShardId,
        max_items: usize,
        now: Millis,
        guard: &Guard,
    ) -> SliceReport {
        if self.excess() == 0 || self.policy() == Policy::NoEviction {
            return SliceReport::default();
        }
        let Some(mut writer) = self.try_enter(&ShardSet::one(shard), guard) else {
            return SliceReport {
                busy: true,
                more: true,
                removed: 0,
            };
        };
        let removed = evict(&mut writer, shard, max_items, now);
        SliceReport {
            removed,
            more: removed > 0 && self.excess() > 0,
            busy: false,
        }
    }
}
