//! Streams as an RDB file encodes them.
//!
//! Numbers are in the form of lengths, identifiers are two numbers, times are eight bytes,
//! little-endian:
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
//! What is marked came with the second or third form: Redis 5, 7.0 and 7.2 write the first, second
//! and third.

use std::collections::BTreeMap;

use super::MAX_STRING;
use super::string::{self, Reader};
use dunlin_storage::value::stream::{Group, Log, Stream, StreamId};

/// The forms of a stream, which are types of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Without counters: Redis 5 and 6.
    First,
    /// With counters: Redis 7.0.
    Second,
    /// With the times when consumers were active: Redis 7.2.
    Third,
}

impl Form {
    /// The form that a type byte stands for.
    #[must_use]
    pub fn of_type(byte: u8) -> Option<Self> {
        match byte {
            15 => Some(Form::First),
            19 => Some(Form::Second),
            21 => Some(Form::Third),
            _ => None,
        }
    }

    /// The type byte.
    #[must_use]
    pub fn type_byte(self) -> u8 {
        match self {
            Form::First => 15,
            Form::Second => 19,
            Form::Third => 21,
        }
    }
}

/// The number that stands for an unknown count.
const UNKNOWN: u64 = u64::MAX;
/// The time that stands for never.
const NEVER: i64 = -1;

/// Appends a stream, without the type byte.
pub fn encode(out: &mut Vec<u8>, stream: &Stream, form: Form) {
    let log = &stream.log;
    let blocks = log.blocks();
    string::put_length(out, blocks.len());
    for (base, block) in blocks {
        string::encode(out, &base.to_bytes());
        string::encode(out, block);
    }
    string::put_number(out, log.len());
    put_id(out, log.last_id());
    if form >= Form::Second {
        put_id(out, log.first_id());
        put_id(out, log.max_deleted_id());
        string::put_number(out, log.entries_added());
    }
    string::put_length(out, stream.groups.len());
    for (name, group) in stream.groups.iter() {
        string::encode(out, name);
        put_group(out, group, form);
    }
}

fn put_group(out: &mut Vec<u8>, group: &Group, form: Form) {
    put_id(out, group.last_id());
    if form >= Form::Second {
        string::put_number(out, group.entries_read().map_or(UNKNOWN, i64::cast_unsigned));
    }
    string::put_length(out, group.pending().len());
    for (id, pending) in group.pending() {
        out.extend(id.to_bytes());
        out.extend(pending.delivered_at().to_le_bytes());
        string::put_number(out, pending.deliveries());
    }
    let consumers = group.consumers();
    string::put_length(out, consumers.len());
    for (name, consumer) in consumers {
        string::encode(out, name);
        out.extend(consumer.seen_at().to_le_bytes());
        if form >= Form::Third {
            out.extend(consumer.active_at().unwrap_or(NEVER).to_le_bytes());
        }
        string::put_length(out, consumer.pending().len());
        for id in consumer.pending() {
            out.extend(id.to_bytes());
        }
    }
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    string::put_number(out, id.ms);
    string::put_number(out, id.seq);
}

/// Decodes the stream at the front of `payload`, after the type byte, and returns it with what
/// follows it; `None` if anything in it is malformed or contradicts the rest.
#[must_use]
pub fn decode(payload: &[u8], form: Form) -> Option<(Stream, &[u8])> {
    let mut reader = Reader(payload);
    let mut stream = Stream { log: log(&mut reader, form)?, ..Stream::new() };
    for _ in 0..reader.number()? {
        let name = reader.string(MAX_STRING)?;
        let group = group(&mut reader, form, &stream.log)?;
        if !stream.groups.insert(&name, group) {
            return None;
        }
    }
    Some((stream, reader.0))
}

fn log(reader: &mut Reader<'_>, form: Form) -> Option<Log> {
    let mut log = Log::default();
    for _ in 0..reader.number()? {
        let base = StreamId::from_bytes((*reader.string(StreamId::BYTES)?).try_into().ok()?);
        let block = reader.string(MAX_STRING)?;
        if !log.restore_block(base, block.into_owned()) {
            return None;
        }
    }
    if reader.number()? != log.len() {
        return None;
    }
    let last_id = number_id(reader)?;
    let (mut added, mut max_deleted_id) = (None, None);
    if form >= Form::Second {
        // The first identifier is known from the blocks.
        number_id(reader)?;
        max_deleted_id = Some(number_id(reader)?);
        added = Some(reader.number()?);
    }
    log.set_id(last_id, added, max_deleted_id).ok()?;
    Some(log)
}

