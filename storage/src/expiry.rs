//! Removing what has expired, whether or not anybody asks for it.
//!
//! Readers never see an expired key, so this is about memory only. Every bucket knows its earliest
//! expiry (64-ms steps) and every group of eight buckets the second of it; a walk looks at the group
//! words, sixteen to a cache line, then at the due buckets, then at their entries.

use crate::Millis;
use crate::eviction::SliceReport;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::shard::{Shard, ShardSet};
use crate::sync::Guard;

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
            return SliceReport {
                busy: true,
                more: true,
                removed: 0,
            };
        };
        let mut removed = 0;
        for db in 0..databases {
            let table = self.table(db, shard);
            if table.expires() == 0 {
                continue;
            }
            while removed < max_items {
                let from = writer.with_core(shard, |core| core.tables[db].expire_group);
                let (next, hits) = table.due(from, now, &self.hasher, guard);
                writer.with_core(shard, |core| core.tables[db].expire_group = next);
                writer.remove_hits(db, shard, &hits);
                removed += hits.len();
                Shard::count(&self.shard(shard).counters.expired, hits.len() as u64);
                if next == 0 {
                    break;
                }
            }
        }
        SliceReport {
            removed,
            more: removed >= max_items,
            busy: false,
        }
    }
}
