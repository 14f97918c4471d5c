//! Staying within the budget.
//!
//! The recency and frequency policies are S3-FIFO with a clock as its main queue:
//!
//! ```text
//! new key --(not in ghost)--> small ring, about 10 % of the items
//!    |                          | oldest: read since it came? -> main    else evict, remember in ghost
//!    `--(in ghost)--> main: a hand goes round the table in hash order; frequency > 0 -> minus one
//!                           frequency 0 -> evict
//! ```
//!
//! `allkeys-auto` has the same parts and puts them together as the requests ask for: see `auto/mod.rs`.
//!
//! The ring holds positions, not pointers: an item that was removed is simply not found. Whether an
//! item belongs to the ring, and its 2-bit frequency, live in its slot word, so the hand reads only
//! buckets. Ring and ghost exist only while the store is near its budget.
//!
//! `volatile-*` policies look at keys with an expiry only; `*-random` takes any of a random bucket;
//! `volatile-ttl` takes the nearest expiry of a sample. Whatever the policy, expired keys go first.
//! `*-lrm` is the same as `*-lru` except that reads do not count as a use.
//!
//! An insertion evicts from its own shard, [`VICTIMS_PER_INSERT`] at most (more when the store is far
//! above); `evict_slice` and `make_space` do the rest. A budget that is lowered is reached in slices
//! beside the commands: until then these are held to a ceiling, which follows what is used down.

pub(crate) mod auto;
mod ghost;
pub mod policy;

pub use policy::Policy;

use std::collections::VecDeque;

use crate::Millis;
use crate::epoch::Guard;
use crate::hash::{POSITION_BITS, ShardId, Spot, TAG_BITS};
use crate::keyspace::Keyspace;
use crate::memory::usable;
use crate::shard::{Core, Shard, ShardSet};
use crate::sync::Ordering;
use crate::table::Table;
use crate::table::probe::Hit;
use crate::writer::Writer;
use auto::sampler::Sampler;
use auto::{Auto, Load};
use ghost::Ghost;

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

/// Victims per insertion at most.
const VICTIMS_PER_INSERT: usize = 128;
/// Bytes evicted for every byte that has come, while the store is above its budget.
const CATCH_UP: u64 = 4;
/// Looks (ring entries or buckets) per victim at most, on average.
const LOOKS_PER_VICTIM: usize = 16;
/// Looks in a row without a victim that end a call: where few keys may go (`volatile-*`), the search
/// goes on from there with the next insertion.
const EMPTY_LOOKS: usize = 64;
/// The ring's share of the items: one in ten.
const SMALL_SHARE: usize = 10;
/// Which of the ring is looked up in advance.
const NEXT_BUT: usize = 2;
/// Insertions until what is remembered is fitted again at most, and one for so many items.
const FIT_EVERY: usize = 16;
const FIT_ITEMS: usize = 64;
/// The ring may always be so long.
const RING_LEAST: usize = 64;
/// Group summaries looked at for expired keys before anything is evicted.
const EXPIRED_LOOK: usize = 32;
/// Expired fields removed at most before a victim is looked for.
const FIELDS_AT_ONCE: usize = 64;
/// Groups compared by `volatile-ttl`.
const TTL_SAMPLE: usize = 16;
/// Above this the hard limit is reached: share of the budget, and the least slack in bytes (a
/// table that grows takes its new array in one piece), which is a share of tiny budgets.
const HARD_LIMIT_SHARE: u64 = 50;
const HARD_LIMIT_LEAST: u64 = 128 * 1024;
const HARD_LIMIT_TINY_SHARE: u64 = 4;
/// What an empty store counts as at least: a budget without room for the table of one key is
/// exceeded from the start, as in Redis, whose `maxmemory 1` makes all that needs memory fail.
const EMPTY_STORE: u64 = 512;

/// Role-protected eviction state of a shard.
#[derive(Default)]
pub(crate) struct Eviction {
    /// The database the hand is in.
    db: usize,
    active: bool,
    ring: VecDeque<u64>,
    ghost: Ghost,
    /// Under `allkeys-auto` only.
    auto: Option<Box<Auto>>,
    /// Items may say that they are on the ring which the ring has forgotten.
    strays: bool,
    /// What all of that was last counted as.
    bytes: usize,
    /// Insertions until it is fitted again.
    rest: usize,
    random: u64,
}

/// Packs what the ring needs to find an item again.
fn pack(db: usize, spot: Spot) -> u64 {
    (spot.position << TAG_BITS | u64::from(spot.tag)) << 8 | db as u64
}

