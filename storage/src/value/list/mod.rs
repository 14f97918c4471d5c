//! Lists.
//!
//! | form | OBJECT ENCODING | holds | where |
//! |---|---|---|---|
//! | listpack | `listpack` | what fits one listpack of the permitted size | packed in the entry |
//! | quicklist | `quicklist` | anything | a [`Quicklist`] behind the entry |
//!
//! A list starts as a listpack and becomes a quicklist when it would exceed the limit of one node
//! ([`Limits`]). When elements are removed until one node at most half full is left, it goes back.
//! [`List`] is the form of a writer, [`ListRef`] what everybody reads.
//!
//! As in Redis, the form is chosen before elements are added ([`List::prepare`]) and after some were
//! removed ([`List::settle`]), not in between.

mod build;
mod edit;
mod limits;
mod node;
mod quicklist;
#[cfg(test)]
mod tests;
mod view;

use std::ops::Range;

use super::listpack::ListpackBuf;
use crate::memory::usable;
use node::Node;

pub use build::Builder;
pub use limits::Limits;
pub use node::NodeRef;
pub use quicklist::Quicklist;
pub use view::{Item, Items, ListRef};

/// One of the two ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The left end, where index 0 is.
    Head,
    /// The right end.
    Tail,
}

/// On which side of another element one is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On the left.
    Before,
    /// On the right.
    After,
}

/// A list that can be changed.
#[derive(Clone, Debug)]
pub enum List {
    /// What fits one listpack.
    Listpack(ListpackBuf),
    /// Anything.
    Quicklist(Box<Quicklist>),
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    /// An empty list, in the small form.
    #[must_use]
    pub fn new() -> Self {
        List::Listpack(ListpackBuf::new())
    }

    /// A copy of packed bytes, which [`List::packed`] gave or
    /// [`Listpack::validate`](super::listpack::Listpack::validate) accepted.
    #[must_use]
    pub fn from_packed(bytes: &[u8]) -> Self {
        List::Listpack(ListpackBuf::from_bytes(bytes.to_vec()))
    }

    /// The bytes of the packed form.
    #[must_use]
    pub fn packed(&self) -> Option<&[u8]> {
        match self {
            List::Listpack(list) => Some(list.view().as_bytes()),
            List::Quicklist(_) => None,
        }
    }

    /// The view to read it through.
    #[must_use]
    pub fn view(&self) -> ListRef<'_> {
        match self {
            List::Listpack(list) => ListRef::Listpack(list.view()),
            List::Quicklist(list) => ListRef::Quicklist(list),
        }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// True if there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        self.view().encoding()
    }

    /// Makes ready for `count` more elements of `bytes` bytes together.
    pub fn prepare(&mut self, count: usize, bytes: usize, limits: &Limits) {
        let List::Listpack(list) = self else { return };
        let view = list.view();
        let bytes = view.as_bytes().len().saturating_add(bytes);
        if limits.exceeds(bytes, view.len().saturating_add(count)) {
            let mut quicklist = Quicklist::new();
            if !view.is_empty() {
                quicklist.push_node(End::Tail, Node::Packed(std::mem::take(list)));
            }
            *self = List::Quicklist(Box::new(quicklist));
        }
    }

    /// Goes back to the small form if what is left fills no more than half of one.
    pub fn settle(&mut self, limits: &Limits) {
        self.try_listpack(limits, 2);
    }

    /// Goes to the small form if there is one node that fills no more than this part of one.
    fn try_listpack(&mut self, limits: &Limits, part: usize) {
        if let List::Quicklist(quicklist) = self
            && let Some(list) = quicklist.take_only_node(limits, part)
        {
            *self = List::Listpack(list);
        }
    }

    /// Adds an element at one end. Callers have called [`List::prepare`].
    pub fn push(&mut self, end: End, element: &[u8], limits: &Limits) {
        match (self, end) {
            (List::Listpack(list), End::Head) => list.push_front(element),
            (List::Listpack(list), End::Tail) => list.push(element),
            (List::Quicklist(list), end) => list.push(end, element, limits),
        }
    }

    /// Adds an element beside the one at `index`; false if there is none. Callers have called
    /// [`List::prepare`].
    pub fn insert(&mut self, index: usize, side: Side, element: &[u8], limits: &Limits) -> bool {
        if index >= self.len() {
            return false;
        }
        match self {
            List::Listpack(list) => {
                let index = index + usize::from(side == Side::After);
                let at = seek(list, index).unwrap_or(list.view().end());
                list.insert(at, element);
            }
            List::Quicklist(list) => list.insert(index, side, element, limits),
        }
        true
    }

    /// Puts an element in the place of the one at `index`; false if there is none. Callers have
    /// called [`List::prepare`], and call [`List::settle`].
    pub fn set(&mut self, index: usize, element: &[u8], limits: &Limits) -> bool {
        if index >= self.len() {
            return false;
        }
        match self {
            List::Listpack(list) => {
                if let Some(at) = seek(list, index) {
                    list.replace(at, element);
                }
            }
            List::Quicklist(list) => list.set(index, element, limits),
        }
        true
    }

    /// Removes a range of elements, as far as there are any. Callers call [`List::settle`].
    pub fn remove(&mut self, range: Range<usize>) {
        let range = range.start..range.end.min(self.len());
        if range.is_empty() {
            return;
        }
        match self {
            List::Listpack(list) => {
                if let Some(at) = seek(list, range.start) {
                    list.remove(at, range.len());
                }
            }
            List::Quicklist(list) => list.remove(range),
        }
    }

    /// Removes the elements equal to `element`, at most `most` of them, counted from `from`; how
    /// many those were. Callers call [`List::settle`].
    pub fn remove_equal(&mut self, element: &[u8], from: End, most: usize) -> usize {
        match self {
            List::Listpack(list) => edit::remove_equal(list, element, from, most),
            List::Quicklist(list) => list.remove_equal(element, from, most),
        }
    }

    /// Bytes behind the entry; the packed form has none there.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        match self {
            List::Listpack(_) => 0,
            List::Quicklist(list) => usable(size_of::<Quicklist>()) + list.memory_usage(),
        }
    }

    /// Frees about `max` allocations; whether some are left. The list must not be used any more.
    pub fn shed(&mut self, max: usize) -> bool {
        match self {
            List::Listpack(_) => false,
            List::Quicklist(list) => list.shed(max),
        }
    }
}

/// The position of an element by its index.
fn seek(list: &ListpackBuf, index: usize) -> Option<usize> {
    list.view().seek(i64::try_from(index).ok()?)
}
