//! The lowest nodes, and what they have in common with the others.

use std::mem;
use std::ops::Range;

use arrayvec::ArrayVec;

use super::Entry;

/// Entries of a full leaf: what makes it one kibibyte.
pub(super) const LEAF_MAX: usize = 84;
/// A node with less than this share of what fits is light.
const LIGHT_SHARE: usize = 3;

/// Entries in order. Scores and ids are apart because together they would be padded, and because a
/// search mostly looks at scores.
#[derive(Clone, Default)]
pub(super) struct Leaf {
    scores: ArrayVec<f64, LEAF_MAX>,
    ids: ArrayVec<u32, LEAF_MAX>,
}

/// Where in the whole tree an entry is added. Entries that come in order leave full nodes behind
/// instead of half full ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Front,
    Middle,
    Back,
}

impl Leaf {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<Entry> {
        Some(Entry { score: *self.scores.get(at)?, id: *self.ids.get(at)? })
    }

    pub(super) fn set(&mut self, at: usize, entry: Entry) {
        self.scores[at] = entry.score;
        self.ids[at] = entry.id;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.scores.iter().zip(&self.ids).map(|(&score, &id)| Entry { score, id })
    }

    /// How many entries are `before` a place.
    pub(super) fn partition(&self, before: &impl Fn(Entry) -> bool) -> usize {
        let (scores, ids) = (&self.scores[..], &self.ids[..]);
        partition(ids.len(), |at| before(Entry { score: scores[at], id: ids[at] }))
    }

    pub(super) fn insert(&mut self, at: usize, entry: Entry) {
        self.scores.insert(at, entry.score);
        self.ids.insert(at, entry.id);
    }

    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.scores.drain(range.clone());
        self.ids.drain(range);
    }

    /// Adds an entry to a full leaf, which keeps the first part; the second is returned.
    pub(super) fn split(&mut self, at: usize, entry: Entry, edge: Edge) -> Box<Leaf> {
        let mut right = Box::<Leaf>::default();
        match edge {
            Edge::Back => right.insert(0, entry),
            Edge::Front => {
                mem::swap(self, &mut right);
                self.insert(0, entry);
            }
            Edge::Middle => {
                spill(&mut self.scores, LEAF_MAX / 2, &mut right.scores);
                spill(&mut self.ids, LEAF_MAX / 2, &mut right.ids);
                match at.checked_sub(self.len()) {
                    Some(rest) if rest > 0 => right.insert(rest, entry),
                    _ => self.insert(at, entry),
                }
            }
        }
        right
    }

    /// Merges with the right neighbour, or evens out.
    pub(super) fn mend(&mut self, right: &mut Leaf) {
        let keep = fair_share(self.len(), right.len(), LEAF_MAX);
        share(&mut self.scores, keep, &mut right.scores);
        share(&mut self.ids, keep, &mut right.ids);
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.scores.len(), self.ids.len());
    }
}

/// The first index in `0..len` that is not `before`; those that are come first.
pub(super) fn partition(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = usize::midpoint(low, high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Moves the items from `at` on to the front of `right`, for which there must be room.
fn spill<T, const N: usize>(left: &mut ArrayVec<T, N>, at: usize, right: &mut ArrayVec<T, N>) {
    let mut moving: ArrayVec<T, N> = left.drain(at..).collect();
    mem::swap(right, &mut moving);
    right.extend(moving);
}

/// Moves items between two neighbours so that the left one has `keep` of them.
pub(super) fn share<T, const N: usize>(
    left: &mut ArrayVec<T, N>,
    keep: usize,
    right: &mut ArrayVec<T, N>,
) {
    match keep.checked_sub(left.len()) {
        Some(missing) => left.extend(right.drain(..missing)),
        None => spill(left, keep, right),
    }
}

/// How many of `left` and `right` items the left one of two neighbours gets: all, if they fit.
pub(super) fn fair_share(left: usize, right: usize, most: usize) -> usize {
    let total = left + right;
    if total <= most { total } else { total / 2 }
}

/// Whether a node with `len` of at most `most` items should be merged.
pub(super) fn is_light(len: usize, most: usize) -> bool {
    len < most / LIGHT_SHARE
}
