//! How large a node of a list may become.

use crate::value::listpack::ListpackBuf;

/// Sizes that `list-max-listpack-size` -1 to -5 stand for.
const SIZES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];
/// With a limit on the count, a node of several elements still grows no larger than this.
const SAFE_SIZE: usize = 8192;
/// Most elements of a node of a quicklist, whatever the directive says.
const COUNT_MAX: usize = (1 << 15) - 1;
/// From this size on, Redis keeps an element as it is.
const PLAIN_FROM: usize = 1 << 30;
/// How much an element may need in a listpack beside its bytes, as estimated before it is added.
const ESTIMATE: usize = 8;

/// When a node of a list is full.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `list-max-listpack-size`: number of elements, or -1 to -5 for a number of bytes.
    pub listpack_size: i64,
    /// Elements of this size or more count as plain when the form of a list is chosen. A knob of
    /// DEBUG; a gibibyte otherwise.
    pub plain_from: usize,
}

impl Default for Limits {
    /// The limits of Redis.
    fn default() -> Self {
        Self { listpack_size: -2, plain_from: PLAIN_FROM }
    }
}

impl Limits {
    /// The most bytes and the most elements of a node.
    pub(super) fn most(&self) -> (usize, usize) {
        match usize::try_from(self.listpack_size) {
            Ok(count) => (usize::MAX, count.max(1)),
            Err(_) => {
                let level = usize::try_from(self.listpack_size.unsigned_abs() - 1);
                let level = level.unwrap_or(usize::MAX).min(SIZES.len() - 1);
                (SIZES[level], usize::MAX)
            }
        }
    }

    /// Whether a listpack of so many bytes and elements is too large.
    pub(super) fn exceeds(&self, bytes: usize, count: usize) -> bool {
        match self.most() {
            (usize::MAX, most) => bytes > SAFE_SIZE || count > most,
            (most, _) => bytes > most,
        }
    }

    /// Whether a node of so many bytes and elements is too large to take an element of `len` bytes.
    pub(super) fn is_full(&self, bytes: usize, count: usize, len: usize) -> bool {
        len >= self.plain_from
            || self.exceeds(bytes.saturating_add(len).saturating_add(ESTIMATE), count + 1)
            || count >= COUNT_MAX
    }

    /// Whether an element has to be alone.
    pub(super) fn is_plain(&self, len: usize) -> bool {
        len >= self.plain_from || self.exceeds(ListpackBuf::EMPTY_LEN.saturating_add(len), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts() {
        let limits = |listpack_size| Limits { listpack_size, ..Limits::default() };
        assert!(!limits(-2).exceeds(8192, 1 << 20) && limits(-2).exceeds(8193, 1));
        assert!(!limits(-1).exceeds(4096, 9) && limits(-1).exceeds(4097, 9));
        assert!(!limits(-5).exceeds(65_536, 9) && limits(-5).exceeds(65_537, 9));
        assert_eq!(limits(i64::MIN).most(), limits(-5).most());
        assert!(
            !limits(3).exceeds(8192, 3) && limits(3).exceeds(10, 4) && limits(3).exceeds(8193, 1)
        );
        assert!(!limits(0).exceeds(10, 1) && limits(0).exceeds(10, 2));
        assert!(limits(i64::MAX).is_full(10, COUNT_MAX, 1));
        assert!(limits(-2).is_plain(8186) && !limits(-2).is_plain(8185));
        assert!(Limits { plain_from: 5, ..limits(-2) }.is_plain(5));
    }
}
