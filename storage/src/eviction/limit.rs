//! The budget as commands and the background see it: how far above it the store is, and what they do then.

use super::victims::{evict, has_any};
use super::{Policy, SliceReport, fit};
use crate::Millis;
use crate::epoch::Guard;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::shard::ShardSet;
use crate::sync::Ordering;
use crate::table::Table;

/// Above this the hard limit is reached: share of the budget, and the least slack in bytes (a
/// table that grows takes its new array in one piece), which is a share of tiny budgets.
const HARD_LIMIT_SHARE: u64 = 50;
const HARD_LIMIT_LEAST: u64 = 128 * 1024;
const HARD_LIMIT_TINY_SHARE: u64 = 4;
/// Above it by so much again, as a share of the budget, it does not help a command that something may go,
/// if it is not found.
const FAR_SHARE: u64 = 8;
/// What an empty store counts as at least: a budget without room for the table of one key is
/// exceeded from the start, as in Redis, whose `maxmemory 1` makes all that needs memory fail.
const EMPTY_STORE: u64 = 512;

impl Keyspace {
    /// Bytes above the budget.
    pub(crate) fn excess(&self) -> u64 {
        match self.budget.max.load(Ordering::Relaxed) {
            0 => 0,
            max => self.used().saturating_sub(max),
        }
    }

    /// What commands are held to instead of a budget that was lowered and is not reached yet; 0 when
    /// there is nothing to wait for.
    pub(super) fn ceiling(&self) -> u64 {
        match self.budget.ceiling.load(Ordering::Relaxed) {
            0 => 0,
            ceiling if self.can_evict() => ceiling,
            _ => 0,
        }
    }

    /// The ceiling follows what is used.
    fn lower_ceiling(&self) {
        if self.budget.ceiling.load(Ordering::Relaxed) == 0 {
            return;
        }
        match self.excess() {
            0 => self.budget.ceiling.store(0, Ordering::Relaxed),
            _ => drop(self.budget.ceiling.fetch_min(self.used(), Ordering::Relaxed)),
        }
    }

    /// True if commands that need memory must be refused: the budget is used up and nothing may go
    /// (`noeviction`), or eviction has fallen behind by 2 % (try [`Keyspace::make_space`] first).
    #[must_use]
    #[inline]
    pub fn over_limit(&self) -> bool {
        let max = self.budget.max.load(Ordering::Relaxed);
        let used = self.used().max(EMPTY_STORE);
        if max == 0 || used <= max {
            return false;
        }
        let max = max.max(self.ceiling());
        let slack = if self.policy() == Policy::NoEviction { 0 } else { slack(max) };
        used > max + slack
    }

    /// Whether the store is far above the hard limit.
    fn is_far_over(&self) -> bool {
        let max = self.budget.max.load(Ordering::Relaxed).max(self.ceiling());
        self.over_limit() && self.used() > max + slack(max) + max / FAR_SHARE
    }

    /// Whether the policy could still evict something, or what is empty already gives memory back.
    #[must_use]
    pub fn can_evict(&self) -> bool {
        let policy = self.policy();
        let mut shards = (0..self.shards()).map(|shard| ShardId(shard as u16));
        match policy {
            Policy::NoEviction => false,
            _ if policy.is_volatile() => shards.any(|id| self.volatile_of(id) > 0),
            _ => shards.any(|id| self.items_of(id) > 0 || self.has_oversized(id)),
        }
    }

