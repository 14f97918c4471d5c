//! Removing what has expired, whether or not anybody asks for it.
//!
//! Readers never see an expired key, so this is about memory only. Every bucket knows its earliest
//! expiry (64-ms steps), every group of eight buckets that of its buckets; a walk looks at the group
//! words, sixteen to a cache line, then at the due buckets, then at their entries.

use crate::Millis;
use crate::epoch::Guard;
use crate::eviction::SliceReport;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::shard::{Shard, ShardSet};
use crate::writer::Writer;

/// Group summaries per look: half a microsecond.
const GROUPS_PER_LOOK: usize = 1024;

impl Writer<'_, '_> {
    /// Removes the expired items of the next due group, if there is one among the next `groups`; how
    /// many, and whether the walk came to the end of the table.
    pub(crate) fn remove_due(
        &mut self,
        db: usize,
        shard: ShardId,
        groups: usize,
        now: Millis,
    ) -> (usize, bool) {
        let (keyspace, guard) = (self.keyspace, self.guard);
        let table = keyspace.table(db, shard);
        let (next, hits) = self.with_core(shard, |core| {
            let from = core.tables[db].expire_group;
            let (next, hits) = table.due(from, groups, now, &keyspace.hasher, guard);
            core.tables[db].expire_group = next;
            (next, hits)
        });
        self.remove_hits(db, shard, &hits);
        Shard::count(&keyspace.shard(shard).counters.expired, hits.len() as u64);
        (hits.len(), next == 0)
    }
}

impl Keyspace {
    /// Removes up to `max_items` expired keys of a shard, in all databases. Skips a busy shard.
    pub fn expire_slice(
        &self,
        shard: ShardId,
        now: Millis,
        max_items: usize,
        guard: &Guard,
    ) -> SliceReport {
        let databases = usize::from(self.databases());
        if (0..databases).all(|db| self.table(db, shard).expires() == 0) {
            return SliceReport::default();
        }
        let Some(mut writer) = self.try_enter(&ShardSet::one(shard), guard) else {
            return SliceReport { busy: true, more: true, removed: 0 };
        };
        let mut removed = 0;
        for db in 0..databases {
            let table = self.table(db, shard);
            if table.expires() == 0 {
                continue;
            }
            while removed < max_items {
                let (count, complete) = writer.remove_due(db, shard, GROUPS_PER_LOOK, now);
                removed += count;
                if complete {
                    break;
                }
            }
        }
        SliceReport { removed, more: removed >= max_items, busy: false }
    }
}
