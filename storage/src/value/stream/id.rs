//! The identifier of an entry.

use std::fmt;

/// When an entry was added (Unix time in milliseconds), and its number within that millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Unix time in milliseconds.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// The least identifier, which no entry has: `0-0`.
    pub const MIN: StreamId = StreamId::new(0, 0);
    /// The greatest identifier.
    pub const MAX: StreamId = StreamId::new(u64::MAX, u64::MAX);
    /// Bytes of the binary form.
    pub const BYTES: usize = 16;

    /// The identifier `ms-seq`.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        StreamId { ms, seq }
    }

    /// The identifier after this one, if this is not the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The identifier before this one, if this is not the first.
    #[must_use]
    pub fn prev(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// The binary form, which sorts as identifiers do.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// The identifier of a binary form.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [ms, seq] = [0, 8].map(|from| {
            let mut half = [0; 8];
            half.copy_from_slice(&bytes[from..from + 8]);
            u64::from_be_bytes(half)
        });
        StreamId { ms, seq }
    }

    /// The identifier that is `ms` and `seq` away from this one. Both wrap, as they do in the
    /// entries of a block: its later entries may have smaller sequence numbers than its first.
    pub(super) fn plus(self, ms: i64, seq: i64) -> Self {
        StreamId::new(self.ms.wrapping_add_signed(ms), self.seq.wrapping_add_signed(seq))
    }

    /// What [`StreamId::plus`] needs to get from `base` to this identifier.
    pub(super) fn minus(self, base: Self) -> (i64, i64) {
        let away = |to: u64, from: u64| to.wrapping_sub(from).cast_signed();
        (away(self.ms, base.ms), away(self.seq, base.seq))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours() {
        let id = StreamId::new;
        assert_eq!(id(1, 2).next(), Some(id(1, 3)));
        assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(id(1, 2).prev(), Some(id(1, 1)));
        assert_eq!(id(1, 0).prev(), Some(id(0, u64::MAX)));
        assert_eq!(StreamId::MIN.prev(), None);
    }

    #[test]
    fn binary_forms_sort_as_identifiers() {
        let id = StreamId::new;
        let sorted = [StreamId::MIN, id(0, 1), id(0, 256), id(1, 0), id(256, 3), StreamId::MAX];
        for pair in sorted.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes());
        }
        for one in sorted {
            assert_eq!(StreamId::from_bytes(one.to_bytes()), one);
            for other in sorted {
                let (ms, seq) = one.minus(other);
                assert_eq!(other.plus(ms, seq), one);
            }
        }
        assert_eq!(id(5, 18).to_string(), "5-18");
    }
}
