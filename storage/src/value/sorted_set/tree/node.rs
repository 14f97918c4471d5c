//! Nodes of the tree: leaves full of entries, and inner nodes full of children.
//!
//! All changes are by position. A node is split before it overflows; one that has become light is
//! merged or evened out with a neighbour by its parent.

use std::ops::Range;

use arrayvec::ArrayVec;

use super::Entry;
use super::leaf::{Edge, LEAF_MAX, Leaf, fair_share, is_light, partition, share};
use crate::memory::usable;

/// Children of a full inner node: what makes it two kibibytes.
pub(super) const INNER_MAX: usize = 63;
/// Children, and what must be known of them to go down to one. Never empty.
#[derive(Clone, Default)]
pub(super) struct Inner {
    /// Scores and ids of the first entry of each child.
    scores: ArrayVec<f64, INNER_MAX>,
    ids: ArrayVec<u32, INNER_MAX>,
    /// Number of entries in each child.
    counts: ArrayVec<u32, INNER_MAX>,
    children: ArrayVec<Node, INNER_MAX>,
}

#[derive(Clone)]
pub(super) enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

/// How many nodes there are, to know what memory they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) leaves: usize,
    pub(super) inners: usize,
}

impl Census {
    pub(super) fn bytes(self) -> usize {
        self.leaves * usable(size_of::<Leaf>()) + self.inners * usable(size_of::<Inner>())
    }
}

impl Inner {
    fn len(&self) -> usize {
        self.children.len()
    }

    fn first(&self) -> Entry {
        Entry { score: self.scores[0], id: self.ids[0] }
    }

    fn count(&self) -> usize {
        self.counts.iter().map(|count| *count as usize).sum()
    }

    /// The child in which the border is between the entries that are `before` a place and the
    /// others, and how many entries come before this child.
    fn border(&self, before: &impl Fn(Entry) -> bool) -> (&Node, usize) {
        let (scores, ids) = (&self.scores[..], &self.ids[..]);
        let at = partition(ids.len(), |at| before(Entry { score: scores[at], id: ids[at] }));
        let at = at.saturating_sub(1);
        let rank = self.counts[..at].iter().map(|count| *count as usize).sum();
        (&self.children[at], rank)
    }

    /// The child with the entry at `rank`, and the entry's rank in it.
    fn descend(&self, rank: usize) -> Option<(usize, usize)> {
        let mut rest = rank;
        for (at, count) in self.counts.iter().enumerate() {
            let count = *count as usize;
            if rest < count {
                return Some((at, rest));
            }
            rest -= count;
        }
        None
    }

    fn insert(&mut self, at: usize, child: Node) {
        let first = child.first();
        self.scores.insert(at, first.score);
        self.ids.insert(at, first.id);
        self.counts.insert(at, child.count() as u32);
        self.children.insert(at, child);
    }

    fn remove(&mut self, range: Range<usize>) {
        self.scores.drain(range.clone());
        self.ids.drain(range.clone());
        self.counts.drain(range.clone());
        self.children.drain(range);
    }

    /// Brings what is known about a child up to date.
    fn refresh(&mut self, at: usize) {
        let child = &self.children[at];
        let first = child.first();
        self.scores[at] = first.score;
        self.ids[at] = first.id;
        self.counts[at] = child.count() as u32;
    }

    /// Adds a child to a full node, which keeps the first part; the second is returned.
    fn split(&mut self, at: usize, child: Node, edge: Edge) -> Box<Inner> {
        let keep = match edge {
            Edge::Back => INNER_MAX - 1,
            Edge::Front => 1,
            Edge::Middle => INNER_MAX / 2,
        };
        let mut right = Box::<Inner>::default();
        self.share(keep, &mut right);
        match at.checked_sub(keep) {
            Some(rest) if rest > 0 => right.insert(rest, child),
            _ => self.insert(at, child),
        }
        right
    }

    fn share(&mut self, keep: usize, right: &mut Inner) {
        share(&mut self.scores, keep, &mut right.scores);
        share(&mut self.ids, keep, &mut right.ids);
        share(&mut self.counts, keep, &mut right.counts);
        share(&mut self.children, keep, &mut right.children);
    }

