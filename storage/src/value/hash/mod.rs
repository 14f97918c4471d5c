//! Hashes: fields with values, and fields that expire.
//!
//! | form | OBJECT ENCODING | holds | where |
//! |---|---|---|---|
//! | listpack | `listpack` | few short fields | packed in the entry |
//! | listpackex | `listpackex` | the same, some with an expiry | packed in the entry |
//! | table | `hashtable` | anything | a [`FieldTable`] behind the entry |
//!
//! A hash starts as a listpack and moves down this list when a field does not fit ([`Limits`]) or
//! gets an expiry; it never moves up again. [`Hash`] is the form of a writer, [`HashRef`] what
//! everybody reads.
//!
//! A field is expired when `now` is later than its expiry, and then nobody sees it any more. It
//! goes when its name is used again, with the next change of a packed hash, or by
//! [`Hash::expire_fields`].

mod field;
mod pack;
mod table;
mod view;

use super::listpack::ListpackBuf;
use crate::Millis;
use pack::{PAIR, TRIPLET};

pub use table::FieldTable;
pub use view::{HashRef, Pair};

/// Bytes of an expiry in a listpack, at most.
const EXPIRY_MAX: usize = 10;

/// When a hash becomes a table, and what a table needs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `hash-max-listpack-entries`
    pub listpack_entries: usize,
    /// `hash-max-listpack-value`
    pub listpack_value: usize,
    /// What a table's hash function depends on; clients must not know it.
    pub seed: u64,
}

impl Limits {
    /// The thresholds of Redis 7.2.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { listpack_entries: 512, listpack_value: 64, seed }
    }
}

/// A form that is packed into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Pairs of field and value.
    Listpack,
    /// Triplets of field, value and expiry.
    Listpackex,
}

/// What setting a value does with the expiry of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// The field does not expire any more.
    Clear,
    /// It stays; a new field has none.
    Keep,
    /// The field expires then.
    At(Millis),
}

impl Ttl {
    /// The expiry of a field that had `old`.
    fn resolve(self, old: Option<Millis>) -> Option<Millis> {
        match self {
            Ttl::Clear => None,
            Ttl::Keep => old,
            Ttl::At(at) => Some(at),
        }
    }
}

/// A hash that can be changed.
#[derive(Clone, Debug)]
pub enum Hash {
    /// Few short fields that do not expire.
    Listpack(ListpackBuf),
    /// Few short fields of which some may expire.
    Listpackex(ListpackBuf),
    /// Anything.
    Table(Box<FieldTable>),
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash {
    /// An empty hash, in the smallest form.
    #[must_use]
    pub fn new() -> Self {
        Hash::Listpack(ListpackBuf::new())
    }

    /// A copy of packed bytes, which [`Hash::packed`] gave or [`HashRef::validate`] accepted.
    #[must_use]
    pub fn from_packed(form: Packed, bytes: &[u8]) -> Self {
        let list = ListpackBuf::from_bytes(bytes.to_vec());
        match form {
            Packed::Listpack => Hash::Listpack(list),
            Packed::Listpackex => Hash::Listpackex(list),
        }
    }

    /// The bytes of a packed form.
    #[must_use]
    pub fn packed(&self) -> Option<(Packed, &[u8])> {
        match self {
            Hash::Listpack(list) => Some((Packed::Listpack, list.view().as_bytes())),
            Hash::Listpackex(list) => Some((Packed::Listpackex, list.view().as_bytes())),
            Hash::Table(_) => None,
        }
    }

    /// The view to read it through.
    #[must_use]
    pub fn view(&self) -> HashRef<'_> {
        match self {
            Hash::Listpack(list) => HashRef::Listpack(list.view()),
            Hash::Listpackex(list) => HashRef::Listpackex(list.view()),
            Hash::Table(table) => HashRef::Table(table),
        }
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        self.view().encoding()
    }

    /// Makes ready for about `count` fields, with `longest` bytes in the longest name or value: what
    /// will be a table becomes one at once.
    pub fn prepare(&mut self, count: usize, longest: usize, limits: &Limits) {
        if count > limits.listpack_entries || longest > limits.listpack_value {
            self.become_table(limits);
        }
    }

