//! Hashes, and hashes with fields that expire.

use std::borrow::Cow;

use super::payload::{Payload, Strings};
use super::reader::Reader;
use super::{Items, kind, old, packed};
use dunlin_storage::Millis;
use dunlin_storage::value::listpack::{Element, Listpack};

/// A hash in a payload.
#[derive(Debug)]
pub enum Body<'a> {
    /// A listpack of different fields with their values.
    Listpack(Cow<'a, [u8]>),
    /// A listpack of different fields with their values and expiries, the first to expire first,
    /// those that do not (0) at the end.
    Listpackex(Cow<'a, [u8]>),
    /// Fields; the taker refuses what comes twice.
    Fields(Items<'a, Field<'a>>),
}

/// A field of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: Cow<'a, [u8]>,
    /// Its value.
    pub value: Cow<'a, [u8]>,
    /// When it expires, which may be over.
    pub expire_at: Option<Millis>,
}

/// Reads a hash of this type.
pub(super) fn read(kind: u8, mut reader: Reader<'_>) -> Option<Body<'_>> {
    match kind {
        kind::HASH => {
            let fields = Items::new(reader, 2, |reader| {
                Some(Field { name: reader.string()?, value: reader.string()?, expire_at: None })
            });
            fields.map(Body::Fields)
        }
        kind::HASH_EXPIRY => {
            let soonest = expiry(&mut reader)?;
            // Snapshots of earlier versions have hashes of which no field was left.
            let fields = Items::or_none(reader, 3, move |reader| {
                let expire_at = match reader.number()? {
                    0 => None,
                    later => Some(soonest.checked_add(i64::try_from(later - 1).ok()?)?),
                };
                Some(Field { expire_at, name: reader.string()?, value: reader.string()? })
            });
            fields.map(Body::Fields)
        }
        kind::HASH_LISTPACKEX => {
            expiry(&mut reader)?;
            packed::listpack(reader.string()?, packed::is_hash_with_expiries).map(Body::Listpackex)
        }
        kind::HASH_ZIPMAP => listpack(old::zipmap(&reader.string()?)?.into()),
        kind::HASH_ZIPLIST => listpack(old::ziplist(&reader.string()?)?.into()),
        _ => listpack(reader.string()?),
    }
}

/// Reads a hash whose fields have times, as Valkey writes it.
pub(super) fn read_valkey(reader: Reader<'_>) -> Option<Body<'_>> {
    let fields = Items::new(reader, 10, |reader| {
        let (name, value) = (reader.string()?, reader.string()?);
        let expire_at = match reader.millis()? {
            NO_EXPIRY => None,
            at => Some(at).filter(|at| *at >= 0)?.into(),
        };
        Some(Field { name, value, expire_at })
    });
    fields.map(Body::Fields)
}

/// In place of a time in Valkey's hashes.
const NO_EXPIRY: Millis = -1;

fn listpack(bytes: Cow<'_, [u8]>) -> Option<Body<'_>> {
    packed::listpack(bytes, |list| packed::is_unique(list, packed::PAIR)).map(Body::Listpack)
}

/// When the first field expires.
fn expiry(reader: &mut Reader<'_>) -> Option<Millis> {
    reader.millis().filter(|at| *at >= 0)
}

/// The payload of a hash that is a listpack.
#[must_use]
pub fn dump_listpack(strings: Strings, bytes: &[u8]) -> Payload {
    let mut payload = Payload::new(strings, kind::HASH_LISTPACK);
    payload.string(bytes);
    payload
}

/// The payload of a hash that is a listpack with expiries. If no field expires it is one that
/// servers read which do not know of expiries.
#[must_use]
pub fn dump_listpackex(strings: Strings, bytes: &[u8]) -> Payload {
    let list = Listpack::new(bytes);
    match list.iter().nth(packed::TRIPLET - 1).and_then(Element::as_i64) {
        Some(soonest @ 1..) => {
            let mut payload = Payload::with_field_expiry(strings, kind::HASH_LISTPACKEX);
            payload.millis(soonest);
            payload.string(bytes);
            payload
        }
        _ => {
            let names = list.iter().step_by(packed::TRIPLET);
            let values = list.iter().skip(1).step_by(packed::TRIPLET);
            dump(strings, names.zip(values))
        }
    }
}

/// The payload of any other hash, without expiries.
pub fn dump<'a>(
    strings: Strings,
    fields: impl IntoIterator<Item = (Element<'a>, Element<'a>)>,
) -> Payload {
    let mut payload = Payload::new(strings, kind::HASH);
    payload.items(fields, |payload, (name, value)| {
        payload.element(name);
        payload.element(value);
    });
    payload
}

/// The payload of a hash with fields of which some expire, the first at `soonest`.
pub fn dump_expiring<'a>(
    strings: Strings,
    soonest: Millis,
    fields: impl IntoIterator<Item = (Element<'a>, Element<'a>, Option<Millis>)>,
) -> Payload {
    let mut payload = Payload::with_field_expiry(strings, kind::HASH_EXPIRY);
    payload.millis(soonest);
    payload.items(fields, |payload, (name, value, expire_at)| {
        // How much later than the first, plus one, so that 0 can say never.
        let later = expire_at.map_or(0, |at| at.abs_diff(soonest.min(at)).saturating_add(1));
        payload.number(later);
        payload.element(name);
        payload.element(value);
    });
    payload
}
