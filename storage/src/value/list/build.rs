//! A list of the nodes of a payload.

use bytes::Bytes;

use super::{End, Limits, List, Node, NodeRef, Quicklist};
use crate::value::listpack::ListpackBuf;

/// Takes the nodes of a list as they stand in a payload, one by one: there need never be two of them
/// outside of the list.
#[derive(Debug)]
pub struct Builder<'l> {
    quicklist: Quicklist,
    limits: &'l Limits,
}

impl<'l> Builder<'l> {
    /// No nodes yet.
    #[must_use]
    pub fn new(limits: &'l Limits) -> Self {
        Builder { quicklist: Quicklist::new(), limits }
    }

    /// Adds a node at the right end. A listpack must have been looked through.
    pub fn push(&mut self, node: NodeRef<'_>) {
        let node = match node {
            NodeRef::Plain(bytes) => Node::Plain(Bytes::copy_from_slice(bytes)),
            NodeRef::Packed(bytes) => {
                Node::of_payload(ListpackBuf::from_bytes(bytes.to_vec()), self.limits)
            }
        };
        if node.len() > 0 {
            self.quicklist.push_node(End::Tail, node);
        }
    }

    /// The list, in the form that suits it.
    #[must_use]
    pub fn finish(self) -> List {
        let mut list = List::Quicklist(Box::new(self.quicklist));
        if list.is_empty() {
            return List::new();
        }
        list.try_listpack(self.limits, 1);
        list
    }
}
