//! Sorted sets: members with scores, in the order of the scores, then of the members.
//!
//! | form | OBJECT ENCODING | holds | where |
//! |---|---|---|---|
//! | listpack | `listpack` | few short members, each followed by its score | packed in the entry |
//! | table | `skiplist` | anything | a [`Table`] behind the entry |
//!
//! A sorted set starts as a listpack and becomes a table when a member does not fit ([`Limits`]); it
//! never goes back. [`SortedSet`] is the form of a writer, [`SortedSetRef`] what everybody reads.
//!
//! Questions about ranges of scores or members become ranges of ranks first
//! ([`SortedSetRef::window`]); counting, reading, popping and removing then work on those.
//!
//! Scores are never NaN: callers refuse it.

mod algebra;
mod arena;
mod packed;
mod range;
mod score;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod view;

use std::ops::Range;

use super::listpack::{Element, ListpackBuf};
use crate::memory::usable;

pub use algebra::{Aggregate, Input, Source, intersect, intersection_len, subtract, unite};
pub use range::{LexBound, LexRange, Part, ScoreRange, mirrored};
pub use table::Table;
pub use view::{Members, SortedSetRef};

/// When a sorted set becomes a table, and what that needs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `zset-max-listpack-entries`
    pub listpack_entries: usize,
    /// `zset-max-listpack-value`
    pub listpack_value: usize,
    /// What a table's hash function depends on; clients must not know it.
    pub seed: u64,
}

impl Limits {
    /// The thresholds of Redis.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { listpack_entries: 128, listpack_value: 64, seed }
    }
}

/// A sorted set that can be changed.
#[derive(Clone, Debug)]
pub enum SortedSet {
    /// Few short members.
    Listpack(ListpackBuf),
    /// Anything.
    Table(Box<Table>),
}

/// Conditions of [`SortedSet::add`], as ZADD has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddOptions {
    /// Only members that are not there.
    pub nx: bool,
    /// Only members that are there.
    pub xx: bool,
    /// Change a score only to a greater one.
    pub gt: bool,
    /// Change a score only to a lower one.
    pub lt: bool,
    /// Add to the score there is.
    pub incr: bool,
}

/// What [`SortedSet::add`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added {
    /// The member is new and has this score.
    New(f64),
    /// The member has another score now: this one.
    Changed(f64),
    /// The member has this score already.
    Same(f64),
    /// The options forbid it.
    Refused,
    /// Nothing: the sum of the old score and the increment is not a number.
    NotANumber,
}

impl AddOptions {
    /// What to do with a member whose score is `old`, if it is there.
    fn decide(self, old: Option<f64>, score: f64) -> Added {
        let Some(old) = old else {
            return if self.xx { Added::Refused } else { Added::New(score) };
        };
        if self.nx {
            return Added::Refused;
        }
        let new = if self.incr { old + score } else { score };
        if new.is_nan() {
            Added::NotANumber
        } else if self.lt && new >= old || self.gt && new <= old {
            Added::Refused
        } else if new == old {
            Added::Same(old)
        } else {
            Added::Changed(new)
        }
    }
}

impl Added {
    /// The score to be stored, if anything is.
    fn to_store(self) -> Option<f64> {
        match self {
            Added::New(score) | Added::Changed(score) => Some(score),
            Added::Same(_) | Added::Refused | Added::NotANumber => None,
        }
    }
}

impl Default for SortedSet {
    fn default() -> Self {
        Self::new()
    }
}

impl SortedSet {
    /// An empty sorted set, in the small form.
    #[must_use]
    pub fn new() -> Self {
        SortedSet::Listpack(ListpackBuf::new())
    }

    /// A copy of packed bytes, which [`SortedSet::packed`] gave or
    /// [`SortedSetRef::validate`] accepted.
    #[must_use]
    pub fn from_packed(bytes: &[u8]) -> Self {
        SortedSet::Listpack(ListpackBuf::from_bytes(bytes.to_vec()))
    }

    /// The bytes of the packed form.
    #[must_use]
    pub fn packed(&self) -> Option<&[u8]> {
        match self {
            SortedSet::Listpack(list) => Some(list.view().as_bytes()),
            SortedSet::Table(_) => None,
        }
    }

