//! A block: up to a hundred entries in one listpack, byte for byte as Redis keeps it.
//!
//! A block has the identifier of its first entry as its **base**. It begins with its head, what its
//! entries have in common:
//!
//! ```text
//! | live | deleted | N | name 1 | ... | name N | 0 |
//! ```
//!
//! The names are those of the first entry. Entries follow, those with the same names in the same
//! order without them:
//!
//! ```text
//! | flags | ms | seq | value 1 | ... | value N | elements |
//! | flags | ms | seq | M | name 1 | value 1 | ... | name M | value M | elements |
//! ```
//!
//! `ms` and `seq` are differences to the base. `elements` says how many elements before it belong to
//! the entry, so that a reader from behind finds its beginning; the 0 at the end of the head tells
//! that reader to stop. A deleted entry stays where it is and is marked; its block goes when no
//! entry in it is live.

use crate::value::listpack::{self, Element, Listpack, ListpackBuf};

use super::Limits;
use super::id::StreamId;

/// The entry is deleted.
const DELETED: i64 = 1;
/// The entry has the names of the head.
const SAME_NAMES: i64 = 2;

/// Elements of an entry before its fields: flags and the two halves of the identifier.
const FIXED: usize = 3;
/// Bytes that a small element takes beside its text, in the guess how much room an entry needs.
const ELEMENT_OVERHEAD: usize = 2;
/// Room for the integers of the head and of the first entry, in the same guess.
const HEAD_ROOM: usize = 24;

/// Some consecutive entries of a stream.
#[derive(Clone, Debug)]
pub(super) struct Block(ListpackBuf);

