//! Counting and finding bits in strings that may be in chunks.

/// Number of set bits in `bytes`.
pub(super) fn count(bytes: &[u8]) -> usize {
    let mut words = bytes.chunks_exact(8);
    let mut total = 0;
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_ne_bytes);
        total += word.count_ones() as usize;
    }
    total + words.remainder().iter().map(|byte| byte.count_ones() as usize).sum::<usize>()
}

/// A range of bits as the bytes it touches and what of the first and the last one belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BitRange {
    /// First byte.
    pub(super) start: usize,
    /// Byte after the last one.
    pub(super) end: usize,
    first: u8,
    last: u8,
}

impl BitRange {
    /// Whole bytes, `end` excluded.
    pub(super) fn bytes(start: usize, end: usize) -> BitRange {
        BitRange { start, end, first: 0xff, last: 0xff }
    }

    /// Bits, `end` excluded; not empty.
    pub(super) fn bits(start: usize, end: usize) -> BitRange {
        let last = match end % 8 {
            0 => 0xff,
            kept => !(0xff >> kept),
        };
        BitRange { start: start / 8, end: end.div_ceil(8), first: 0xff >> (start % 8), last }
    }

    /// What of byte `i` is in the range.
    fn mask(&self, i: usize) -> u8 {
        let first = if i == self.start { self.first } else { 0xff };
        let last = if i + 1 == self.end { self.last } else { 0xff };
        first & last
    }

    /// Number of set bits; `chunks` are the bytes of the range.
    pub(super) fn count<'a>(&self, chunks: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut total = 0;
        let (mut first, mut last) = (None, None);
        for chunk in chunks {
            total += count(chunk);
            first = first.or(chunk.first().copied());
            last = chunk.last().copied().or(last);
        }
        // What the edges have too much.
        let edge = |byte: Option<u8>, i: usize| {
            byte.map_or(0, |byte| (byte & !self.mask(i)).count_ones() as usize)
        };
        let mut surplus = edge(first, self.start);
        if self.end > self.start + 1 {
            surplus += edge(last, self.end - 1);
        }
        total - surplus
    }

    /// Position of the first bit that is `bit`; `chunks` are the bytes of the range.
    pub(super) fn find<'a>(
        &self,
        bit: bool,
        chunks: impl Iterator<Item = &'a [u8]>,
    ) -> Option<usize> {
        let boring = if bit { 0 } else { 0xff };
        let mut at = self.start;
        for chunk in chunks {
            let mut rest = chunk;
            while let Some(skip) = rest.iter().position(|byte| *byte != boring) {
                let i = at + chunk.len() - rest.len() + skip;
                let found = (rest[skip] ^ boring) & self.mask(i);
                if found != 0 {
                    return Some(i * 8 + found.leading_zeros() as usize);
                }
                // Only the edges can have bits that do not count.
                rest = &rest[skip + 1..];
            }
            at += chunk.len();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(bytes: &[u8], at: usize) -> bool {
        bytes[at / 8] & (0x80 >> (at % 8)) != 0
    }

    proptest! {
        #[test]
        fn agree_with_a_walk_bit_by_bit(
            bytes in proptest::collection::vec(
                prop_oneof![Just(0_u8), Just(0xff_u8), any::<u8>()], 1..60),
            a in 0..480_usize,
            b in 0..480_usize,
            chunk in 1..30_usize,
            wanted: bool,
        ) {
            let total = bytes.len() * 8;
            let (start, end) = (a.min(b) % total, (a.max(b) % total) + 1);
            prop_assume!(start < end);
            let range = BitRange::bits(start, end);
            let part = || bytes[range.start..range.end].chunks(chunk);
            let counted = (start..end).filter(|i| bit(&bytes, *i)).count();
            prop_assert_eq!(range.count(part()), counted);
            let found = (start..end).find(|i| bit(&bytes, *i) == wanted);
            prop_assert_eq!(range.find(wanted, part()), found);
            if start % 8 == 0 && end % 8 == 0 {
                prop_assert_eq!(range, BitRange::bytes(start / 8, end / 8));
            }
        }
    }

    #[test]
    fn nothing_in_nothing() {
        let range = BitRange::bytes(0, 0);
        assert_eq!(range.count(std::iter::empty()), 0);
        assert_eq!(range.find(false, std::iter::empty()), None);
    }
}
