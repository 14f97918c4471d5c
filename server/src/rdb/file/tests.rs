//! Files that are put together by hand; those that servers write are read in `tests/snapshot`.

use super::*;
use crate::config::directives::MAX_BULK;
use crate::rdb::{self, crc64, kind};

/// A file of these records, with its end.
fn file(magic: &str, records: &[u8]) -> Vec<u8> {
    let mut file = magic.as_bytes().to_vec();
    file.extend_from_slice(records);
    file.push(opcode::END);
    let checksum = crc64::crc64(&file);
    file.extend(checksum.to_le_bytes());
    file
}

fn read(bytes: &[u8]) -> Result<Vec<Record>, Refused> {
    File::open(bytes)?.collect()
}

fn key(db: u64, key: &str, expire_at: Option<Millis>, kind: u8, body: &[u8]) -> Record {
    Record::Key { db, key: key.as_bytes().to_vec(), expire_at, kind, body: body.to_vec() }
}

/// A value of every type, as (type, body).
const VALUES: &[(u8, &[u8])] = &[
    (kind::STRING, b"\x05hello"),
    (kind::STRING, b"\xc1\x10\x27"),
    (kind::STRING, b"\xc3\x02\x03\x00\x07"),
    (kind::LIST, b"\x02\x01a\xc0\x05"),
    (kind::SET, b"\x01\x01a"),
    (kind::SORTED_SET_TEXT, b"\x03\x01a\xfe\x01b\x031.5\x01c\xff"),
    (kind::SORTED_SET, b"\x01\x01a\0\0\0\0\0\0\xf0\x3f"),
    (kind::HASH, b"\x01\x01f\x01v"),
    (kind::HASH_LISTPACK, b"\x04\x01\x02\x03\x04"),
    (kind::LIST_LISTPACKS, b"\x02\x02\x01a\x01\x02bc"),
    (kind::HASH_EXPIRY, b"\x01\0\0\0\0\0\0\0\x01\x00\x01f\x01v"),
    (kind::HASH_LISTPACKEX, b"\x01\0\0\0\0\0\0\0\x01x"),
    (
        kind::STREAM_3,
        b"\x01\x010\x03abc\x01\x05\x00\x05\x00\x00\x00\x01\x01\x01g\x05\x00\x01\x01\
          0123456789abcdef01234567\x01\x01\x01c76543210ABCDEFGH\x01fedcba9876543210",
    ),
];

#[test]
fn every_type_and_record() {
    let mut records = vec![opcode::REMARK];
    records.extend(b"\x09redis-ver\x057.0.0");
    records.extend([opcode::LIBRARY]);
    records.extend(b"\x03lib");
    records.extend([opcode::MODULE, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 2, 2, 2, 7, 5, 1, b'x', 3]);
    records.extend(b"ffff\x04doubles!\0");
    records.extend([opcode::DATABASE, 3, opcode::SIZES, 13, 1]);
    let mut wanted = vec![Record::Library(b"lib".to_vec()), Record::Sizes { db: 3, keys: 13 }];
    for (i, (kind, body)) in VALUES.iter().enumerate() {
        let expire_at = match i {
            0 => Some(1_700_000_000_123),
            1 => Some(1_700_000_000_000),
            _ => None,
        };
        match i {
            0 => {
                records.push(opcode::EXPIRY_MILLIS);
                records.extend(1_700_000_000_123_i64.to_le_bytes());
                records.extend([opcode::FREQUENCY, 9]);
            }
            1 => {
                records.push(opcode::EXPIRY_SECONDS);
                records.extend(1_700_000_000_i32.to_le_bytes());
                records.extend([opcode::IDLE, 0x40, 9]);
            }
            2 => records.extend([opcode::SLOT_INFO, 1, 2, 3]),
            _ => {}
        }
        records.push(*kind);
        records.extend(b"\x03key");
        records.extend_from_slice(body);
        wanted.push(key(3, "key", expire_at, *kind, body));
    }
    let whole = file("REDIS0011", &records);
    assert_eq!(read(&whole).expect("it is sound"), wanted);
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut off at {length}");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert!(read(&damaged).is_err(), "byte {at} flipped");
    }
}

