//! The parts of Redis's RDB format that DUMP and RESTORE carry between servers.
//!
//! A payload is one value with a footer:
//!
//! ```text
//! | type 1 | value ... | RDB version 2, little-endian | CRC-64 of all before 8, little-endian |
//! ```
//!
//! Every type of value has a module of the same shape: its `Body` is what [`load`] finds in a payload,
//! its `dump` functions write one. A body is either **packed**, the bytes of a listpack or intset that
//! were looked through (structure, order, no member twice) and can be stored as they are, or
//! [`Items`] that are read one by one. Whoever takes the items in refuses what comes twice; the set
//! or hash that is being filled knows. A stream has one form only and is read as a whole.
//!
//! Values are read from all servers since Redis 2.4 (whose ziplists and zipmaps become listpacks,
//! see `old`), and written so that all since 7.0 read them.

mod crc64;
pub mod file;
pub mod hash;
pub mod library;
pub mod list;
pub(crate) mod lzf;
pub mod object;
mod old;
mod packed;
mod payload;
mod reader;
pub mod set;
pub mod sorted_set;
pub mod stream;
mod string;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

pub use payload::{Payload, Strings};
pub use reader::Items;

use crate::config::directives::MAX_BULK;
use dunlin_storage::value::stream::Stream;
use reader::Reader;

/// Newest version that RESTORE takes: Redis 7.4's and 8.0's.
const NEWEST_VERSION: u16 = 12;
/// Longest string that is decoded: as long as a value can be, or a snapshot with it could not be loaded.
const MAX_STRING: usize = MAX_BULK;

const CHECKSUM: usize = 8;

/// The types of values.
mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const SORTED_SET_TEXT: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const SORTED_SET: u8 = 5;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const SORTED_SET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_ZIPLISTS: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const SORTED_SET_LISTPACK: u8 = 17;
    pub(super) const LIST_LISTPACKS: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
    /// In files of Valkey. Redis used the number for something else before 7.4 was released.
    pub(super) const HASH_VALKEY: u8 = 22;
    pub(super) const HASH_EXPIRY: u8 = 24;
    pub(super) const HASH_LISTPACKEX: u8 = 25;
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too short, too new, or damaged.
    Footer,
    /// The value is malformed or of a type that is not supported.
    Value,
}

/// The value in a payload.
#[derive(Debug)]
pub enum Value<'a> {
    /// A string.
    String(Cow<'a, [u8]>),
    /// A list.
    List(list::Body<'a>),
    /// A set.
    Set(set::Body<'a>),
    /// A sorted set.
    SortedSet(sorted_set::Body<'a>),
    /// A hash.
    Hash(hash::Body<'a>),
    /// A stream.
    Stream(Stream),
}

/// The payload of a string.
#[must_use]
pub fn dump_string(strings: Strings, bytes: &[u8]) -> Payload {
    let mut payload = Payload::new(strings, kind::STRING);
    payload.string(bytes);
    payload
}

/// What is before the bytes of a string of this length in a value: its type and length.
#[must_use]
pub fn string_front(length: usize) -> Vec<u8> {
    let mut front = vec![kind::STRING];
    string::put_number(&mut front, length as u64);
    front
}

/// Set by tests of servers that make damaged payloads.
static SKIP_CHECKSUMS: AtomicBool = AtomicBool::new(false);

/// Whether payloads are taken without a look at their checksums, for DEBUG. What is in them is looked
/// through in any case.
pub fn skip_checksums(skip: bool) {
    SKIP_CHECKSUMS.store(skip, Ordering::Relaxed);
}

/// Checks the footer of a payload and returns what is before it.
pub fn verify(payload: &[u8]) -> Result<&[u8], Refused> {
    let (checked, checksum) = payload.split_last_chunk::<CHECKSUM>().ok_or(Refused::Footer)?;
    let (value, version) = checked.split_last_chunk::<2>().ok_or(Refused::Footer)?;
    let good = u16::from_le_bytes(*version) <= NEWEST_VERSION
        && (SKIP_CHECKSUMS.load(Ordering::Relaxed)
            || crc64::crc64(checked) == u64::from_le_bytes(*checksum));
    if good { Ok(value) } else { Err(Refused::Footer) }
}

/// The value in a payload. Bytes between the value and the footer are ignored, as Redis does.
pub fn load(payload: &[u8]) -> Result<Value<'_>, Refused> {
    let (kind, body) = verify(payload)?.split_first().ok_or(Refused::Value)?;
    read(*kind, Reader::new(body)).ok_or(Refused::Value)
}

/// The value of type `kind` that these bytes of a file are ([`file::Record::Key`], or what is behind the
/// type in [`Payload::into_value`]).
pub fn read_value(kind: u8, body: &[u8]) -> Result<Value<'_>, Refused> {
    let reader = Reader::new(body);
    let value = match kind {
        kind::HASH_VALKEY => hash::read_valkey(reader).map(Value::Hash),
        _ => read(kind, reader),
    };
    value.ok_or(Refused::Value)
}

fn read(kind: u8, mut reader: Reader<'_>) -> Option<Value<'_>> {
    use kind::*;
    match kind {
        STRING => reader.string().map(Value::String),
        LIST | LIST_ZIPLIST | LIST_ZIPLISTS | LIST_LISTPACKS => {
            list::read(kind, reader).map(Value::List)
        }
        SET | SET_INTSET | SET_LISTPACK => set::read(kind, reader).map(Value::Set),
        SORTED_SET | SORTED_SET_TEXT | SORTED_SET_ZIPLIST | SORTED_SET_LISTPACK => {
            sorted_set::read(kind, reader).map(Value::SortedSet)
        }
        HASH | HASH_ZIPMAP | HASH_ZIPLIST | HASH_LISTPACK | HASH_EXPIRY | HASH_LISTPACKEX => {
            hash::read(kind, reader).map(Value::Hash)
        }
        STREAM | STREAM_2 | STREAM_3 => stream::read(kind, reader).map(Value::Stream),
        _ => None,
    }
}
