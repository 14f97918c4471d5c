//! Nodes of the tree: leaves full of entries, and inner nodes full of children.
//!
//! All changes are by position. A node is split before it overflows; one that has become light is
//! merged or evened out with a neighbour by its parent.

use std::mem;
use std::ops::Range;

use super::Entry;
use crate::memory::usable;

/// Entries of a full leaf: what makes it one kibibyte.
pub(super) const LEAF_MAX: usize = 84;
/// Children of a full inner node.
pub(super) const INNER_MAX: usize = 32;
/// A node with less than this share of what fits is light.
const LIGHT_SHARE: usize = 3;

/// Entries in order. Scores and numbers are kept apart because together they would be padded.
#[derive(Clone)]
pub(super) struct Leaf {
    scores: [f64; LEAF_MAX],
    ids: [u32; LEAF_MAX],
    len: usize,
}

/// What an inner node knows about one child.
#[derive(Clone)]
pub(super) struct Child {
    /// The child's first entry: where to go down is decided without looking at the child.
    pub(super) first: Entry,
    /// Entries below.
    pub(super) count: usize,
    pub(super) node: Node,
}

pub(super) enum Node {
    Leaf(Box<Leaf>),
    /// Never empty, and never more than [`INNER_MAX`], which is its capacity from the start.
    Inner(Vec<Child>),
}

impl Clone for Node {
    fn clone(&self) -> Self {
        match self {
            Node::Leaf(leaf) => Node::Leaf(leaf.clone()),
            Node::Inner(children) => {
                let mut copy = inner();
                copy.extend_from_slice(children);
                Node::Inner(copy)
            }
        }
    }
}

/// Where in the whole tree an entry is added. Entries that come in order leave full nodes behind
/// instead of half full ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Front,
    Middle,
    Back,
}

/// How many nodes there are, to know what memory they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) leaves: usize,
    pub(super) inners: usize,
}

impl Census {
    pub(super) fn bytes(self) -> usize {
        self.leaves * usable(size_of::<Leaf>())
            + self.inners * usable(INNER_MAX * size_of::<Child>())
    }
}

