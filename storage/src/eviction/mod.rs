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
//! buckets. Ring and ghost exist only while the store is near its budget, or not yet far from it again.
//!
//! `volatile-*` policies look at keys with an expiry only; `*-random` takes any of a random bucket;
//! `volatile-ttl` takes the nearest expiry of a sample. Whatever the policy, expired keys go first. When
//! all that may go is used again before the hand comes round, the hand takes what was used.
//! `*-lrm` is the same as `*-lru` except that reads do not count as a use.
//!
//! An insertion evicts from its own shard, [`VICTIMS_PER_INSERT`] at most (more when the store is far
//! above); `evict_slice` and `make_space` do the rest. A budget that is lowered is reached in slices
//! beside the commands: until then these are held to a ceiling, which follows what is used down.

pub(crate) mod auto;
mod ghost;
mod limit;
pub mod policy;
mod victims;

pub use policy::Policy;

use std::collections::VecDeque;

use self::victims::evict;
use crate::Millis;
use crate::hash::{POSITION_BITS, ShardId, Spot, TAG_BITS};
use crate::memory::usable;
use crate::sync::Ordering;
use crate::table::bucket::FREQUENCY_MAX;
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
/// The ring's share of the items: one in ten.
const SMALL_SHARE: usize = 10;
/// Insertions until what is remembered is fitted again at most, and one for so many items.
const FIT_EVERY: usize = 16;
const FIT_ITEMS: usize = 64;
/// So many are forgotten at most when a ring is fitted that is too long: more than come in between.
const FORGOTTEN: usize = 2 * FIT_EVERY;
/// The ring may always be so long.
const RING_LEAST: usize = 64;

/// Role-protected eviction state of a shard.
#[derive(Default)]
pub(crate) struct Eviction {
    /// The database the hand is in.
    db: usize,
    /// How many tables it has gone round.
    turns: u32,
    /// How often in a row it has gone round all of them and nothing was found, and whether something was
    /// since it began anew.
    rounds: u8,
    has_found: bool,
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
        let forgotten = self.ring.len().saturating_sub(most + RING_LEAST).min(FORGOTTEN);
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

    /// Forgets everything, because the store is far from its budget. How many bytes it was counted as.
    fn stand_down(&mut self) -> usize {
        self.strays |= !self.ring.is_empty();
        (self.auto, self.ring, self.ghost) = (None, VecDeque::new(), Ghost::default());
        (self.active, self.rest) = (false, 0);
        std::mem::take(&mut self.bytes)
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

    /// The hand has gone round a table: the next database's turn.
    fn end_turn(&mut self, db: usize, databases: usize) {
        self.db = (db + 1) % databases;
        self.turns = self.turns.wrapping_add(1);
    }

    /// The hand has been everywhere.
    fn end_round(&mut self) {
        let found = std::mem::take(&mut self.has_found);
        self.rounds = if found { 0 } else { self.rounds.saturating_add(1) };
    }

    /// Whether the hand takes what was used, too: all that may go is used as often as the hand comes by.
    fn takes_used(&self) -> bool {
        self.rounds > FREQUENCY_MAX
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
    let is_near = max != 0 && keyspace.used() > max / 2;
    if is_near || writer.with_core(id, |core| core.eviction.active) {
        near_the_limit(writer, id, bytes, max, now);
    }
}

#[cold]
fn near_the_limit(writer: &mut Writer<'_, '_>, id: ShardId, bytes: u64, max: u64, now: Millis) {
    let keyspace = writer.keyspace;
    // Well below where it begins: a store goes up and down. In between, what there is is fitted, or new
    // keys that come and go would make the ring longer and longer.
    if max == 0 || keyspace.used() <= max / 8 * 3 {
        return stand_down(writer, id);
    }
    // `allkeys-auto` wants to know what the requests are like before it has to choose.
    let is_early = keyspace.used() <= max / 4 * 3 && keyspace.policy() != Policy::AllKeysAuto;
    if is_early && !writer.with_core(id, |core| core.eviction.active) {
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

/// Gives back what a shard remembers for evicting.
fn stand_down(writer: &mut Writer<'_, '_>, id: ShardId) {
    let keyspace = writer.keyspace;
    let shard = keyspace.shard(id);
    let (had_auto, bytes) = writer.with_core(id, |core| {
        let had_auto = core.eviction.auto.is_some();
        (had_auto, core.eviction.stand_down())
    });
    if had_auto {
        auto::retract(&shard.counters, &shard.sampler);
    }
    shard.counters.eviction_bytes.store(0, Ordering::Relaxed);
    keyspace.memory_changed(id, -(bytes as i64));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_entries_keep_what_finds_the_item() {
        let spot = Spot { position: (1 << POSITION_BITS) - 3, tag: 0xabc };
        assert_eq!(unpack(pack(15, spot)), (15, spot));
    }
}
