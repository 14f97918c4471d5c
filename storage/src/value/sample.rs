//! Random choices without repetition. Every choice is as likely as any other.

use hashbrown::HashSet;

/// A number below `end` made of the random number `random`; 0 if there is none.
pub(super) fn below(random: u64, end: usize) -> usize {
    let product = u128::from(random) * end as u128;
    usize::try_from(product >> u64::BITS).unwrap_or(0)
}

/// Chooses some of a known number of items that come by one after the other.
pub(super) struct Selection {
    coming: usize,
    wanted: usize,
}

impl Selection {
    /// `wanted` of `coming` items.
    pub(super) fn new(wanted: usize, coming: usize) -> Self {
        Self { coming, wanted: wanted.min(coming) }
    }

    /// Whether the next item is one of them.
    pub(super) fn takes_next(&mut self, random: &mut impl FnMut() -> u64) -> bool {
        let takes = below(random(), self.coming) < self.wanted;
        self.coming = self.coming.saturating_sub(1);
        self.wanted -= usize::from(takes);
        takes
    }
}

/// Whether so few items are wanted that drawing their ranks is less work than passing all by.
pub(super) fn is_sparse(wanted: usize, len: usize) -> bool {
    wanted < len / 3
}

/// `wanted` different numbers below `len`, by Floyd's method: one draw each.
pub(super) fn ranks(wanted: usize, len: usize, random: &mut impl FnMut() -> u64) -> Vec<usize> {
    let mut chosen = HashSet::with_hasher(ahash::RandomState::with_seed(0));
    let mut ranks = Vec::new();
    for last in len.saturating_sub(wanted)..len {
        let drawn = below(random(), last + 1);
        let rank = if chosen.insert(drawn) { drawn } else { last };
        chosen.insert(rank);
        ranks.push(rank);
    }
    ranks
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A generator for tests.
    pub(crate) fn rng(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        }
    }

    #[test]
    fn numbers_stay_below_the_end() {
        assert_eq!((below(0, 7), below(u64::MAX, 7), below(u64::MAX, 0)), (0, 6, 0));
        assert_eq!((below(u64::MAX / 2, 7), below(u64::MAX / 7, 7)), (3, 0));
    }

    /// How often each of `len` items is chosen in `rounds` rounds.
    fn counts(len: usize, rounds: usize, mut round: impl FnMut() -> Vec<usize>) -> Vec<usize> {
        let mut counts = vec![0; len];
        for _ in 0..rounds {
            for rank in round() {
                counts[rank] += 1;
            }
        }
        counts
    }

    #[test]
    fn all_items_are_equally_likely() {
        let (len, wanted, rounds) = (10, 3, 20_000);
        let mut random = rng(1);
        let by_passing = counts(len, rounds, || {
            let mut selection = Selection::new(wanted, len);
            let chosen: Vec<_> = (0..len).filter(|_| selection.takes_next(&mut random)).collect();
            assert_eq!(chosen.len(), wanted);
            chosen
        });
        let by_drawing = counts(len, rounds, || {
            let mut chosen = ranks(wanted, len, &mut random);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), wanted);
            chosen
        });
        // 6,000 expected; five standard deviations are 325.
        for count in by_passing.into_iter().chain(by_drawing) {
            assert!((5_675..=6_325).contains(&count), "{count}");
        }
    }

    #[test]
    fn more_than_there_is_means_all() {
        let mut random = rng(2);
        let mut selection = Selection::new(9, 4);
        assert_eq!((0..4).filter(|_| selection.takes_next(&mut random)).count(), 4);
        let mut all = ranks(4, 4, &mut random);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert_eq!(ranks(3, 0, &mut random), []);
    }
}