    /// Sets the value of a field; whether the field is new.
    pub fn set(
        &mut self,
        field: &[u8],
        value: &[u8],
        ttl: Ttl,
        now: Millis,
        limits: &Limits,
    ) -> bool {
        self.expire_packed(now);
        if !self.has_room(field, value, limits) {
            return self.become_table(limits).set(field, value, ttl, now);
        }
        if matches!(ttl, Ttl::At(_)) {
            self.allow_expiry();
        }
        let is_new = match self {
            Hash::Listpack(list) => pack::set_pair(list, field, value),
            Hash::Listpackex(list) => pack::set_triplet(list, field, value, ttl),
            Hash::Table(table) => return table.set(field, value, ttl, now),
        };
        if is_new && self.packed_len() > limits.listpack_entries {
            self.become_table(limits);
        }
        is_new
    }

    /// Sets or takes away the expiry of a field; false if there is no such field.
    pub fn set_expiry(&mut self, field: &[u8], expire_at: Option<Millis>, now: Millis) -> bool {
        self.expire_packed(now);
        if self.view().find(field, now).is_none() {
            return false;
        }
        if expire_at.is_some() {
            self.allow_expiry();
        }
        match self {
            // It has no expiry, and gets none.
            Hash::Listpack(_) => {}
            Hash::Listpackex(list) => {
                if let Some(at) = pack::find(list.view(), field, TRIPLET) {
                    pack::set_expiry(list, at, expire_at);
                }
            }
            Hash::Table(table) => {
                table.set_expiry(field, expire_at, now);
            }
        }
        true
    }

    /// Removes a field; false if there was none.
    pub fn remove(&mut self, field: &[u8], now: Millis) -> bool {
        self.expire_packed(now);
        match self {
            Hash::Listpack(list) => pack::remove(list, field, PAIR),
            Hash::Listpackex(list) => pack::remove(list, field, TRIPLET),
            Hash::Table(table) => table.remove(field, now),
        }
    }

    /// Removes up to `max` expired fields; how many. Afterwards the earliest expiry
    /// ([`HashRef::next_expiry`]) says whether there are more.
    pub fn expire_fields(&mut self, now: Millis, max: usize) -> usize {
        match self {
            Hash::Listpack(_) => 0,
            Hash::Listpackex(list) => pack::expire(list, now, max),
            Hash::Table(table) => table.expire(now, max),
        }
    }

    /// Bytes behind the entry; a packed form has none there.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        match self {
            Hash::Listpack(_) | Hash::Listpackex(_) => 0,
            Hash::Table(table) => table.memory_usage(),
        }
    }

    /// Frees about `max` fields; whether some are left.
    pub fn shed(&mut self, max: usize) -> bool {
        match self {
            Hash::Listpack(_) | Hash::Listpackex(_) => false,
            Hash::Table(table) => table.shed(max),
        }
    }

    /// Whether a field of such a size may stay in the form that the hash has.
    fn has_room(&self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        let (Hash::Listpack(list) | Hash::Listpackex(list)) = self else { return true };
        let bytes = ListpackBuf::encoded_len(field) + ListpackBuf::encoded_len(value) + EXPIRY_MAX;
        field.len().max(value.len()) <= limits.listpack_value && list.fits(bytes)
    }

    /// Number of fields of a packed form.
    fn packed_len(&self) -> usize {
        match self {
            Hash::Listpack(list) => list.view().len() / PAIR,
            Hash::Listpackex(list) => list.view().len() / TRIPLET,
            Hash::Table(_) => 0,
        }
    }

    /// Removes the expired fields of a packed form, which is copied for a change anyway.
    fn expire_packed(&mut self, now: Millis) {
        if let Hash::Listpackex(list) = self {
            pack::expire(list, now, usize::MAX);
        }
    }

    /// Turns a listpack, whose fields cannot expire, into a listpackex.
    fn allow_expiry(&mut self) {
        if let Hash::Listpack(list) = self {
            *self = Hash::Listpackex(pack::with_expiries(list.view()));
        }
    }

    /// The hash as a table, into which it is turned if it is none yet.
    fn become_table(&mut self, limits: &Limits) -> &mut FieldTable {
        if !matches!(self, Hash::Table(_)) {
            let mut table = FieldTable::new(limits.seed);
            for pair in self.view().all() {
                let ttl = pair.expire_at.map_or(Ttl::Clear, Ttl::At);
                let (field, value) = (pair.field.to_vec(), pair.value.to_vec());
                table.set(&field, &value, ttl, Millis::MIN);
            }
            *self = Hash::Table(Box::new(table));
        }
        match self {
            Hash::Table(table) => table,
            Hash::Listpack(_) | Hash::Listpackex(_) => unreachable!("it has just become a table"),
        }
    }
}

#[cfg(test)]
mod tests;
