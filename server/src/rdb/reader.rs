//! Reading a payload from the front.

use std::borrow::Cow;
use std::fmt;

use super::{MAX_STRING, Refused, string};
use dunlin_storage::Millis;

/// In place of a length of a number's text: what has no digits.
const TEXT_NAN: u8 = 253;
const TEXT_INFINITY: u8 = 254;
const TEXT_NEGATIVE_INFINITY: u8 = 255;

/// What is left of a payload. Every method is `None` if that is malformed or too short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// How many bytes are left.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// A number in the encoding of lengths.
    pub(super) fn number(&mut self) -> Option<u64> {
        string::number(self)
    }

    pub(super) fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        string::decode(self, MAX_STRING)
    }

    pub(super) fn millis(&mut self) -> Option<Millis> {
        self.array().map(i64::from_le_bytes)
    }

    /// A score as a float; not-a-number is refused.
    pub(super) fn score(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes).filter(|score| !score.is_nan())
    }

    /// A score as text, as servers before 4.0 wrote it.
    pub(super) fn text_score(&mut self) -> Option<f64> {
        match self.array()? {
            [TEXT_NAN] => None,
            [TEXT_INFINITY] => Some(f64::INFINITY),
            [TEXT_NEGATIVE_INFINITY] => Some(f64::NEG_INFINITY),
            [length] => parse_score(self.take(length.into())?),
        }
    }

    /// How many items follow. More than could be there, each of at least `smallest` bytes, are
    /// refused before anybody prepares for them.
    fn count(&mut self, smallest: usize) -> Option<usize> {
        let count = self.length()?;
        (count <= self.len() / smallest).then_some(count)
    }
}

/// A score that is written out.
pub(super) fn parse_score(text: &[u8]) -> Option<f64> {
    let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!score.is_nan()).then_some(score)
}

type ReadItem<'a, T> = Box<dyn Fn(&mut Reader<'a>) -> Option<T> + 'a>;

/// The items of a value, read one by one as they are asked for. An error is the last one; what was
/// made of those before is to be thrown away.
pub struct Items<'a, T> {
    reader: Reader<'a>,
    left: usize,
    read: ReadItem<'a, T>,
}

impl<'a, T> Items<'a, T> {
    /// Reads how many there are. Each takes at least `smallest` bytes, and no items make no value.
    pub(super) fn new(
        reader: Reader<'a>,
        smallest: usize,
        read: impl Fn(&mut Reader<'a>) -> Option<T> + 'a,
    ) -> Option<Self> {
        Items::or_none(reader, smallest, read).filter(|items| items.left > 0)
    }

    /// As [`Items::new`], where there may be none.
    pub(super) fn or_none(
        mut reader: Reader<'a>,
        smallest: usize,
        read: impl Fn(&mut Reader<'a>) -> Option<T> + 'a,
    ) -> Option<Self> {
        let left = reader.count(smallest)?;
        Some(Items { reader, left, read: Box::new(read) })
    }

    /// One item, without a count before it.
    pub(super) fn one(
        reader: Reader<'a>,
        read: impl Fn(&mut Reader<'a>) -> Option<T> + 'a,
    ) -> Self {
        Items { reader, left: 1, read: Box::new(read) }
    }

    /// How many are to come: not more than the payload has bytes.
    #[must_use]
    pub fn expected(&self) -> usize {
        self.left
    }
}

impl<T> Iterator for Items<'_, T> {
    type Item = Result<T, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let item = (self.read)(&mut self.reader);
        if item.is_none() {
            self.left = 0;
        }
        Some(item.ok_or(Refused::Value))
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("left", &self.left).finish_non_exhaustive()
    }
}