fn group(reader: &mut Reader<'_>, form: Form, log: &Log) -> Option<Group> {
    let last_id = number_id(reader)?;
    let entries_read = match form {
        Form::First => log.added_up_to(last_id),
        _ => Some(reader.number()?).filter(|read| *read != UNKNOWN).map(u64::cast_signed),
    };
    let mut group = Group::new(last_id, entries_read);
    let mut pending = BTreeMap::new();
    for _ in 0..reader.number()? {
        let id = plain_id(reader)?;
        let delivered_at = time(reader)?;
        if pending.insert(id, (delivered_at, reader.number()?)).is_some() {
            return None;
        }
    }
    for _ in 0..reader.number()? {
        let name = reader.string(MAX_STRING)?;
        let seen_at = time(reader)?;
        let active_at = match form {
            Form::Third => Some(time(reader)?).filter(|time| *time != NEVER),
            _ => Some(seen_at),
        };
        if !group.restore_consumer(&name, seen_at, active_at) {
            return None;
        }
        for _ in 0..reader.number()? {
            let id = plain_id(reader)?;
            let (delivered_at, deliveries) = pending.remove(&id)?;
            if !group.restore_pending(id, &name, delivered_at, deliveries) {
                return None;
            }
        }
    }
    // Every pending entry is somebody's.
    pending.is_empty().then_some(group)
}

fn number_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    Some(StreamId::new(reader.number()?, reader.number()?))
}

fn plain_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    reader.array().map(StreamId::from_bytes)
}

