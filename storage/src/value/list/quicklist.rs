//! The large form: a chain of nodes, each a listpack or a single large element.
//!
//! ```text
//! blocks   | count, nodes | count, nodes | ..         a deque of blocks of <= 64 nodes
//!                     |
//! nodes    | listpack | listpack | large element | ..  a deque
//! ```
//!
//! Two levels, because a deque of all nodes would be copied as a whole when it grows, and because
//! an index is found by skipping blocks. Every change goes through [`Quicklist::change`],
//! [`Quicklist::insert_node`] and [`Quicklist::remove_node`], which keep the counts.

use std::collections::VecDeque;

use super::node::{Node, NodeRef};
use super::{End, Limits};
use crate::memory::usable;
use crate::value::listpack::ListpackBuf;

/// Most nodes of a block.
const BLOCK: usize = 64;

/// A chain of nodes.
#[derive(Debug, Default)]
pub struct Quicklist {
    blocks: VecDeque<Block>,
    /// Number of elements.
    len: usize,
    /// Bytes behind nodes and blocks.
    bytes: usize,
}

/// Some nodes in a row; never empty.
#[derive(Clone, Debug, Default)]
struct Block {
    nodes: VecDeque<Node>,
    /// Number of elements.
    len: usize,
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    block: usize,
    node: usize,
}

impl Spot {
    /// Where a node is added to be the next one.
    pub(super) fn behind(self) -> Self {
        Spot { node: self.node + 1, ..self }
    }
}

impl Block {
    fn own_bytes(&self) -> usize {
        match self.nodes.capacity() {
            0 => 0,
            capacity => usable(capacity * size_of::<Node>()),
        }
    }
}

impl Quicklist {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap.
    pub(super) fn memory_usage(&self) -> usize {
        match self.blocks.capacity() {
            0 => self.bytes,
            capacity => self.bytes + usable(capacity * size_of::<Block>()),
        }
    }

    /// Bytes behind nodes and blocks, counted one by one.
    pub(super) fn recount(&self) -> usize {
        let nodes = |block: &Block| block.nodes.iter().map(Node::heap_bytes).sum::<usize>();
        self.blocks.iter().map(|block| block.own_bytes() + nodes(block)).sum()
    }

    pub(super) fn node(&self, spot: Spot) -> Option<&Node> {
        self.blocks.get(spot.block)?.nodes.get(spot.node)
    }

    /// The first or the last node.
    pub(super) fn end(&self, end: End) -> Option<Spot> {
        match end {
            End::Head => (!self.blocks.is_empty()).then_some(Spot { block: 0, node: 0 }),
            End::Tail => {
                let block = self.blocks.len().checked_sub(1)?;
                Some(Spot { block, node: self.blocks[block].nodes.len() - 1 })
            }
        }
    }

    /// The node on the right.
    pub(super) fn next(&self, spot: Spot) -> Option<Spot> {
        if spot.node + 1 < self.blocks[spot.block].nodes.len() {
            return Some(Spot { node: spot.node + 1, ..spot });
        }
        let block = spot.block + 1;
        (block < self.blocks.len()).then_some(Spot { block, node: 0 })
    }

    /// The node on the left.
    pub(super) fn previous(&self, spot: Spot) -> Option<Spot> {
        if let Some(node) = spot.node.checked_sub(1) {
            return Some(Spot { node, ..spot });
        }
        let block = spot.block.checked_sub(1)?;
        Some(Spot { block, node: self.blocks[block].nodes.len() - 1 })
    }

    /// The node with the element at `index`, and the element's index in it. Walks from the nearer
    /// end.
    pub(super) fn locate(&self, index: usize) -> Option<(Spot, usize)> {
        if index >= self.len {
            return None;
        }
        let lens = self.blocks.iter().map(|block| block.len);
        let (block, index) = seek(lens, index, self.len)?;
        let Block { nodes, len } = &self.blocks[block];
        let (node, index) = seek(nodes.iter().map(Node::len), index, *len)?;
        Some((Spot { block, node }, index))
    }

    /// Changes a node. If it is empty then, it must go.
    pub(super) fn change<R>(&mut self, spot: Spot, change: impl FnOnce(&mut Node) -> R) -> R {
        let block = &mut self.blocks[spot.block];
        let node = &mut block.nodes[spot.node];
        let (len, bytes) = (node.len(), node.heap_bytes());
        let result = change(node);
        block.len = block.len - len + node.len();
        self.len = self.len - len + node.len();
        self.bytes = self.bytes - bytes + node.heap_bytes();
        result
    }

    /// Adds a node at one end.
    pub(super) fn push_node(&mut self, end: End, node: Node) {
        match (self.end(end), end) {
            (Some(last), End::Tail) => self.insert_node(last.behind(), node),
            _ => self.insert_node(Spot { block: 0, node: 0 }, node),
        };
    }

    /// Adds a node where another one is, or behind the last one of its block, and tells where it is
    /// now. Nodes and blocks behind it have moved.
    pub(super) fn insert_node(&mut self, spot: Spot, node: Node) -> Spot {
        let mut spot = spot;
        if self.blocks.get(spot.block).is_none() {
            self.blocks.push_back(Block::default());
        } else if self.blocks[spot.block].nodes.len() == BLOCK {
            spot = self.make_room(spot);
        }
        let block = &mut self.blocks[spot.block];
        self.bytes += node.heap_bytes();
        self.bytes -= block.own_bytes();
        self.len += node.len();
        block.len += node.len();
        block.nodes.insert(spot.node, node);
        self.bytes += block.own_bytes();
        spot
    }

