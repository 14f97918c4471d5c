//! How the bytes of each type of value follow each other.

use super::Origin;
use crate::rdb::kind;

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A string, in any of its encodings.
    Text,
    /// A number in the encoding of lengths.
    Number,
    /// So many bytes.
    Bytes(usize),
    /// A score as text, after its length in one byte.
    Score,
    /// A number of times all these.
    Many(&'static [Part]),
}

use Part::{Bytes, Many, Number, Score, Text};

/// An identifier in a stream.
const ID: [Part; 2] = [Number, Number];
const PENDING: Part = Many(&[Bytes(16), Bytes(8), Number]);
const OWNED: Part = Many(&[Bytes(16)]);
const BLOCKS: Part = Many(&[Text, Text]);

/// Redis 5's; then with what 7.0 and 7.2 have added.
const STREAM: &[Part] = &[
    BLOCKS,
    Number,
    ID[0],
    ID[1],
    Many(&[Text, ID[0], ID[1], PENDING, Many(&[Text, Bytes(8), OWNED])]),
];
const STREAM_2: &[Part] = &[
    BLOCKS,
    Number,
    ID[0],
    ID[1],
    ID[0],
    ID[1],
    ID[0],
    ID[1],
    Number,
    Many(&[Text, ID[0], ID[1], Number, PENDING, Many(&[Text, Bytes(8), OWNED])]),
];
const STREAM_3: &[Part] = &[
    BLOCKS,
    Number,
    ID[0],
    ID[1],
    ID[0],
    ID[1],
    ID[0],
    ID[1],
    Number,
    Many(&[Text, ID[0], ID[1], Number, PENDING, Many(&[Text, Bytes(8), Bytes(8), OWNED])]),
];

/// The parts of a value of type `kind`; `None` if that is not known.
pub(super) fn of(kind: u8, origin: Origin) -> Option<&'static [Part]> {
    Some(match kind {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::SORTED_SET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::SORTED_SET_LISTPACK
        | kind::SET_LISTPACK => &[Text],
        kind::LIST | kind::SET | kind::LIST_ZIPLISTS => &[Many(&[Text])],
        kind::SORTED_SET_TEXT => &[Many(&[Text, Score])],
        kind::SORTED_SET => &[Many(&[Text, Bytes(8)])],
        kind::HASH => &[Many(&[Text, Text])],
        kind::LIST_LISTPACKS => &[Many(&[Number, Text])],
        kind::STREAM => STREAM,
        kind::STREAM_2 => STREAM_2,
        kind::STREAM_3 => STREAM_3,
        kind::HASH_EXPIRY => &[Bytes(8), Many(&[Number, Text, Text])],
        kind::HASH_LISTPACKEX => &[Bytes(8), Text],
        kind::HASH_VALKEY if origin == Origin::Valkey => &[Many(&[Text, Text, Bytes(8)])],
        _ => return None,
    })
}
