//! Looking at items one by one for `allkeys-auto`: those of its ring, and those that its hand comes to.

use super::bucket::{Bucket, SLOTS};
use super::probe::{Hit, entry_of};
use super::{Array, HOMES, Table};
use crate::Millis;
use crate::epoch::Guard;
use crate::hash::{Hasher, Spot};

/// Where a hand is: a bucket by its position, and how many slots of it, and of what has spilled beside it,
/// lie behind the hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hand {
    pub(crate) position: u64,
    pub(crate) slot: usize,
}

/// What a hand sees and does on its way.
pub(crate) struct Way<'a> {
    /// How much it may still look at: slots, and entries, which count as [`ENTRY`] of them.
    pub(crate) looks: usize,
    /// Items that say that they are on the ring join the main queue, used or not: maybe no ring knows of
    /// them.
    pub(crate) frees: bool,
    pub(crate) now: Millis,
    pub(crate) hasher: &'a Hasher,
    /// Told of each item that was used and has lost a part of its standing.
    pub(crate) lowered: &'a mut dyn FnMut(Spot),
}

/// An entry is on lines of its own.
const ENTRY: usize = 8;

impl Table {
    /// The item of the small ring at this spot. Only under the role.
    pub(crate) fn on_ring<'g>(
        &self,
        spot: Spot,
        hasher: &Hasher,
        guard: &'g Guard,
    ) -> Option<Hit<'g>> {
        let mut array = self.head(guard);
        while let Some(current) = array {
            let home = current.home_of(spot);
            let own = std::iter::once(current.home(home)).chain(current.chain(home));
            for (i, bucket) in own.enumerate() {
                for slot in 0..SLOTS {
                    let word = bucket.word(slot);
                    if !word.is_small() || !word.tag_is(spot.tag) {
                        continue;
                    }
                    let own =
                        |hit: &Hit<'_>| current.home_of(hasher.spot_of(hit.entry.key())) == home;
                    let hit = current.hit(bucket, home, slot, i > 0);
                    // The overflow chain holds items of the whole group.
                    if let Some(hit) = hit.filter(|hit| i == 0 || own(hit)) {
                        return Some(hit);
                    }
                }
            }
            array = current.next();
        }
        None
    }

    /// The next item of the main queue from `hand` on that was not used, or whose time is over, and where
    /// the hand is then: at that item, or at position 0 after a round without one, or where it may look no
    /// further. Those it passes lose some of their standing. Only under the role.
    pub(crate) fn next_unused<'g>(
        &self,
        mut hand: Hand,
        way: &mut Way<'_>,
        guard: &'g Guard,
    ) -> (Hand, Option<Hit<'g>>) {
        let Some(head) = self.head(guard) else {
            return (Hand::default(), None);
        };
        while way.looks > 0 {
            let at = Spot { position: hand.position, tag: 0 };
            let mut passed = 0;
            let mut array = Some(head);
            while let Some(current) = array {
                if let Some((slot, hit)) = current.unused(at, hand.slot, passed, way) {
                    return (Hand { slot, ..hand }, Some(hit));
                }
                passed += current.slots_at(at);
                array = current.next();
            }
            let next = head.home_of(at) + 1;
            if next == head.homes() {
                return (Hand::default(), None);
            }
            hand = Hand { position: head.position_of(next), slot: 0 };
        }
        (hand, None)
    }
}

impl Array {
    /// The buckets of a home: what has spilled is looked at with the last home of its group, and first,
    /// because removing from the home would move it.
    fn buckets_at(&self, home: usize) -> impl Iterator<Item = (&Bucket, bool)> {
        let is_last = home % HOMES == HOMES - 1;
        let spilled = is_last.then(|| self.chain(home)).into_iter().flatten();
        spilled.map(|bucket| (bucket, true)).chain(std::iter::once((self.home(home), false)))
    }

    fn slots_at(&self, at: Spot) -> usize {
        self.buckets_at(self.home_of(at)).count() * SLOTS
    }

    /// The first unused item at a position, from slot number `from` on; `passed` slots are those of
    /// arrays before this one.
    fn unused(
        &self,
        at: Spot,
        from: usize,
        passed: usize,
        way: &mut Way<'_>,
    ) -> Option<(usize, Hit<'_>)> {
        let home = self.home_of(at);
        for (i, (bucket, spilled)) in self.buckets_at(home).enumerate() {
            for slot in 0..SLOTS {
                let number = passed + i * SLOTS + slot;
                if number < from {
                    continue;
                }
                way.looks = way.looks.saturating_sub(1);
                if way.pass(bucket, slot) {
                    continue;
                }
                let home = match spilled {
                    true => self.home_of(way.hasher.spot_of(entry_of(bucket.word(slot))?.key())),
                    false => home,
                };
                return Some((number, self.hit(bucket, home, slot, spilled)?));
            }
        }
        None
    }
}

impl Way<'_> {
    /// Passes a slot, or not: then its item is to go.
    fn pass(&mut self, bucket: &Bucket, slot: usize) -> bool {
        let word = bucket.word(slot);
        let Some(entry) = entry_of(word) else { return true };
        if word.has_ttl() && entry.is_expired(self.now) {
            return false;
        }
        if word.is_small() {
            if self.frees {
                bucket.set_word(slot, word.with_small(false));
            }
            return true;
        }
        if word.frequency() == 0 {
            return false;
        }
        bucket.set_word(slot, word.with_frequency(word.frequency() - 1));
        self.looks = self.looks.saturating_sub(ENTRY);
        (self.lowered)(self.hasher.spot_of(entry.key()));
        true
    }
}
