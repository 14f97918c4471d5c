//! Parts of a sorted set: by rank, by score, by member. Each becomes a range of ranks.

use std::ops::{Bound, Range};

/// Which members are meant.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// By rank.
    Rank(RankRange),
    /// By score.
    Score(ScoreRange),
    /// By the member itself, among members of one score.
    Lex(LexRange<'a>),
}

/// Ranks from `start` to `stop`, both included; negative ones count from the other end, -1 being
/// the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankRange {
    /// The first rank.
    pub start: i64,
    /// The last rank.
    pub stop: i64,
}

/// Scores between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The lower bound.
    pub min: Bound<f64>,
    /// The upper bound.
    pub max: Bound<f64>,
}

/// Members between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The lower bound.
    pub min: LexBound<'a>,
    /// The upper bound.
    pub max: LexBound<'a>,
}

/// A bound of a [`LexRange`]. Either end may be given as the lower or the upper one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before all members.
    Lowest,
    /// Behind all members.
    Highest,
    /// This member is in the range.
    Included(&'a [u8]),
    /// This member is not.
    Excluded(&'a [u8]),
}

impl RankRange {
    /// The indices meant in a sequence of `len` elements.
    #[must_use]
    pub fn within(self, len: usize) -> Range<usize> {
        // No sequence is longer than an i64 can count.
        let length = i64::try_from(len).unwrap_or(i64::MAX);
        let from_front = |index: i64| if index < 0 { length.saturating_add(index) } else { index };
        let start = from_front(self.start).max(0);
        let stop = from_front(self.stop).min(length - 1);
        if start > stop {
            return 0..0;
        }
        let index = |index: i64| usize::try_from(index).unwrap_or(0);
        index(start)..index(stop) + 1
    }
}

impl ScoreRange {
    /// Whether a score is below the lower bound.
    #[inline]
    pub(super) fn is_below(&self, score: f64) -> bool {
        match self.min {
            Bound::Included(min) => score < min,
            Bound::Excluded(min) => score <= min,
            Bound::Unbounded => false,
        }
    }

    /// Whether a score is above the upper bound.
    #[inline]
    pub(super) fn is_above(&self, score: f64) -> bool {
        match self.max {
            Bound::Included(max) => score > max,
            Bound::Excluded(max) => score >= max,
            Bound::Unbounded => false,
        }
    }
}

impl LexRange<'_> {
    /// Whether a member is below the lower bound.
    #[inline]
    pub(super) fn is_below(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Included(min) => member < min,
            LexBound::Excluded(min) => member <= min,
        }
    }

    /// Whether a member is above the upper bound.
    #[inline]
    pub(super) fn is_above(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Included(max) => member > max,
            LexBound::Excluded(max) => member >= max,
        }
    }
}

/// The same ranks counted from the other end of `len` members.
#[must_use]
pub fn mirrored(ranks: &Range<usize>, len: usize) -> Range<usize> {
    len.saturating_sub(ranks.end)..len.saturating_sub(ranks.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_clipped() {
        for (start, stop, len, wanted) in [
            (0, -1, 5, 0..5),
            (1, 3, 5, 1..4),
            (-2, -1, 5, 3..5),
            (-100, 100, 5, 0..5),
            (3, 1, 5, 0..0),
            (5, 9, 5, 0..0),
            (0, -6, 5, 0..0),
            (0, -1, 0, 0..0),
            (i64::MIN, i64::MAX, 5, 0..5),
            (i64::MAX, i64::MIN, 5, 0..0),
        ] {
            assert_eq!(RankRange { start, stop }.within(len), wanted, "{start} {stop} of {len}");
        }
        assert_eq!(mirrored(&(1..3), 5), 2..4);
    }

    #[test]
    fn bounds_include_or_exclude() {
        let range = ScoreRange { min: Bound::Excluded(1.0), max: Bound::Included(2.0) };
        assert!(range.is_below(1.0) && !range.is_below(1.5) && !range.is_above(2.0));
        let all = LexRange { min: LexBound::Lowest, max: LexBound::Highest };
        assert!(!all.is_below(b"") && !all.is_above(b"\xff\xff"));
        let none = LexRange { min: LexBound::Highest, max: LexBound::Lowest };
        assert!(none.is_below(b"\xff") && none.is_above(b""));
    }
}
