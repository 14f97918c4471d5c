//! A node of the trie: 64 slots of a hash, and the segments and nodes that share them.

use super::segment::{FULL, SPARSE, Segment};
use super::{CELL_BITS, CELL_END, Keys, cell_of};
use crate::memory::usable;

/// Bits of a hash that one level looks at.
const BITS: u32 = 6;
/// Slots of a node.
const SLOTS: u32 = 1 << BITS;
/// Levels of the trie at most: down to one cell per slot.
const LEVELS: u32 = CELL_BITS / BITS;

/// Children that share 64 slots. A child has the slots from its start to the next one's, which are
/// always as many as a power of two, aligned to it.
#[derive(Clone)]
pub(super) struct Node<T> {
    /// Bit `i`: a child starts at slot `i`. Bit 0 is always set.
    starts: u64,
    /// Elements below.
    len: usize,
    /// The children in the order of their starts.
    children: Vec<Child<T>>,
}

#[derive(Clone)]
pub(super) enum Child<T> {
    Leaf(Segment<T>),
    Branch(Box<Node<T>>),
}

/// The segment of a cell, and the cells from `from` to `to` that it holds.
pub(super) struct Place<'a, T> {
    pub(super) leaf: &'a Segment<T>,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The slot of `hash` in a node at `level`.
fn slot_of(hash: u64, level: u32) -> u32 {
    let shift = u64::BITS - BITS * (level + 1);
    ((hash >> shift) & u64::from(SLOTS - 1)) as u32
}

impl<T> Child<T> {
    fn len(&self) -> usize {
        match self {
            Child::Leaf(leaf) => leaf.len(),
            Child::Branch(node) => node.len,
        }
    }
}

impl<T> Node<T> {
    /// A node with one empty segment.
    pub(super) fn new() -> Self {
        Self { starts: 1, len: 0, children: vec![Child::Leaf(Segment::new())] }
    }

