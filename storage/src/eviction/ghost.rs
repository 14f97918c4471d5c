//! What was evicted lately, in two bytes per item.
//!
//! Sets of eight 16-bit fingerprints, in hash order, each set a queue of its own: a new fingerprint
//! pushes the oldest out. A key that comes back while it is remembered has shown that it is used
//! more than once.

use crate::hash::{POSITION_BITS, Spot};
use crate::memory::usable;
use crate::sync::prefetch;

/// Fingerprints per set: 16 bytes, four sets to a cache line.
const WAYS: usize = 8;

/// With so many times as many sets as are wanted the ghost shrinks.
const SHRINK_AT: usize = 3;

/// The fingerprints of one shard.
#[derive(Default)]
pub(crate) struct Ghost {
    sets: Vec<[u16; WAYS]>,
}

impl Ghost {
    /// Makes room for about `items` fingerprints. Growing keeps what is known, shrinking keeps what
    /// was learned last.
    pub(crate) fn fit(&mut self, items: usize) {
        let wanted = items.div_ceil(WAYS).max(1);
        if self.sets.is_empty() {
            self.sets = vec![[0; WAYS]; wanted];
        }
        if self.sets.len() / SHRINK_AT > wanted {
            self.shrink(wanted);
        }
        while self.sets.len() * 3 / 2 < wanted {
            // A set's keys spread over the two that take its place: both get a copy.
            self.sets = self.sets.iter().flat_map(|set| [*set, *set]).collect();
        }
    }

    /// Each new set gets the newest of those that it takes the place of.
    fn shrink(&mut self, wanted: usize) {
        let (old, mut sets) = (self.sets.len(), vec![[0; WAYS]; wanted]);
        let kept = WAYS.div_ceil(old / wanted);
        for (i, set) in self.sets.iter().enumerate() {
            let into: &mut [u16; WAYS] = &mut sets[i * wanted / old];
            into.rotate_right(kept);
            into[..kept].copy_from_slice(&set[..kept]);
        }
        self.sets = sets;
    }

    pub(crate) fn bytes(&self) -> usize {
        if self.sets.is_empty() { 0 } else { usable(self.sets.capacity() * 2 * WAYS) }
    }

    /// Asks for the memory in which an item will be remembered.
    pub(crate) fn approach(&self, spot: Spot) {
        if let Some(set) = self.sets.get(self.place(spot).0) {
            prefetch(&raw const *set);
        }
    }

    /// Remembers an evicted item.
    pub(crate) fn insert(&mut self, spot: Spot) {
        let (set, fingerprint) = self.place(spot);
        if let Some(set) = self.sets.get_mut(set) {
            set.rotate_right(1);
            set[0] = fingerprint;
        }
    }

    /// Forgets an item; true if it was remembered.
    pub(crate) fn take(&mut self, spot: Spot) -> bool {
        let (set, fingerprint) = self.place(spot);
        let Some(set) = self.sets.get_mut(set) else {
            return false;
        };
        let Some(way) = set.iter().position(|&known| known == fingerprint) else {
            return false;
        };
        set[way..].rotate_left(1);
        set[WAYS - 1] = 0;
        true
    }

    fn place(&self, spot: Spot) -> (usize, u16) {
        let set = (spot.position * self.sets.len() as u64) >> POSITION_BITS;
        // The low bits of the position do not choose the set of any table of a sane size.
        let mixed = (spot.position as u16 & 0xf) << 12 | spot.tag;
        (set as usize, mixed.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(i: u64) -> Spot {
        let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Spot { position: mixed >> (64 - POSITION_BITS), tag: (mixed & 0xfff) as u16 }
    }

    #[test]
    fn remembers_about_as_many_as_it_has_room_for() {
        let mut ghost = Ghost::default();
        assert!(!ghost.take(spot(1)), "an empty one remembers nothing");
        ghost.fit(1000);
        (0..5000).for_each(|i| ghost.insert(spot(i)));
        let known = |ghost: &mut Ghost, range: std::ops::Range<u64>| {
            range.filter(|&i| ghost.take(spot(i))).count()
        };
        assert!(known(&mut ghost, 0..3000) < 100);
        assert!(known(&mut ghost, 4500..5000) > 450);
        assert!(known(&mut ghost, 4500..5000) < 50, "taken ones are forgotten");
    }

    #[test]
    fn growing_keeps_what_is_known() {
        let mut ghost = Ghost::default();
        ghost.fit(1000);
        (0..500).for_each(|i| ghost.insert(spot(i)));
        ghost.fit(10_000);
        assert!((0..500).filter(|&i| ghost.take(spot(i))).count() > 480);
    }

    #[test]
    fn shrinking_keeps_the_newest() {
        let mut ghost = Ghost::default();
        ghost.fit(10_000);
        (0..20_000).for_each(|i| ghost.insert(spot(i)));
        let before = ghost.bytes();
        ghost.fit(4000);
        assert_eq!(ghost.bytes(), before, "not for so little");
        ghost.fit(1000);
        assert!(ghost.bytes() < before / 8, "{} {before}", ghost.bytes());
        let known = |ghost: &mut Ghost, range: std::ops::Range<u64>| {
            range.filter(|&i| ghost.take(spot(i))).count()
        };
        assert!(known(&mut ghost, 19_000..20_000) > 450);
        assert!(known(&mut ghost, 0..10_000) < 250);
    }
}
