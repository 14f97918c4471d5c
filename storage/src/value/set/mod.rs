//! Sets: unordered collections of different byte strings.
//!
//! | form | OBJECT ENCODING | holds | where |
//! |---|---|---|---|
//! | intset | `intset` | integers only, few | packed in the entry |
//! | listpack | `listpack` | few short strings | packed in the entry |
//! | table | `hashtable` | anything | a [`Dict`] behind the entry |
//!
//! A set starts in the smallest form that its first member allows and moves down this list when a
//! member does not fit ([`Limits`]); it never moves up again. [`Set`] is the form of a writer,
//! [`SetRef`] what everybody reads.

mod algebra;
mod view;

use super::dict::{Dict, Slot};
use super::intset::IntsetBuf;
use super::listpack::ListpackBuf;
use super::sample::{Selection, below};
use super::string::canonical_i64;
use crate::memory::usable;

pub use algebra::{intersect, subtract, unite};
pub use view::{Members, SetRef};

/// Bytes of an integer in a listpack, at most.
const LISTPACK_INT_MAX: usize = 10;
/// Intsets do not grow beyond this, whatever the limit says.
const INTSET_ENTRIES_MAX: usize = 1 << 30;
/// If fewer members than this share of the popped ones stay, they move to a new set.
const POP_MOVE_SHARE: usize = 5;

/// When a set becomes a larger form, and what a table needs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `set-max-intset-entries`
    pub intset_entries: usize,
    /// `set-max-listpack-entries`
    pub listpack_entries: usize,
    /// `set-max-listpack-value`
    pub listpack_value: usize,
    /// What a table's hash function depends on; clients must not know it.
    pub seed: u64,
}

impl Limits {
    /// The thresholds of Redis.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { intset_entries: 512, listpack_entries: 128, listpack_value: 64, seed }
    }
}

/// A form that is packed into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// See [`intset`](super::intset).
    Intset,
    /// See [`listpack`](super::listpack).
    Listpack,
}

/// A set that can be changed.
#[derive(Clone, Debug)]
pub enum Set {
    /// Few integers.
    Intset(IntsetBuf),
    /// Few short strings.
    Listpack(ListpackBuf),
    /// Anything.
    Table(Box<Dict<Member>>),
}

/// A member in a table.
#[derive(Clone, Debug)]
pub struct Member(Box<[u8]>);

impl Member {
    fn new(bytes: &[u8]) -> Self {
        Member(bytes.into())
    }
}

impl Slot for Member {
    fn key(&self) -> &[u8] {
        &self.0
    }

    fn heap_bytes(&self) -> usize {
        if self.0.is_empty() { 0 } else { usable(self.0.len()) }
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Set {
    /// An empty set, in the smallest form.
    #[must_use]
    pub fn new() -> Self {
        Set::Intset(IntsetBuf::new())
    }

    /// A copy of packed bytes, which [`Set::packed`] gave or [`SetRef::validate`] accepted.
    #[must_use]
    pub fn from_packed(form: Packed, bytes: &[u8]) -> Self {
        match form {
            Packed::Intset => Set::Intset(IntsetBuf::from_bytes(bytes.to_vec())),
            Packed::Listpack => Set::Listpack(ListpackBuf::from_bytes(bytes.to_vec())),
        }
    }

    /// The bytes of a packed form.
    #[must_use]
    pub fn packed(&self) -> Option<(Packed, &[u8])> {
        match self {
            Set::Intset(set) => Some((Packed::Intset, set.view().as_bytes())),
            Set::Listpack(list) => Some((Packed::Listpack, list.view().as_bytes())),
            Set::Table(_) => None,
        }
    }

    /// The view to read it through.
    #[must_use]
    pub fn view(&self) -> SetRef<'_> {
        match self {
            Set::Intset(set) => SetRef::Intset(set.view()),
            Set::Listpack(list) => SetRef::Listpack(list.view()),
            Set::Table(table) => SetRef::Table(table),
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

    /// Makes ready for about `count` members, of which `first` is one: many go to a table at once.
    pub fn prepare(&mut self, first: &[u8], count: usize, limits: &Limits) {
        if self.is_empty() {
            let is_number = canonical_i64(first).is_some();
            *self = if is_number && count <= limits.intset_entries {
                Set::new()
            } else if count <= limits.listpack_entries {
                Set::Listpack(ListpackBuf::new())
            } else {
                Set::Table(Box::new(Dict::new(limits.seed)))
            };
            return;
        }
        let too_many = match self {
            Set::Intset(_) => count > limits.intset_entries,
            Set::Listpack(_) => count > limits.listpack_entries,
            Set::Table(_) => false,
        };
        if too_many {
            self.become_table(limits);
        }
    }

    /// Adds a member; false if it was there.
    pub fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        match self {
            Set::Intset(set) => match canonical_i64(member) {
                Some(value) => {
                    let added = set.add(value);
                    if added && set.view().len() > limits.intset_entries.min(INTSET_ENTRIES_MAX) {
                        self.become_table(limits);
                    }
                    added
                }
                None => {
                    self.leave_intset(member, limits);
                    self.add(member, limits)
                }
            },
            Set::Listpack(list) => {
                let view = list.view();
                if view.first().and_then(|first| view.find(first, member, 0)).is_some() {
                    return false;
                }
                if view.len() < limits.listpack_entries
                    && member.len() <= limits.listpack_value
                    && list.fits(ListpackBuf::encoded_len(member))
                {
                    list.push(member);
                    return true;
                }
                self.become_table(limits).insert(Member::new(member));
                true
            }
            Set::Table(table) => table.insert_new(member, || Member::new(member)),
        }
    }

    /// Removes a member; false if it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Intset(set) => canonical_i64(member).is_some_and(|value| set.remove(value)),
            Set::Listpack(list) => {
                let view = list.view();
                match view.first().and_then(|first| view.find(first, member, 0)) {
                    Some(at) => list.remove(at, 1) > 0,
                    None => false,
                }
            }
            Set::Table(table) => table.remove(member).is_some(),
        }
    }