#[test]
fn headers() {
    let valkey = File::open(&b"VALKEY080\xff"[..]).expect("a header").header();
    assert_eq!(valkey, Header { origin: Origin::Valkey, version: 80 });
    let old = File::open(&b"REDIS0003\xff"[..]).expect("a header");
    assert_eq!(old.header(), Header { origin: Origin::Redis, version: 3 });
    assert_eq!(old.collect::<Result<Vec<_>, _>>().expect("no checksum").len(), 0);
    for bad in ["REDIS00x1", "VALKEX080", "REDIS0000", "DUNLIN\0\0\0"] {
        assert!(matches!(File::open(bad.as_bytes()), Err(Refused::Header)), "{bad}");
    }
    assert!(matches!(File::open(&b"REDIS00"[..]), Err(Refused::Truncated)));
    assert!(File::<&[u8]>::is_one(b"REDIS0011...") && !File::<&[u8]>::is_one(b"DUNLIN"));
}

#[test]
fn a_file_without_checksum_has_zeros() {
    let mut bytes = file("REDIS0011", b"\0\x01k\x01v");
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    assert_eq!(read(&bytes).expect("it is sound").len(), 1);
    bytes[end] = 1;
    assert!(matches!(read(&bytes), Err(Refused::Checksum)));
}

#[test]
fn what_is_not_known_is_said() {
    let why = |magic: &str, records: &[u8]| match read(&file(magic, records)) {
        Err(why) => why.to_string(),
        Ok(records) => panic!("{records:?}"),
    };
    let newer = "is not known: the file is from a newer server";
    assert_eq!(why("REDIS0013", b"\x1a\x01k"), format!("type 26 at byte 9 {newer}"));
    assert_eq!(why("REDIS0012", b"\x16\x01k"), format!("type 22 at byte 9 {newer}"));
    assert_eq!(why("REDIS0013", b"\xf3\x01"), format!("type 243 at byte 9 {newer}"));
    assert_eq!(why("REDIS0010", b"\xf6\x01x"), format!("type 246 at byte 9 {newer}"));
    assert_eq!(
        why("REDIS0009", b"\x07\x01k"),
        "a value of a module (type 7) at byte 9: modules are not supported"
    );
    assert_eq!(why("REDIS0009", b"\0\x82"), "malformed string at byte 11");
}

#[test]
fn no_length_is_believed() {
    let long = b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff";
    for kind in [kind::STRING, kind::SET, kind::SORTED_SET, kind::HASH, kind::STREAM] {
        let record = [&[kind, 1, b'k'][..], long].concat();
        assert!(read(&file("REDIS0011", &record)).is_err(), "{kind}");
    }
    let key = [&[kind::STRING][..], long].concat();
    assert!(read(&file("REDIS0011", &key)).is_err());
}

#[test]
fn every_length_that_a_value_can_have_is_read() {
    let read_string = |length: usize| {
        let head = [kind::STRING, 1, b'k', 0x81];
        let record = [&head[..], &(length as u64).to_be_bytes()].concat();
        read(&file("REDIS0011", &record))
    };
    // It is looked for, and is not there.
    assert!(matches!(read_string(MAX_BULK), Err(Refused::Truncated)));
    assert!(matches!(read_string(MAX_BULK + 1), Err(Refused::Malformed { .. })));
}

#[test]
fn fields_of_valkey() {
    let mut body = b"\x02\x01f\x01v".to_vec();
    body.extend((-1_i64).to_le_bytes());
    body.extend(b"\x01g\x01w");
    body.extend(1_700_000_000_000_i64.to_le_bytes());
    let record = [&[kind::HASH_VALKEY, 1, b'h'][..], &body].concat();
    let records = read(&file("VALKEY080", &record)).expect("it is sound");
    let [Record::Key { kind, body, .. }] = &records[..] else { panic!("{records:?}") };
    let Ok(rdb::Value::Hash(rdb::hash::Body::Fields(fields))) = rdb::read_value(*kind, body) else {
        panic!("a hash with fields")
    };
    let fields: Vec<_> = fields.map(|field| field.expect("a field")).collect();
    assert_eq!(fields[0].expire_at, None);
    assert_eq!(fields[1].expire_at, Some(1_700_000_000_000));
    assert_eq!(&*fields[1].name, b"g");
    let job = b"\xf3\x03job\x02\x01\x05\x07\x09\0\x01k\x01v";
    assert_eq!(read(&file("VALKEY080", job)).expect("it is sound").len(), 1);
}
