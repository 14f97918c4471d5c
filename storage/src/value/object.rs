//! Collections of every kind, as entries hold them and as writers change them.
//!
//! A small collection is [`Packed`]: immutable bytes in the entry, read like a string. A large one
//! is an [`Object`] behind the entry, which only the holder of the shard's role looks into. A writer
//! always works on an [`Object`]: [`Writer::update`](crate::Writer::update) makes one of packed
//! bytes, and packs it again when it still fits.

use super::Kind;
use super::hash::{self, Hash, HashRef};
use super::list::{List, ListRef};
use super::set::{self, Set, SetRef};
use super::sorted_set::{SortedSet, SortedSetRef};
use super::stream::Stream;
use crate::Millis;
use crate::memory::usable;

/// A collection that its writer has in hand.
#[derive(Clone, Debug)]
pub enum Object {
    /// See [`list`](super::list).
    List(List),
    /// See [`set`](super::set).
    Set(Set),
    /// See [`hash`](super::hash).
    Hash(Hash),
    /// See [`sorted_set`](super::sorted_set).
    SortedSet(SortedSet),
    /// See [`stream`](super::stream).
    Stream(Stream),
}

/// The bytes of a small collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed<'a> {
    /// Of what kind it is.
    pub(crate) kind: Kind,
    /// Which of two packed forms a kind has: an intset, a listpackex.
    pub(crate) second: bool,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Of what kind it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The bytes, in Redis's format of its form.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(self) -> &'static str {
        match (self.kind, self.second) {
            (Kind::Set, true) => "intset",
            (Kind::Hash, true) => "listpackex",
            _ => "listpack",
        }
    }

    /// A list, if it is one.
    #[must_use]
    pub fn list(self) -> Option<ListRef<'a>> {
        (self.kind == Kind::List).then(|| ListRef::from_packed(self.bytes))
    }

    /// A set, if it is one.
    #[must_use]
    pub fn set(self) -> Option<SetRef<'a>> {
        let form = if self.second { set::Packed::Intset } else { set::Packed::Listpack };
        (self.kind == Kind::Set).then(|| SetRef::from_packed(form, self.bytes))
    }

    /// A hash, if it is one.
    #[must_use]
    pub fn hash(self) -> Option<HashRef<'a>> {
        let form = if self.second { hash::Packed::Listpackex } else { hash::Packed::Listpack };
        (self.kind == Kind::Hash).then(|| HashRef::from_packed(form, self.bytes))
    }

    /// A sorted set, if it is one.
    #[must_use]
    pub fn sorted_set(self) -> Option<SortedSetRef<'a>> {
        (self.kind == Kind::SortedSet).then(|| SortedSetRef::from_packed(self.bytes))
    }

    /// A copy that can be changed.
    pub(crate) fn to_object(self) -> Object {
        match self.kind {
            Kind::List => Object::List(List::from_packed(self.bytes)),
            Kind::Set => {
                let form = if self.second { set::Packed::Intset } else { set::Packed::Listpack };
                Object::Set(Set::from_packed(form, self.bytes))
            }
            Kind::Hash => {
                let form =
                    if self.second { hash::Packed::Listpackex } else { hash::Packed::Listpack };
                Object::Hash(Hash::from_packed(form, self.bytes))
            }
            Kind::SortedSet => Object::SortedSet(SortedSet::from_packed(self.bytes)),
            Kind::String | Kind::Stream => unreachable!("this kind has no packed form"),
        }
    }
}

impl Object {
    /// Of what kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Object::List(_) => Kind::List,
            Object::Set(_) => Kind::Set,
            Object::Hash(_) => Kind::Hash,
            Object::SortedSet(_) => Kind::SortedSet,
            Object::Stream(_) => Kind::Stream,
        }
    }

    /// Its bytes, if it is small enough.
    pub(crate) fn packed(&self) -> Option<Packed<'_>> {
        let (second, bytes) = match self {
            Object::Set(set) => {
                set.packed().map(|(form, bytes)| (form == set::Packed::Intset, bytes))?
            }
            Object::Hash(hash) => {
                hash.packed().map(|(form, bytes)| (form == hash::Packed::Listpackex, bytes))?
            }
            Object::List(list) => (false, list.packed()?),
            Object::SortedSet(set) => (false, set.packed()?),
            Object::Stream(_) => return None,
        };
        Some(Packed { kind: self.kind(), second, bytes })
    }

    /// True if nothing is in it, so that its key goes. A stream stays.
    #[must_use]
    pub fn is_gone(&self, now: Millis) -> bool {
        match self {
            Object::List(list) => list.is_empty(),
            Object::Set(set) => set.is_empty(),
            Object::Hash(hash) => hash.view().is_empty(now),
            Object::SortedSet(set) => set.is_empty(),
            Object::Stream(_) => false,
        }
    }

    /// Its bytes of memory, the object itself included.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        let inside = match self {
            Object::List(list) => list.memory_usage(),
            Object::Set(set) => set.memory_usage(),
            Object::Hash(hash) => hash.memory_usage(),
            Object::SortedSet(set) => set.memory_usage(),
            Object::Stream(stream) => stream.memory_usage(),
        };
        usable(size_of::<Object>()) + inside
    }

    /// Frees up to `max` parts; true if there is more.
    pub(crate) fn shed(&mut self, max: usize) -> bool {
        match self {
            Object::List(list) => list.shed(max),
            Object::Set(set) => set.shed(max),
            Object::Hash(hash) => hash.shed(max),
            Object::SortedSet(set) => set.shed(max),
            Object::Stream(stream) => stream.shed(max),
        }
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self {
            Object::List(list) => list.encoding(),
            Object::Set(set) => set.encoding(),
            Object::Hash(hash) => hash.encoding(),
            Object::SortedSet(set) => set.encoding(),
            Object::Stream(stream) => stream.encoding(),
        }
    }

    /// The list in it, if it is one.
    #[must_use]
    pub fn as_list(&self) -> Option<&List> {
        if let Object::List(list) = self { Some(list) } else { None }
    }

    /// The set in it, if it is one.
    #[must_use]
    pub fn as_set(&self) -> Option<&Set> {
        if let Object::Set(set) = self { Some(set) } else { None }
    }

    /// The hash in it, if it is one.
    #[must_use]
    pub fn as_hash(&self) -> Option<&Hash> {
        if let Object::Hash(hash) = self { Some(hash) } else { None }
    }

    /// The sorted set in it, if it is one.
    #[must_use]
    pub fn as_sorted_set(&self) -> Option<&SortedSet> {
        if let Object::SortedSet(set) = self { Some(set) } else { None }
    }

    /// The stream in it, if it is one.
    #[must_use]
    pub fn as_stream(&self) -> Option<&Stream> {
        if let Object::Stream(stream) = self { Some(stream) } else { None }
    }
}
