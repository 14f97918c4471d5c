//! What readers of a sorted set see.

use std::ops::Range;

use super::packed;
use super::range::Part;
use super::table::{self, Table};
use crate::value::listpack::{Element, Listpack};
use crate::value::sample::{Selection, below, is_sparse, ranks};

/// A sorted set, as readers see it.
#[derive(Clone, Copy, Debug)]
pub enum SortedSetRef<'a> {
    /// Few short members.
    Listpack(Listpack<'a>),
    /// Anything.
    Table(&'a Table),
}

impl<'a> SortedSetRef<'a> {
    /// Reads packed bytes, which [`SortedSet::packed`](super::SortedSet::packed) gave or
    /// [`SortedSetRef::validate`] accepted.
    #[must_use]
    pub fn from_packed(bytes: &'a [u8]) -> Self {
        SortedSetRef::Listpack(Listpack::new(bytes))
    }

    /// Looks through packed bytes of unknown origin: a sound listpack of pairs, in order, with no
    /// member twice.
    #[must_use]
    pub fn validate(bytes: &'a [u8]) -> Option<Self> {
        let list = Listpack::validate(bytes)?;
        packed::is_sound(list).then_some(SortedSetRef::Listpack(list))
    }

    /// Number of members.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            SortedSetRef::Listpack(list) => packed::len(list),
            SortedSetRef::Table(table) => table.len(),
        }
    }

    /// True if there are no members.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(self) -> &'static str {
        match self {
            SortedSetRef::Listpack(_) => "listpack",
            SortedSetRef::Table(_) => "skiplist",
        }
    }

    /// The score of a member.
    #[must_use]
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            SortedSetRef::Listpack(list) => packed::find(list, member).map(|(_, score)| score),
            SortedSetRef::Table(table) => table.score(member),
        }
    }

    /// The rank of a member, counted from the lowest score, and its score.
    #[must_use]
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            SortedSetRef::Listpack(list) => packed::rank(list, member),
            SortedSetRef::Table(table) => table.rank(member),
        }
    }

    /// The ranks of a part, counted from the lowest score. `reverse` says that the part will be
    /// read from behind: that matters for [`Part::Lex`] when the scores differ, which has no
    /// meaning but a result.
    #[must_use]
    pub fn window(self, part: &Part<'_>, reverse: bool) -> Range<usize> {
        match self {
            SortedSetRef::Listpack(list) => packed::window(list, part, reverse),
            SortedSetRef::Table(table) => table.window(part),
        }
    }

    /// The members of some ranks with their scores, as far as there are any; from either end.
    #[must_use]
    pub fn range(self, ranks: Range<usize>) -> Members<'a> {
        Members(match self {
            SortedSetRef::Listpack(list) => Form::Listpack(packed::iter(list, ranks)),
            SortedSetRef::Table(table) => Form::Table(table.iter(ranks)),
        })
    }

    /// All members with their scores, in order.
    #[must_use]
    pub fn iter(self) -> Members<'a> {
        self.range(0..self.len())
    }

    /// The member at a rank, with its score.
    #[must_use]
    pub fn get(self, rank: usize) -> Option<(Element<'a>, f64)> {
        self.range(rank..rank.saturating_add(1)).next()
    }

    /// The member that `random` picks, with its score.
    #[must_use]
    pub fn random(self, random: u64) -> Option<(Element<'a>, f64)> {
        self.get(below(random, self.len()))
    }

    /// Hands `count` different random members to `visit`, or all if there are no more.
    pub fn sample(
        self,
        count: usize,
        random: &mut impl FnMut() -> u64,
        visit: &mut dyn FnMut(Element<'a>, f64),
    ) {
        let mut visit = |(member, score)| visit(member, score);
        if matches!(self, SortedSetRef::Table(_)) && is_sparse(count, self.len()) {
            let ranks = ranks(count, self.len(), random);
            ranks.into_iter().filter_map(|rank| self.get(rank)).for_each(visit);
        } else {
            let mut selection = Selection::new(count, self.len());
            self.iter().filter(|_| selection.takes_next(random)).for_each(&mut visit);
        }
    }

    /// Visits about `count` members from `cursor` on (0 = start) and returns the cursor to go on
    /// with (0 = end). A member that is there from the first step of a scan to its last is visited
    /// once. The small form is visited as a whole.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Element<'a>, f64)) -> u64 {
        match self {
            SortedSetRef::Listpack(_) => {
                self.iter().for_each(|(member, score)| visit(member, score));
                0
            }
            SortedSetRef::Table(table) => table.scan(cursor, count, &mut |member, score| {
                visit(Element::Bytes(member), score);
            }),
        }
    }
}

/// Members with their scores, in order, from either end.
#[derive(Clone, Debug)]
pub struct Members<'a>(Form<'a>);

#[derive(Clone, Debug)]
enum Form<'a> {
    Listpack(packed::Iter<'a>),
    Table(table::Iter<'a>),
}

impl<'a> Iterator for Members<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Form::Listpack(pairs) => pairs.next(),
            Form::Table(pairs) => {
                pairs.next().map(|(member, score)| (Element::Bytes(member), score))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Form::Listpack(pairs) => pairs.size_hint(),
            Form::Table(pairs) => pairs.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Members<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Form::Listpack(pairs) => pairs.next_back(),
            Form::Table(pairs) => {
                pairs.next_back().map(|(member, score)| (Element::Bytes(member), score))
            }
        }
    }
}

impl ExactSizeIterator for Members<'_> {}
