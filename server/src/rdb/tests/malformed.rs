//! Payloads that no server made.

use super::*;
use dunlin_storage::value::listpack::ListpackBuf;

#[test]
fn every_flipped_bit_is_found() {
    let payload = dump_string(Strings::Packed, b"some value").seal();
    for at in 0..payload.len() {
        for bit in 0..8 {
            let mut damaged = payload.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(load_string(&damaged), Err(Refused::Footer), "byte {at} bit {bit}");
        }
    }
    for len in 0..payload.len() {
        assert_eq!(load_string(&payload[..len]), Err(Refused::Footer), "{len} bytes");
    }
}

#[test]
fn versions_and_types() {
    for version in [1, 6, 9, 10, 11, 12] {
        assert_eq!(load_string(&sealed(&[0, 1, b'v'], version)).as_deref(), Ok(&b"v"[..]));
    }
    assert_eq!(load_string(&sealed(&[0, 1, b'v'], 13)), Err(Refused::Footer));
    for kind in 1..=255 {
        assert_eq!(load_string(&sealed(&[kind, 1, b'v'], 10)), Err(Refused::Value));
    }
    assert_eq!(load_string(&sealed(&[], 10)), Err(Refused::Value));
    // The footer is no part of the value, although Redis reads on into it.
    assert_eq!(load_string(&sealed(&[0, 2, b'v'], 10)), Err(Refused::Value));
    assert_eq!(load_string(&sealed(&[0, 1, b'v', b'x'], 10)).as_deref(), Ok(&b"v"[..]));
}

#[test]
fn malformed_values_are_refused() {
    let cases: &[&[u8]] = &[
        b"\x02\0",                                                                   // empty set
        b"\x02\x02\x01a",                                  // member missing
        b"\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a",  // 2^64-1 members
        b"\x0b\x08\x02\0\0\0\0\0\0\0",                     // empty intset
        b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x02\0\x01\0",       // not in order
        b"\x14\x07\x07\0\0\0\0\0\xff",                     // empty listpack
        b"\x14\x0d\x0d\0\0\0\x02\0\x81a\x02\x81a\x02\xff", // twice
        b"\x14\x0d\x0d\0\0\0\x02\0\x05\x01\x815\x02\xff",  // twice, as text once
        b"\x10\x0d\x0d\0\0\0\x02\0\x81a\x02\x81a\x03\xff", // unsound listpack
        b"\x10\x0a\x0a\0\0\0\x01\0\x81a\x02\xff",          // field without value
        b"\x10\x11\x11\0\0\0\x04\0\x81a\x02\x01\x01\x81a\x02\x02\x01\xff", // field twice
        b"\x04\0",                                         // empty hash
        b"\x04\x01\x01a",                                  // value missing
        b"\x11\x0a\x0a\0\0\0\x01\0\x81a\x02\xff",          // member without score
        b"\x11\x0d\x0d\0\0\0\x02\0\x81a\x02\x81x\x02\xff", // no score
        b"\x11\x0f\x0f\0\0\0\x02\0\x81a\x02\x83nan\x04\xff", // no number
        b"\x11\x11\x11\0\0\0\x04\0\x81a\x02\x02\x01\x81b\x02\x01\x01\xff", // not in order
        b"\x11\x11\x11\0\0\0\x04\0\x81b\x02\x01\x01\x81a\x02\x01\x01\xff", // not in order
        b"\x11\x11\x11\0\0\0\x04\0\x81a\x02\x01\x01\x81a\x02\x02\x01\xff", // member twice
        b"\x05\x01\x01a\0\0\0\0\0\0\xf8\x7f",              // no number
        b"\x05\x01\x01a\0\0\0\0\0\0\xf0",                  // half a score
        b"\x03\x01\x01a\xfd",                              // no number
        b"\x03\x01\x01a\x01x",                             // no score
        b"\x12\x01\x02\x07\x07\0\0\0\0\0\xff",             // no elements
        b"\x12\x01\x03\x01a",                              // no such container
        b"\x12\x01\x01\0",                                 // empty plain node
        b"\x12\x02\x01\x01a",                              // node missing
        b"\x01\0",                                         // empty list
        b"\x0a\x0b\x0b\0\0\0\x0a\0\0\0\0\0\xff",           // empty ziplist
        b"\x0a\x0e\x0d\0\0\0\x0a\0\0\0\x01\0\0\x01b\xff",  // wrong length
        b"\x0a\x0e\x0e\0\0\0\x0b\0\0\0\x01\0\0\x01b\xff",  // wrong last
        b"\x0a\x0e\x0e\0\0\0\x0a\0\0\0\x02\0\0\x01b\xff",  // wrong count
        b"\x0a\x0e\x0e\0\0\0\x0a\0\0\0\x01\0\x01\x01b\xff", // wrong length before
        b"\x0a\x0e\x0e\0\0\0\x0a\0\0\0\x01\0\0\x02b\xff",  // cut off
        b"\x0a\x0e\x0e\0\0\0\x0a\0\0\0\x01\0\0\xffb\xff",  // no such encoding
        b"\x0a\x0e\x0e\0\0\0\x0a\0\0\0\x01\0\0\x01b\xfe",  // no end
        b"\x09\x02\0\xff",                                 // empty zipmap
        b"\x09\x07\x02\x01f\x01\0v\xff",                   // wrong count
        b"\x09\x07\x01\x01f\x02\0v\xff",                   // value cut off
        b"\x09\x07\x01\x01f\x01\x01v\xff",                 // unused bytes missing
        b"\x09\x0c\x02\x01f\x01\0v\x01f\x01\0w\xff",       // field twice
        b"\x19\xff\xff\xff\xff\xff\xff\xff\xff\x01x",      // before 1970
        b"\x19\x01\0\0\0\0\0\0\0\x0d\x0d\0\0\0\x03\0\x81f\x02\0\x01\xff", // wrong length
        b"\x18\x01\0\0\0\0\0\0\0\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01f\x01v", // never ends
        b"\x15\0\x01\0\0\0\0\0\0\0\0",                     // entries, but no block
    ];
    for value in cases {
        assert_eq!(plain(&sealed(value, 10)), Err(Refused::Value), "{value:?}");
    }
}

#[test]
fn strings_beyond_the_usual_limit_are_read() {
    // Zeros that nobody looks at take no memory.
    let length = (512_u32 << 20) + 1;
    let mut body = vec![0_u8; 5 + length as usize];
    body[0] = 0x80;
    body[1..5].copy_from_slice(&length.to_be_bytes());
    let Ok(Value::String(string)) = read_value(kind::STRING, &body) else { panic!("a string") };
    assert_eq!(string.len(), length as usize);
}

#[test]
fn malformed_expiries_are_refused() {
    let payload = |texts: &[&str]| {
        let mut list = ListpackBuf::new();
        for text in texts {
            list.push(text.as_bytes());
        }
        let mut value = vec![kind::HASH_LISTPACKEX, 1, 0, 0, 0, 0, 0, 0, 0];
        string::encode(&mut value, &list.into_bytes());
        sealed(&value, 12)
    };
    assert!(plain(&payload(&["f", "v", "1", "g", "v", "1", "h", "v", "0"])).is_ok());
    for texts in [
        &["f", "v"][..],
        &["f", "v", "x"],
        &["f", "v", "-1"],
        &["f", "v", "1", "f", "v", "2"],
        &["f", "v", "2", "g", "v", "1"],
        &["f", "v", "0", "g", "v", "1"],
        &["f", "v", "1", "g", "v"],
    ] {
        assert_eq!(plain(&payload(texts)), Err(Refused::Value), "{texts:?}");
    }
}