    /// The view to read it through.
    #[must_use]
    pub fn view(&self) -> SortedSetRef<'_> {
        match self {
            SortedSet::Listpack(list) => SortedSetRef::Listpack(list.view()),
            SortedSet::Table(table) => SortedSetRef::Table(table),
        }
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// True if there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        self.view().encoding()
    }

    /// Makes ready for `count` members, of which `first` is one: many go to a table at once.
    pub fn prepare(&mut self, first: &[u8], count: usize, limits: &Limits) {
        let is_new = self.is_empty();
        if count > limits.listpack_entries || is_new && first.len() > limits.listpack_value {
            self.make_table(limits);
        }
    }

    /// Adds a member or changes its score, as far as the options allow.
    pub fn add(
        &mut self,
        member: &[u8],
        score: f64,
        options: AddOptions,
        limits: &Limits,
    ) -> Added {
        let mut added = Added::Refused;
        match self {
            SortedSet::Table(table) => table.update(member, |old| {
                added = options.decide(old, score);
                added.to_store()
            }),
            SortedSet::Listpack(list) => {
                let found = packed::find(list.view(), member);
                added = options.decide(found.map(|(_, score)| score), score);
                if let Some(score) = added.to_store() {
                    if let Some((at, _)) = found {
                        packed::remove(list, at);
                        packed::insert(list, member, score);
                    } else {
                        self.insert(member, score, limits);
                    }
                }
            }
        }
        added
    }

    /// Adds a member that is not there.
    fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) {
        if let SortedSet::Listpack(list) = self
            && packed::len(list.view()) < limits.listpack_entries
            && member.len() <= limits.listpack_value
            && packed::has_room(list, member)
        {
            return packed::insert(list, member, score);
        }
        self.make_table(limits).insert(member, score);
    }

    /// A sorted set of different members that come in order.
    pub fn from_sorted<'a>(
        pairs: impl IntoIterator<Item = (Element<'a>, f64)>,
        limits: &Limits,
    ) -> Self {
        let mut set = SortedSet::new();
        for (member, score) in pairs {
            member.with(|member| match &mut set {
                SortedSet::Table(table) => table.push(member, score),
                SortedSet::Listpack(_) => set.insert(member, score, limits),
            });
        }
        set
    }

    /// A sorted set of different members in any order.
    #[must_use]
    pub fn from_pairs<'a>(mut pairs: Vec<(Element<'a>, f64)>, limits: &Limits) -> Self {
        algebra::sort(&mut pairs);
        Self::from_sorted(pairs, limits)
    }

    /// Removes a member; false if it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            SortedSet::Listpack(list) => match packed::find(list.view(), member) {
                Some((at, _)) => {
                    packed::remove(list, at);
                    true
                }
                None => false,
            },
            SortedSet::Table(table) => table.remove(member),
        }
    }

    /// Removes the members of some ranks, as far as there are any. Takes O(log n) for each of
    /// them, because others move into their places in memory.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        let ranks = ranks.start..ranks.end.min(self.len());
        if ranks.is_empty() {
            return;
        }
        match self {
            SortedSet::Listpack(list) => packed::remove_ranks(list, ranks),
            SortedSet::Table(table) => table.remove_ranks(ranks),
        }
    }

    /// Bytes behind the entry; the packed form has none there.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        match self {
            SortedSet::Listpack(_) => 0,
            SortedSet::Table(table) => usable(size_of::<Table>()) + table.memory_usage(),
        }
    }

    /// Frees about `max` members; whether some are left. The set must not be used any more.
    pub fn shed(&mut self, max: usize) -> bool {
        match self {
            SortedSet::Listpack(_) => false,
            SortedSet::Table(table) => table.shed(max),
        }
    }

    /// The set as a table, into which it is turned if it is none yet.
    fn make_table(&mut self, limits: &Limits) -> &mut Table {
        if let SortedSet::Listpack(list) = self {
            let mut table = Table::new(limits.seed);
            for (member, score) in packed::iter(list.view(), 0..packed::len(list.view())) {
                member.with(|member| table.push(member, score));
            }
            *self = SortedSet::Table(Box::new(table));
        }
        match self {
            SortedSet::Table(table) => table,
            SortedSet::Listpack(_) => unreachable!("it has just become a table"),
        }
    }
}
