//! Streams, with their consumer groups.
//!
//! Identifiers are two numbers in the encoding of lengths, or, where it says so, 16 bytes:
//!
//! ```text
//! blocks, then for each            base (a string of 16 bytes), listpack (a string)
//! entries
//! last identifier
//! first, greatest deleted          [2]   identifiers
//! entries ever added               [2]
//! groups, then for each
//!     name, last identifier
//!     entries read                 [2]   2^64-1 if unknown
//!     pending, then for each       identifier (16 bytes), time, deliveries
//!     consumers, then for each
//!         name, time when seen
//!         time when active         [3]   -1 if never
//!         pending, then for each   identifier (16 bytes)
//! ```
//!
//! What is marked came with the second or third type: Redis 5, 7.0 and 7.2 write the first, second
//! and third.
//!
//! Unlike the bodies of other values a stream is read as a whole: it has one form only, and what its
//! parts say of each other must agree.

use std::collections::BTreeMap;

use super::kind;
use super::payload::{Payload, Strings};
use super::reader::Reader;
use dunlin_storage::value::stream::{Group, Log, Stream, StreamId};

/// In place of how many entries a group has read: nobody knows.
const UNKNOWN: u64 = u64::MAX;
/// In place of when a consumer last got something: it never did.
const NEVER: i64 = -1;

/// For whom a stream is dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All servers from Redis 7.0 on. When a consumer last got something is left out; whoever reads
    /// that takes when it was last seen.
    Redis70,
    /// All servers from Redis 7.2 on.
    Redis72,
}

/// The payload of a stream.
#[must_use]
pub fn dump(strings: Strings, stream: &Stream, form: Form) -> Payload {
    let mut payload = match form {
        Form::Redis70 => Payload::new(strings, kind::STREAM_2),
        Form::Redis72 => Payload::with_active_times(strings, kind::STREAM_3),
    };
    let log = &stream.log;
    payload.items(log.blocks(), |payload, (base, block)| {
        payload.string(&base.to_bytes());
        payload.string(block);
    });
    payload.number(log.len());
    put_id(&mut payload, log.last_id());
    put_id(&mut payload, log.first_id());
    put_id(&mut payload, log.max_deleted_id());
    payload.number(log.entries_added());
    payload.items(stream.groups.iter(), |payload, (name, group)| {
        payload.string(name);
        put_group(payload, group, form);
    });
    payload
}

fn put_group(payload: &mut Payload, group: &Group, form: Form) {
    put_id(payload, group.last_id());
    payload.number(group.entries_read().map_or(UNKNOWN, i64::cast_unsigned));
    payload.items(group.pending(), |payload, (id, pending)| {
        payload.raw(&id.to_bytes());
        payload.millis(pending.delivered_at());
        payload.number(pending.deliveries());
    });
    payload.items(group.consumers(), |payload, (name, consumer)| {
        payload.string(name);
        payload.millis(consumer.seen_at());
        if form == Form::Redis72 {
            payload.millis(consumer.active_at().unwrap_or(NEVER));
        }
        payload.items(consumer.pending(), |payload, id| payload.raw(&id.to_bytes()));
    });
}

fn put_id(payload: &mut Payload, id: StreamId) {
    payload.number(id.ms);
    payload.number(id.seq);
}

/// Reads a stream of this type.
pub(super) fn read(kind: u8, mut reader: Reader<'_>) -> Option<Stream> {
    let mut stream = Stream { log: log(&mut reader, kind)?, ..Stream::new() };
    for _ in 0..reader.number()? {
        let name = reader.string()?;
        let group = group(&mut reader, kind, &stream.log)?;
        if !stream.groups.insert(&name, group) {
            return None;
        }
    }
    Some(stream)
}

fn log(reader: &mut Reader<'_>, kind: u8) -> Option<Log> {
    let mut log = Log::default();
    for _ in 0..reader.number()? {
        let base = StreamId::from_bytes((*reader.string()?).try_into().ok()?);
        if !log.restore_block(base, reader.string()?.into_owned()) {
            return None;
        }
    }
    if reader.number()? != log.len() {
        return None;
    }
    let last_id = id(reader)?;
    let (mut added, mut max_deleted_id) = (None, None);
    if kind != kind::STREAM {
        // The first identifier is known from the blocks.
        id(reader)?;
        max_deleted_id = Some(id(reader)?);
        added = Some(reader.number()?);
    }
    log.set_id(last_id, added, max_deleted_id).ok()?;
    Some(log)
}

fn group(reader: &mut Reader<'_>, kind: u8, log: &Log) -> Option<Group> {
    let last_id = id(reader)?;
    let entries_read = match kind {
        kind::STREAM => log.added_up_to(last_id),
        _ => Some(reader.number()?).filter(|read| *read != UNKNOWN).map(u64::cast_signed),
    };
    let mut group = Group::new(last_id, entries_read);
    // All that is pending comes first; the consumers' lists say whose it is.
    let mut pending = BTreeMap::new();
    for _ in 0..reader.number()? {
        let id = raw_id(reader)?;
        if pending.insert(id, (reader.millis()?, reader.number()?)).is_some() {
            return None;
        }
    }
    for _ in 0..reader.number()? {
        let name = reader.string()?;
        let seen_at = reader.millis()?;
        let active_at = match kind {
            kind::STREAM_3 => Some(reader.millis()?).filter(|at| *at != NEVER),
            _ => Some(seen_at),
        };
        if !group.restore_consumer(&name, seen_at, active_at) {
            return None;
        }
        for _ in 0..reader.number()? {
            let id = raw_id(reader)?;
            let (delivered_at, deliveries) = pending.remove(&id)?;
            if !group.restore_pending(id, &name, delivered_at, deliveries) {
                return None;
            }
        }
    }
    pending.is_empty().then_some(group)
}

/// An identifier as two numbers.
fn id(reader: &mut Reader<'_>) -> Option<StreamId> {
    Some(StreamId::new(reader.number()?, reader.number()?))
}

/// An identifier as 16 bytes.
fn raw_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    reader.array().map(StreamId::from_bytes)
}