fn unpack(packed: u64) -> (usize, Spot) {
    let tag = (packed >> 8 & ((1 << TAG_BITS) - 1)) as u16;
    let position = packed >> (8 + TAG_BITS) & ((1 << POSITION_BITS) - 1);
    ((packed & 0xff) as usize, Spot { position, tag })
}

impl Eviction {
    /// Called for every new key; true if it starts in the small ring.
    #[inline]
    pub(crate) fn admit(&mut self, db: usize, spot: Spot) -> bool {
        self.active && self.admit_active(db, spot)
    }

    fn admit_active(&mut self, db: usize, spot: Spot) -> bool {
        let ghost = &mut self.ghost;
        let starts_small = match &mut self.auto {
            Some(auto) => auto.admit(spot, || ghost.take(spot)),
            None => !ghost.take(spot),
        };
        if starts_small {
            self.push(pack(db, spot));
        }
        starts_small
    }

    /// Puts an item at the end of the ring, which grows by little at a time: it may be as long as the
    /// table.
    fn push(&mut self, packed: u64) {
        if self.ring.len() == self.ring.capacity() {
            self.ring.reserve_exact(self.ring.len() / 8 + 4);
        }
        self.ring.push_back(packed);
    }

    fn auto_mut(&mut self) -> &mut Auto {
        self.auto.get_or_insert_default()
    }

    /// Forgets the oldest of a ring that has grown while nothing had to go: the hand takes over.
    /// Gives back the room of a ring that has become short. Whether it has forgotten any.
    fn trim(&mut self, most: usize) -> bool {
        let forgotten = self.ring.len().saturating_sub(most + RING_LEAST).min(2);
        self.ring.drain(..forgotten);
        if self.ring.capacity() > (self.ring.len() * 4).max(RING_LEAST) {
            self.ring.shrink_to(self.ring.len() * 2);
        }
        forgotten > 0
    }

    /// Ring and ghost for so many items. How many bytes they take more than last time: they count,
    /// so what was made for a large store must not stay when the budget is lowered.
    fn fit(&mut self, policy: Policy, load: Load, sampler: &Sampler, databases: usize) -> i64 {
        let mut bytes = 0;
        if policy == Policy::AllKeysAuto {
            bytes += self.auto_mut().fit(load, sampler);
            if self.auto_mut().is_full {
                self.ghost.fit(load.items / 2);
            }
            self.strays |= self.trim(load.items);
            if std::mem::take(&mut self.strays) {
                self.auto_mut().free_strays(databases);
            }
        } else if policy.has_ring() {
            self.auto = None;
            self.ghost.fit(load.items);
            self.strays |= self.trim(load.items / SMALL_SHARE * 2);
        } else {
            self.auto = None;
            self.strays |= !self.ring.is_empty();
            self.ring = VecDeque::new();
            self.ghost = Ghost::default();
        }
        self.active = policy.has_ring();
        bytes += self.ghost.bytes();
        if self.ring.capacity() > 0 {
            bytes += usable(self.ring.capacity() * 8);
        }
        let change = bytes as i64 - self.bytes as i64;
        self.bytes = bytes;
        change
    }

    /// Whether it is to be fitted with this insertion. `allkeys-auto` hears of it in any case.
    fn is_due(&mut self, sampler: &Sampler) -> bool {
        if let Some(auto) = &mut self.auto {
            auto.learn(sampler);
        }
        let is_due = self.rest == 0 || !self.active;
        self.rest = self.rest.saturating_sub(1);
        is_due
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 29
    }
}

/// Called after every insertion of a new key, and when a collection has grown.
#[inline]
pub(crate) fn after_growth(writer: &mut Writer<'_, '_>, id: ShardId, bytes: u64, now: Millis) {
    let keyspace = writer.keyspace;
    let max = keyspace.budget.max.load(Ordering::Relaxed);
    if max != 0 && keyspace.used() > max / 2 {
        near_the_limit(writer, id, bytes, max, now);
    }
}

#[cold]
fn near_the_limit(writer: &mut Writer<'_, '_>, id: ShardId, bytes: u64, max: u64, now: Millis) {
    let keyspace = writer.keyspace;
    // `allkeys-auto` wants to know what the requests are like before it has to choose.
    if keyspace.used() <= max / 4 * 3 && keyspace.policy() != Policy::AllKeysAuto {
        return;
    }
    let is_due = writer.with_core(id, |core| core.eviction.is_due(&keyspace.shard(id).sampler));
    if is_due {
        fit(writer, id);
    }
    let (used, limit) = (keyspace.used(), max.max(keyspace.ceiling()));
    if used > limit {
        // More than has come, so that a store that is behind catches up, and no more: the small item
        // that finds it far behind would wait for all of it.
        let target = used.saturating_sub(bytes.saturating_mul(CATCH_UP)).max(limit);
        evict(writer, id, VICTIMS_PER_INSERT, target, now);
    }
}

