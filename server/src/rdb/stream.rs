//! Streams, with their consumer groups.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::kind;
use super::payload::Payload;
use super::reader::Reader;
use dunlin_storage::Millis;
use dunlin_storage::value::listpack::Listpack;

/// In place of how many entries a group has read: nobody knows.
const UNKNOWN: u64 = u64::MAX;

/// Milliseconds and sequence number of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Milliseconds.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

/// A stream in a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body<'a> {
    /// Listpacks of entries, each with the identifier that its entries count from, in order. They are
    /// sound listpacks; what is in them the taker looks at.
    pub blocks: Vec<(Id, Cow<'a, [u8]>)>,
    /// How many entries there are.
    pub len: u64,
    /// Identifier of the last entry there ever was.
    pub last_id: Id,
    /// What servers before 7.0 do not count. Without it the taker estimates, also how many entries
    /// the groups have read.
    pub counters: Option<Counters>,
    /// Consumer groups of different names.
    pub groups: Vec<Group<'a>>,
}

/// What a stream knows of its past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Identifier of the first entry.
    pub first_id: Id,
    /// Largest identifier of an entry that was deleted.
    pub max_deleted_id: Id,
    /// How many entries there ever were.
    pub entries_added: u64,
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group<'a> {
    /// Its name.
    pub name: Cow<'a, [u8]>,
    /// Identifier of the last entry that was delivered.
    pub last_id: Id,
    /// How many entries were read, if that is known.
    pub entries_read: Option<i64>,
    /// Consumers of different names.
    pub consumers: Vec<Consumer<'a>>,
}

/// A consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer<'a> {
    /// Its name.
    pub name: Cow<'a, [u8]>,
    /// When it last tried something.
    pub seen_at: Millis,
    /// When it last got something. Only Redis 7.2 writes that; before, it is `seen_at`.
    pub active_at: Option<Millis>,
    /// The entries it has not acknowledged. No other consumer of the group has them.
    pub pending: Vec<Pending>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Which.
    pub id: Id,
    /// When it was last delivered.
    pub delivered_at: Millis,
    /// How often.
    pub deliveries: u64,
}

/// Reads a stream of this type.
pub(super) fn read(kind: u8, mut reader: Reader<'_>) -> Option<Body<'_>> {
    let blocks = blocks(&mut reader)?;
    let len = reader.number()?;
    let last_id = id(&mut reader)?;
    let counters = match kind {
        kind::STREAM => None,
        _ => Some(Counters {
            first_id: id(&mut reader)?,
            max_deleted_id: id(&mut reader)?,
            entries_added: reader.number()?,
        }),
    };
    if blocks.is_empty() && len > 0 {
        return None;
    }
    let mut names = HashSet::new();
    let mut groups = Vec::new();
    for _ in 0..reader.number()? {
        let group = group(&mut reader, kind)?;
        if !names.insert(group.name.clone()) {
            return None;
        }
        groups.push(group);
    }
    Some(Body { blocks, len, last_id, counters, groups })
}

fn blocks<'a>(reader: &mut Reader<'a>) -> Option<Vec<(Id, Cow<'a, [u8]>)>> {
    let mut blocks: Vec<(Id, Cow<'a, [u8]>)> = Vec::new();
    for _ in 0..reader.number()? {
        let key = reader.string()?;
        let mut key = Reader::new(&key);
        let base = raw_id(&mut key).filter(|_| key.len() == 0)?;
        let list = reader.string()?;
        let later = blocks.last().is_none_or(|(before, _)| *before < base);
        if !later || Listpack::validate(&list)?.is_empty() {
            return None;
        }
        blocks.push((base, list));
    }
    Some(blocks)
}

fn group<'a>(reader: &mut Reader<'a>, kind: u8) -> Option<Group<'a>> {
    let name = reader.string()?;
    let last_id = id(reader)?;
    let entries_read = match kind {
        kind::STREAM => None,
        _ => i64::try_from(reader.number()?).ok(),
    };
    // All that is pending comes first; the consumers' lists say whose it is.
    let mut pending = BTreeMap::new();
    for _ in 0..reader.number()? {
        let id = raw_id(reader)?;
        let (delivered_at, deliveries) = (reader.millis()?, reader.number()?);
        if pending.insert(id, Pending { id, delivered_at, deliveries }).is_some() {
            return None;
        }
    }
    let mut names = HashSet::new();
    let mut consumers = Vec::new();
    for _ in 0..reader.number()? {
        let consumer = consumer(reader, kind, &mut pending)?;
        if !names.insert(consumer.name.clone()) {
            return None;
        }
        consumers.push(consumer);
    }
    pending.is_empty().then_some(Group { name, last_id, entries_read, consumers })
}