    /// Merges the light child `at` with a neighbour, or evens the two out. An only child stays as it
    /// is: its parent is light too, and will get it neighbours.
    fn mend_child(&mut self, at: usize, census: &mut Census) {
        let left = at.saturating_sub(1);
        let Some([one, two]) = self.children.get_mut(left..left + 2) else { return };
        let is_merged = match (one, two) {
            (Node::Leaf(one), Node::Leaf(two)) => {
                one.mend(two);
                census.leaves -= usize::from(two.len() == 0);
                two.len() == 0
            }
            (Node::Inner(one), Node::Inner(two)) => {
                one.share(fair_share(one.len(), two.len(), INNER_MAX), two);
                census.inners -= usize::from(two.len() == 0);
                two.len() == 0
            }
            _ => unreachable!("neighbours are of one kind"),
        };
        self.refresh(left);
        if is_merged {
            self.remove(left + 1..left + 2);
        } else {
            self.refresh(left + 1);
        }
    }

    /// Removes entries, but not all.
    fn remove_entries(
        &mut self,
        range: Range<usize>,
        visit: &mut dyn FnMut(Entry),
        census: &mut Census,
    ) {
        let mut start = 0;
        let mut touched = None;
        let mut gone = 0..0;
        for at in 0..self.len() {
            let end = start + self.counts[at] as usize;
            let part = range.start.max(start)..range.end.min(end);
            if !part.is_empty() {
                touched.get_or_insert(at);
                if part == (start..end) {
                    self.children[at].leave(visit, census);
                    gone = if gone.is_empty() { at..at + 1 } else { gone.start..at + 1 };
                } else {
                    self.children[at].remove(part.start - start..part.end - start, visit, census);
                    self.refresh(at);
                }
            }
            start = end;
        }
        self.remove(gone);
        // The children that lost a part stand here, side by side.
        let seam = touched.unwrap_or(0);
        for at in [seam + 1, seam] {
            if self.children.get(at).is_some_and(Node::is_light) {
                self.mend_child(at, census);
            }
        }
    }
}

impl Node {
    pub(super) fn empty(census: &mut Census) -> Self {
        census.leaves += 1;
        Node::Leaf(Box::default())
    }

    /// An inner node above two others.
    pub(super) fn above(left: Node, right: Node, census: &mut Census) -> Self {
        census.inners += 1;
        let mut inner = Box::<Inner>::default();
        inner.insert(0, left);
        inner.insert(1, right);
        Node::Inner(inner)
    }

    /// The only child, if there is but one.
    pub(super) fn only_child(&mut self) -> Option<Node> {
        match self {
            Node::Inner(inner) if inner.len() == 1 => inner.children.pop(),
            _ => None,
        }
    }

    /// The first entry; one that means nothing if there is none.
    fn first(&self) -> Entry {
        match self {
            Node::Leaf(leaf) => leaf.get(0).unwrap_or(Entry { score: 0.0, id: 0 }),
            Node::Inner(inner) => inner.first(),
        }
    }