/// Makes what a shard remembers for evicting as large as its items ask for.
fn fit(writer: &mut Writer<'_, '_>, id: ShardId) {
    let keyspace = writer.keyspace;
    let (policy, shard) = (keyspace.policy(), keyspace.shard(id));
    let load = Load {
        items: keyspace.items_of(id),
        bytes: shard.bytes() as usize,
        used: keyspace.used(),
        max: keyspace.budget.max.load(Ordering::Relaxed),
    };
    let databases = usize::from(keyspace.databases());
    let (change, bytes) = writer.with_core(id, |core| {
        let eviction = &mut core.eviction;
        let had_auto = eviction.auto.is_some();
        let change = eviction.fit(policy, load, &shard.sampler, databases);
        match &mut eviction.auto {
            Some(auto) => {
                eviction.rest = (load.items / FIT_ITEMS).min(FIT_EVERY - 1);
                auto.publish(eviction.ring.len(), &shard.counters.auto);
            }
            None if had_auto => auto::retract(&shard.counters, &shard.sampler),
            None => {}
        }
        (change, eviction.bytes)
    });
    if change != 0 {
        shard.counters.eviction_bytes.store(bytes as u64, Ordering::Relaxed);
        keyspace.memory_changed(id, change);
    }
}

/// Evicts up to `max` items of a shard while more than `limit` bytes are used.
fn evict(writer: &mut Writer<'_, '_>, id: ShardId, max: usize, limit: u64, now: Millis) -> usize {
    let keyspace = writer.keyspace;
    let policy = keyspace.policy();
    if policy == Policy::NoEviction {
        return 0;
    }
    let mut removed = evict_expired(writer, id, now);
    let (mut looks, mut empty) = (max * LOOKS_PER_VICTIM, 0);
    while removed < max && looks > 0 && empty < EMPTY_LOOKS && keyspace.used() > limit {
        if policy.is_volatile() && keyspace.volatile_of(id) == 0 || keyspace.items_of(id) == 0 {
            break;
        }
        looks -= 1;
        let (db, hits) = pick(writer, id, policy, now);
        look_ahead(writer, id);
        let count = hits.len().min(max - removed);
        empty = if count == 0 { empty + 1 } else { 0 };
        let hits = &hits[..count];
        writer.remove_hits(db, id, hits);
        let expired = hits.iter().filter(|hit| hit.entry.is_expired(now)).count();
        let counters = &keyspace.shard(id).counters;
        Shard::count(&counters.expired, expired as u64);
        Shard::count(&counters.evicted, (count - expired) as u64);
        writer.tell_of_hits(db, id, hits, now);
        removed += count;
        keyspace.fold(id);
    }
    removed
}

/// Asks for the memory that the next victims of the ring will be looked up in: an insertion that evicts
/// waits for little else.
fn look_ahead(writer: &mut Writer<'_, '_>, id: ShardId) {
    let (keyspace, guard) = (writer.keyspace, writer.guard);
    writer.with_core(id, |core| {
        let eviction = &core.eviction;
        let at = |place: usize| eviction.ring.get(place).map(|&packed| unpack(packed));
        if let Some((db, spot)) = at(NEXT_BUT) {
            keyspace.table(db, id).approach(spot, guard);
            eviction.ghost.approach(spot);
            if let Some(auto) = &eviction.auto {
                auto.approach(spot);
            }
        }
        // Its bucket was asked for then.
        let home = at(0).and_then(|(db, spot)| keyspace.table(db, id).approach(spot, guard));
        if let Some(home) = home {
            home.prefetch_entry();
        }
    });
}

/// Removes some keys whose time is over: better than any victim.
fn evict_expired(writer: &mut Writer<'_, '_>, id: ShardId, now: Millis) -> usize {
    let keyspace = writer.keyspace;
    let db = writer.with_core(id, |core| core.eviction.db);
    if !keyspace.table(db, id).may_expire() {
        return 0;
    }
    let (removed, _) = writer.remove_due(db, id, EXPIRED_LOOK, FIELDS_AT_ONCE, now);
    keyspace.fold(id);
    removed
}

