//! Sorted sets.

use std::borrow::Cow;

use super::payload::{Payload, Strings};
use super::reader::Reader;
use super::{Items, kind, old, packed};
use dunlin_storage::value::listpack::Element;

/// A sorted set in a payload.
#[derive(Debug)]
pub enum Body<'a> {
    /// A listpack of members with their scores, in order, no member twice.
    Listpack(Cow<'a, [u8]>),
    /// Members with their scores, in any order; the taker refuses what comes twice.
    Members(Items<'a, (Cow<'a, [u8]>, f64)>),
}

/// Reads a sorted set of this type.
pub(super) fn read(kind: u8, mut reader: Reader<'_>) -> Option<Body<'_>> {
    match kind {
        kind::SORTED_SET => {
            let smallest = 1 + size_of::<f64>();
            let members =
                Items::new(reader, smallest, |reader| Some((reader.string()?, reader.score()?)));
            members.map(Body::Members)
        }
        kind::SORTED_SET_TEXT => {
            let members =
                Items::new(reader, 2, |reader| Some((reader.string()?, reader.text_score()?)));
            members.map(Body::Members)
        }
        kind::SORTED_SET_ZIPLIST => listpack(old::ziplist(&reader.string()?)?.into()),
        _ => listpack(reader.string()?),
    }
}

fn listpack(bytes: Cow<'_, [u8]>) -> Option<Body<'_>> {
    packed::listpack(bytes, packed::is_sorted_set).map(Body::Listpack)
}

/// The payload of a sorted set that is a listpack.
#[must_use]
pub fn dump_listpack(strings: Strings, bytes: &[u8]) -> Payload {
    let mut payload = Payload::new(strings, kind::SORTED_SET_LISTPACK);
    payload.string(bytes);
    payload
}

/// The payload of any other sorted set. Redis writes the last member first: each one that it reads
/// then goes to the front.
pub fn dump<'a>(
    strings: Strings,
    members: impl IntoIterator<Item = (Element<'a>, f64)>,
) -> Payload {
    let mut payload = Payload::new(strings, kind::SORTED_SET);
    payload.items(members, |payload, (member, score)| {
        payload.element(member);
        payload.score(score);
    });
    payload
}
