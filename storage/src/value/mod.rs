//! Values: strings, and collections small and large.

pub mod dict;
mod distinct;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod index_range;
pub mod intset;
pub mod list;
pub mod listpack;
pub mod object;
pub mod rope;
mod sample;
pub mod set;
pub mod sorted_set;
pub mod stream;
pub mod string;

/// What kind of value a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A byte string.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A hash.
    Hash,
    /// A sorted set.
    SortedSet,
    /// A stream.
    Stream,
}

impl Kind {
    /// The name of the type, as TYPE answers it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Hash => "hash",
            Kind::SortedSet => "zset",
            Kind::Stream => "stream",
        }
    }
}

/// A value, as readers see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'g> {
    /// A byte string.
    Str(string::Str<'g>),
    /// A small collection.
    Packed(object::Packed<'g>),
    /// A large collection: [`Writer::object`](crate::Writer::object) looks into it.
    Large(Kind),
}
