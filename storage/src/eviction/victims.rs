//! The next keys to go, and their going.

use super::auto;
use super::{Policy, SMALL_SHARE, unpack};
use crate::Millis;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::shard::{Core, Shard};
use crate::table::Table;
use crate::table::probe::Hit;
use crate::table::sweep::Choice;
use crate::writer::Writer;

/// Looks (ring entries or buckets) per victim at most, on average.
const LOOKS_PER_VICTIM: usize = 16;
/// Looks in a row without a victim that end a call: where few keys may go (`volatile-*`), the search
/// goes on from there with the next insertion.
const EMPTY_LOOKS: usize = 64;
/// Which of the ring is looked up in advance.
const NEXT_BUT: usize = 2;
/// Group summaries looked at for expired keys before anything is evicted.
const EXPIRED_LOOK: usize = 32;
/// Expired fields removed at most before a victim is looked for.
const FIELDS_AT_ONCE: usize = 64;
/// Groups compared by `volatile-ttl`.
const TTL_SAMPLE: usize = 16;

/// Evicts up to `max` items of a shard while more than `limit` bytes are used.
pub(super) fn evict(
    writer: &mut Writer<'_, '_>,
    id: ShardId,
    max: usize,
    limit: u64,
    now: Millis,
) -> usize {
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
    let look = writer.remove_due(db, id, EXPIRED_LOOK, FIELDS_AT_ONCE, now);
    keyspace.fold(id);
    look.removed
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
                writer.with_core(id, |core| {
                    core.eviction.ghost.insert(spot);
                    core.eviction.has_found = true;
                });
            }
            return (db, hit.into_iter().collect());
        }
    }
    let (db, hand, random) = writer.with_core(id, |core| where_to_look(keyspace, id, core));
    let used = writer.with_core(id, |core| core.eviction.takes_used());
    let table = keyspace.table(db, id);
    let volatile = policy.is_volatile();
    let (next, hits) = match policy {
        // These look anywhere in a table, and in the next one then.
        Policy::VolatileTtl => (0, table.nearest(random, TTL_SAMPLE, &keyspace.hasher, guard)),
        Policy::AllKeysRandom | Policy::VolatileRandom => {
            (0, table.random_victim(random, volatile, &keyspace.hasher, guard))
        }
        _ => table.clock(hand, Choice { volatile, used, now }, &keyspace.hasher, guard),
    };
    writer.with_core(id, |core| {
        core.tables[db].hand = next;
        core.eviction.has_found |= !hits.is_empty();
        if next == 0 {
            let databases = usize::from(keyspace.databases());
            core.eviction.end_turn(db, databases);
            if !(db + 1..databases).any(|db| has_any(keyspace.table(db, id), volatile)) {
                core.eviction.end_round();
            }
        }
    });
    (db, hits)
}

/// Whether something may go from a table: anything, or only what has an expiry.
pub(super) fn has_any(table: &Table, volatile: bool) -> bool {
    let count = if volatile { table.expires() } else { table.len() };
    count > 0
}

/// The database whose turn it is, its hand, and a random number.
pub(super) fn where_to_look(
    keyspace: &Keyspace,
    id: ShardId,
    core: &mut Core,
) -> (usize, u64, u64) {
    let databases = usize::from(keyspace.databases());
    let volatile = keyspace.policy().is_volatile();
    let state = &mut core.eviction;
    for step in 0..databases {
        let db = (state.db + step) % databases;
        if has_any(keyspace.table(db, id), volatile) {
            state.db = db;
            break;
        }
    }
    state.db %= databases;
    (state.db, core.tables[state.db].hand, core.eviction.next_random())
}