    /// Evicts up to `max_items` keys of a shard while the store is above its budget.
    pub fn evict_slice(
        &self,
        shard: ShardId,
        max_items: usize,
        now: Millis,
        guard: &Guard,
    ) -> SliceReport {
        let full = self.excess() > 0 || self.lags_behind(shard);
        if !full || self.policy() == Policy::NoEviction {
            return SliceReport::default();
        }
        let Some(mut writer) = self.try_enter(&ShardSet::one(shard), guard) else {
            return SliceReport { busy: true, more: true, removed: 0 };
        };
        self.fold(shard);
        let turns = writer.with_core(shard, |core| core.eviction.turns);
        let removed = match self.budget.max.load(Ordering::Relaxed) {
            // No budget: what lagged behind was a large item on its way, or the budget is gone since.
            0 => 0,
            max => evict(&mut writer, shard, max_items, max, now),
        };
        if removed > 0 && writer.with_core(shard, |core| core.eviction.active) {
            // Insertions do so by themselves; there may be none.
            fit(&mut writer, shard);
        }
        let shrinks = self.has_oversized(shard) && writer.tidy_tables(shard);
        self.fold(shard);
        self.lower_ceiling();
        // Where little may go, the search goes on until the hand has gone round.
        let searches =
            self.has_victims(shard) && writer.with_core(shard, |core| core.eviction.turns) == turns;
        let more = (removed > 0 || shrinks || searches) && self.excess() > 0;
        SliceReport { removed, more, busy: false }
    }

    /// Evicts up to `max_items` keys from shards in turn, beginning with `first`, until the store is
    /// within its budget: what to do before refusing a command. True if the command may run: the store
    /// is within the hard limit, or something may go ([`Keyspace::can_evict`]). While nothing is found,
    /// it grows beyond the limit by an eighth at most.
    pub fn make_space(&self, first: ShardId, max_items: usize, now: Millis, guard: &Guard) -> bool {
        let (mut left, mut is_at_work) = (max_items, false);
        for step in 0..self.shards() {
            if left == 0 || self.excess() == 0 {
                break;
            }
            let id = ShardId(((usize::from(first.0) + step) % self.shards()) as u16);
            let report = self.evict_slice(id, left, now, guard);
            left -= report.removed.min(left);
            is_at_work |= report.removed > 0 || report.busy || self.has_oversized(id);
        }
        !self.over_limit() || self.can_evict() && (is_at_work || !self.is_far_over())
    }

    pub(crate) fn items_of(&self, id: ShardId) -> usize {
        self.tables_in(id).map(|table| table.len() as usize).sum()
    }

    /// Whether something may go from a shard.
    fn has_victims(&self, id: ShardId) -> bool {
        let policy = self.policy();
        let volatile = policy.is_volatile();
        policy != Policy::NoEviction && self.tables_in(id).any(|table| has_any(table, volatile))
    }

    fn has_oversized(&self, id: ShardId) -> bool {
        self.tables_in(id).any(Table::is_oversized)
    }

    pub(super) fn volatile_of(&self, id: ShardId) -> u64 {
        self.tables_in(id).map(|table| table.expires()).sum()
    }
}

/// Bytes above the budget before commands are refused.
fn slack(max: u64) -> u64 {
    (max / HARD_LIMIT_SHARE).max(HARD_LIMIT_LEAST.min(max / HARD_LIMIT_TINY_SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{DbId, Options};

    #[test]
    fn without_a_budget_nothing_is_evicted_for_a_large_item_on_its_way() {
        let keyspace = Keyspace::new(Options { shards: 1, ..Options::default() });
        let handle = keyspace.handle();
        let (guard, id) = (handle.pin(), ShardId(0));
        let key = keyspace.key(b"k");
        let mut writer = keyspace.try_enter(&ShardSet::one(id), &guard).expect("a free role");
        writer.put(DbId(0), &key, crate::NewValue::Bytes(b"v"), None, 0);
        drop(writer);
        // A writer on another thread has counted an item, and not yet told the common counter of it.
        keyspace.shard(id).words().bytes.fetch_add(1 << 20, Ordering::Relaxed);
        assert!(keyspace.lags_behind(id));
        assert_eq!(keyspace.evict_slice(id, 10, 0, &guard), SliceReport::default());
        assert_eq!(keyspace.len(DbId(0)), 1);
    }
}