fn time(reader: &mut Reader<'_>) -> Option<i64> {
    reader.array().map(i64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_storage::value::stream::{Claim, Limits, NewId};

    /// What redis-server 7.0 dumps for [`example`], without type and footer.
    const REDIS: &[u8] = b"\x02\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01\x11p\xc3@N@U\x16U\0\0\0\x18\0\
        \x02\x01\x01\x01\x02\x01\x85field\x06\x81x\x02\0 \r\0\0 \x01\x0c\x01\x01\x86value1\x07\x05\
        \x01\x03 \r\x05\xf2p\x11\x01\x04\x02\xa0\x14\x002 \x14\0\x02 \x01\x05\xf2\xe0\"\x02\x04\x03\
        \xa0\x14\x003 \x14\0\xff\x10\0\0\0\0\0\0\0\x04\0\0\0\0\0\x04E\xc0@__\0\0\0\x19\0\x03\x01\0\
        \x01\x02\x01\x85field\x06\x81x\x02\0\x01\x02\x01\0\x01\0\x01\x04\x01\x86value4\x07\x05\x01\
        \x02\x01\x01\x01\xf2p\x11\x01\x04\x05\x01\x86value5\x07\x05\x01\0\x01\xf4\xfcg\xe5\xcf\x8b\
        \x01\0\0\t\xf2@\xba\xfb\x04\x01\x01\x85other\x06\x81y\x02\x06\x01\xff\x05\x81\0\0\x01\x8b\
        \xcf\xe5h\0\0\x01\x80\0\x01\x11p\x02\x80\0\x02\"\xe0\x06\x02\x01g\x04\x80\0\x04E\xc0\x81\
        \xff\xff\xff\xff\xff\xff\xff\xff\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01\x11p{h\xe5\xcf\x8b\x01\
        \0\0A,\0\0\0\0\0\0\0\x03\0\0\0\0\0\x034P\xc8i\xe5\xcf\x8b\x01\0\0\x02\0\0\0\0\0\0\0\x04\0\0\
        \0\0\0\x04E\xc0\x15k\xe5\xcf\x8b\x01\0\0\x02\x02\x05alice\x95\'8\x14\xa2\x01\0\0\x02\0\0\0\
        \0\0\0\0\x01\0\0\0\0\0\x01\x11p\0\0\0\0\0\0\0\x03\0\0\0\0\0\x034P\x03bob\x95\'8\x14\xa2\x01\
        \0\0\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\x04E\xc0\x0bother-group\x81\0\0\x01\x8b\xcf\xe5h\0\0\
        \x81\xff\xff\xff\xff\xff\xff\xff\xff\0\0";
    /// When the consumers of the example were seen.
    const SEEN: i64 = 1_795_635_554_197;

    /// Six entries in two blocks, one deleted, two groups with claimed entries.
    fn example() -> Stream {
        let limits = Limits { node_max_bytes: 4096, node_max_entries: 3 };
        let mut stream = Stream::new();
        let mut add = |id, fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            assert_eq!(stream.log.append(NewId::Exactly(id), fields, &limits, 0), Ok(id));
        };
        for i in 1..=5 {
            let (field, value) = (i.to_string(), format!("value{i}"));
            add(StreamId::new(i, i * 70_000), &[("field", &field), ("x", &value)]);
        }
        add(StreamId::new(1_700_000_000_000, 0), &[("other", "y")]);
        assert!(stream.log.delete(StreamId::new(2, 140_000)));
        assert!(stream.groups.insert(b"g", Group::new(StreamId::MIN, None)));
        let last = stream.log.last_id();
        assert!(stream.groups.insert(b"other-group", Group::new(last, None)));
        let Stream { log, groups } = &mut stream;
        groups.edit(b"g", |group| {
            assert!(group.create_consumer(b"bob", SEEN) && group.create_consumer(b"alice", SEEN));
            assert!(group.deliver(log, b"alice", 2, false, SEEN).is_some());
            assert!(group.deliver(log, b"bob", 1, false, SEEN).is_some());
            let claims = [
                (1, &b"alice"[..], 1_700_000_000_123, Some(300)),
                (3, b"alice", 1_700_000_000_456, None),
                (4, b"bob", 1_700_000_000_789, None),
            ];
            for (i, consumer, delivered_at, deliveries) in claims {
                let how = Claim {
                    consumer,
                    min_idle: 0,
                    delivered_at,
                    deliveries,
                    just_id: false,
                    force: false,
                };
                assert!(group.claim(log, StreamId::new(i, i * 70_000), &how, SEEN));
            }
        });
        stream
    }

    fn encoded(stream: &Stream, form: Form) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, stream, form);
        out
    }

    #[test]
    fn payload_of_redis() {
        assert_eq!(encoded(&example(), Form::Second), REDIS);
        let (stream, rest) = decode(REDIS, Form::Second).expect("a payload of Redis");
        assert!(rest.is_empty());
        assert_eq!(encoded(&stream, Form::Second), REDIS);
    }

    #[test]
    fn every_form_survives() {
        for form in [Form::First, Form::Second, Form::Third] {
            assert_eq!(Form::of_type(form.type_byte()), Some(form));
            for stream in [example(), Stream::new()] {
                let payload = [&encoded(&stream, form)[..], b"rest"].concat();
                let (back, rest) = decode(&payload, form).expect("our own payload");
                assert_eq!(rest, b"rest");
                let same = if form == Form::First { form } else { Form::Third };
                assert_eq!(encoded(&back, same), encoded(&stream, same));
            }
        }
        assert_eq!(Form::of_type(16), None);
    }

    #[test]
    fn what_the_forms_leave_out() {
        let mut stream = example();
        stream.groups.edit(b"g", |group| group.create_consumer(b"idle", 7));
        let idle = |form| {
            let (back, _) = decode(&encoded(&stream, form), form).expect("our own payload");
            let group = back.groups.get(b"g").expect("the group");
            let active_at = group.consumer(b"idle").expect("the consumer").active_at();
            (active_at, back.log.entries_added(), back.log.max_deleted_id().ms)
        };
        assert_eq!(idle(Form::Third), (None, 6, 2));
        assert_eq!(idle(Form::Second), (Some(7), 6, 2));
        assert_eq!(idle(Form::First), (Some(7), 5, 0));
        let mut first = Stream::new();
        first.groups.insert(b"g", Group::new(StreamId::new(5, 0), None));
        let (back, _) = decode(&encoded(&first, Form::First), Form::First).expect("our own");
        assert_eq!(back.groups.get(b"g").and_then(Group::entries_read), Some(0));
    }

    #[test]
    fn contradictions_are_refused() {
        let find = |part: &[u8]| {
            REDIS.windows(part.len()).position(|window| window == part).expect("a part of it")
        };
        let mut cases = vec![
            (find(b"\x05\x81\0\0\x01\x8b"), 4, "the number of entries"),
            (find(b"\x81\0\0\x01\x8b"), 0x80, "a last identifier before the last entry"),
            (find(b"\x06\x02\x01g"), 4, "fewer added than there are"),
        ];
        let pel = find(b"\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01\x11p");
        cases.push((pel + 8, 3, "pending twice"));
        cases.push((find(b"\x01\x11p\0\0\0\0\0\0\0\x03") + 2, b'q', "pending for nobody"));
        cases.push((find(b"\x04\0\0\0\0\0\x04E\xc0\x0bother") + 8, 0xc1, "never delivered"));
        cases.push((find(b"\x0bother-group"), 0x0a, "what follows is shifted"));
        for (at, byte, what) in cases {
            let mut damaged = REDIS.to_vec();
            damaged[at] = byte;
            let refused = decode(&damaged, Form::Second).is_none_or(|(_, rest)| !rest.is_empty());
            assert!(refused, "{what}");
        }
    }

    #[test]
    fn cut_off_payloads_are_refused() {
        for length in 0..REDIS.len() {
            assert!(decode(&REDIS[..length], Form::Second).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn damaged_payloads_are_judged() {
        for at in 0..REDIS.len() {
            for bit in 0..8 {
                let mut damaged = REDIS.to_vec();
                damaged[at] ^= 1 << bit;
                for form in [Form::First, Form::Second, Form::Third] {
                    let Some((stream, _)) = decode(&damaged, form) else { continue };
                    let payload = encoded(&stream, form);
                    let (back, rest) = decode(&payload, form).expect("our own payload");
                    assert!(rest.is_empty());
                    assert_eq!(encoded(&back, form), payload);
                    let read = back.log.range(StreamId::MIN, StreamId::MAX).count();
                    assert_eq!(read as u64, back.log.len());
                }
            }
        }
    }
}
