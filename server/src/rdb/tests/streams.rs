//! Streams.

use super::*;
use dunlin_storage::value::stream::{Claim, Group, Limits, NewId, StreamId};
use stream::Form;

/// What redis-server 7.0 dumps for [`example`], without the footer.
const REDIS: &[u8] = b"\x13\x02\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01\x11p\xc3@N@U\x16U\0\0\0\x18\0\
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
pub(super) fn example() -> Stream {
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

fn read(value: &[u8]) -> Result<Stream, Refused> {
    match load(&sealed(value, 11))? {
        Value::Stream(stream) => Ok(stream),
        other => panic!("not a stream: {other:?}"),
    }
}

/// The dump of a stream without the footer.
fn dumped(stream: &Stream, form: Form) -> Vec<u8> {
    let mut payload = stream::dump(Strings::Packed, stream, form).seal();
    payload.truncate(payload.len() - CHECKSUM - 2);
    payload
}

#[test]
fn payload_of_redis() {
    assert_eq!(stream::dump(Strings::Packed, &example(), Form::Redis70).seal(), sealed(REDIS, 10));
    let stream = read(REDIS).expect("a payload of Redis");
    assert_eq!(dumped(&stream, Form::Redis70), REDIS);
}

#[test]
fn both_forms_survive() {
    for stream in [example(), Stream::new()] {
        for form in [Form::Redis70, Form::Redis72] {
            let back = read(&dumped(&stream, form)).expect("our own payload");
            assert_eq!(dumped(&back, Form::Redis72), dumped(&stream, Form::Redis72));
        }
    }
    let payload = stream::dump(Strings::Packed, &example(), Form::Redis72).seal();
    assert_eq!((payload[0], payload[payload.len() - CHECKSUM - 2]), (kind::STREAM_3, 11));
}

#[test]
fn types_before_and_after() {
    // The third has when a consumer last got something, or -1.
    let third = b"\x15\0\0\0\0\0\0\0\0\0\x01\x01g\0\0\0\0\x02\
        \x01c\x05\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\0\
        \x01d\x05\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0";
    let times = |stream: &Stream| {
        let group = stream.groups.get(b"g").expect("the group");
        group.consumers().map(|(_, c)| (c.seen_at(), c.active_at())).collect::<Vec<_>>()
    };
    let stream = read(third).expect("a payload of Redis 7.2");
    assert_eq!(times(&stream), [(5, Some(4)), (5, None)]);
    assert_eq!(dumped(&stream, Form::Redis72), third);
    let second = dumped(&stream, Form::Redis70);
    assert_eq!(times(&read(&second).expect("our own payload")), [(5, Some(5)), (5, Some(5))]);

    // The first has no counters: one block with entries 5-1 and 6-0, a group at the end and one
    // that has come to 5-1.
    let listpack = b"\x24\0\0\0\x0f\0\x02\x01\0\x01\x01\x01\x81a\x02\0\x01\x02\x01\0\x01\0\x01\
        \x01\x01\x04\x01\x02\x01\x01\x01\xdf\xff\x02\x02\x01\x04\x01\xff";
    let base = b"\x10\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x01";
    let length = u8::try_from(listpack.len()).expect("it is short");
    let mut listpack = listpack.to_vec();
    listpack[0] = length;
    let rest = b"\x02\x06\0\x02\x01g\x06\0\0\0\x01h\x05\x01\0\0";
    let first = [&b"\x0f\x01"[..], base, &[length], &listpack, rest].concat();
    let stream = read(&first).expect("a payload of Redis 6");
    assert_eq!((stream.log.len(), stream.log.entries_added()), (2, 2));
    assert_eq!(stream.log.first_id(), StreamId::new(5, 1));
    assert_eq!(stream.log.max_deleted_id(), StreamId::MIN);
    let read = |group| stream.groups.get(group).and_then(Group::entries_read);
    assert_eq!((read(b"g"), read(b"h")), (Some(2), Some(1)));
}

#[test]
fn contradictions_are_refused() {
    let find = |part: &[u8]| {
        REDIS.windows(part.len()).position(|window| window == part).expect("a part of it")
    };
    let pending = find(b"\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01\x11p");
    let cases = [
        (find(b"\x05\x81\0\0\x01\x8b"), 4, "the number of entries"),
        (find(b"\x81\0\0\x01\x8b"), 0x80, "a last identifier before the last entry"),
        (find(b"\x06\x02\x01g"), 4, "fewer added than there are"),
        (pending + 8, 3, "pending twice"),
        (find(b"\x01\x11p\0\0\0\0\0\0\0\x03") + 2, b'q', "a consumer's that is not pending"),
        (find(b"\x03bob") - 2, 0x12, "pending for nobody"),
    ];
    for (at, byte, what) in cases {
        let mut damaged = REDIS.to_vec();
        damaged[at] = byte;
        assert_eq!(read(&damaged).map(|_| ()), Err(Refused::Value), "{what}");
    }
    let twice = b"\x13\0\0\0\0\0\0\0\0\0\x02\x01g\0\0\0\0\0\x01g\0\0\0\0\0";
    assert!(read(twice).is_err(), "a group twice");
    let twice = b"\x13\0\0\0\0\0\0\0\0\0\x01\x01g\0\0\0\0\x02\x01c\0\0\0\0\0\0\0\0\0\x01c\0\0\0\0\0\0\0\0\0";
    assert!(read(twice).is_err(), "a consumer twice");
}

#[test]
fn cut_off_payloads_are_refused() {
    for length in 1..REDIS.len() {
        assert!(read(&REDIS[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn damaged_payloads_are_judged() {
    for at in 1..REDIS.len() {
        for bit in 0..8 {
            let mut damaged = REDIS.to_vec();
            damaged[at] ^= 1 << bit;
            for kind in [kind::STREAM, kind::STREAM_2, kind::STREAM_3] {
                damaged[0] = kind;
                let Ok(stream) = read(&damaged) else { continue };
                let back = read(&dumped(&stream, Form::Redis72)).expect("our own payload");
                assert_eq!(dumped(&back, Form::Redis72), dumped(&stream, Form::Redis72));
                let entries = back.log.range(StreamId::MIN, StreamId::MAX).count();
                assert_eq!(entries as u64, back.log.len());
            }
        }
    }
}
