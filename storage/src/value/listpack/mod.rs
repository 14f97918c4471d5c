//! Listpack: a list of short strings and integers in one run of bytes, byte for byte as Redis keeps
//! it. Small hashes, sets, sorted sets and lists are listpacks in their entries, and DUMP carries
//! them as they are.
//!
//! ```text
//! | bytes u32 LE | elements u16 LE | entry | entry | ... | 0xFF |
//!                                  ^                     ^
//!                                  6, the first position the end
//!
//! entry = | data in one of ten encodings | length of the data, readable from behind |
//! ```
//!
//! A list of 65,535 elements or more says 65,535, "unknown", and counts when it is asked. An
//! element is named by its **position**: the offset of its entry. Positions stay valid until
//! something is changed at or before them.
//!
//! [`Listpack`] reads bytes that are known to be good: made by [`ListpackBuf`], or looked through
//! by [`Listpack::validate`] when they come from a payload.

mod buf;
mod encoding;
#[cfg(test)]
mod tests;

pub use buf::ListpackBuf;

use std::cmp::Ordering;

use super::string::canonical_i64;

/// Bytes before the first entry.
const HEADER: usize = 6;
/// What ends the list. No entry begins with it.
const END: u8 = 0xff;
/// The count of elements in the header that says "count them yourself".
const UNKNOWN: u16 = u16::MAX;

/// A listpack, as readers see it.
#[derive(Clone, Copy, Debug)]
pub struct Listpack<'a>(&'a [u8]);

/// What one entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element<'a> {
    /// The integer whose canonical form was stored.
    Int(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> Listpack<'a> {
    /// Reads `bytes`, which [`ListpackBuf`] made or [`Listpack::validate`] accepted. Others are read
    /// as if they ended where they stop making sense.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Listpack(bytes)
    }

    /// Looks through bytes of unknown origin: the header, every entry, every back length, the end
    /// and the count must agree.
    #[must_use]
    pub fn validate(bytes: &'a [u8]) -> Option<Self> {
        let list = Listpack(bytes);
        let [a, b, c, d, _, _, .., END] = *bytes else { return None };
        if usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()? != bytes.len() {
            return None;
        }
        let mut rest = list.entries();
        let mut count = 0_usize;
        while !rest.is_empty() {
            rest = rest.get(encoding::validate(rest)?..)?;
            count += 1;
        }
        list.known_len().is_none_or(|known| known == count).then_some(list)
    }

    /// The bytes, header and end included.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// How many elements there are. Constant time below 65,535 of them.
    #[must_use]
    pub fn len(self) -> usize {
        self.known_len().unwrap_or_else(|| self.iter().count())
    }

    /// True if there are no elements.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.entries().is_empty()
    }

    /// The elements from front to back; reversible.
    #[must_use]
    pub fn iter(self) -> Iter<'a> {
        Iter(self.entries())
    }

    /// The elements from the one at position `at` to the last.
    #[must_use]
    pub fn iter_from(self, at: usize) -> Iter<'a> {
        self.iter_between(at, self.end())
    }

    /// The elements from the one at position `at` to the one before position `end`.
    #[must_use]
    pub fn iter_between(self, at: usize, end: usize) -> Iter<'a> {
        Iter(self.0.get(at..end).unwrap_or_default())
    }

    /// Position of the first element.
    #[must_use]
    pub fn first(self) -> Option<usize> {
        (!self.is_empty()).then_some(HEADER)
    }

    /// Position of the last element.
    #[must_use]
    pub fn last(self) -> Option<usize> {
        self.prev(self.end())
    }

    /// The position after the last element, where an insertion appends.
    #[must_use]
    pub fn end(self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// Position of the element after the one at `at`.
    #[must_use]
    pub fn next(self, at: usize) -> Option<usize> {
        let next = at + encoding::skip(self.tail(at)?)?;
        (next < self.end()).then_some(next)
    }

    /// Position of the element before the one at `at`, which may be the end.
    #[must_use]
    pub fn prev(self, at: usize) -> Option<usize> {
        at.checked_sub(encoding::skip_back(self.0.get(HEADER..at)?)?)
    }

    /// The element at position `at`.
    ///
    /// # Panics
    ///
    /// If `at` is not the position of an element.
    #[must_use]
    pub fn element(self, at: usize) -> Element<'a> {
        let (element, _) = encoding::decode(&self.0[at..]).expect("a position of an element");
        element
    }

    /// Position of the element number `index`, counted from 0 at the front or from -1 at the back.
    /// Walks from the nearer end.
    #[must_use]
    pub fn seek(self, index: i64) -> Option<usize> {
        let mut index = index;
        if let Some(len) = self.known_len().and_then(|len| i64::try_from(len).ok()) {
            // Both names of the same element; take the shorter way.
            let front = if index < 0 { index.checked_add(len)? } else { index };
            if !(0..len).contains(&front) {
                return None;
            }
            index = if front <= len / 2 { front } else { front - len };
        }
        if index < 0 {
            (index..-1).try_fold(self.last()?, |at, _| self.prev(at))
        } else {
            (0..index).try_fold(self.first()?, |at, _| self.next(at))
        }
    }

    /// Position of the first element equal to `wanted`, from position `from` on; after each
    /// comparison `skip` elements are left out (1 searches the fields of a hash).
    #[must_use]
    pub fn find(self, from: usize, wanted: &[u8], skip: usize) -> Option<usize> {
        let number = canonical_i64(wanted);
        let mut at = from;
        loop {
            let (element, length) = encoding::decode(self.tail(at)?)?;
            let equal = match element {
                Element::Int(value) => number == Some(value),
                Element::Bytes(bytes) => bytes == wanted,
            };
            if equal {
                return Some(at);
            }
            at += length;
            for _ in 0..skip {
                at += encoding::skip(self.tail(at)?)?;
            }
        }
    }

    /// A copy to be changed, with room for `more` bytes of entries.
    #[must_use]
    pub fn to_buf(self, more: usize) -> ListpackBuf {
        let mut bytes = Vec::with_capacity(self.0.len() + more);
        bytes.extend_from_slice(self.0);
        ListpackBuf::from_bytes(bytes)
    }

    /// The count in the header, if it is one.
    #[inline]
    fn known_len(self) -> Option<usize> {
        match *self.0 {
            [_, _, _, _, a, b, ..] => match u16::from_le_bytes([a, b]) {
                UNKNOWN => None,
                count => Some(count.into()),
            },
            _ => Some(0),
        }
    }

    /// All entries.
    #[inline]
    fn entries(self) -> &'a [u8] {
        self.0.get(HEADER..self.end()).unwrap_or_default()
    }

    /// The bytes from `at` on.
    #[inline]
    fn tail(self, at: usize) -> Option<&'a [u8]> {
        self.0.get(at..)
    }
}