/// Reads a consumer, who takes its entries out of those that are `pending`.
fn consumer<'a>(
    reader: &mut Reader<'a>,
    kind: u8,
    pending: &mut BTreeMap<Id, Pending>,
) -> Option<Consumer<'a>> {
    let name = reader.string()?;
    let seen_at = reader.millis()?;
    let active_at = match kind {
        kind::STREAM_3 => Some(reader.millis()?).filter(|at| *at >= 0),
        _ => Some(seen_at),
    };
    let mut own = Vec::new();
    for _ in 0..reader.number()? {
        own.push(pending.remove(&raw_id(reader)?)?);
    }
    Some(Consumer { name, seen_at, active_at, pending: own })
}

/// An identifier as two numbers.
fn id(reader: &mut Reader<'_>) -> Option<Id> {
    Some(Id { ms: reader.number()?, seq: reader.number()? })
}

/// An identifier as 16 bytes, whose order is that of the identifiers.
fn raw_id(reader: &mut Reader<'_>) -> Option<Id> {
    let [ms, seq] = [reader.array()?, reader.array()?].map(u64::from_be_bytes);
    Some(Id { ms, seq })
}

/// The payload of a stream, in Redis 7.0's type; without counters in the one before. When a
/// consumer last got something is lost.
#[must_use]
pub fn dump(stream: &Body<'_>) -> Vec<u8> {
    let kind = if stream.counters.is_some() { kind::STREAM_2 } else { kind::STREAM };
    let mut payload = Payload::new(kind);
    payload.items(&stream.blocks, |payload, (base, list)| {
        payload.string(&bytes_of(*base));
        payload.string(list);
    });
    payload.number(stream.len);
    put_id(&mut payload, stream.last_id);
    if let Some(counters) = stream.counters {
        put_id(&mut payload, counters.first_id);
        put_id(&mut payload, counters.max_deleted_id);
        payload.number(counters.entries_added);
    }
    payload.items(&stream.groups, |payload, group| put_group(payload, group, kind));
    payload.seal()
}

fn put_group(payload: &mut Payload, group: &Group<'_>, kind: u8) {
    payload.string(&group.name);
    put_id(payload, group.last_id);
    if kind != kind::STREAM {
        let read = group.entries_read.and_then(|read| u64::try_from(read).ok());
        payload.number(read.unwrap_or(UNKNOWN));
    }
    let mut pending: Vec<_> = group.consumers.iter().flat_map(|c| &c.pending).collect();
    pending.sort_unstable_by_key(|pending| pending.id);
    payload.items(pending, |payload, pending| {
        payload.raw(&bytes_of(pending.id));
        payload.millis(pending.delivered_at);
        payload.number(pending.deliveries);
    });
    payload.items(&group.consumers, |payload, consumer| {
        payload.string(&consumer.name);
        payload.millis(consumer.seen_at);
        payload.items(&consumer.pending, |payload, pending| payload.raw(&bytes_of(pending.id)));
    });
}

fn put_id(payload: &mut Payload, id: Id) {
    payload.number(id.ms);
    payload.number(id.seq);
}

fn bytes_of(id: Id) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}