    /// Number of elements below.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn children(&self) -> std::slice::Iter<'_, Child<T>> {
        self.children.iter()
    }

    /// Bytes of the list of children.
    pub(super) fn own_bytes(&self) -> usize {
        usable(self.children.capacity() * size_of::<Child<T>>())
    }

    /// All bytes on the heap, counted one by one.
    pub(super) fn heap_bytes(&self, keys: &impl Keys<T>) -> usize {
        let children = self.children.iter().map(|child| match child {
            Child::Leaf(leaf) => leaf.all_bytes(keys),
            Child::Branch(node) => usable(size_of::<Self>()) + node.heap_bytes(keys),
        });
        self.own_bytes() + children.sum::<usize>()
    }

    /// The index of the child that has `slot`.
    fn index(&self, slot: u32) -> usize {
        let up_to_slot = u64::MAX >> (SLOTS - 1 - slot);
        (self.starts & up_to_slot).count_ones() as usize - 1
    }

    /// The slots of the child that has `slot`: the first one, and the first that is not its own.
    fn range(&self, slot: u32) -> (u32, u32) {
        let up_to_slot = u64::MAX >> (SLOTS - 1 - slot);
        let start = u64::BITS - 1 - (self.starts & up_to_slot).leading_zeros();
        let end = (self.starts & !up_to_slot).trailing_zeros();
        (start, end)
    }

    /// The segment that `hash` belongs to.
    pub(super) fn leaf(&self, hash: u64) -> &Segment<T> {
        let mut node = self;
        let mut level = 0;
        loop {
            match &node.children[node.index(slot_of(hash, level))] {
                Child::Leaf(leaf) => return leaf,
                Child::Branch(child) => node = child,
            }
            level += 1;
        }
    }

    /// The segment that `hash` belongs to.
    pub(super) fn leaf_mut(&mut self, hash: u64) -> &mut Segment<T> {
        let mut node = self;
        let mut level = 0;
        loop {
            let at = node.index(slot_of(hash, level));
            match &mut node.children[at] {
                Child::Leaf(leaf) => return leaf,
                Child::Branch(child) => node = child,
            }
            level += 1;
        }
    }

    /// The segment that `cell` belongs to, with its cells.
    pub(super) fn place(&self, cell: u64) -> Place<'_, T> {
        let hash = cell << (u64::BITS - CELL_BITS);
        let mut node = self;
        let mut from = 0;
        for level in 0.. {
            let slot = slot_of(hash, level);
            let (start, end) = node.range(slot);
            let cells_per_slot = CELL_END >> (BITS * (level + 1));
            let to = from + u64::from(end) * cells_per_slot;
            from += u64::from(start) * cells_per_slot;
            match &node.children[node.index(slot)] {
                Child::Leaf(leaf) => return Place { leaf, from, to },
                Child::Branch(child) => node = child,
            }
        }
        unreachable!("a segment ends every path")
    }

    /// The element at `rank`, counted through the children in order.
    pub(super) fn nth(&self, rank: usize) -> Option<&T> {
        let mut node = self;
        let mut rest = rank;
        'down: loop {
            for child in &node.children {
                if rest < child.len() {
                    match child {
                        Child::Leaf(leaf) => return leaf.iter().nth(rest),
                        Child::Branch(child) => node = child,
                    }
                    continue 'down;
                }
                rest -= child.len();
            }
            return None;
        }
    }

    /// Adds an element that is not there, after splitting its segment if that is full.
    pub(super) fn insert(&mut self, hash: u64, slot: T, keys: &impl Keys<T>, memory: &mut usize) {
        let mut node = self;
        let mut may_split = true;
        for level in 0.. {
            node.len += 1;
            let mut at = node.index(slot_of(hash, level));
            if may_split && node.children[at].is_full(level) {
                node.split(slot_of(hash, level), level, keys, memory);
                at = node.index(slot_of(hash, level));
                may_split = false;
            }
            match &mut node.children[at] {
                Child::Leaf(leaf) => {
                    let before = leaf.own_bytes();
                    leaf.insert(hash, slot, keys);
                    *memory = *memory + leaf.own_bytes() - before;
                    return;
                }
                Child::Branch(child) => node = child,
            }
        }
    }

    /// Removes the element with `hash` that is `wanted`, from this node at `level`. The depth of
    /// the recursion is that of the trie.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        wanted: &dyn Fn(&T) -> bool,
        level: u32,
        keys: &impl Keys<T>,
        memory: &mut usize,
    ) -> Option<T> {
        let slot = slot_of(hash, level);
        let at = self.index(slot);
        let removed = match &mut self.children[at] {
            Child::Leaf(leaf) => {
                let before = leaf.own_bytes();
                let removed = leaf.remove(hash, wanted, keys)?;
                *memory = *memory + leaf.own_bytes() - before;
                removed
            }
            Child::Branch(child) => child.remove(hash, wanted, level + 1, keys, memory)?,
        };
        self.len -= 1;
        self.merge(slot, keys, memory);
        Some(removed)
    }

    /// Splits the segment that has `slot`.
    fn split(&mut self, slot: u32, level: u32, keys: &impl Keys<T>, memory: &mut usize) {
        let at = self.index(slot);
        let Child::Leaf(leaf) = &mut self.children[at] else { return };
        let mut low = std::mem::replace(leaf, Segment::new());
        *memory -= low.own_bytes();
        let (start, end) = self.range(slot);
        if end - start == 1 {
            let len = low.len();
            let high = low.split(keys, |hash| slot_of(hash, level + 1) >= SLOTS / 2);
            *memory += low.own_bytes() + high.own_bytes();
            let children = vec![Child::Leaf(low), Child::Leaf(high)];
            let node = Node { starts: 1 | 1 << (SLOTS / 2), len, children };
            *memory += usable(size_of::<Self>()) + node.own_bytes();
            self.children[at] = Child::Branch(Box::new(node));
        } else {
            let middle = start + (end - start) / 2;
            let high = low.split(keys, |hash| slot_of(hash, level) >= middle);
            *memory += low.own_bytes() + high.own_bytes();
            self.children[at] = Child::Leaf(low);
            *memory -= self.own_bytes();
            self.children.insert(at + 1, Child::Leaf(high));
            *memory += self.own_bytes();
            self.starts |= 1 << middle;
        }
    }

    /// Undoes a split around `slot` if few elements are left there.
    fn merge(&mut self, slot: u32, keys: &impl Keys<T>, memory: &mut usize) {
        let at = self.index(slot);
        if let Child::Branch(child) = &mut self.children[at] {
            if let [Child::Leaf(only)] = &mut child.children[..] {
                let only = std::mem::replace(only, Segment::new());
                *memory -= usable(size_of::<Self>()) + child.own_bytes();
                self.children[at] = Child::Leaf(only);
            }
            return;
        }
        let (start, end) = self.range(slot);
        let width = end - start;
        if width == SLOTS {
            return;
        }
        let low = start & !width;
        let high = low + width;
        // The neighbour is whole only if it starts and ends where it should.
        if self.range(low) != (low, high) || self.range(high) != (high, high + width) {
            return;
        }
        let (at, next) = (self.index(low), self.index(high));
        if self.children[at].len() + self.children[next].len() > SPARSE {
            return;
        }
        if !matches!(&self.children[at..=next], [Child::Leaf(_), Child::Leaf(_)]) {
            return;
        }
        self.starts &= !(1 << high);
        *memory -= self.own_bytes();
        let right = self.children.remove(next);
        if self.children.len() * 4 <= self.children.capacity() {
            self.children.shrink_to(self.children.len() * 2);
        }
        *memory += self.own_bytes();
        if let (Child::Leaf(left), Child::Leaf(right)) = (&mut self.children[at], right) {
            *memory -= left.own_bytes() + right.own_bytes();
            left.absorb(right, keys);
            *memory += left.own_bytes();
        }
    }

    /// Visits `count` elements from the cell `cursor` on, and those that share a cell with the last
    /// one; returns the cell to go on with.
    pub(super) fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        keys: &impl Keys<T>,
        visit: &mut dyn FnMut(&'a T),
    ) -> u64 {
        let count = count.max(1);
        let mut seen = 0;
        let mut cell = cursor;
        while cell < CELL_END && seen < count {
            let Place { leaf, from, to } = self.place(cell);
            let wanted = count - seen;
            if cell == from && leaf.len() <= wanted {
                leaf.iter().for_each(&mut *visit);
                seen += leaf.len();
                cell = to;
                continue;
            }
            let cells = leaf.iter().map(|slot| (cell_of(keys.hash(slot)), slot));
            let mut rest: Vec<_> = cells.filter(|(at, _)| *at >= cell).collect();
            cell = if rest.len() <= wanted {
                to
            } else {
                rest.select_nth_unstable_by_key(wanted - 1, |(at, _)| *at).1.0 + 1
            };
            for (_, slot) in rest.into_iter().filter(|(at, _)| *at < cell) {
                seen += 1;
                visit(slot);
            }
        }
        if cell >= CELL_END { 0 } else { cell }
    }

    /// Empties the last segment that holds elements; how many those were.
    pub(super) fn shed_leaf(&mut self, keys: &impl Keys<T>, memory: &mut usize) -> usize {
        let Some(at) = self.children.iter().rposition(|child| child.len() > 0) else { return 0 };
        let freed = match &mut self.children[at] {
            Child::Leaf(leaf) => {
                *memory -= leaf.all_bytes(keys);
                std::mem::replace(leaf, Segment::new()).len()
            }
            Child::Branch(child) => {
                let freed = child.shed_leaf(keys, memory);
                if child.len == 0 {
                    *memory -= usable(size_of::<Self>()) + child.own_bytes();
                    self.children[at] = Child::Leaf(Segment::new());
                }
                freed
            }
        };
        self.len -= freed;
        freed
    }

    /// Checks what must hold in every node, and returns the elements below.
    #[cfg(test)]
    pub(super) fn check(&self, level: u32) -> usize {
        assert_eq!(self.starts & 1, 1);
        assert_eq!(self.starts.count_ones() as usize, self.children.len());
        assert!(level == 0 || self.children.len() > 1, "a branch branches");
        let mut slot = 0;
        let mut len = 0;
        for child in &self.children {
            let (start, end) = self.range(slot);
            assert!(start == slot && (end - start).is_power_of_two() && start % (end - start) == 0);
            len += match child {
                Child::Leaf(leaf) => leaf.len(),
                Child::Branch(node) => {
                    assert_eq!(end - start, 1);
                    node.check(level + 1)
                }
            };
            slot = end;
        }
        assert_eq!((slot, len), (SLOTS, self.len));
        len
    }
}

impl<T> Child<T> {
    /// Whether this is a segment at `level` that should be split before it takes another element.
    fn is_full(&self, level: u32) -> bool {
        matches!(self, Child::Leaf(leaf) if leaf.len() >= FULL && level + 1 < LEVELS)
    }
}
