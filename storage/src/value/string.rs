//! Strings, small and big, behind one read-only view.

use std::borrow::Cow;

use super::object::{Object, Packed};
use super::rope::Rope;

/// Strings longer than this are kept as a [`Rope`], out of line, and sent from there: a copy of one into
/// the replies takes longer than to share it. With a usual key an entry up to here is a block of the slab.
pub const BIG_VALUE: usize = 8 * 1024 - 128;

/// Longest string that OBJECT ENCODING calls `embstr`.
const EMBSTR_MAX: usize = 44;
/// Digits and sign of the smallest `i64`.
const I64_DIGITS: usize = 20;

/// A string value, as readers see it.
#[derive(Clone, Copy, Debug)]
pub enum Str<'g> {
    /// Bytes in the entry itself.
    Inline {
        /// The bytes.
        bytes: &'g [u8],
        /// True if the string was made by an update in place (its encoding is then `raw`).
        raw: bool,
    },
    /// Chunks out of line.
    Rope(&'g Rope),
}

/// How OBJECT ENCODING names a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A canonical 64-bit integer.
    Int,
    /// A short string.
    EmbStr,
    /// Any other string.
    Raw,
}

/// A string to be stored.
#[derive(Clone, Debug)]
pub enum NewValue<'a> {
    /// Copied.
    Bytes(&'a [u8]),
    /// Copied; its encoding will be `raw` (the results of APPEND, SETRANGE, SETBIT).
    Raw(&'a [u8]),
    /// Shared. Ropes of at most [`BIG_VALUE`] bytes are stored inline.
    Rope(Rope),
    /// A collection; copied into the entry if it is small.
    Object(Box<Object>),
    /// A small collection; copied.
    Packed(Packed<'a>),
}

impl NewValue<'_> {
    /// Length in bytes; of a large collection that of what points to it.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            NewValue::Bytes(bytes) | NewValue::Raw(bytes) => bytes.len(),
            NewValue::Rope(rope) => rope.len(),
            NewValue::Packed(packed) => packed.as_bytes().len(),
            NewValue::Object(_) => size_of::<usize>(),
        }
    }

    /// True if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'g> Str<'g> {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Str::Inline { bytes, .. } => bytes.len(),
            Str::Rope(rope) => rope.len(),
        }
    }

    /// True if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, chunk by chunk.
    pub fn chunks(&self) -> impl Iterator<Item = &'g [u8]> + Clone + use<'g> {
        self.range(0, self.len())
    }

    /// The bytes from `start` (included) to `end` (not included), chunk by chunk. What lies beyond
    /// the end is left out.
    pub fn range(
        &self,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = &'g [u8]> + Clone + use<'g> {
        let (inline, rope) = match *self {
            Str::Inline { bytes, .. } => {
                let end = end.min(bytes.len());
                let part = &bytes[start.min(end)..end];
                ((!part.is_empty()).then_some(part), None)
            }
            Str::Rope(rope) => (None, Some(rope)),
        };
        let rest = rope.map(|rope| rope.slices(start, end)).into_iter().flatten();
        inline.into_iter().chain(rest)
    }

    /// All bytes in one piece; copies only strings of several chunks.
    #[must_use]
    pub fn to_cow(&self) -> Cow<'g, [u8]> {
        match *self {
            Str::Inline { bytes, .. } => Cow::Borrowed(bytes),
            Str::Rope(rope) => {
                rope.as_slice().map_or_else(|| Cow::Owned(rope.to_vec()), Cow::Borrowed)
            }
        }
    }

    /// The bytes if they are in one piece.
    #[must_use]
    pub fn as_slice(&self) -> Option<&'g [u8]> {
        match *self {
            Str::Inline { bytes, .. } => Some(bytes),
            Str::Rope(rope) => rope.as_slice(),
        }
    }

    /// True if the string is `other`.
    #[must_use]
    pub fn eq_bytes(&self, other: &[u8]) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let mut rest = other;
        self.chunks().all(|chunk| {
            let (head, tail) = rest.split_at(chunk.len());
            rest = tail;
            head == chunk
        })
    }

    /// The byte at `index`.
    #[must_use]
    pub fn byte(&self, index: usize) -> Option<u8> {
        match *self {
            Str::Inline { bytes, .. } => bytes.get(index).copied(),
            Str::Rope(rope) => rope.byte(index),
        }
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match *self {
            Str::Inline { bytes, raw: false } if canonical_i64(bytes).is_some() => Encoding::Int,
            Str::Inline { bytes, raw: false } if bytes.len() <= EMBSTR_MAX => Encoding::EmbStr,
            _ => Encoding::Raw,
        }
    }

    /// The integer this string is the canonical form of.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_slice().and_then(canonical_i64)
    }
}

/// Parses an `i64` in the one form that printing it gives: no sign `+`, no leading zero, no space.
#[must_use]
pub fn canonical_i64(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > I64_DIGITS {
        return None;
    }
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    match digits {
        [b'0'] => return if negative { None } else { Some(0) },
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Down to the minimum, which has no positive counterpart.
    let mut value = 0i64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_integers() {
        for good in [0, 1, -1, 10, i64::MAX, i64::MIN, -90] {
            assert_eq!(canonical_i64(good.to_string().as_bytes()), Some(good));
        }
        for bad in ["", "-", "+1", "01", "-0", " 1", "1 ", "1a", "9223372036854775808", "1.0"] {
            assert_eq!(canonical_i64(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn encodings() {
        let inline = |bytes, raw| Str::Inline { bytes, raw };
        assert_eq!(inline(b"12", false).encoding(), Encoding::Int);
        assert_eq!(inline(b"12", true).encoding(), Encoding::Raw);
        assert_eq!(inline(&[b'x'; 44], false).encoding(), Encoding::EmbStr);
        assert_eq!(inline(&[b'x'; 45], false).encoding(), Encoding::Raw);
    }

    #[test]
    fn views_of_both_forms_agree() {
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i * 7) as u8).collect();
        let rope = Rope::from_bytes(&bytes);
        let big = Str::Rope(&rope);
        let small = Str::Inline { bytes: &bytes, raw: false };
        for s in [big, small] {
            assert!(s.eq_bytes(&bytes) && !s.eq_bytes(&bytes[1..]));
            assert_eq!(s.byte(99_999), Some(bytes[99_999]));
            assert_eq!(s.byte(100_000), None);
            let part: Vec<u8> = s.range(5, 70_000).flatten().copied().collect();
            assert!(part == bytes[5..70_000]);
            assert_eq!(s.range(9, 3).count(), 0);
        }
    }
}
