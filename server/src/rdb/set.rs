//! Sets.

use std::borrow::Cow;

use super::payload::{Payload, Strings};
use super::reader::Reader;
use super::{Items, kind, packed};
use dunlin_storage::value::intset::Intset;
use dunlin_storage::value::listpack::Element;

/// A set in a payload.
#[derive(Debug)]
pub enum Body<'a> {
    /// An intset.
    Intset(Cow<'a, [u8]>),
    /// A listpack of different members.
    Listpack(Cow<'a, [u8]>),
    /// Members; the taker refuses what comes twice.
    Members(Items<'a, Cow<'a, [u8]>>),
}

/// Reads a set of this type.
pub(super) fn read(kind: u8, mut reader: Reader<'_>) -> Option<Body<'_>> {
    match kind {
        kind::SET => Items::new(reader, 1, Reader::string).map(Body::Members),
        kind::SET_INTSET => {
            let bytes = reader.string()?;
            let set = Intset::validate(&bytes)?;
            (!set.is_empty()).then_some(Body::Intset(bytes))
        }
        _ => packed::listpack(reader.string()?, |list| packed::is_unique(list, 1))
            .map(Body::Listpack),
    }
}

/// The payload of a set that is an intset.
#[must_use]
pub fn dump_intset(strings: Strings, bytes: &[u8]) -> Payload {
    let mut payload = Payload::new(strings, kind::SET_INTSET);
    payload.string(bytes);
    payload
}

/// The payload of any other set. (Redis 7.2 has a type for listpacks, which 7.0 does not know.)
pub fn dump<'a>(strings: Strings, members: impl IntoIterator<Item = Element<'a>>) -> Payload {
    let mut payload = Payload::new(strings, kind::SET);
    payload.items(members, Payload::element);
    payload
}
