//! What readers see of a hash: the fields that have not expired.

use super::field::Field;
use super::pack::{self, PAIR, TRIPLET};
use super::{FieldTable, Packed};
use crate::Millis;
use crate::value::dict::{self, Slot};
use crate::value::distinct::Distinct;
use crate::value::listpack::{self, Element, Listpack};
use crate::value::sample::{Selection, below, is_sparse, ranks};

/// Draws before a random field is looked for one by one because most have expired.
const DRAWS_MAX: usize = 32;

/// A hash, as readers see it.
#[derive(Clone, Copy, Debug)]
pub enum HashRef<'a> {
    /// Few short fields that do not expire.
    Listpack(Listpack<'a>),
    /// Few short fields of which some may expire.
    Listpackex(Listpack<'a>),
    /// Anything.
    Table(&'a FieldTable),
}

/// A field with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The field.
    pub field: Element<'a>,
    /// Its value.
    pub value: Element<'a>,
    /// When it expires.
    pub expire_at: Option<Millis>,
}

impl<'a> Pair<'a> {
    fn of(slot: &'a Field) -> Self {
        let (field, value) = (Element::Bytes(slot.key()), Element::Bytes(slot.value()));
        Pair { field, value, expire_at: slot.expire_at() }
    }

    fn is_live(&self, now: Millis) -> bool {
        self.expire_at.is_none_or(|at| at >= now)
    }
}

impl<'a> HashRef<'a> {
    /// Reads bytes that [`Hash::packed`](super::Hash::packed) gave or [`HashRef::validate`]
    /// accepted.
    #[must_use]
    pub fn from_packed(form: Packed, bytes: &'a [u8]) -> Self {
        match form {
            Packed::Listpack => HashRef::Listpack(Listpack::new(bytes)),
            Packed::Listpackex => HashRef::Listpackex(Listpack::new(bytes)),
        }
    }

    /// Looks through bytes of unknown origin: whole fields, none twice, and expiries in order.
    /// `seed` is what a hash function depends on meanwhile.
    #[must_use]
    pub fn validate(form: Packed, bytes: &'a [u8], seed: u64) -> Option<Self> {
        let list = Listpack::validate(bytes)?;
        let size = if form == Packed::Listpack { PAIR } else { TRIPLET };
        let hash = HashRef::from_packed(form, bytes);
        let mut names = Distinct::new(seed);
        let valid = list.len().is_multiple_of(size)
            && hash.all().all(|pair| names.insert(pair.field))
            && hash.all().is_sorted_by_key(|pair| pair.expire_at.unwrap_or(Millis::MAX))
            && (form == Packed::Listpack || pack::has_expiries(list));
        valid.then_some(hash)
    }

    /// Number of fields. Counts the expired ones that are still there.
    #[must_use]
    pub fn len(self, now: Millis) -> usize {
        match self {
            HashRef::Listpack(list) => list.len() / PAIR,
            HashRef::Listpackex(_) => self.iter(now).count(),
            HashRef::Table(table) => table.fields().len() - table.expired(now),
        }
    }

    /// True if there are no fields. Constant time.
    #[must_use]
    pub fn is_empty(self, now: Millis) -> bool {
        match self {
            HashRef::Listpack(list) | HashRef::Listpackex(list) if list.is_empty() => true,
            HashRef::Table(table) if table.fields().is_empty() => true,
            _ => self.gone_at().is_some_and(|at| at < now),
        }
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(self) -> &'static str {
        match self {
            HashRef::Listpack(_) => "listpack",
            HashRef::Listpackex(_) => "listpackex",
            HashRef::Table(_) => "hashtable",
        }
    }

    /// When the next field expires, if one does. Constant time.
    #[must_use]
    pub fn next_expiry(self) -> Option<Millis> {
        match self {
            HashRef::Listpack(_) => None,
            HashRef::Listpackex(list) => pack::expiry(list, list.first()?),
            HashRef::Table(table) => table.next_expiry(),
        }
    }

    /// When the last field expires, if all do: after that the hash is empty. Constant time.
    #[must_use]
    pub fn gone_at(self) -> Option<Millis> {
        match self {
            HashRef::Listpack(_) => None,
            // Fields without an expiry are at the end.
            HashRef::Listpackex(list) => pack::as_expiry(list.element(list.last()?).as_i64()?),
            HashRef::Table(table) => table.gone_at(),
        }
    }

    /// The field with its value and its expiry.
    #[must_use]
    pub fn find(self, field: &[u8], now: Millis) -> Option<Pair<'a>> {
        let pair = match self {
            HashRef::Listpack(list) => {
                let at = pack::find(list, field, PAIR)?;
                Pairs::Listpack(list.iter_from(at)).next()?
            }
            HashRef::Listpackex(list) => {
                let at = pack::find(list, field, TRIPLET)?;
                Pairs::Listpackex(list.iter_from(at)).next()?
            }
            HashRef::Table(table) => Pair::of(table.fields().get(field)?),
        };
        pair.is_live(now).then_some(pair)
    }

    /// The value of a field.
    #[must_use]
    pub fn get(self, field: &[u8], now: Millis) -> Option<Element<'a>> {
        self.find(field, now).map(|pair| pair.value)
    }

    /// All fields: packed ones in the order in which they came, but sorted by expiry if some expire.
    pub fn iter(self, now: Millis) -> impl Iterator<Item = Pair<'a>> + use<'a> {
        self.all().filter(move |pair| pair.is_live(now))
    }

    /// A field that `random` picks.
    #[must_use]
    pub fn random(self, now: Millis, random: &mut impl FnMut() -> u64) -> Option<Pair<'a>> {
        if let HashRef::Table(table) = self {
            let draws = (0..DRAWS_MAX).filter_map(|_| table.fields().random(random()));
            if let Some(pair) = draws.map(Pair::of).find(|pair| pair.is_live(now)) {
                return Some(pair);
            }
        }
        let rank = below(random(), self.len(now));
        self.iter(now).nth(rank)
    }

    /// Hands `count` different random fields to `visit`, or all if there are no more.
    pub fn sample(
        self,
        count: usize,
        now: Millis,
        random: &mut impl FnMut() -> u64,
        visit: &mut dyn FnMut(Pair<'a>),
    ) {
        let len = self.len(now);
        match self {
            HashRef::Table(table) if is_sparse(count, len) && table.expired(now) == 0 => {
                ranks(count, len, random)
                    .into_iter()
                    .filter_map(|rank| table.fields().nth(rank).map(Pair::of))
                    .for_each(visit);
            }
            _ => {
                let mut selection = Selection::new(count, len);
                self.iter(now).filter(|_| selection.takes_next(random)).for_each(visit);
            }
        }
    }

    /// Visits about `count` fields from `cursor` on (0 = start) and returns the cursor to go on
    /// with (0 = end). A packed hash is visited as a whole.
    pub fn scan(
        self,
        cursor: u64,
        count: usize,
        now: Millis,
        visit: &mut dyn FnMut(Pair<'a>),
    ) -> u64 {
        if let HashRef::Table(table) = self {
            return table.fields().scan(cursor, count, &mut |slot| {
                let pair = Pair::of(slot);
                if pair.is_live(now) {
                    visit(pair);
                }
            });
        }
        self.iter(now).for_each(visit);
        0
    }

    /// All fields, whether or not they have expired.
    pub(super) fn all(self) -> Pairs<'a> {
        match self {
            HashRef::Listpack(list) => Pairs::Listpack(list.iter()),
            HashRef::Listpackex(list) => Pairs::Listpackex(list.iter()),
            HashRef::Table(table) => Pairs::Table(table.fields().iter()),
        }
    }
}

/// Iterator over the fields of a [`HashRef`].
pub(super) enum Pairs<'a> {
    Listpack(listpack::Iter<'a>),
    Listpackex(listpack::Iter<'a>),
    Table(dict::Iter<'a, Field>),
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        match self {
            Pairs::Listpack(elements) => {
                let (field, value) = (elements.next()?, elements.next()?);
                Some(Pair { field, value, expire_at: None })
            }
            Pairs::Listpackex(elements) => {
                let (field, value) = (elements.next()?, elements.next()?);
                let expire_at = elements.next()?.as_i64().and_then(pack::as_expiry);
                Some(Pair { field, value, expire_at })
            }
            Pairs::Table(slots) => slots.next().map(Pair::of),
        }
    }
}