    /// Number of entries below.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.count(),
        }
    }

    /// How many entries are `before` a place; those that are come first.
    pub(super) fn partition(&self, before: &impl Fn(Entry) -> bool) -> usize {
        let mut node = self;
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.partition(before),
                Node::Inner(inner) => {
                    let (child, ahead) = inner.border(before);
                    rank += ahead;
                    node = child;
                }
            }
        }
    }

    /// The leaf with the entry at `rank`, and the entry's place in it.
    pub(super) fn leaf_at(&self, rank: usize) -> Option<(&Leaf, usize)> {
        let mut node = self;
        let mut rest = rank;
        loop {
            match node {
                Node::Leaf(leaf) => return (rest < leaf.len()).then_some((leaf, rest)),
                Node::Inner(inner) => {
                    let at;
                    (at, rest) = inner.descend(rest)?;
                    node = &inner.children[at];
                }
            }
        }
    }

    /// Puts another entry in the place of the one at `rank`. The recursion is as deep as the tree.
    pub(super) fn set(&mut self, rank: usize, entry: Entry) {
        match self {
            Node::Leaf(leaf) => leaf.set(rank, entry),
            Node::Inner(inner) => {
                let Some((at, rest)) = inner.descend(rank) else { return };
                inner.children[at].set(rest, entry);
                if rest == 0 {
                    inner.scores[at] = entry.score;
                    inner.ids[at] = entry.id;
                }
            }
        }
    }

    /// Adds an entry at `rank`; the node's new right neighbour if it had to be split. The
    /// recursion is as deep as the tree.
    pub(super) fn insert(
        &mut self,
        rank: usize,
        entry: Entry,
        edge: Edge,
        census: &mut Census,
    ) -> Option<Node> {
        match self {
            Node::Leaf(leaf) if leaf.len() < LEAF_MAX => {
                leaf.insert(rank, entry);
                None
            }
            Node::Leaf(leaf) => {
                census.leaves += 1;
                Some(Node::Leaf(leaf.split(rank, entry, edge)))
            }
            Node::Inner(inner) => {
                // Between two children is at the end of the first, so that appending is.
                let before = rank.checked_sub(1).and_then(|before| inner.descend(before));
                let (at, rest) = before.map_or((0, 0), |(at, rest)| (at, rest + 1));
                let split = inner.children[at].insert(rest, entry, edge, census);
                let Some(new) = split else {
                    inner.counts[at] += 1;
                    if rest == 0 {
                        inner.scores[at] = entry.score;
                        inner.ids[at] = entry.id;
                    }
                    return None;
                };
                inner.refresh(at);
                if inner.len() < INNER_MAX {
                    inner.insert(at + 1, new);
                    return None;
                }
                census.inners += 1;
                Some(Node::Inner(inner.split(at + 1, new, edge)))
            }
        }
    }

    /// Removes the entries in `range`, which lies inside the node and is not all of it, unless
    /// the node is a leaf. The recursion is as deep as the tree.
    pub(super) fn remove(
        &mut self,
        range: Range<usize>,
        visit: &mut dyn FnMut(Entry),
        census: &mut Census,
    ) {
        match self {
            Node::Leaf(leaf) => {
                leaf.iter().take(range.end).skip(range.start).for_each(visit);
                leaf.remove(range);
            }
            Node::Inner(inner) => inner.remove_entries(range, visit, census),
        }
    }

    /// Tells about every entry of a node that will be dropped. The recursion is as deep as the
    /// tree.
    pub(super) fn leave(&self, visit: &mut dyn FnMut(Entry), census: &mut Census) {
        match self {
            Node::Leaf(leaf) => {
                census.leaves -= 1;
                leaf.iter().for_each(visit);
            }
            Node::Inner(inner) => {
                census.inners -= 1;
                inner.children.iter().for_each(|child| child.leave(visit, census));
            }
        }
    }

    fn is_light(&self) -> bool {
        match self {
            Node::Leaf(leaf) => is_light(leaf.len(), LEAF_MAX),
            Node::Inner(inner) => is_light(inner.len(), INNER_MAX),
        }
    }
}

#[cfg(test)]
impl Node {
    /// Checks what must hold in every node; returns its depth.
    pub(super) fn check(&self, is_root: bool, census: &mut Census) -> usize {
        match self {
            Node::Leaf(leaf) => {
                census.leaves += 1;
                assert!(is_root || leaf.len() > 0, "only the root may be empty");
                leaf.check();
                1
            }
            Node::Inner(inner) => {
                census.inners += 1;
                assert!(inner.len() > 0);
                assert!(!is_root || inner.len() > 1, "a root branches");
                for (at, child) in inner.children.iter().enumerate() {
                    assert_eq!(inner.counts[at] as usize, child.count());
                    let first = Entry { score: inner.scores[at], id: inner.ids[at] };
                    assert_eq!(first, child.first());
                }
                let depths: Vec<usize> =
                    inner.children.iter().map(|child| child.check(false, census)).collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]), "all leaves are level");
                depths[0] + 1
            }
        }
    }
}

#[cfg(test)]
#[test]
fn nodes_fill_what_the_allocator_gives() {
    let sizes = [size_of::<Leaf>(), size_of::<Inner>()];
    assert_eq!(sizes.map(usable), [1024, 2048]);
}
