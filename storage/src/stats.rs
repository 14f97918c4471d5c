//! Counters of the store.

use crate::shard::Shard;
use crate::sync::Ordering;

/// What happened since the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Keys removed because their time had come.
    pub expired_keys: u64,
    /// Fields of hashes removed by the expiry walk because their time had come.
    pub expired_fields: u64,
    /// Keys removed to stay within the budget.
    pub evicted_keys: u64,
    /// Entries that compactions have moved.
    pub moved_entries: u64,
    /// Changes of keys that somebody has asked for: values stored, keys removed, expiries set, and each
    /// write to a large collection, whether or not it has found anything to change. Not reset.
    pub changes: u64,
    /// Turns: how often a shard's role was taken.
    pub role_taken: u64,
    /// How often a role was found taken.
    pub role_busy: u64,
    /// Jobs run for other threads.
    pub jobs: u64,
    /// Releases that found jobs.
    pub batches: u64,
    /// Most jobs found by one release.
    pub batch_max: u64,
    /// Turns that ended with jobs left behind.
    pub capped: u64,
}

/// Figures of one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Keys of all databases.
    pub keys: u64,
    /// Bytes that count against the budget.
    pub bytes: u64,
    /// See [`StoreStats::changes`].
    pub changes: u64,
    /// See [`StoreStats::role_taken`].
    pub role_taken: u64,
}

impl StoreStats {
    pub(crate) fn collect(shards: &[Shard]) -> Self {
        let mut sum = Self::default();
        for shard in shards {
            let counters = &shard.counters;
            sum.expired_keys += counters.expired.load(Ordering::Relaxed);
            sum.expired_fields += counters.expired_fields.load(Ordering::Relaxed);
            sum.evicted_keys += counters.evicted.load(Ordering::Relaxed);
            sum.moved_entries += counters.moved.load(Ordering::Relaxed);
            sum.changes += shard.words().changes.load(Ordering::Relaxed);
            sum.role_taken += shard.words().taken.load(Ordering::Relaxed);
            sum.role_busy += counters.busy.load(Ordering::Relaxed);
            sum.jobs += counters.jobs.load(Ordering::Relaxed);
            sum.batches += counters.batches.load(Ordering::Relaxed);
            sum.capped += counters.capped.load(Ordering::Relaxed);
            sum.batch_max = sum.batch_max.max(counters.batch_max.load(Ordering::Relaxed));
        }
        sum
    }

    pub(crate) fn reset(shards: &[Shard]) {
        for shard in shards {
            let counters = &shard.counters;
            for counter in [
                &counters.expired,
                &counters.expired_fields,
                &counters.evicted,
                &counters.moved,
                &shard.words().taken,
                &counters.busy,
                &counters.jobs,
                &counters.batches,
                &counters.batch_max,
                &counters.capped,
            ] {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }
}
