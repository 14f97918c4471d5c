//! Ranges of indices as clients write them.

use std::ops::Range;

/// Indices from `start` to `stop`, both included; negative ones count from the end, -1 being the
/// last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexRange {
    /// The first index.
    pub start: i64,
    /// The last index.
    pub stop: i64,
}

impl IndexRange {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_clipped() {
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
            let range = IndexRange { start, stop };
            assert_eq!(range.within(len), wanted, "{start} {stop} of {len}");
        }
    }
}