impl<'a> IntoIterator for Listpack<'a> {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The elements of a [`Listpack`]: the entries that were not yielded yet.
#[derive(Clone, Debug)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let (element, length) = encoding::decode(self.0)?;
        self.0 = self.0.get(length..).unwrap_or_default();
        Some(element)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let start = self.0.len().checked_sub(encoding::skip_back(self.0)?)?;
        let (rest, entry) = self.0.split_at(start);
        self.0 = rest;
        encoding::decode(entry).map(|(element, _)| element)
    }
}

impl<'a> Element<'a> {
    /// True if the element, as text, is `other`.
    #[must_use]
    pub fn eq_bytes(self, other: &[u8]) -> bool {
        match self {
            Element::Int(value) => canonical_i64(other) == Some(value),
            Element::Bytes(bytes) => bytes == other,
        }
    }

    /// Length of the text.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Element::Int(value) => {
                let digits = value.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
                digits + usize::from(value < 0)
            }
            Element::Bytes(bytes) => bytes.len(),
        }
    }

    /// True if the text is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Element::Bytes(b"")
    }

    /// Hands the text to `read`, without an allocation.
    pub fn with<R>(self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Element::Int(value) => read(itoa::Buffer::new().format(value).as_bytes()),
            Element::Bytes(bytes) => read(bytes),
        }
    }

    /// The order of the texts.
    #[must_use]
    pub fn cmp_text(self, other: Element<'_>) -> Ordering {
        self.with(|text| other.with(|other| text.cmp(other)))
    }

    /// The text.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }

    /// The element as an integer if its text is one. Of two elements with the same text, the one may
    /// be an integer and the other, in another place, a string; in this form they are equal.
    #[must_use]
    pub fn normal(self) -> Self {
        self.as_i64().map_or(self, Element::Int)
    }

    /// The integer whose canonical form the text is. (Payloads of other servers may hold one as
    /// a string.)
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Element::Int(value) => Some(value),
            Element::Bytes(bytes) => canonical_i64(bytes),
        }
    }
}
