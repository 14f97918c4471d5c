//! The listpack that can be changed.

use super::encoding::{self, Encoded};
use super::{END, Element, HEADER, Listpack, UNKNOWN};
use crate::memory::usable;

/// No listpack is made longer than this, so that its length never comes near what the header can
/// say.
const MAX_BYTES: usize = 1 << 30;

/// A listpack of one's own.
#[derive(Clone, Debug)]
pub struct ListpackBuf(Vec<u8>);

impl Default for ListpackBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl ListpackBuf {
    /// Bytes of an empty listpack.
    pub const EMPTY_LEN: usize = HEADER + 1;

    /// An empty listpack.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = vec![0; HEADER];
        bytes.push(END);
        let mut list = ListpackBuf(bytes);
        list.write_len();
        list
    }

    /// Takes over bytes that are known to be good, as [`Listpack::new`] does.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        ListpackBuf(bytes)
    }

    /// The bytes, header and end included.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The view to read it through.
    #[must_use]
    pub fn view(&self) -> Listpack<'_> {
        Listpack::new(&self.0)
    }

    /// Adds an element at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.insert(self.view().end(), bytes);
    }

    /// Adds elements at the end, at once: the header is written and room is made only once.
    pub fn extend<'e>(&mut self, elements: impl IntoIterator<Item = Element<'e>>) {
        self.0.pop();
        let mut added = 0_u16;
        for element in elements {
            let encoded = match element {
                Element::Int(value) => Encoded::integer(value),
                Element::Bytes(bytes) => Encoded::of(bytes),
            };
            encoded.append(&mut self.0);
            added = added.saturating_add(1);
        }
        self.0.push(END);
        self.write_len();
        self.recount(|count| count.saturating_add(added));
    }

    /// Adds an element at the front.
    pub fn push_front(&mut self, bytes: &[u8]) {
        self.insert(HEADER, bytes);
    }

    /// Adds an element before the one at position `at`, or at the end if that is the end's. The new
    /// element has that position then.
    pub fn insert(&mut self, at: usize, bytes: &[u8]) {
        self.splice(at, 0, &Encoded::of(bytes));
        self.recount(|count| count.saturating_add(1));
    }

    /// Puts another element in place of the one at position `at`. Returns the position of the new
    /// one.
    pub fn replace(&mut self, at: usize, bytes: &[u8]) -> usize {
        let old = encoding::skip(&self.0[at..]).unwrap_or(0);
        self.splice(at, old, &Encoded::of(bytes));
        at
    }

    /// Puts an integer in place of the element at position `at`: what [`ListpackBuf::replace`] does
    /// with its text.
    pub fn replace_int(&mut self, at: usize, value: i64) {
        let old = encoding::skip(&self.0[at..]).unwrap_or(0);
        self.splice(at, old, &Encoded::integer(value));
    }

    /// Takes out `count` elements, or as many as there are, from position `at` on. What follows them
    /// has that position then. Returns how many bytes shorter the list has become.
    pub fn remove(&mut self, at: usize, count: usize) -> usize {
        let mut end = at;
        let mut removed = 0_u16;
        for _ in 0..count {
            let Some(length) = encoding::skip(&self.0[end..]) else { break };
            end += length;
            removed = removed.saturating_add(1);
        }
        self.0.drain(at..end);
        self.write_len();
        self.recount(|known| known.saturating_sub(removed));
        end - at
    }

    /// Adds the elements of another list at the end.
    pub fn append(&mut self, other: Listpack<'_>) {
        let added = u16::try_from(other.len()).unwrap_or(u16::MAX);
        self.0.pop();
        self.0.extend_from_slice(other.entries());
        self.0.push(END);
        self.write_len();
        self.recount(|count| count.saturating_add(added));
    }

    /// Takes out the elements from position `at` on, as a list of their own.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> ListpackBuf {
        let tail = self.view().iter_from(at).count();
        let mut right = Vec::with_capacity(HEADER + self.0.len() - at);
        right.resize(HEADER, 0);
        right.extend_from_slice(&self.0[at..]);
        let mut right = ListpackBuf(right);
        right.write_len();
        right.recount(|_| u16::try_from(tail).unwrap_or(UNKNOWN));
        self.remove(at, tail);
        right
    }

    /// True if the list may grow by `more` bytes of entries (see [`ListpackBuf::encoded_len`]).
    /// Whoever adds what a client sent asks before.
    #[must_use]
    pub fn fits(&self, more: usize) -> bool {
        self.0.len().saturating_add(more) <= MAX_BYTES
    }

    /// Gives back the room that was kept for more entries. The bytes move: an allocator leaves them
    /// where they are, with the room, as long as they fill half of it.
    pub fn shrink_to_fit(&mut self) {
        if self.memory_usage() > usable(self.0.len()) {
            self.0 = self.0.as_slice().to_vec();
        }
    }

    /// The bytes of memory behind this list.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        usable(self.0.capacity())
    }

    /// How many bytes an element takes.
    #[must_use]
    pub fn encoded_len(bytes: &[u8]) -> usize {
        Encoded::of(bytes).len()
    }

    /// Writes `new` over the `old` bytes at `at`; what follows moves.
    fn splice(&mut self, at: usize, old: usize, new: &Encoded<'_>) {
        let (len, new_len) = (self.0.len(), new.len());
        if new_len > old {
            self.0.resize(len + (new_len - old), 0);
        }
        if new_len != old {
            self.0.copy_within(at + old..len, at + new_len);
            self.0.truncate(len - old + new_len);
            self.write_len();
        }
        new.write(&mut self.0[at..at + new_len]);
    }

    /// Brings the length in the header up to date.
    fn write_len(&mut self) {
        let len = u32::try_from(self.0.len()).expect("callers ask whether it fits");
        self.0[..4].copy_from_slice(&len.to_le_bytes());
    }

    /// Changes the count in the header, unless it is unknown. Counting up to the number that means
    /// unknown makes it so.
    fn recount(&mut self, change: impl FnOnce(u16) -> u16) {
        let count = u16::from_le_bytes([self.0[4], self.0[5]]);
        if count != UNKNOWN {
            self.0[4..HEADER].copy_from_slice(&change(count).to_le_bytes());
        }
    }
}
