//! Sets of slots, kept as ranges: what a stream is about.

use crate::cluster::change::Range;
use crate::cluster::slot::SLOTS;

/// A set of slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(
    /// In their order; two of them never touch each other.
    Vec<Range>,
);

impl Ranges {
    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many slots.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|(first, last)| usize::from(last - first) + 1).sum()
    }

    /// Whether a slot is among them.
    #[inline]
    #[must_use]
    pub fn contains(&self, slot: u16) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < slot);
        self.0.get(at).is_some_and(|(first, _)| *first <= slot)
    }

    /// Whether all of them are among those.
    #[must_use]
    pub fn is_within(&self, those: &Ranges) -> bool {
        self.0.iter().all(|(first, last)| {
            let at = those.0.partition_point(|(_, end)| end < last);
            those.0.get(at).is_some_and(|(begin, _)| begin <= first)
        })
    }

    /// The ranges.
    #[must_use]
    pub fn as_slice(&self) -> &[Range] {
        &self.0
    }

    /// Each slot.
    pub fn slots(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Adds the slots of a range; one that is none adds nothing.
    pub fn insert(&mut self, (first, last): Range) {
        if first > last || last >= SLOTS {
            return;
        }
        // Those that it touches or covers become one with it.
        let from = self.0.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.0.partition_point(|(begin, _)| *begin <= last + 1);
        let touched = &self.0[from..to.max(from)];
        let first = touched.first().map_or(first, |range| range.0.min(first));
        let last = touched.last().map_or(last, |range| range.1.max(last));
        self.0.splice(from..to.max(from), [(first, last)]);
    }

    /// Takes the slots of a range out.
    pub fn remove(&mut self, (first, last): Range) {
        if first > last {
            return;
        }
        let cut = |&(begin, end): &Range| {
            let before = (begin < first).then(|| (begin, end.min(first - 1)));
            let after = (end > last).then(|| (begin.max(last + 1), end));
            [before, after]
        };
        self.0 = self.0.iter().flat_map(cut).flatten().collect();
    }

    /// These slots without those.
    #[must_use]
    pub fn without(&self, those: &Ranges) -> Ranges {
        let mut rest = self.clone();
        those.0.iter().for_each(|range| rest.remove(*range));
        rest
    }

    /// These slots and those.
    #[must_use]
    pub fn with(&self, those: &Ranges) -> Ranges {
        let mut all = self.clone();
        those.0.iter().for_each(|range| all.insert(*range));
        all
    }

    /// What both have.
    #[must_use]
    pub fn both(&self, those: &Ranges) -> Ranges {
        self.without(&self.without(those))
    }

    /// The first slots, `most` of them at most.
    #[must_use]
    pub fn first(&self, most: usize) -> Ranges {
        let (mut taken, mut left) = (Ranges::default(), most);
        for &(first, last) in &self.0 {
            let count = (usize::from(last - first) + 1).min(left);
            if count == 0 {
                break;
            }
            taken.insert((first, first + (count - 1) as u16));
            left -= count;
        }
        taken
    }
}

impl FromIterator<Range> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        let mut all = Ranges::default();
        ranges.into_iter().for_each(|range| all.insert(range));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Around the ends of everything and in between.
    fn slot() -> impl Strategy<Value = u16> {
        prop_oneof![0..40_u16, SLOTS - 40..SLOTS]
    }

    proptest! {
        #[test]
        fn like_a_set(changes in proptest::collection::vec((any::<bool>(), slot(), slot()), 0..40)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (adds, a, b) in changes {
                let range = (a.min(b), a.max(b));
                if adds {
                    ranges.insert(range);
                    model.extend(range.0..=range.1);
                } else {
                    ranges.remove(range);
                    model.retain(|slot| !(range.0..=range.1).contains(slot));
                }
                let apart = ranges.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
                prop_assert!(apart, "{ranges:?}");
            }
            prop_assert!(ranges.slots().eq(model.iter().copied()));
            prop_assert_eq!(ranges.count(), model.len());
            for slot in (0..50).chain(SLOTS - 50..SLOTS) {
                prop_assert_eq!(ranges.contains(slot), model.contains(&slot));
            }
            let few = ranges.first(30);
            prop_assert!(few.slots().eq(model.iter().copied().take(30)));
            let some: Ranges = [(5, 20), (SLOTS - 9, SLOTS - 1)].into_iter().collect();
            let both = ranges.both(&some);
            prop_assert!(both.is_within(&ranges) && both.is_within(&some));
            prop_assert_eq!(ranges.is_within(&some), ranges.without(&some).is_empty());
            prop_assert_eq!(some.is_within(&ranges), some.without(&ranges).is_empty());
            prop_assert_eq!(both.with(&ranges.without(&some)), ranges);
        }
    }

    #[test]
    fn what_is_no_range_adds_nothing() {
        let mut ranges = Ranges::default();
        ranges.insert((5, 4));
        ranges.insert((0, SLOTS));
        assert!(ranges.is_empty());
        ranges.insert((0, SLOTS - 1));
        assert_eq!(ranges.count(), usize::from(SLOTS));
    }
}
