//! Many of a kind, shown as few.

use std::ops::Range;

/// Most rows, series or cells for things of which there may be any number (shards, workers).
pub(super) const MAX: usize = 64;

/// At most [`MAX`] ranges of neighbours that make up `count` things.
pub(super) fn of(count: usize) -> impl Iterator<Item = Range<usize>> {
    let width = count.div_ceil(MAX).max(1);
    (0..count).step_by(width).map(move |first| first..(first + width).min(count))
}

/// The name of a range: its number, or its first and last.
pub(super) fn name(range: &Range<usize>) -> String {
    match range.len() {
        0 | 1 => range.start.to_string(),
        _ => format!("{}-{}", range.start, range.end - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_put_together() {
        for count in [0, 1, 16, 64, 65, 128, 4096, 65_536] {
            let ranges: Vec<_> = of(count).collect();
            assert!(ranges.len() <= MAX, "{count}");
            assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), count);
            assert!(ranges.is_sorted_by(|a, b| a.end == b.start), "{count}");
        }
        assert_eq!(of(16).count(), 16);
        assert_eq!(of(128).map(|range| name(&range)).next().as_deref(), Some("0-1"));
        assert_eq!(of(3).map(|range| name(&range)).collect::<Vec<_>>(), ["0", "1", "2"]);
    }
}