    /// Makes room in or beside a full block: at its ends with a new block, else by splitting it.
    /// Tells where `spot` is now.
    fn make_room(&mut self, spot: Spot) -> Spot {
        if spot.node == 0 {
            self.blocks.insert(spot.block, Block::default());
            return spot;
        }
        if spot.node == BLOCK {
            self.blocks.insert(spot.block + 1, Block::default());
            return Spot { block: spot.block + 1, node: 0 };
        }
        let block = &mut self.blocks[spot.block];
        let nodes = block.nodes.split_off(BLOCK / 2);
        let right = Block { len: nodes.iter().map(Node::len).sum(), nodes };
        block.len -= right.len;
        self.bytes += right.own_bytes();
        self.blocks.insert(spot.block + 1, right);
        match spot.node.checked_sub(BLOCK / 2) {
            Some(node) => Spot { block: spot.block + 1, node },
            None => spot,
        }
    }

    /// Takes a node out, and tells where the node is that was behind it. Nodes and blocks behind it
    /// have moved.
    pub(super) fn remove_node(&mut self, spot: Spot) -> (Node, Option<Spot>) {
        let block = &mut self.blocks[spot.block];
        self.bytes -= block.own_bytes();
        let node = block.nodes.remove(spot.node).expect("a spot is where a node is");
        self.bytes -= node.heap_bytes();
        self.len -= node.len();
        block.len -= node.len();
        if block.nodes.is_empty() {
            self.blocks.remove(spot.block);
            return (node, self.node_or_none(spot));
        }
        if block.nodes.len() * 4 <= block.nodes.capacity() {
            block.nodes.shrink_to(block.nodes.len() * 2);
        }
        self.bytes += block.own_bytes();
        let next = self.node_or_none(spot);
        (node, next.or_else(|| self.node_or_none(Spot { block: spot.block + 1, node: 0 })))
    }

    fn node_or_none(&self, spot: Spot) -> Option<Spot> {
        self.node(spot).map(|_| spot)
    }

    /// The listpack of the only node, if it fills no more than this part of what is permitted. The
    /// list is empty then.
    pub(super) fn take_only_node(&mut self, limits: &Limits, part: usize) -> Option<ListpackBuf> {
        let only = self.end(End::Head)?;
        let (bytes, count) = limits.most();
        if self.next(only).is_some() || self.len > count / part {
            return None;
        }
        match self.node(only)? {
            Node::Packed(list) if list.view().as_bytes().len() > bytes / part => None,
            Node::Plain(element) if element.len() > bytes / part => None,
            node @ Node::Plain(_) => {
                let list = node.to_listpack(limits)?;
                self.remove_node(only);
                Some(list)
            }
            Node::Packed(_) => match self.remove_node(only).0 {
                Node::Packed(list) => Some(list),
                Node::Plain(_) => None,
            },
        }
    }

    /// Hands every node to `visit` in the form in which it stands in a payload.
    pub(super) fn for_each_node(&self, limits: &Limits, visit: &mut dyn FnMut(NodeRef<'_>)) {
        for node in self.blocks.iter().flat_map(|block| &block.nodes) {
            node.with_payload(limits, &mut *visit);
        }
    }

    /// How many nodes there are.
    pub(super) fn node_count(&self) -> usize {
        self.blocks.iter().map(|block| block.nodes.len()).sum()
    }

    /// Frees up to `max` nodes; whether some are left.
    pub(super) fn shed(&mut self, max: usize) -> bool {
        for _ in 0..max.max(1) {
            match self.end(End::Tail) {
                Some(last) => drop(self.remove_node(last)),
                None => return false,
            }
        }
        !self.is_empty()
    }
}

impl Clone for Quicklist {
    fn clone(&self) -> Self {
        // A copy has no spare room, so it may take less memory.
        let copy = Self { blocks: self.blocks.clone(), ..*self };
        Self { bytes: copy.recount(), ..copy }
    }
}

/// Which of the parts of `total` items together the item at `index` is in, and its index there.
/// Begins with the nearer end: it is one of the ends that is asked for most.
fn seek(
    lens: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator,
    index: usize,
    total: usize,
) -> Option<(usize, usize)> {
    if index <= total / 2 {
        let mut rest = index;
        for (at, len) in lens.enumerate() {
            if rest < len {
                return Some((at, rest));
            }
            rest -= len;
        }
    } else {
        let mut end = total;
        for (at, len) in lens.enumerate().rev() {
            end -= len;
            if end <= index {
                return Some((at, index - end));
            }
        }
    }
    None
}

#[cfg(test)]
impl Quicklist {
    /// Checks that the counts are right and nothing is empty.
    pub(super) fn check(&self) {
        for block in &self.blocks {
            assert!(!block.nodes.is_empty() && block.nodes.len() <= BLOCK);
            assert!(block.nodes.iter().all(|node| node.len() > 0));
            assert_eq!(block.len, block.nodes.iter().map(Node::len).sum::<usize>());
        }
        assert_eq!(self.len, self.blocks.iter().map(|block| block.len).sum::<usize>());
        assert_eq!(self.bytes, self.recount());
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.blocks.iter().flat_map(|block| &block.nodes)
    }
}
