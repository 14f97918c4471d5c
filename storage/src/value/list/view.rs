//! What readers of a list see.

use std::ops::Range;

use bytes::Bytes;

use super::node::{Node, NodeRef};
use super::quicklist::{Quicklist, Spot};
use super::{End, Limits};
use crate::value::listpack::{self, Element, Listpack};
use crate::value::string::canonical_i64;

/// A list, as readers see it.
#[derive(Clone, Copy, Debug)]
pub enum ListRef<'a> {
    /// What fits one listpack.
    Listpack(Listpack<'a>),
    /// Anything.
    Quicklist(&'a Quicklist),
}

/// An element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// One of a listpack.
    Packed(Element<'a>),
    /// A large one, which can be shared.
    Plain(&'a Bytes),
}

impl<'a> Item<'a> {
    /// The element's bytes.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        match self {
            Item::Packed(element) => element.with(Bytes::copy_from_slice),
            Item::Plain(bytes) => bytes.clone(),
        }
    }

    /// Hands the element's bytes to `read`.
    pub fn with<R>(self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Item::Packed(element) => element.with(read),
            Item::Plain(bytes) => read(bytes),
        }
    }
}

/// What elements are compared with.
#[derive(Clone, Copy)]
struct Wanted<'w> {
    bytes: &'w [u8],
    number: Option<i64>,
}

impl Wanted<'_> {
    fn is(self, item: Item<'_>) -> bool {
        match item {
            Item::Packed(Element::Int(value)) => self.number == Some(value),
            Item::Packed(Element::Bytes(bytes)) => self.bytes == bytes,
            Item::Plain(bytes) => self.bytes == bytes,
        }
    }
}

impl<'a> ListRef<'a> {
    /// Reads packed bytes, which [`List::packed`](super::List::packed) gave or
    /// [`Listpack::validate`] accepted.
    #[must_use]
    pub fn from_packed(bytes: &'a [u8]) -> Self {
        ListRef::Listpack(Listpack::new(bytes))
    }

    /// Number of elements.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            ListRef::Listpack(list) => list.len(),
            ListRef::Quicklist(list) => list.len(),
        }
    }

    /// True if there are no elements.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(self) -> &'static str {
        match self {
            ListRef::Listpack(_) => "listpack",
            ListRef::Quicklist(_) => "quicklist",
        }
    }

    /// The element at an index.
    #[must_use]
    pub fn get(self, index: usize) -> Option<Item<'a>> {
        self.range(index..index.saturating_add(1)).next()
    }

    /// The elements of a range, as far as there are any; from either end.
    #[must_use]
    pub fn range(self, range: Range<usize>) -> Items<'a> {
        let end = range.end.min(self.len());
        let left = range.start.min(end)..end;
        match self {
            ListRef::Listpack(list) => {
                let seek = |index: usize| list.seek(i64::try_from(index).ok()?);
                let start = seek(left.start).unwrap_or(list.end());
                // From behind, only the end of the list is known without walking there.
                let end = match list.len() {
                    len if len == left.end => list.end(),
                    _ => seek(left.end).unwrap_or(list.end()),
                };
                let packed = NodeItems::Packed(list.iter_between(start, end));
                Items { list: None, left, front: Some((None, packed)), back: None }
            }
            ListRef::Quicklist(list) => Items { list: Some(list), left, front: None, back: None },
        }
    }

    /// All elements in order.
    #[must_use]
    pub fn iter(self) -> Items<'a> {
        self.range(0..self.len())
    }

    /// The indices in `range` of the elements that are equal to `element`, beginning at one end.
    pub fn find<'w>(
        self,
        element: &'w [u8],
        range: Range<usize>,
        from: End,
    ) -> impl Iterator<Item = usize> + use<'a, 'w> {
        let wanted = Wanted { bytes: element, number: canonical_i64(element) };
        let mut items = self.range(range);
        std::iter::from_fn(move || {
            loop {
                let (index, item) = match from {
                    End::Head => (items.left.start, items.next()?),
                    End::Tail => (items.left.end.saturating_sub(1), items.next_back()?),
                };
                if wanted.is(item) {
                    return Some(index);
                }
            }
        })
    }

    /// Hands the list's nodes to `visit` in the form in which they stand in a payload: one listpack
    /// is one node.
    pub fn for_each_node(self, limits: &Limits, visit: &mut dyn FnMut(NodeRef<'_>)) {
        match self {
            ListRef::Listpack(list) => visit(NodeRef::Packed(list.as_bytes())),
            ListRef::Quicklist(list) => list.for_each_node(limits, visit),
        }
    }

    /// How many nodes [`ListRef::for_each_node`] visits.
    #[must_use]
    pub fn node_count(self) -> usize {
        match self {
            ListRef::Listpack(_) => 1,
            ListRef::Quicklist(list) => list.node_count(),
        }
    }
}

