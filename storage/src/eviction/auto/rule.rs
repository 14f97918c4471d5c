//! The two rules that `allkeys-auto` chooses between, and what both have in common: who stays when the
//! oldest of the ring and an item of the main queue are the next to go.

use super::sketch::Sketch;
use crate::hash::Spot;

/// How a cache keeps its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Rule {
    /// What is used often stays: a short ring, in which the new ones are on trial.
    #[default]
    Frequency,
    /// What was used lately stays: most items are in the ring, and those that were used go round it.
    Recency,
}

/// Both.
pub(super) const RULES: [Rule; 2] = [Rule::Frequency, Rule::Recency];
/// A candidate that was used so often is let in now and then without a reason...
const LUCKY_FROM: u8 = 6;
/// ...once in so many times (a power of two).
const LUCKY_ONCE_IN: u64 = 128;
/// What was used no more often says little, and that it came back so soon says more.
const FEW_USES: u8 = 3;

impl Rule {
    /// Its place in arrays.
    pub(super) fn index(self) -> usize {
        usize::from(self == Rule::Recency)
    }

    /// The other one.
    pub(super) fn other(self) -> Self {
        RULES[1 - self.index()]
    }

    /// Whether a ring of so many is longer than its share of all items: a twentieth, or four fifths.
    pub(super) fn is_too_long(self, ring: usize, items: usize) -> bool {
        match self {
            Rule::Frequency => ring * 20 > items,
            Rule::Recency => ring * 5 > items * 4,
        }
    }

    /// Whether what was used in the ring stays there instead of joining the main queue.
    pub(super) fn goes_round(self) -> bool {
        self == Rule::Recency
    }

    /// Whether what comes back soon after it went may join the main queue at once.
    pub(super) fn trusts_ghost(self) -> bool {
        self == Rule::Frequency
    }
}

/// Who wins a place in the main queue.
#[derive(Default)]
pub(super) struct Contest {
    noise: u64,
    /// How often that victim was used with which somebody was compared last.
    bar: u8,
}

impl Contest {
    /// Whether a candidate takes the place of a victim: it was used more often. Very seldom without a
    /// reason: whoever knew the hash could else keep a victim for ever.
    pub(super) fn is_won(&mut self, sketch: &Sketch, candidate: Spot, victim: Spot) -> bool {
        let (new, old) = (sketch.estimate(candidate), sketch.estimate(victim));
        self.bar = old;
        self.noise = (self.noise ^ candidate.position).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let is_lucky = self.noise >> 40 & (LUCKY_ONCE_IN - 1) == 0;
        new > old || new >= LUCKY_FROM && is_lucky
    }

    /// Whether one that came back soon after it went joins the main queue at once. Not if it was used often,
    /// and no more often than what the hand came to last: where everything is used equally often, in a loop,
    /// each that came back would drive out another one that will come back as well.
    pub(super) fn lets_back(&self, sketch: &Sketch, candidate: Spot) -> bool {
        let uses = sketch.estimate(candidate);
        uses <= FEW_USES || uses > self.bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_their_places() {
        for (i, rule) in RULES.into_iter().enumerate() {
            assert_eq!(rule.index(), i);
            assert!(rule.other() != rule && rule.other().other() == rule);
        }
        assert!(Rule::Frequency.is_too_long(6, 100) && !Rule::Frequency.is_too_long(5, 100));
        assert!(Rule::Recency.is_too_long(81, 100) && !Rule::Recency.is_too_long(80, 100));
        assert!(Rule::Frequency.is_too_long(1, 12), "of few items one is on trial");
    }

    #[test]
    fn who_was_used_more_often_wins_and_seldom_another() {
        let spot = |i: u64| Spot { position: i << 30, tag: i as u16 };
        let mut sketch = Sketch::default();
        sketch.fit(1000, 8);
        (0..3).for_each(|_| sketch.add(spot(1)));
        (0..8).for_each(|_| sketch.add(spot(2)));
        let mut contest = Contest::default();
        let wins = |contest: &mut Contest, new, old| {
            (0..10_000).filter(|_| contest.is_won(&sketch, spot(new), spot(old))).count()
        };
        assert_eq!(wins(&mut contest, 2, 1), 10_000);
        assert_eq!(wins(&mut contest, 1, 1), 0, "a draw is not won");
        let lucky = wins(&mut contest, 2, 2);
        assert!((20..300).contains(&lucky), "{lucky}");
        // The last victim was used eight times.
        (0..4).for_each(|_| sketch.add(spot(3)));
        (0..9).for_each(|_| sketch.add(spot(4)));
        let are_let_back = [1, 2, 3, 4].map(|i| contest.lets_back(&sketch, spot(i)));
        assert_eq!(are_let_back, [true, false, false, true]);
    }
}
