//! The order of a large sorted set: a B+tree that counts.
//!
//! ```text
//! inner node | first entries | counts | children |      <= 63 children
//!                                          |
//! leaf       | scores: 1.0 1.5 2.0 .. |                 <= 84 entries
//!            | ids:     17   4  90 .. |
//! ```
//!
//! The tree itself knows nothing of members. It is a sequence: entries are read, added and removed by
//! *rank*, which the counts make quick. The order is the business of whoever asks
//! [`Tree::partition`] where something belongs. So every question about a range (of scores, of
//! members, of ranks) becomes a range of ranks first, and there is one way to do each thing.
//!
//! Leaves have the scores beside the ids: most comparisons need not look at a member at all.

mod leaf;
mod node;
#[cfg(test)]
mod tests;

use std::ops::Range;

use leaf::{Edge, Leaf};
use node::{Census, Node};

/// A score, and the number of the member that has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) score: f64,
    pub(super) id: u32,
}

/// A sequence of entries.
#[derive(Clone)]
pub(super) struct Tree {
    root: Node,
    len: usize,
    census: Census,
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut census = Census::default();
        Tree { root: Node::empty(&mut census), len: 0, census }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap.
    pub(super) fn memory_usage(&self) -> usize {
        self.census.bytes()
    }

    /// How many entries are `before` a place: the rank that an entry there has or would get. The
    /// entries that are must be the first ones.
    pub(super) fn partition(&self, before: impl Fn(Entry) -> bool) -> usize {
        self.root.partition(&before)
    }

    /// Adds an entry; the one that had its `rank` comes after it.
    ///
    /// # Panics
    ///
    /// If `rank` is more than the length.
    pub(super) fn insert(&mut self, rank: usize, entry: Entry) {
        assert!(rank <= self.len, "no place without a predecessor");
        let edge = match rank {
            _ if rank == self.len => Edge::Back,
            0 => Edge::Front,
            _ => Edge::Middle,
        };
        if let Some(right) = self.root.insert(rank, entry, edge, &mut self.census) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Box::default()));
            self.root = Node::above(left, right, &mut self.census);
        }
        self.len += 1;
    }

    /// Puts another entry in the place of the one at `rank`.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(super) fn set(&mut self, rank: usize, entry: Entry) {
        assert!(rank < self.len, "an entry to replace");
        self.root.set(rank, entry);
    }

    /// Removes the entries of `ranks` and hands them to `visit` in order.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub(super) fn remove(&mut self, ranks: Range<usize>, visit: &mut dyn FnMut(Entry)) {
        assert!(ranks.start <= ranks.end && ranks.end <= self.len, "ranks of this tree");
        if ranks.len() == self.len {
            self.root.leave(visit, &mut self.census);
            self.root = Node::empty(&mut self.census);
        } else if !ranks.is_empty() {
            self.root.remove(ranks.clone(), visit, &mut self.census);
            self.lower();
        }
        self.len -= ranks.len();
    }

    /// Takes roots away that have become a mere step.
    fn lower(&mut self) {
        while let Some(only) = self.root.only_child() {
            self.root = only;
            self.census.inners -= 1;
        }
    }

    /// The entries of `ranks`, as far as there are any.
    pub(super) fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        let end = ranks.end.min(self.len);
        let ranks = ranks.start.min(end)..end;
        Iter { tree: self, ranks, front: None, back: None }
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("len", &self.len).field("census", &self.census).finish()
    }
}

/// Entries in order, from either end. It remembers a leaf for each end and looks the next one up
/// by its rank, once in a leaf's length.
#[derive(Clone)]
pub(super) struct Iter<'a> {
    tree: &'a Tree,
    ranks: Range<usize>,
    /// The leaf to go on in, with the place of the next entry.
    front: Option<(&'a Leaf, usize)>,
    /// The same, with the place after the next entry.
    back: Option<(&'a Leaf, usize)>,
}

impl Iterator for Iter<'_> {
    type Item = Entry;

    #[inline]
    fn next(&mut self) -> Option<Entry> {
        let rank = self.ranks.next()?;
        let (leaf, at) = match self.front {
            Some((leaf, at)) if at < leaf.len() => (leaf, at),
            _ => self.tree.root.leaf_at(rank)?,
        };
        self.front = Some((leaf, at + 1));
        leaf.get(at)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranks.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Entry> {
        let rank = self.ranks.next_back()?;
        let (leaf, at) = match self.back {
            Some((leaf, end)) if end > 0 => (leaf, end - 1),
            _ => self.tree.root.leaf_at(rank)?,
        };
        self.back = Some((leaf, at));
        leaf.get(at)
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl std::fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Iter({:?})", self.ranks)
    }
}