impl Leaf {
    pub(super) fn new() -> Box<Self> {
        Box::new(Leaf { scores: [0.0; LEAF_MAX], ids: [0; LEAF_MAX], len: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: usize) -> Option<Entry> {
        (at < self.len).then(|| Entry { score: self.scores[at], id: self.ids[at] })
    }

    pub(super) fn set(&mut self, at: usize, entry: Entry) {
        self.scores[at] = entry.score;
        self.ids[at] = entry.id;
    }

    fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        let ids = &self.ids[..self.len];
        self.scores.iter().zip(ids).map(|(&score, &id)| Entry { score, id })
    }

    /// How many entries are `before` a place; those that are come first.
    fn partition(&self, before: &impl Fn(Entry) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(Entry { score: self.scores[middle], id: self.ids[middle] }) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Adds an entry to a leaf that is not full.
    fn insert(&mut self, at: usize, entry: Entry) {
        self.scores.copy_within(at..self.len, at + 1);
        self.ids.copy_within(at..self.len, at + 1);
        self.len += 1;
        self.set(at, entry);
    }

    fn remove(&mut self, range: Range<usize>) {
        self.scores.copy_within(range.end..self.len, range.start);
        self.ids.copy_within(range.end..self.len, range.start);
        self.len -= range.len();
    }

    /// Moves the entries from `at` on to the front of `right`, for which there must be room.
    fn spill(&mut self, at: usize, right: &mut Leaf) {
        let count = self.len - at;
        right.scores.copy_within(..right.len, count);
        right.ids.copy_within(..right.len, count);
        right.scores[..count].copy_from_slice(&self.scores[at..self.len]);
        right.ids[..count].copy_from_slice(&self.ids[at..self.len]);
        right.len += count;
        self.len = at;
    }

    /// Takes the first `count` entries of `right` over, for which there must be room.
    fn pull(&mut self, count: usize, right: &mut Leaf) {
        self.scores[self.len..self.len + count].copy_from_slice(&right.scores[..count]);
        self.ids[self.len..self.len + count].copy_from_slice(&right.ids[..count]);
        self.len += count;
        right.remove(0..count);
    }
}

impl Child {
    fn of(node: Node) -> Self {
        Child { first: node.first(), count: node.count(), node }
    }

    /// Brings what is known about the node up to date.
    fn refresh(&mut self) {
        self.first = self.node.first();
        self.count = self.node.count();
    }
}

/// An inner node with nothing in it yet. It is made once and never grows.
fn inner() -> Vec<Child> {
    Vec::with_capacity(INNER_MAX)
}

impl Node {
    pub(super) fn empty(census: &mut Census) -> Self {
        census.leaves += 1;
        Node::Leaf(Leaf::new())
    }

    /// An inner node above two others.
    pub(super) fn above(left: Node, right: Node, census: &mut Census) -> Self {
        census.inners += 1;
        let mut children = inner();
        children.push(Child::of(left));
        children.push(Child::of(right));
        Node::Inner(children)
    }

    /// The first entry; one that means nothing if there is none.
    fn first(&self) -> Entry {
        match self {
            Node::Leaf(leaf) => Entry { score: leaf.scores[0], id: leaf.ids[0] },
            Node::Inner(children) => children[0].first,
        }
    }

    /// Number of entries below.
    pub(super) fn count(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len,
            Node::Inner(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    /// How many entries are `before` a place; those that are come first.
    pub(super) fn partition(&self, before: &impl Fn(Entry) -> bool) -> usize {
        let mut node = self;
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.partition(before),
                Node::Inner(children) => {
                    let at = children.partition_point(|child| before(child.first));
                    let at = at.saturating_sub(1);
                    rank += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
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
                Node::Leaf(leaf) => return (rest < leaf.len).then_some((leaf, rest)),
                Node::Inner(children) => {
                    let at = children.iter().position(|child| {
                        let here = rest < child.count;
                        rest -= if here { 0 } else { child.count };
                        here
                    });
                    node = &children[at?].node;
                }
            }
        }
    }

    /// Puts another entry in the place of the one at `rank`. The recursion is as deep as the tree.
    pub(super) fn set(&mut self, rank: usize, entry: Entry) {
        match self {
            Node::Leaf(leaf) => leaf.set(rank, entry),
            Node::Inner(children) => {
                let (at, rest) = descend(children, rank);
                children[at].node.set(rest, entry);
                children[at].first = children[at].node.first();
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
            Node::Leaf(leaf) if leaf.len < LEAF_MAX => {
                leaf.insert(rank, entry);
                None
            }
            Node::Leaf(leaf) => {
                census.leaves += 1;
                Some(Node::Leaf(split_leaf(leaf, rank, entry, edge)))
            }
            Node::Inner(children) => {
                // Between two children is at the end of the first, so that appending is.
                let (at, rest) = match rank.checked_sub(1) {
                    Some(before) => {
                        let (at, rest) = descend(children, before);
                        (at, rest + 1)
                    }
                    None => (0, 0),
                };
                let split = children[at].node.insert(rest, entry, edge, census);
                children[at].refresh();
                let new = Child::of(split?);
                if children.len() < INNER_MAX {
                    children.insert(at + 1, new);
                    return None;
                }
                census.inners += 1;
                Some(Node::Inner(split_inner(children, at + 1, new, edge)))
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
        let children = match self {
            Node::Leaf(leaf) => {
                leaf.iter().take(range.end).skip(range.start).for_each(visit);
                return leaf.remove(range);
            }
            Node::Inner(children) => children,
        };
        let mut start = 0;
        let mut touched = None;
        let mut gone = 0..0;
        for (at, child) in children.iter_mut().enumerate() {
            let end = start + child.count;
            let part = range.start.max(start)..range.end.min(end);
            if !part.is_empty() {
                touched.get_or_insert(at);
                if part == (start..end) {
                    child.node.leave(visit, census);
                    gone = if gone.is_empty() { at..at + 1 } else { gone.start..at + 1 };
                } else {
                    child.node.remove(part.start - start..part.end - start, visit, census);
                    child.refresh();
                }
            }
            start = end;
        }
        children.drain(gone);
        // The children that lost a part stand here, side by side.
        let seam = touched.unwrap_or(0);
        for at in [seam + 1, seam] {
            if children.get(at).is_some_and(|child| child.node.is_light()) {
                mend(children, at, census);
            }
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
            Node::Inner(children) => {
                census.inners -= 1;
                children.iter().for_each(|child| child.node.leave(visit, census));
            }
        }
    }

    fn is_light(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.len < LEAF_MAX / LIGHT_SHARE,
            Node::Inner(children) => children.len() < INNER_MAX / LIGHT_SHARE,
        }
    }
}

/// The child with the entry at `rank`, and the entry's rank in it.
fn descend(children: &[Child], rank: usize) -> (usize, usize) {
    let mut rest = rank;
    for (at, child) in children.iter().enumerate() {
        if rest < child.count {
            return (at, rest);
        }
        rest -= child.count;
    }
    unreachable!("ranks are checked by the tree")
}

/// Adds an entry to a full leaf, which keeps the first part; the second is returned.
fn split_leaf(leaf: &mut Box<Leaf>, at: usize, entry: Entry, edge: Edge) -> Box<Leaf> {
    let mut right = Leaf::new();
    match edge {
        Edge::Back => right.insert(0, entry),
        Edge::Front => {
            mem::swap(leaf, &mut right);
            leaf.insert(0, entry);
        }
        Edge::Middle => {
            leaf.spill(LEAF_MAX / 2, &mut right);
            match at.checked_sub(leaf.len) {
                Some(rest) if rest > 0 => right.insert(rest, entry),
                _ => leaf.insert(at, entry),
            }
        }
    }
    right
}

/// Adds a child to a full inner node, which keeps the first part; the second is returned.
fn split_inner(children: &mut Vec<Child>, at: usize, new: Child, edge: Edge) -> Vec<Child> {
    let keep = match edge {
        Edge::Back => INNER_MAX - 1,
        Edge::Front => 1,
        Edge::Middle => INNER_MAX / 2,
    };
    let mut right = inner();
    right.extend(children.drain(keep..));
    match at.checked_sub(keep) {
        Some(rest) if rest > 0 => right.insert(rest, new),
        _ => children.insert(at, new),
    }
    right
}

/// Merges the light child `at` with a neighbour, or evens the two out. An only child stays as it
/// is: its parent is light too, and will get it neighbours.
fn mend(children: &mut Vec<Child>, at: usize, census: &mut Census) {
    let left = at.saturating_sub(1);
    let Some([a, b]) = children.get_mut(left..left + 2) else { return };
    match (&mut a.node, &mut b.node) {
        (Node::Leaf(one), Node::Leaf(two)) => {
            let total = one.len + two.len;
            let keep = if total <= LEAF_MAX { total } else { total / 2 };
            match keep.checked_sub(one.len) {
                Some(missing) => one.pull(missing, two),
                None => one.spill(keep, two),
            }
        }
        (Node::Inner(one), Node::Inner(two)) => {
            let total = one.len() + two.len();
            let keep = if total <= INNER_MAX { total } else { total / 2 };
            match keep.checked_sub(one.len()) {
                Some(missing) => one.extend(two.drain(..missing)),
                None => drop(two.splice(..0, one.drain(keep..))),
            }
        }
        _ => unreachable!("neighbours are of one kind"),
    }
    a.refresh();
    match &b.node {
        Node::Leaf(leaf) if leaf.len == 0 => census.leaves -= 1,
        Node::Inner(rest) if rest.is_empty() => census.inners -= 1,
        _ => return b.refresh(),
    }
    children.remove(left + 1);
}

#[cfg(test)]
impl Node {
    /// Checks what must hold in every node; returns its depth.
    pub(super) fn check(&self, is_root: bool, census: &mut Census) -> usize {
        match self {
            Node::Leaf(leaf) => {
                census.leaves += 1;
                assert!(is_root || leaf.len > 0, "only the root may be empty");
                1
            }
            Node::Inner(children) => {
                census.inners += 1;
                assert!(!children.is_empty() && children.len() <= INNER_MAX);
                assert!(!is_root || children.len() > 1, "a root branches");
                assert_eq!(children.capacity(), INNER_MAX, "made once");
                let depths: Vec<usize> = children
                    .iter()
                    .map(|child| {
                        assert_eq!(child.count, child.node.count());
                        assert_eq!(child.first, child.node.first());
                        child.node.check(false, census)
                    })
                    .collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]), "all leaves are level");
                depths[0] + 1
            }
        }
    }
}
