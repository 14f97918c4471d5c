//! What readers see of a set.

use super::{Member, Packed};
use crate::value::dict::{self, Dict, Slot};
use crate::value::distinct::Distinct;
use crate::value::intset::Intset;
use crate::value::listpack::{self, Element, Listpack};
use crate::value::sample::{Selection, below, is_sparse, ranks};
use crate::value::string::canonical_i64;

/// A set, as readers see it.
#[derive(Clone, Copy, Debug)]
pub enum SetRef<'a> {
    /// Few integers.
    Intset(Intset<'a>),
    /// Few short strings.
    Listpack(Listpack<'a>),
    /// Anything.
    Table(&'a Dict<Member>),
}

impl<'a> SetRef<'a> {
    /// Reads bytes that [`Set::packed`](super::Set::packed) gave or [`SetRef::validate`]
    /// accepted.
    #[must_use]
    pub fn from_packed(form: Packed, bytes: &'a [u8]) -> Self {
        match form {
            Packed::Intset => SetRef::Intset(Intset::new(bytes)),
            Packed::Listpack => SetRef::Listpack(Listpack::new(bytes)),
        }
    }

    /// Looks through bytes of unknown origin, in which no member may come twice. `seed` is what a
    /// hash function depends on meanwhile.
    #[must_use]
    pub fn validate(form: Packed, bytes: &'a [u8], seed: u64) -> Option<Self> {
        let set = match form {
            Packed::Intset => SetRef::Intset(Intset::validate(bytes)?),
            Packed::Listpack => SetRef::Listpack(Listpack::validate(bytes)?),
        };
        let mut members = Distinct::new(seed);
        set.iter().all(|member| members.insert(member)).then_some(set)
    }

    /// Number of members.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            SetRef::Intset(set) => set.len(),
            SetRef::Listpack(list) => list.len(),
            SetRef::Table(table) => table.len(),
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
            SetRef::Intset(_) => "intset",
            SetRef::Listpack(_) => "listpack",
            SetRef::Table(_) => "hashtable",
        }
    }

    /// True if `member` is one.
    #[must_use]
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            SetRef::Intset(set) => canonical_i64(member).is_some_and(|value| set.contains(value)),
            SetRef::Listpack(list) => {
                list.first().and_then(|first| list.find(first, member, 0)).is_some()
            }
            SetRef::Table(table) => table.contains(member),
        }
    }

    /// [`SetRef::contains`] for a member of another set.
    #[must_use]
    pub fn has(self, member: Element<'_>) -> bool {
        match (self, member) {
            (SetRef::Intset(set), Element::Int(value)) => set.contains(value),
            _ => member.with(|bytes| self.contains(bytes)),
        }
    }

    /// All members: of an intset in ascending order, of a listpack in the order in which they came.
    #[must_use]
    pub fn iter(self) -> Members<'a> {
        match self {
            SetRef::Intset(set) => Members::Intset(set, 0),
            SetRef::Listpack(list) => Members::Listpack(list.iter()),
            SetRef::Table(table) => Members::Table(table.iter()),
        }
    }

    /// The member at `rank` in the order of [`SetRef::iter`].
    #[must_use]
    pub fn nth(self, rank: usize) -> Option<Element<'a>> {
        match self {
            SetRef::Intset(set) => set.get(rank).map(Element::Int),
            SetRef::Listpack(list) => {
                let at = list.seek(i64::try_from(rank).ok()?)?;
                Some(list.element(at))
            }
            SetRef::Table(table) => table.nth(rank).map(|member| Element::Bytes(member.key())),
        }
    }

    /// The member that `random` picks.
    #[must_use]
    pub fn random(self, random: u64) -> Option<Element<'a>> {
        self.nth(below(random, self.len()))
    }

    /// Hands `count` different random members to `visit`, or all if there are no more.
    pub fn sample(
        self,
        count: usize,
        random: &mut impl FnMut() -> u64,
        visit: &mut dyn FnMut(Element<'a>),
    ) {
        if matches!(self, SetRef::Table(_)) && is_sparse(count, self.len()) {
            ranks(count, self.len(), random)
                .into_iter()
                .filter_map(|rank| self.nth(rank))
                .for_each(visit);
        } else {
            let mut selection = Selection::new(count, self.len());
            self.iter().filter(|_| selection.takes_next(random)).for_each(visit);
        }
    }

    /// Visits about `count` members from `cursor` on (0 = start) and returns the cursor to go on
    /// with (0 = end). A packed set is visited as a whole.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Element<'a>)) -> u64 {
        if let SetRef::Table(table) = self {
            return table.scan(cursor, count, &mut |member| visit(Element::Bytes(member.key())));
        }
        self.iter().for_each(visit);
        0
    }
}

impl<'a> IntoIterator for SetRef<'a> {
    type Item = Element<'a>;
    type IntoIter = Members<'a>;

    fn into_iter(self) -> Members<'a> {
        self.iter()
    }
}

/// Iterator over the members of a [`SetRef`].
#[derive(Debug)]
pub enum Members<'a> {
    /// The set and the rank of its next member.
    Intset(Intset<'a>, usize),
    /// The rest of a listpack.
    Listpack(listpack::Iter<'a>),
    /// The rest of a table.
    Table(dict::Iter<'a, Member>),
}

impl<'a> Iterator for Members<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            Members::Intset(set, rank) => {
                let value = set.get(*rank)?;
                *rank += 1;
                Some(Element::Int(value))
            }
            Members::Listpack(elements) => elements.next(),
            Members::Table(members) => members.next().map(|member| Element::Bytes(member.key())),
        }
    }
}
