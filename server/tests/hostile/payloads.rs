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

/// The most memory that a process has had.
fn peak(victim: &Victim) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", victim.server.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    kib.expect("a number") * 1024
}

#[test]
fn row_40_a_list_of_compressed_nodes_is_not_there_twice() {
    const NODES: u8 = 64;
    const COPIES: usize = 4000;
    // One letter, and 264 bytes of what was before, again and again.
    let packed = [b"\x00a".as_slice(), &b"\xe0\xff\x00".repeat(COPIES)].concat();
    let length = 1 + 264 * COPIES as u32;
    let [high, low] = (packed.len() as u16).to_be_bytes();
    let front = [1, 0xc3, 0x40 | high, low, 0x80];
    let node = [front.as_slice(), &length.to_be_bytes(), &packed].concat();
    let body = [[18, 0x40, NODES].as_slice(), &node.repeat(NODES.into())].concat();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let before = victim.server.rss();
    let payload = sealed(&body, 10);
    assert_eq!(client.call(&[b"RESTORE".as_slice(), b"k", b"0", &payload]), Value::ok());
    assert_eq!(client.run("LLEN k"), Value::Int(NODES.into()));
    let list = u64::from(NODES) * u64::from(length);
    let took = peak(&victim).saturating_sub(before);
    assert!(took < list + crate::SLACK, "{took} bytes for {list}");
    assert_eq!(client.run("DEL k"), Value::Int(1));
    drop(client);
    victim.assert_unharmed();
}

/// Commands that make collections of every type, small and large. Sorted sets come as payloads: one
/// of two members in a listpack and one of two members.
const COLLECTIONS: [&str; 9] = [
    "RPUSH k 1 text some-longer-element 70000",
    "SADD k 1 2 3 70000",
    "SADD k a b 12 some-longer-member",
    "HSET k a 1 b text c 70000",
    "HSET k a AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "HSETEX k EX 100000 FIELDS 2 a 1 b 2",
    "HSETEX k PX 100000 FIELDS 1 a BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
    "XADD k 1-1 a 1 b text",
    "XADD k 1-1 a 1 b 2",
];
const SORTED_SETS: [&[u8]; 2] = [
    b"\x11\x11\x11\x00\x00\x00\x04\x00\x81a\x02\x01\x01\x81b\x02\x02\x01\xff",
    b"\x05\x02\x01b\x00\x00\x00\x00\x00\x00\x00\x40\x01a\x00\x00\x00\x00\x00\x00\xf0\x3f",
];

/// What DUMP answers for the collections, without the footer; a stream with a group that waits.
fn collections(client: &mut crate::Client) -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = SORTED_SETS.iter().map(|body| body.to_vec()).collect();
    for line in COLLECTIONS {
        let reply = client.run(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
        if line.starts_with("XADD") {
            client.run("XADD k 2-0 a 1 b 2");
            client.run("XGROUP CREATE k g 0");
            client.run("XREADGROUP GROUP g c STREAMS k >");
        }
        let dump = client.run("DUMP k").bytes().map(<[u8]>::to_vec).expect("a dump");
        bodies.push(dump[..dump.len() - 10].to_vec());
        client.run("DEL k");
    }
    bodies
}

#[test]
fn row_40_damaged_collections_are_refused_or_are_whole_values() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let bad = error("ERR Bad data format");
    for body in collections(&mut client) {
        let mut restore = |body: &[u8], what: &str| {
            let payload = sealed(body, 12);
            let reply = client.call(&[b"RESTORE".as_slice(), b"k", b"0", &payload, b"REPLACE"]);
            let text = format!("{what} of {}", body.escape_ascii());
            if reply == bad {
                return false;
            }
            assert_eq!(reply, Value::ok(), "{text}");
            // What was taken can be read, changed and dumped like anything else.
            for line in [
                "DUMP k",
                "OBJECT ENCODING k",
                "SMEMBERS k",
                "SADD k new",
                "SPOP k",
                "LRANGE k 0 -1",
                "RPUSH k new",
                "LPOP k",
                "ZRANGE k 0 -1",
                "ZADD k 1 new",
                "HGETALL k",
                "HSET k new 1",
                "HDEL k a",
                "XRANGE k - +",
                "XADD k * a 1",
                "XTRIM k MAXLEN 1",
                "XINFO STREAM k FULL",
                "XAUTOCLAIM k g new 0 0",
                "COPY k other REPLACE",
                "DUMP other",
            ] {
                client.run(line);
            }
            true
        };
        assert!(restore(&body, "all"));
        for end in 0..body.len() {
            assert!(!restore(&body[..end], "cut"), "{end} bytes of {}", body.escape_ascii());
        }
        for at in 0..body.len() * 8 {
            let mut flipped = body.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            restore(&flipped, "flipped");
        }
    }
    client.run("FLUSHALL");
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_40_odd_pairs_and_what_comes_twice_are_refused() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let bad = error("ERR Bad data format");
    let bodies: [&[u8]; 14] = [
        // no members, or one twice
        b"\x02\x00",
        b"\x02\x02\x01a\x01a",
        b"\x02\x02\xc0\x05\x015",
        b"\x04\x00",
        b"\x04\x02\x01a\x011\x01a\x012",
        b"\x04\x02\x01a\x011\x01b",
        b"\x05\x00",
        b"\x05\x02\x01a\x00\x00\x00\x00\x00\x00\xf0\x3f\x01a\x00\x00\x00\x00\x00\x00\x00\x40",
        b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x7f",
        // listpacks: a member twice, a field without a value, a score that is none, wrong order
        b"\x14\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x81a\x02\xff",
        b"\x10\x0a\x0a\x00\x00\x00\x01\x00\x81a\x02\xff",
        b"\x11\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x81b\x02\xff",
        b"\x11\x11\x11\x00\x00\x00\x04\x00\x81a\x02\x02\x01\x81b\x02\x01\x01\xff",
        // an intset out of order
        b"\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x01\x00",
    ];
    for body in bodies {
        let reply = client.call(&[b"RESTORE".as_slice(), b"k", b"0", &sealed(body, 11)]);
        assert_eq!(reply, bad, "{}", body.escape_ascii());
    }
    assert_eq!(client.run("EXISTS k"), Value::Int(0));
    drop(client);
    victim.assert_unharmed();
}