/// Elements in order, from either end.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    /// Where to look for more nodes.
    list: Option<&'a Quicklist>,
    /// The indices that are left.
    left: Range<usize>,
    /// The rest of the node to go on in, and where it is. Of a single listpack both ends go on in
    /// the front.
    front: Option<(Option<Spot>, NodeItems<'a>)>,
    back: Option<(Option<Spot>, NodeItems<'a>)>,
}

/// The rest of a node.
#[derive(Clone, Debug)]
enum NodeItems<'a> {
    Packed(listpack::Iter<'a>),
    Plain(Option<&'a Bytes>),
}

impl<'a> NodeItems<'a> {
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            NodeItems::Packed(elements) => elements.next().map(Item::Packed),
            NodeItems::Plain(element) => element.take().map(Item::Plain),
        }
    }

    fn next_back(&mut self) -> Option<Item<'a>> {
        match self {
            NodeItems::Packed(elements) => elements.next_back().map(Item::Packed),
            NodeItems::Plain(element) => element.take().map(Item::Plain),
        }
    }
}

impl<'a> Items<'a> {
    /// The elements of a node, from the one at `from` to the one at `last`, or to its end.
    fn node(
        list: &'a Quicklist,
        spot: Spot,
        from: usize,
        last: Option<usize>,
    ) -> Option<NodeItems<'a>> {
        Some(match list.node(spot)? {
            Node::Packed(node) => {
                let node = node.view();
                let seek = |index: usize| node.seek(i64::try_from(index).ok()?);
                // Only the end is known without walking there.
                let last = last.filter(|last| last + 1 < node.len());
                let end = last.and_then(|last| seek(last + 1)).unwrap_or(node.end());
                NodeItems::Packed(node.iter_between(seek(from)?, end))
            }
            Node::Plain(element) => NodeItems::Plain(Some(element)),
        })
    }

    #[cold]
    fn next_node(&mut self) -> Option<Item<'a>> {
        let list = self.list?;
        let (spot, from) = match self.front.take().and_then(|(spot, _)| spot) {
            Some(spot) => (list.next(spot)?, 0),
            None => list.locate(self.left.start)?,
        };
        let mut items = Self::node(list, spot, from, None)?;
        let item = items.next();
        self.front = Some((Some(spot), items));
        item
    }

    #[cold]
    fn previous_node(&mut self) -> Option<Item<'a>> {
        let list = self.list?;
        let (spot, last) = match self.back.take().and_then(|(spot, _)| spot) {
            Some(spot) => (list.previous(spot)?, None),
            None => {
                let (spot, last) = list.locate(self.left.end - 1)?;
                (spot, Some(last))
            }
        };
        let mut items = Self::node(list, spot, 0, last)?;
        let item = items.next_back();
        self.back = Some((Some(spot), items));
        item
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.left.is_empty() {
            return None;
        }
        let item = match &mut self.front {
            Some((_, items)) => items.next(),
            None => None,
        };
        let item = item.or_else(|| self.next_node());
        self.left.start += 1;
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl DoubleEndedIterator for Items<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let rest = if self.list.is_some() { &mut self.back } else { &mut self.front };
        let item = match rest {
            Some((_, items)) => items.next_back(),
            None => None,
        };
        let item = item.or_else(|| self.previous_node());
        self.left.end -= 1;
        item
    }
}

impl ExactSizeIterator for Items<'_> {}
