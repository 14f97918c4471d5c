//! Row 40: RESTORE of what is not a DUMP.

use crate::support::Value;
use crate::{Victim, error};

/// CRC-64 of Redis (Jones polynomial, reflected).
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u64::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x95ac_9329_ac4b_c9b5 } else { 0 }
        })
    })
}

fn sealed(body: &[u8], version: u16) -> Vec<u8> {
    let mut out = body.to_vec();
    out.extend_from_slice(&version.to_le_bytes());
    let crc = crc64(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

#[test]
fn row_40_every_flipped_bit_and_every_cut_of_a_dump_is_refused() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let value = b"some text that repeats, that repeats, that repeats";
    assert_eq!(client.call(&[b"SET".as_slice(), b"k", value]), Value::ok());
    let dump = client.run("DUMP k").bytes().map(<[u8]>::to_vec).expect("a dump");
    let refused = error("ERR DUMP payload version or checksum are wrong");
    for at in 0..dump.len() * 8 {
        let mut bad = dump.clone();
        bad[at / 8] ^= 1 << (at % 8);
        assert_eq!(client.call(&[b"RESTORE".as_slice(), b"new", b"0", &bad]), refused, "bit {at}");
    }
    for end in 0..dump.len() {
        let cut = &dump[..end];
        assert_eq!(client.call(&[b"RESTORE".as_slice(), b"new", b"0", cut]), refused, "cut {end}");
    }
    let restore = |key: &'static [u8], ttl: &'static [u8]| {
        vec![b"RESTORE".to_vec(), key.into(), ttl.into(), dump.clone()]
    };
    assert_eq!(client.call(&restore(b"new", b"-1")), error("ERR Invalid TTL value, must be >= 0"));
    let busy = error("BUSYKEY Target key name already exists.");
    assert_eq!(client.call(&restore(b"k", b"0")), busy);
    assert_eq!(client.run("EXISTS new"), Value::Int(0));
    assert_eq!(client.call(&restore(b"new", b"0")), Value::ok());
    assert_eq!(client.run("GET new"), Value::bulk(value));
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_40_a_right_checksum_over_wrong_content_is_refused() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let bad = error("ERR Bad data format");
    for body in [
        &b"\x00\x3fabc"[..],
        b"\x00\x80\xff\xff\xff\xffabc",
        b"\x00\x81\x7f\xff\xff\xff\xff\xff\xff\xffabc",
        b"\x00\xc3\x04\x08\x02abc",
        b"\x00\xc3\x05\x0a\x00a\xe0\xff\xff",
        b"\x00\xc3\x05\x80\x7f\xff\xff\xffa\xe0\xff\xff",
        b"\x63\x03abc",
        b"\x00",
    ] {
        let payload = sealed(body, 10);
        let reply = client.call(&[b"RESTORE".as_slice(), b"k", b"0", &payload]);
        assert_eq!(reply, bad, "{}", body.escape_ascii());
    }
    assert_eq!(client.run("EXISTS k"), Value::Int(0));
    let version = error("ERR DUMP payload version or checksum are wrong");
    let payload = sealed(b"\x00\x03abc", 99);
    assert_eq!(client.call(&[b"RESTORE".as_slice(), b"k", b"0", &payload]), version);
    drop(client);
    victim.assert_unharmed();
}
