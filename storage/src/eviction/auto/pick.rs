//! Finding the next victim of `allkeys-auto`.

use crate::Millis;
use crate::eviction::victims::where_to_look;
use crate::eviction::{Eviction, unpack};
use crate::hash::{ShardId, Spot};
use crate::table::hand::{Hand, Way};
use crate::table::probe::Hit;
use crate::writer::Writer;

/// What a hand may look at for one victim: slots, and entries, which count several times.
const LOOKS: usize = 1024;
/// Rounds for one victim at most: a small shard of which everything was used often.
const ROUNDS: usize = 5;
/// Ring entries looked at at once, of items that are gone or were used.
const RING_LOOKS: usize = 8;

/// The next victim, and its database; none if what was looked at stays for now.
pub(in crate::eviction) fn pick<'g>(
    writer: &mut Writer<'_, 'g>,
    id: ShardId,
    now: Millis,
) -> (usize, Option<Hit<'g>>) {
    let items = writer.keyspace.items_of(id);
    let mut has_moved = false;
    for _ in 0..RING_LOOKS {
        let Some(packed) = writer.with_core(id, |core| core.eviction.oldest(items)) else {
            let (db, victim) = from_main(writer, id, now);
            let Some(hit) = victim else { return overdue(writer, id) };
            let spot = writer.keyspace.hasher.spot_of(hit.entry.key());
            writer.with_core(id, |core| core.eviction.remember(spot));
            return (db, Some(hit));
        };
        let (db, spot) = unpack(packed);
        let (keyspace, guard) = (writer.keyspace, writer.guard);
        let Some(hit) = keyspace.table(db, id).on_ring(spot, &keyspace.hasher, guard) else {
            continue;
        };
        if hit.entry.is_expired(now) {
            return (db, Some(hit));
        }
        let uses = hit.word.frequency();
        if uses == 0 && !has_moved && writer.with_core(id, |core| core.eviction.is_left_over(items))
        {
            has_moved = true;
            hit.settle(false);
            continue;
        }
        if uses == 0 {
            return judge(writer, id, (db, spot, hit), now);
        }
        let stays = writer.with_core(id, |core| core.eviction.used_on_ring(packed, spot, uses));
        hit.settle(stays);
    }
    (0, None)
}

/// Of the main queue nothing is to go: then the oldest of the ring, used or not.
fn overdue<'g>(writer: &mut Writer<'_, 'g>, id: ShardId) -> (usize, Option<Hit<'g>>) {
    let (keyspace, guard) = (writer.keyspace, writer.guard);
    for _ in 0..RING_LOOKS {
        let oldest = writer.with_core(id, |core| {
            let ring = &mut core.eviction.ring;
            if ring.is_empty() {
                // Whoever says that it is on the ring is not.
                core.eviction.auto_mut().freeing = 2;
            }
            core.eviction.ring.pop_front()
        });
        let Some((db, spot)) = oldest.map(unpack) else { break };
        let hit = keyspace.table(db, id).on_ring(spot, &keyspace.hasher, guard);
        if hit.is_some() {
            writer.with_core(id, |core| core.eviction.remember(spot));
            return (db, hit);
        }
    }
    (0, None)
}

/// The oldest of the ring was not used: it goes, or another one in its place.
fn judge<'g>(
    writer: &mut Writer<'_, 'g>,
    id: ShardId,
    (db, spot, hit): (usize, Spot, Hit<'g>),
    now: Millis,
) -> (usize, Option<Hit<'g>>) {
    let (main_db, victim) = from_main(writer, id, now);
    let spot_of_victim = victim.map(|hit| writer.keyspace.hasher.spot_of(hit.entry.key()));
    let is_due = victim.is_some_and(|hit| hit.entry.is_expired(now));
    let has_won = writer.with_core(id, |core| core.eviction.compare(spot, spot_of_victim, is_due));
    if has_won {
        hit.settle(false);
        return (main_db, victim);
    }
    (db, Some(hit))
}

/// The next of the main queue that is to go. It stays where it is, and the hand there.
fn from_main<'g>(
    writer: &mut Writer<'_, 'g>,
    id: ShardId,
    now: Millis,
) -> (usize, Option<Hit<'g>>) {
    let (keyspace, guard) = (writer.keyspace, writer.guard);
    let (mut looks, mut lowered) = (LOOKS, Vec::new());
    let mut found = (0, None);
    for _ in 0..ROUNDS {
        let (db, hand, frees) = writer.with_core(id, |core| {
            let (db, position, _) = where_to_look(keyspace, id, core);
            let hand = Hand { position, slot: core.tables[db].hand_slot };
            (db, hand, core.eviction.auto_mut().freeing > 0)
        });
        let hasher = &keyspace.hasher;
        let lowered = &mut |spot| lowered.push(spot);
        let mut way = Way { looks, frees, now, hasher, lowered };
        let (next, hit) = keyspace.table(db, id).next_unused(hand, &mut way, guard);
        looks = way.looks;
        found = (db, hit);
        writer.with_core(id, |core| {
            (core.tables[db].hand, core.tables[db].hand_slot) = (next.position, next.slot);
            if hit.is_none() && next == Hand::default() {
                core.eviction.end_turn(db, usize::from(keyspace.databases()));
                let freeing = &mut core.eviction.auto_mut().freeing;
                *freeing = freeing.saturating_sub(1);
            }
        });
        if hit.is_some() || looks == 0 {
            break;
        }
    }
    writer.with_core(id, |core| {
        let auto = core.eviction.auto_mut();
        lowered.iter().for_each(|&spot| auto.sketch.add(spot));
    });
    found
}

impl Eviction {
    /// The oldest of the ring, if the ring is too long.
    fn oldest(&mut self, items: usize) -> Option<u64> {
        let auto = self.auto_mut();
        auto.is_full = true;
        let rule = auto.rule;
        if rule.is_too_long(self.ring.len(), items) { self.ring.pop_front() } else { None }
    }

    /// Whether the ring is as long as the other rule has left it. A victim of the ring makes room for one
    /// that comes to the ring, and so does one of the main queue, so it would stay as long as that: one more
    /// joins the main queue with each victim.
    fn is_left_over(&mut self, items: usize) -> bool {
        let ring = self.ring.len() / 2;
        self.auto_mut().rule.is_too_long(ring, items)
    }

    /// The oldest of the ring was used so often; whether it stays there.
    fn used_on_ring(&mut self, packed: u64, spot: Spot, uses: u8) -> bool {
        let auto = self.auto_mut();
        (0..uses).for_each(|_| auto.sketch.add(spot));
        let stays = auto.rule.goes_round();
        if stays {
            self.push(packed);
        }
        stays
    }

    /// An item goes. That counts as a use: it was asked for to come.
    fn remember(&mut self, spot: Spot) {
        self.ghost.insert(spot);
        self.auto_mut().sketch.add(spot);
    }

    /// Whether the oldest of the ring takes the place of a victim of the main queue. Remembers who goes.
    fn compare(&mut self, candidate: Spot, victim: Option<Spot>, is_due: bool) -> bool {
        let auto = self.auto_mut();
        let winner =
            victim.filter(|&victim| is_due || auto.contest.is_won(&auto.sketch, candidate, victim));
        match winner {
            Some(_) => auto.tally.admitted += 1,
            None => auto.tally.rejected += 1,
        }
        if !(is_due && winner.is_some()) {
            self.remember(winner.unwrap_or(candidate));
        }
        winner.is_some()
    }
}