impl Block {
    /// An empty block with the names of `fields` in its head and room for their values: for more,
    /// if `room` says so.
    pub(super) fn new<'f>(
        fields: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])> + Clone,
        room: usize,
    ) -> Self {
        let text: usize = fields.clone().map(|(name, value)| name.len() + value.len()).sum();
        let needed = text + HEAD_ROOM + 2 * ELEMENT_OVERHEAD * fields.len();
        let mut list = ListpackBuf::new().view().to_buf(needed.max(room));
        let start = [0, 0, integer(fields.len())].map(Element::Int).into_iter();
        let names = fields.map(|(name, _)| Element::Bytes(name));
        list.extend(start.chain(names).chain([Element::Int(0)]));
        Block(list)
    }

    /// The bytes of the listpack.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.view().as_bytes()
    }

    /// The bytes of memory behind this block.
    pub(super) fn memory_usage(&self) -> usize {
        self.0.memory_usage()
    }

    /// Gives back the room for more entries.
    pub(super) fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    /// How many entries are not deleted, and how many are.
    pub(super) fn counts(&self) -> (u64, u64) {
        let mut head = self.0.view().iter();
        let mut next = || head.next().and_then(count).unwrap_or(0) as u64;
        (next(), next())
    }

    /// Whether an entry with `text` bytes of names and values goes to the next block.
    pub(super) fn is_full(&self, text: usize, limits: &Limits) -> bool {
        if self.bytes().len().saturating_add(text) >= limits.block_bytes() {
            return true;
        }
        let (live, deleted) = self.counts();
        limits.node_max_entries > 0 && live.saturating_add(deleted) >= limits.node_max_entries
    }

    /// Adds an entry, which is later than all others.
    pub(super) fn append<'f>(
        &mut self,
        base: StreamId,
        id: StreamId,
        fields: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) {
        let same = self.has_names(fields.clone());
        let (live, _) = self.counts();
        let list = &mut self.0;
        if let Some(at) = list.view().first() {
            list.replace_int(at, integer(live + 1));
        }
        let (ms, seq) = id.minus(base);
        let width = fields.len();
        let flags = if same { SAME_NAMES } else { 0 };
        let start = [flags, ms, seq].map(Element::Int).into_iter();
        let own_width = (!same).then(|| Element::Int(integer(width)));
        let fields = fields.flat_map(|(name, value)| {
            let name = (!same).then_some(Element::Bytes(name));
            name.into_iter().chain([Element::Bytes(value)])
        });
        let end = Element::Int(integer(elements(same, width)));
        list.extend(start.chain(own_width).chain(fields).chain([end]));
    }

    /// Whether the names of the head are these.
    fn has_names<'f>(&self, fields: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])>) -> bool {
        let mut head = self.0.view().iter();
        head.nth(2).and_then(count) == Some(fields.len())
            && fields.zip(head).all(|((name, _), own)| own.eq_bytes(name))
    }

    /// The place before the first entry.
    pub(super) fn front(&self, base: StreamId) -> Cursor<'_> {
        let list = self.0.view();
        let width_at = list.seek(2).unwrap_or(list.end());
        let names_at = list.next(width_at).unwrap_or(list.end());
        let width = list.iter_from(width_at).next().and_then(count).unwrap_or(0);
        // The names, and the 0 after them.
        let at = advance(list, names_at, width.saturating_add(1));
        Cursor { list, base, names: list.iter_from(names_at), width, at }
    }

    /// The place after the last entry.
    pub(super) fn back(&self, base: StreamId) -> Cursor<'_> {
        Cursor { at: self.0.view().end(), ..self.front(base) }
    }

    /// The identifier of the last entry, deleted or not.
    pub(super) fn last_id(&self, base: StreamId) -> StreamId {
        self.back(base).previous().map_or(base, |item| item.entry.id)
    }

    /// Marks one entry as deleted; false if there is none.
    pub(super) fn delete(&mut self, base: StreamId, id: StreamId) -> bool {
        let mut cursor = self.front(base);
        let live = std::iter::from_fn(|| cursor.next()).filter(|item| !item.deleted);
        let Some(item) = live.take_while(|item| item.entry.id <= id).last() else { return false };
        if item.entry.id != id {
            return false;
        }
        let (at, flags) = (item.at, item.flags);
        self.mark(at, flags);
        self.recount(1);
        true
    }

    /// Marks entries as deleted from the first one on, until `stop` says so, which is told the
    /// identifier of the next and how many were deleted. Returns how many were.
    pub(super) fn delete_until(
        &mut self,
        base: StreamId,
        stop: impl Fn(StreamId, u64) -> bool,
    ) -> u64 {
        let mut cursor = self.front(base);
        let mut marks = Vec::new();
        while let Some(item) = cursor.next() {
            if stop(item.entry.id, marks.len() as u64) {
                break;
            }
            if !item.deleted {
                marks.push((item.at, item.flags));
            }
        }
        for (at, flags) in &marks {
            self.mark(*at, *flags);
        }
        let deleted = marks.len() as u64;
        self.recount(deleted);
        deleted
    }

    /// Sets the mark of a deleted entry. All flags take the same room, so nothing moves.
    fn mark(&mut self, at: usize, flags: i64) {
        self.0.replace_int(at, flags | DELETED);
    }

    /// Moves `deleted` entries from one count to the other.
    fn recount(&mut self, deleted: u64) {
        let (live, before) = self.counts();
        let Some(first) = self.0.view().first() else { return };
        self.0.replace_int(first, integer(live.saturating_sub(deleted)));
        if let Some(second) = self.0.view().next(first) {
            self.0.replace_int(second, integer(before.saturating_add(deleted)));
        }
    }

    /// A block of a payload, with the identifier of its last live entry (the base, if there is none)
    /// and the number of live ones. All of its structure must be right: counts, order of
    /// identifiers, lengths. Only deleted entries may have any identifier: after they went, XSETID
    /// may have gone back to before them.
    pub(super) fn validate(base: StreamId, bytes: Vec<u8>) -> Option<(Self, StreamId, u64)> {
        let mut rest = Listpack::validate(&bytes)?.iter();
        let live = count(rest.next()?)?;
        let deleted = count(rest.next()?)?;
        let width = count(rest.next()?)?;
        skip(&mut rest, width)?;
        if rest.next()? != Element::Int(0) {
            return None;
        }
        let mut last = base.prev()?;
        let mut seen = [0_usize; 2];
        while let Some(flags) = rest.next() {
            let Element::Int(flags @ 0..=3) = flags else { return None };
            let (Element::Int(ms), Element::Int(seq)) = (rest.next()?, rest.next()?) else {
                return None;
            };
            let deleted = flags & DELETED != 0;
            if !deleted {
                let before = std::mem::replace(&mut last, base.plus(ms, seq));
                if last <= before {
                    return None;
                }
            }
            let same = flags & SAME_NAMES != 0;
            let width = if same { width } else { count(rest.next()?)? };
            skip(&mut rest, if same { width } else { width.checked_mul(2)? })?;
            if count(rest.next()?)? != elements(same, width) {
                return None;
            }
            seen[usize::from(deleted)] += 1;
        }
        let whole = seen == [live, deleted] && live.checked_add(deleted)? > 0;
        whole.then(|| (Block(ListpackBuf::from_bytes(bytes)), last.max(base), live as u64))
    }
}

