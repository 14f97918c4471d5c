//! DUMP payloads for RESTORE: those of the reference, and some made by hand.

use crate::support::{Client, Value};

/// CRC-64 of Redis (Jones polynomial, reflected, no inversion).
pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = 0u64;
    for &byte in bytes {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x95ac_9329_ac4b_c9b5 } else { crc >> 1 };
        }
    }
    crc
}

/// Adds version and checksum to a body.
pub(crate) fn seal(body: &[u8], version: u16) -> Vec<u8> {
    let mut out = body.to_vec();
    out.extend_from_slice(&version.to_le_bytes());
    let crc = crc64(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The version of the reference's payloads.
const VERSION: u16 = 10;

/// Payloads of every type, of strings of every encoding, good and bad.
pub(crate) fn samples(reference: &mut Client) -> Vec<Vec<u8>> {
    let values: [&[u8]; 14] = [
        b"",
        b"0",
        b"127",
        b"-129",
        b"40000",
        b"-2147483648",
        b"2147483648",
        b"9223372036854775807",
        b"abc",
        b"\x00\xff",
        &[b'a'; 21],
        &[b'x'; 400],
        &[b'y'; 20_000],
        &[b'z'; 100_000],
    ];
    let mut out: Vec<Vec<u8>> = Vec::new();
    for value in values {
        assert_eq!(reference.call(&[b"SET".as_slice(), b"payload", value]), Value::ok());
        let Value::Bulk(payload) = reference.call(&[b"DUMP", b"payload".as_slice()]) else {
            panic!("a dump is a bulk string");
        };
        out.push(payload);
    }
    reference.run("DEL payload");
    out.extend(collections(reference));
    out.extend(by_hand());
    out
}

/// Payloads of collections on both sides of the limits of packed ones.
fn collections(reference: &mut Client) -> Vec<Vec<u8>> {
    let long = "l".repeat(65);
    let mut out = Vec::new();
    for count in [1, 5, 128, 129, 512, 513] {
        let fills: [&dyn Fn(usize) -> String; 7] = [
            &|n| format!("SADD payload {n}"),
            &|n| format!("SADD payload m{n}"),
            &|n| format!("HSET payload m{n} {n}"),
            &|n| format!("HSET payload m{n} {long}"),
            &|n| format!("ZADD payload {} m{n}", n / 2),
            &|n| format!("ZADD payload 0.5 {long}{n}"),
            &|n| format!("XADD payload {}-1 a {n} b 1", n + 1),
        ];
        for fill in fills {
            for n in 0..count {
                assert!(reference.run(&fill(n)).error_text().is_none(), "{}", fill(n));
            }
            if reference.run("TYPE payload") == Value::Simple("stream".into()) {
                reference.run("XGROUP CREATE payload g0 0");
                reference.run("XREADGROUP GROUP g0 c0 COUNT 3 STREAMS payload >");
            }
            let Value::Bulk(payload) = reference.run("DUMP payload") else {
                panic!("a dump is a bulk string");
            };
            out.push(payload);
            reference.run("DEL payload");
        }
    }
    out
}

/// Bodies with a right checksum: type 0 (string), then a length-prefixed string.
fn by_hand() -> Vec<Vec<u8>> {
    let bodies: &[&[u8]] = &[
        b"\x00\x03abc",
        b"\x00\x40\x03abc",
        b"\x00\x80\x00\x00\x00\x03abc",
        b"\x00\x81\x00\x00\x00\x00\x00\x00\x00\x03abc",
        // longer than what is there
        b"\x00\x04abc",
        b"\x00\x80\xff\xff\xff\xffabc",
        b"\x00\x81\x7f\xff\xff\xff\xff\xff\xff\xffabc",
        // integers of 8, 16, 32 bits
        b"\x00\xc0\x85",
        b"\x00\xc1\x00\x80",
        b"\x00\xc2\x00\x00\x00\x80",
        b"\x00\xc2\x00",
        // compressed: a literal run, then lengths that lie
        b"\x00\xc3\x04\x03\x02abc",
        b"\x00\xc3\x04\x08\x02abc",
        b"\x00\xc3\x05\x0a\x00a\xe0\xff\xff",
        b"\x00\xc3\x04\x02\x02abc",
        // no such encoding
        b"\x00\xc4\x00",
        // no such type
        b"\x63\x03abc",
        b"\x00",
        b"",
    ];
    let mut out: Vec<_> = bodies.iter().map(|b| seal(b, VERSION)).collect();
    out.push(seal(b"\x00\x03abc", 9));
    out.push(seal(b"\x00\x03abc", 1));
    out.push(seal(b"\x00\x03abc", 99));
    out.push(seal(b"\x00\x03abcrest", VERSION));
    out
}

#[test]
fn the_checksum_is_the_one_of_redis() {
    assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
}
