//! The large form: members in an arena, an index from member to id, and the order of the ids.
//!
//! ```text
//! member --index--> id --arena--> score, member
//!                    ^
//! rank ----order-----'            score and id, sorted by score, then member
//! ```

use std::ops::Range;

use super::arena::Arena;
use super::range::Part;
use super::tree::{self, Entry, Tree};
use crate::value::dict::Ids;

/// Members and scores, found by member, by rank and by score.
#[derive(Clone, Debug)]
pub struct Table {
    arena: Arena,
    index: Ids,
    order: Tree,
}

/// The rank that a member with this score has or would get.
fn place(order: &Tree, arena: &Arena, score: f64, member: &[u8]) -> usize {
    order.partition(|other| {
        other.score < score || other.score == score && arena.member(other.id) < member
    })
}

impl Table {
    /// An empty table. Clients must not know the seed of its hash function.
    pub(super) fn new(seed: u64) -> Self {
        Table { arena: Arena::new(), index: Ids::new(seed), order: Tree::new() }
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True if there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, member: &[u8]) -> Option<u32> {
        self.index.find(member, |id| self.arena.member(id))
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|id| self.arena.score(id))
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.place(score, member), score))
    }

    fn place(&self, score: f64, member: &[u8]) -> usize {
        place(&self.order, &self.arena, score, member)
    }

    /// The ranks of a part.
    pub(super) fn window(&self, part: &Part<'_>) -> Range<usize> {
        let (start, end) = match part {
            Part::Rank(ranks) => return ranks.within(self.len()),
            Part::Score(range) => (
                self.order.partition(|entry| range.is_below(entry.score)),
                self.order.partition(|entry| !range.is_above(entry.score)),
            ),
            Part::Lex(range) => (
                self.order.partition(|entry| range.is_below(self.arena.member(entry.id))),
                self.order.partition(|entry| !range.is_above(self.arena.member(entry.id))),
            ),
        };
        start..end.max(start)
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) {
        let rank = self.place(score, member);
        self.insert_at(rank, member, score);
    }

    /// Adds a member that is not there and comes behind all others.
    pub(super) fn push(&mut self, member: &[u8], score: f64) {
        self.insert_at(self.len(), member, score);
    }

    fn insert_at(&mut self, rank: usize, member: &[u8], score: f64) {
        let id = self.arena.insert(score, member);
        self.order.insert(rank, Entry { score, id });
        self.index.insert(id, |id| self.arena.member(id));
    }

    /// Hands the score of a member to `change` and gives it the score that comes back.
    pub(super) fn update(
        &mut self,
        member: &[u8],
        change: impl FnOnce(Option<f64>) -> Option<f64>,
    ) {
        let Some(id) = self.find(member) else {
            if let Some(score) = change(None) {
                self.insert(member, score);
            }
            return;
        };
        let old = self.arena.score(id);
        let Some(score) = change(Some(old)) else { return };
        let from = self.place(old, member);
        let to = self.place(score, member);
        // Many changes are small: the member stays between its neighbours.
        if to == from || to == from + 1 {
            self.order.set(from, Entry { score, id });
        } else {
            self.order.remove(from..from + 1, &mut |_| {});
            self.order.insert(if to > from { to - 1 } else { to }, Entry { score, id });
        }
        self.arena.set_score(id, score);
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let Some((rank, _)) = self.rank(member) else { return false };
        self.remove_ranks(rank..rank + 1);
        true
    }

    /// Removes the members of some ranks.
    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        let mut ids = Vec::with_capacity(ranks.len());
        self.order.remove(ranks, &mut |entry| ids.push(entry.id));
        for &id in &ids {
            self.index.remove(id, |id| self.arena.member(id));
        }
        let (order, index) = (&mut self.order, &mut self.index);
        self.arena.remove(&ids, |arena, old, new| {
            let (score, member) = arena.get(old);
            order.set(place(order, arena, score, member), Entry { score, id: new });
            index.renumber(member, old, new);
        });
    }

    /// The members of some ranks.
    pub(super) fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter { arena: &self.arena, entries: self.order.iter(ranks) }
    }

    /// As [`Dict::scan`](crate::value::dict::Dict::scan).
    pub(super) fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        visit: &mut dyn FnMut(&'a [u8], f64),
    ) -> u64 {
        self.index.scan(cursor, count, |id| self.arena.member(id), &mut |id| {
            let (score, member) = self.arena.get(id);
            visit(member, score);
        })
    }

    /// Bytes on the heap.
    pub(super) fn memory_usage(&self) -> usize {
        self.arena.memory_usage() + self.index.memory_usage() + self.order.memory_usage()
    }

    /// Frees about `max` members; whether some are left.
    pub(super) fn shed(&mut self, max: usize) -> bool {
        let len = self.order.len();
        self.order.remove(len.saturating_sub(max.max(1))..len, &mut |_| {});
        let more = self.index.shed(max);
        self.arena.shed(max) || more || self.order.len() > 0
    }
}

/// Members with their scores, in order, from either end.
#[derive(Clone, Debug)]
pub(super) struct Iter<'a> {
    arena: &'a Arena,
    entries: tree::Iter<'a>,
}

impl<'a> Iter<'a> {
    fn pair(&self, entry: Entry) -> (&'a [u8], f64) {
        (self.arena.member(entry.id), entry.score)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next().map(|entry| self.pair(entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.entries.next_back().map(|entry| self.pair(entry))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
impl Table {
    /// Checks that the three parts agree.
    pub(super) fn check(&self) {
        assert_eq!(self.index.memory_usage(), self.index.heap_bytes());
        let mut previous: Option<(&[u8], f64)> = None;
        for (rank, entry) in self.order.iter(0..self.len()).enumerate() {
            let (score, member) = self.arena.get(entry.id);
            assert_eq!(score, entry.score);
            assert_eq!(self.find(member), Some(entry.id));
            assert_eq!(self.place(score, member), rank);
            if let Some((other, below)) = previous.replace((member, score)) {
                assert!(below < score || below == score && other < member, "in order");
            }
        }
    }
}
