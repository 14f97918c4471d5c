//! Parts of a sorted set: by rank, by score, by member. Each becomes a range of ranks.

use std::ops::{Bound, Range};

use crate::value::index_range::IndexRange;

/// Which members are meant.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// By rank.
    Rank(IndexRange),
    /// By score.
    Score(ScoreRange),
    /// By the member itself, among members of one score.
    Lex(LexRange<'a>),
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
    fn ranks_from_the_other_end() {
        assert_eq!(mirrored(&(1..3), 5), 2..4);
        assert_eq!(mirrored(&(0..5), 5), 0..5);
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
