//! Counters of the store.

use crate::eviction::auto::AutoCounters;
use crate::shard::Shard;
use crate::sync::{AtomicU64, Ordering};

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
    /// What `allkeys-auto` does.
    pub auto: AutoStats,
}

/// What `allkeys-auto` does. Zeros under other policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AutoStats {
    /// Shards that follow the frequency rule, and those that follow the recency rule.
    pub shards: [u64; 2],
    /// Changes from one rule to the other.
    pub changes: u64,
    /// Items in the rings now, those that were removed since included. Not reset.
    pub ring: u64,
    /// New keys that the ghosts remembered.
    pub ghost_hits: u64,
    /// Comparisons between the oldest of a ring and one of the main queue that the first one has won, and
    /// those that it has lost.
    pub admitted: u64,
    /// See `admitted`.
    pub rejected: u64,
    /// Items of the miniatures, and how often they have missed: under the frequency rule, and under the
    /// recency rule. Not reset, but when a miniature begins anew.
    pub shadow: u64,
    /// See `shadow`.
    pub shadow_misses: [u64; 2],
}

impl AutoStats {
    fn add(&mut self, counters: &AutoCounters) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        match read(&counters.rule) {
            0 => {}
            rule => self.shards[usize::from(rule > 1)] += 1,
        }
        self.changes += read(&counters.changes);
        self.ring += read(&counters.ring);
        self.ghost_hits += read(&counters.ghost_hits);
        self.admitted += read(&counters.admitted);
        self.rejected += read(&counters.rejected);
        self.shadow += read(&counters.shadow);
        for (sum, misses) in self.shadow_misses.iter_mut().zip(&counters.misses) {
            *sum += read(misses);
        }
    }
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
            sum.auto.add(&counters.auto);
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
                &counters.auto.changes,
                &counters.auto.ghost_hits,
                &counters.auto.admitted,
                &counters.auto.rejected,
            ] {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }
}