/// A place between two entries of a block.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    list: Listpack<'a>,
    base: StreamId,
    names: listpack::Iter<'a>,
    width: usize,
    at: usize,
}

/// An entry in its block.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    at: usize,
    flags: i64,
    pub(super) deleted: bool,
    pub(super) entry: Entry<'a>,
}

impl<'a> Cursor<'a> {
    /// The entry after this place, which moves behind it.
    pub(super) fn next(&mut self) -> Option<Item<'a>> {
        let (item, elements) = self.item(self.at)?;
        self.at = advance(self.list, self.at, elements.saturating_add(1));
        Some(item)
    }

    /// The entry before this place, which moves before it.
    pub(super) fn previous(&mut self) -> Option<Item<'a>> {
        let end = self.list.prev(self.at)?;
        let elements = self.list.iter_from(end).next().and_then(count).filter(|n| *n > 0)?;
        self.at = (0..elements).try_fold(end, |at, _| self.list.prev(at))?;
        self.item(self.at).map(|(item, _)| item)
    }

    /// The entry at a position, with the number of its elements.
    fn item(&self, at: usize) -> Option<(Item<'a>, usize)> {
        let mut walk = self.list.iter_from(at);
        let mut int = || walk.next()?.as_i64();
        let (flags, ms, seq) = (int()?, int()?, int()?);
        let same = flags & SAME_NAMES != 0;
        let width = if same { self.width } else { walk.next().and_then(count)? };
        let entry = Entry {
            id: self.base.plus(ms, seq),
            names: same.then(|| self.names.clone()),
            rest: walk,
            width,
        };
        let item = Item { at, flags, deleted: flags & DELETED != 0, entry };
        Some((item, elements(same, width)))
    }
}

/// An entry of a stream: its identifier and its fields.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    id: StreamId,
    /// The names in the head of the block, if the entry has those.
    names: Option<listpack::Iter<'a>>,
    rest: listpack::Iter<'a>,
    width: usize,
}

impl<'a> Entry<'a> {
    /// The identifier.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// How many fields there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Name and value of every field, in order.
    pub fn fields(self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> {
        let Entry { mut names, mut rest, width, .. } = self;
        (0..width).map_while(move |_| {
            let name = names.as_mut().unwrap_or(&mut rest).next()?;
            Some((name, rest.next()?))
        })
    }
}

/// The position `count` elements after `at`.
fn advance(list: Listpack<'_>, at: usize, count: usize) -> usize {
    (0..count).try_fold(at, |at, _| list.next(at)).unwrap_or(list.end())
}

/// Leaves out `count` elements, which must be there.
fn skip(elements: &mut listpack::Iter<'_>, count: usize) -> Option<()> {
    (0..count).try_for_each(|_| elements.next().map(|_| ()))
}

/// How many elements an entry has before the one that says so.
fn elements(same: bool, width: usize) -> usize {
    if same {
        FIXED.saturating_add(width)
    } else {
        width.saturating_mul(2).saturating_add(FIXED + 1)
    }
}

/// An element that counts something.
fn count(element: Element<'_>) -> Option<usize> {
    match element {
        Element::Int(value) => usize::try_from(value).ok(),
        Element::Bytes(_) => None,
    }
}

/// A count as an element.
fn integer(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