/// The next victims, of one bucket; maybe none yet.
fn pick<'g>(
    writer: &mut Writer<'_, 'g>,
    id: ShardId,
    policy: Policy,
    now: Millis,
) -> (usize, Vec<Hit<'g>>) {
    let keyspace = writer.keyspace;
    let guard = writer.guard;
    if policy == Policy::AllKeysAuto {
        let (db, hit) = auto::pick(writer, id, now);
        return (db, hit.into_iter().collect());
    }
    let items = keyspace.items_of(id);
    if policy.has_ring() {
        let packed = writer.with_core(id, |core| {
            let ring = &mut core.eviction.ring;
            if ring.len() > items / SMALL_SHARE { ring.pop_front() } else { None }
        });
        if let Some(packed) = packed {
            let (db, spot) = unpack(packed);
            let hit = keyspace.table(db, id).small_victim(spot, &keyspace.hasher, guard);
            if hit.is_some() {
                writer.with_core(id, |core| core.eviction.ghost.insert(spot));
            }
            return (db, hit.into_iter().collect());
        }
    }
    let (db, hand, random) = writer.with_core(id, |core| where_to_look(keyspace, id, core));
    let table = keyspace.table(db, id);
    let volatile = policy.is_volatile();
    let (next, hits) = match policy {
        Policy::VolatileTtl => (hand, table.nearest(random, TTL_SAMPLE, &keyspace.hasher, guard)),
        Policy::AllKeysRandom | Policy::VolatileRandom => {
            (hand, table.random_victim(random, volatile, guard))
        }
        _ => table.clock(hand, volatile, now, &keyspace.hasher, guard),
    };
    writer.with_core(id, |core| {
        core.tables[db].hand = next;
        if next == 0 {
            // Once round: the next database's turn.
            core.eviction.db = (db + 1) % usize::from(keyspace.databases());
        }
    });
    (db, hits)
}

/// The database whose turn it is, its hand, and a random number.
fn where_to_look(keyspace: &Keyspace, id: ShardId, core: &mut Core) -> (usize, u64, u64) {
    let databases = usize::from(keyspace.databases());
    let state = &mut core.eviction;
    for step in 0..databases {
        let db = (state.db + step) % databases;
        if keyspace.table(db, id).len() > 0 {
            state.db = db;
            break;
        }
    }
    state.db %= databases;
    (state.db, core.tables[state.db].hand, core.eviction.next_random())
}

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
    fn ceiling(&self) -> u64 {
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
        let slack = match self.policy() {
            Policy::NoEviction => 0,
            _ => (max / HARD_LIMIT_SHARE).max(HARD_LIMIT_LEAST.min(max / HARD_LIMIT_TINY_SHARE)),
        };
        used > max + slack
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
        let removed = match self.budget.max.load(Ordering::Relaxed) {
            // No budget: what lagged behind was a large item on its way, or the budget is gone since.
            0 => 0,
            max => evict(&mut writer, shard, max_items, max, now),
        };
        if removed > 0 && writer.with_core(shard, |core| core.eviction.active) {
            // Insertions do so by themselves; there may be none.
            fit(&mut writer, shard);
        }
        let shrinks = self.has_oversized(shard) && writer.shrink_empty_tables(shard);
        self.fold(shard);
        self.lower_ceiling();
        SliceReport { removed, more: (removed > 0 || shrinks) && self.excess() > 0, busy: false }
    }

    /// Evicts up to `max_items` keys from shards in turn, beginning with `first`, until the store is
    /// within its budget: what to do before refusing a command. True if it is within the hard limit.
    pub fn make_space(&self, first: ShardId, max_items: usize, now: Millis, guard: &Guard) -> bool {
        let mut left = max_items;
        for step in 0..self.shards() {
            if left == 0 || self.excess() == 0 {
                break;
            }
            let id = ShardId(((usize::from(first.0) + step) % self.shards()) as u16);
            left -= self.evict_slice(id, left, now, guard).removed.min(left);
        }
        !self.over_limit()
    }

    pub(crate) fn items_of(&self, id: ShardId) -> usize {
        self.tables_in(id).map(|table| table.len() as usize).sum()
    }

    fn has_oversized(&self, id: ShardId) -> bool {
        self.tables_in(id).any(Table::is_oversized)
    }

    fn volatile_of(&self, id: ShardId) -> u64 {
        self.tables_in(id).map(|table| table.expires()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_budget_nothing_is_evicted_for_a_large_item_on_its_way() {
        use crate::keyspace::{DbId, Options};
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

    #[test]
    fn ring_entries_keep_what_finds_the_item() {
        let spot = Spot { position: (1 << POSITION_BITS) - 3, tag: 0xabc };
        assert_eq!(unpack(pack(15, spot)), (15, spot));
    }
}