    /// Removes the member that `random` picks.
    pub fn pop(&mut self, random: u64) -> Option<Vec<u8>> {
        let member = self.view().nth(below(random, self.len()))?.to_vec();
        self.remove(&member);
        Some(member)
    }

    /// Removes `count` random members and hands each to `visit`.
    pub fn pop_many(
        &mut self,
        count: usize,
        limits: &Limits,
        random: &mut impl FnMut() -> u64,
        visit: &mut dyn FnMut(&[u8]),
    ) {
        let count = count.min(self.len());
        let staying = self.len() - count;
        match self {
            Set::Table(_) if staying * POP_MOVE_SHARE > count => {
                for member in (0..count).map_while(|_| self.pop(random())) {
                    visit(&member);
                }
            }
            Set::Table(table) => {
                let mut rest = Set::Listpack(ListpackBuf::new());
                for _ in 0..staying {
                    let Some(member) = table.random(random()).cloned() else { break };
                    table.remove(&member.0);
                    rest.add(&member.0, limits);
                }
                table.iter().for_each(|member| visit(&member.0));
                *self = rest;
            }
            _ => self.pop_many_packed(count, random, visit),
        }
    }

    /// The packed forms are gone through once.
    fn pop_many_packed(
        &mut self,
        count: usize,
        random: &mut impl FnMut() -> u64,
        visit: &mut dyn FnMut(&[u8]),
    ) {
        let mut popped = Selection::new(count, self.len());
        match self {
            Set::Intset(set) => {
                let mut rest = IntsetBuf::new();
                for value in set.view().iter() {
                    if popped.takes_next(random) {
                        visit(itoa::Buffer::new().format(value).as_bytes());
                    } else {
                        rest.add(value);
                    }
                }
                *set = rest;
            }
            Set::Listpack(list) => {
                let mut rest = ListpackBuf::new();
                for element in list.view() {
                    if popped.takes_next(random) {
                        element.with(&mut *visit);
                    } else {
                        element.with(|bytes| rest.push(bytes));
                    }
                }
                *list = rest;
            }
            Set::Table(_) => {}
        }
    }

    /// Bytes behind the entry; a packed form has none there.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        match self {
            Set::Intset(_) | Set::Listpack(_) => 0,
            Set::Table(table) => usable(size_of::<Dict<Member>>()) + table.memory_usage(),
        }
    }

    /// Frees about `max` members; whether some are left.
    pub fn shed(&mut self, max: usize) -> bool {
        match self {
            Set::Intset(_) | Set::Listpack(_) => false,
            Set::Table(table) => table.shed(max),
        }
    }

    /// Turns an intset, to which `member` cannot be added, into a larger form.
    fn leave_intset(&mut self, member: &[u8], limits: &Limits) {
        let Set::Intset(set) = self else { return };
        let set = set.view();
        let digits = |value: i64| itoa::Buffer::new().format(value).len();
        let longest = set.min().into_iter().chain(set.max()).map(digits).max().unwrap_or(0);
        let bytes = set.len() * LISTPACK_INT_MAX + ListpackBuf::encoded_len(member);
        let mut list = ListpackBuf::new();
        let fits = set.len() < limits.listpack_entries
            && member.len().max(longest) <= limits.listpack_value
            && list.fits(bytes);
        if !fits {
            self.become_table(limits);
            return;
        }
        for value in set.iter() {
            list.push(itoa::Buffer::new().format(value).as_bytes());
        }
        *self = Set::Listpack(list);
    }

    /// The set as a table, into which it is turned if it is none yet.
    fn become_table(&mut self, limits: &Limits) -> &mut Dict<Member> {
        if !matches!(self, Set::Table(_)) {
            let mut table = Dict::new(limits.seed);
            for member in self.view() {
                table.insert(Member(member.to_vec().into()));
            }
            *self = Set::Table(Box::new(table));
        }
        match self {
            Set::Table(table) => table,
            Set::Intset(_) | Set::Listpack(_) => unreachable!("it has just become a table"),
        }
    }
}

#[cfg(test)]
mod tests;
