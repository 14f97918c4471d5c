//! A node of a quicklist.

use bytes::Bytes;

use super::Limits;
use crate::memory::usable;
use crate::value::listpack::{Listpack, ListpackBuf};

/// What the handle of a plain element takes on the heap beside its bytes.
const SHARED_COUNT: usize = 32;
/// A listpack with more spare room than this share of it gives that back.
const SPARE_SHARE: usize = 4;

/// A node of a quicklist.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Elements, one after the other.
    Packed(ListpackBuf),
    /// One element that is too large to be packed. A reply can share it.
    Plain(Bytes),
}

/// A node as it stands in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRef<'a> {
    /// A listpack.
    Packed(&'a [u8]),
    /// A single element as it is.
    Plain(&'a [u8]),
}

impl Node {
    /// A node for one element.
    pub(super) fn of(element: &[u8], limits: &Limits) -> Self {
        if limits.is_plain(element.len()) {
            return Node::Plain(Bytes::copy_from_slice(element));
        }
        let mut list = ListpackBuf::new();
        list.push(element);
        Node::Packed(list)
    }

    /// A node for a listpack of other origin: a large single element is not kept packed.
    pub(super) fn of_payload(list: ListpackBuf, limits: &Limits) -> Self {
        let view = list.view();
        match view.first().map(|at| view.element(at)) {
            Some(element) if view.len() == 1 && limits.is_plain(element.len()) => {
                Node::Plain(element.with(Bytes::copy_from_slice))
            }
            _ => Node::Packed(list),
        }
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        match self {
            Node::Packed(list) => list.view().len(),
            Node::Plain(_) => 1,
        }
    }

    /// Bytes of memory behind the node.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Node::Packed(list) => list.memory_usage(),
            Node::Plain(bytes) => usable(bytes.len()) + SHARED_COUNT,
        }
    }

    /// The listpack that an element of `len` bytes can be added to.
    pub(super) fn with_room(&mut self, len: usize, limits: &Limits) -> Option<&mut ListpackBuf> {
        match self {
            Node::Packed(list) => {
                let view = list.view();
                let is_full = limits.is_full(view.as_bytes().len(), view.len(), len);
                (!is_full).then_some(list)
            }
            Node::Plain(_) => None,
        }
    }

    /// Whether this and the node on its right can become one.
    pub(super) fn can_join(&self, right: &Node, limits: &Limits) -> bool {
        let (Node::Packed(left), Node::Packed(right)) = (self, right) else { return false };
        let (left, right) = (left.view(), right.view());
        let bytes = left.as_bytes().len() + right.as_bytes().len() - ListpackBuf::EMPTY_LEN;
        !limits.exceeds(bytes, left.len() + right.len())
    }

    /// Gives memory back that a node which stays as it is does not need.
    pub(super) fn tidy(&mut self) {
        if let Node::Packed(list) = self {
            let len = list.view().as_bytes().len();
            if list.memory_usage() > usable(len + len / SPARE_SHARE) {
                list.shrink_to_fit();
            }
        }
    }

    /// The node as one listpack, if its element need not stay as it is.
    pub(super) fn to_listpack(&self, limits: &Limits) -> Option<ListpackBuf> {
        match self {
            Node::Packed(list) => Some(list.clone()),
            Node::Plain(bytes) => {
                let mut list = ListpackBuf::new();
                let fits = list.fits(ListpackBuf::encoded_len(bytes));
                (bytes.len() < limits.plain_from && fits).then(|| {
                    list.push(bytes);
                    list
                })
            }
        }
    }

    /// Hands the node in the form to `write` in which Redis 7.2 has it in a payload.
    pub(super) fn with_payload<R>(
        &self,
        limits: &Limits,
        write: impl FnOnce(NodeRef<'_>) -> R,
    ) -> R {
        match self {
            Node::Packed(list) => write(NodeRef::Packed(list.view().as_bytes())),
            Node::Plain(bytes) => match self.to_listpack(limits) {
                Some(list) => write(NodeRef::Packed(list.view().as_bytes())),
                None => write(NodeRef::Plain(bytes)),
            },
        }
    }
}

impl NodeRef<'_> {
    /// Whether a node from a payload is sound: any element is, a listpack must be one.
    #[must_use]
    pub fn is_sound(self) -> bool {
        match self {
            NodeRef::Packed(bytes) => Listpack::validate(bytes).is_some(),
            NodeRef::Plain(_) => true,
        }
    }
}
