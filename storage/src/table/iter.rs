//! Walking a table in hash order while it changes.

use super::bucket::{SLOTS, Word};
use super::probe::entry_of;
use super::{Array, Table};
use crate::entry::Entry;
use crate::epoch::Guard;
use crate::hash::{Hasher, POSITION_BITS};

/// One past the last position of a shard.
pub(crate) const POSITION_END: u64 = 1 << POSITION_BITS;

impl Table {
    /// Visits every item at positions from `from` to the end of that bucket, and returns the
    /// position where the next call goes on ([`POSITION_END`] at the end). An item that is there
    /// all the time is visited at least once, and once only as long as nothing moves.
    ///
    /// The step is one bucket of the array with the largest buckets: of that one everything from
    /// `from` on; of the others the items whose position lies in the same range. Sources of moves
    /// are read before their targets (overflow before home, array before next array), so an item
    /// cannot slip through between two looks.
    pub(crate) fn visit_bucket<'g>(
        &self,
        from: u64,
        hasher: &Hasher,
        guard: &'g Guard,
        visit: &mut dyn FnMut(Entry<'g>),
    ) -> u64 {
        self.visit_groups(from, u64::MAX, hasher, guard, visit)
    }

    /// [`Table::visit_bucket`] that passes over items whose tag is of no group in `groups`, without a
    /// look at their entries.
    pub(crate) fn visit_groups<'g>(
        &self,
        from: u64,
        groups: u64,
        hasher: &Hasher,
        guard: &'g Guard,
        visit: &mut dyn FnMut(Entry<'g>),
    ) -> u64 {
        let Some(head) = self.head(guard) else {
            return POSITION_END;
        };
        let mut to = bucket_end(head, from);
        let mut array = head;
        while let Some(next) = array.next() {
            to = to.max(bucket_end(next, from));
            array = next;
        }
        // An array that appears from here on is only read in this range.
        let mut array = head;
        loop {
            visit_range(array, (from, to), groups, hasher, visit);
            let Some(next) = array.next() else { return to };
            array = next;
        }
    }
}

/// Where the bucket of `position` ends.
pub(super) fn bucket_end(array: &Array, position: u64) -> u64 {
    let home = array.home_at(position);
    if home + 1 == array.homes() { POSITION_END } else { array.position_of(home + 1) }
}

fn visit_range<'g>(
    array: &'g Array,
    (from, to): (u64, u64),
    groups: u64,
    hasher: &Hasher,
    visit: &mut dyn FnMut(Entry<'g>),
) {
    let first = array.home_at(from);
    let last = array.home_at(to - 1);
    for home in first..=last {
        let about = array.home(home).about();
        let mut words: Vec<Word> = Vec::new();
        if about.overflow() > 0 {
            for bucket in array.chain(home) {
                words.extend((0..SLOTS).map(|slot| bucket.word(slot)));
            }
        }
        let spilled = words.len();
        words.extend((0..SLOTS).map(|slot| array.home(home).word(slot)));
        for (i, &word) in words.iter().enumerate() {
            if !word.is_in_groups(groups) {
                continue;
            }
            let Some(entry) = entry_of(word) else {
                continue;
            };
            let twice = i >= spilled && words[..spilled].iter().any(|w| w.entry() == word.entry());
            let spot = hasher.spot_of(entry.key());
            let here = (from..to).contains(&spot.position) && array.home_of(spot) == home;
            if here && !twice {
                visit(entry);
            }
        }
    }
}

impl Array {
    pub(super) fn home_at(&self, position: u64) -> usize {
        self.home_of(crate::hash::Spot { position, tag: 0 })
    }
}
