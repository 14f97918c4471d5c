//! Rows 24 to 29, 31 to 36 and 39: commands of collections with numbers at the ends of their ranges,
//! and HyperLogLogs that are none.

use crate::support::process::against_reference;
use crate::support::{Client, Value, alone, command};
use crate::{Victim, error, expect};

const MAX: &str = "9223372036854775807";
const MIN: &str = "-9223372036854775808";
const BETWEEN: &str =
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";

/// A list, a set, a hash, a sorted set and a string.
fn fill(client: &mut Client) {
    for line in ["RPUSH l a b x x", "SADD s a b c", "HSET h f v", "ZADD z 1 a 2 b", "SET k hello"] {
        assert!(!client.run(line).is_error(), "{line}");
    }
}

#[test]
fn row_24_the_least_number_of_random_elements() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    fill(&mut client);
    let out_of_range = error("ERR value is out of range");
    for line in ["SRANDMEMBER s", "HRANDFIELD h", "ZRANDMEMBER z"] {
        assert_eq!(client.run(&format!("{line} {MIN}")), error(BETWEEN), "{line}");
    }
    for line in [
        "HRANDFIELD h -9223372036854775807 WITHVALUES",
        "HRANDFIELD h 4611686018427387904 WITHVALUES",
        "ZRANDMEMBER z -4611686018427387905 WITHSCORES",
    ] {
        assert_eq!(client.run(line), out_of_range, "{line}");
    }
    // As many as there are, and no room for more is kept.
    assert_eq!(client.run(&format!("SRANDMEMBER s {MAX}")).items().len(), 3);
    assert_eq!(client.run("ZRANDMEMBER z 4611686018427387903 WITHSCORES").items().len(), 4);
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_25_a_thousand_million_draws_end_at_the_output_limit() {
    if against_reference() {
        // It makes all of them.
        return;
    }
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    fill(&mut client);
    let mut highest = 0;
    for line in ["SRANDMEMBER s -1000000000", "HRANDFIELD h -1000000000 WITHVALUES"] {
        let mut drawing = victim.client();
        drawing.send(&command(&line.split(' ').collect::<Vec<_>>()));
        // Others are served meanwhile, and after a part of the reply the connection ends.
        assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
        highest = highest.max(victim.server.rss());
        let got = drawing.read_to_close().expect("the connection ends").len();
        assert!((1 << 20..256 << 20).contains(&got), "{line}: {} MiB", got >> 20);
    }
    assert!(highest < victim.rss + (192 << 20), "{} MiB", highest >> 20);
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn rows_26_to_28_ends_of_lists() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    fill(&mut client);
    let zero = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                or use negative to start from the end of the list";
    let positive = error("ERR value is out of range, must be positive");
    expect(
        &mut client,
        &[
            ("LPOS l x RANK 0", error(zero)),
            (&format!("LPOS l x RANK {MAX}"), Value::NullBulk),
            (&format!("LRANGE l {MIN} {MAX}"), list(&["a", "b", "x", "x"])),
            (&format!("LRANGE l {MAX} {MIN}"), list(&[])),
            (&format!("LINDEX l {MIN}"), Value::NullBulk),
            (&format!("LSET l {MAX} x"), error("ERR index out of range")),
            (&format!("LSET l {MIN} x"), error("ERR index out of range")),
            (&format!("LREM l {MIN} x"), Value::Int(2)),
            ("LPOP l -1", positive.clone()),
            (&format!("RPOP l {MIN}"), positive),
            ("LMPOP 0 l LEFT", error("ERR numkeys should be greater than 0")),
            ("LMPOP 1 l LEFT COUNT 0", error("ERR count should be greater than 0")),
            (&format!("LPOP l {MAX}"), list(&["a", "b"])),
        ],
    );
    if !against_reference() {
        // The reference negates the one and adds to the other, which is undefined.
        expect(
            &mut client,
            &[
                ("RPUSH l x", Value::Int(1)),
                (&format!("LPOS l x RANK {MIN}"), error(BETWEEN)),
                (&format!("LMPOP {MAX} l LEFT"), error("ERR syntax error")),
                (&format!("ZMPOP {MAX} z MIN"), error("ERR syntax error")),
            ],
        );
    }
    drop(client);
    victim.assert_unharmed();
}

fn list(items: &[&str]) -> Value {
    Value::Array(items.iter().map(Value::bulk).collect())
}

#[test]
fn rows_29_and_32_to_35_numbers_of_keys_scores_and_identifiers() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    fill(&mut client);
    let too_many = "ERR Number of keys can't be greater than number of args";
    let limit = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or \
                 BYLEX";
    let last = "18446744073709551615-18446744073709551615";
    let exhausted = "ERR The stream has exhausted the last possible ID, unable to add more items";
    let count = error("ERR COUNT must be > 0");
    expect(
        &mut client,
        &[
            ("SINTERCARD 10 s", error(too_many)),
            (&format!("SINTERCARD {MAX} s"), error(too_many)),
            ("SINTERCARD 0 s", error("ERR numkeys should be greater than 0")),
            ("ZUNION 0 z", error("ERR at least 1 input key is needed for 'zunion' command")),
            (&format!("ZUNION {MAX} z"), error("ERR syntax error")),
            ("EVAL s -1", error("ERR Number of keys can't be negative")),
            (&format!("EVAL s {MIN} k"), error("ERR Number of keys can't be negative")),
            (&format!("EVAL s {MAX} k"), error(too_many)),
            ("EVAL s 4294967297 k", error(too_many)),
            ("EVALSHA s -1", error("NOSCRIPT No matching script. Please use EVAL.")),
            ("ZADD z nan m", error("ERR value is not a valid float")),
            ("ZADD z inf i", Value::Int(1)),
            ("ZINCRBY z -inf i", error("ERR resulting score is not a number (NaN)")),
            (
                "GEOADD g 181 91 m",
                error("ERR invalid longitude,latitude pair 181.000000,91.000000"),
            ),
            ("ZRANGE z 0 -1 LIMIT 2 10", error(limit)),
            (&format!("XADD x {last} f v"), Value::bulk(last)),
            ("XADD x * f v", error(exhausted)),
            ("XGROUP CREATE x g 0", Value::ok()),
            (&format!("XAUTOCLAIM x g c 0 0 COUNT {MAX}"), count.clone()),
            ("XAUTOCLAIM x g c 0 0 COUNT 0", count),
        ],
    );
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_36_the_common_part_of_two_long_strings() {
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    for (key, byte) in [("a", b'x'), ("b", b'y')] {
        let value = vec![byte; 100_000_000];
        assert_eq!(client.call(&[b"SET", key.as_bytes(), &value]), Value::ok());
    }
    let before = victim.server.rss();
    let refused =
        error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
    for line in ["LCS a b", "LCS a b LEN", "LCS a b IDX", "LCS a a"] {
        assert_eq!(client.run(line), refused, "{line}");
    }
    assert!(victim.server.rss() < before + (64 << 20), "nothing was allocated for it");
    assert_eq!(client.run("DEL a b"), Value::Int(2));
    drop(client);
    victim.assert_unharmed();
}

/// A HyperLogLog of these bytes behind the header.
fn forged(encoding: u8, body: &[u8]) -> Vec<u8> {
    [b"HYLL", &[encoding, 0, 0, 0][..], &[0, 0, 0, 0, 0, 0, 0, 0x80], body].concat()
}

#[test]
fn row_39_forged_hyperloglogs() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let wrong = error("WRONGTYPE Key is not a valid HyperLogLog string value.");
    let commands = ["PFADD k a b c d e f", "PFCOUNT k", "PFCOUNT k k", "PFMERGE k", "PFMERGE d k"];
    for value in [
        &b"hello"[..],
        b"",
        b"HYLL",
        &forged(0, b"")[..15],
        &forged(0, b"too short"),
        &forged(0, &[0; 12_289]),
        &forged(2, b"\x7f\xff"),
        &forged(0xff, b"\x7f\xff"),
    ] {
        client.call(&[b"SET", b"k".as_slice(), value]);
        for line in commands {
            assert_eq!(client.run(line), wrong, "{line} {value:?}");
        }
    }
    let corrupt = error("INVALIDOBJ Corrupted HLL object detected");
    for body in [
        &b""[..],
        b"\x7f",
        b"\x7f\xfe",
        b"\x7f\xff\x80",
        b"\x7f\xff\x7f\xff",
        &[0xff; 10_000],
        &b"\x7f\xff".repeat(100_000),
    ] {
        let value = forged(1, body);
        client.call(&[b"SET".as_slice(), b"k", &value]);
        for line in &commands[1..] {
            assert_eq!(client.run(line), corrupt, "{line} {:?}", &body[..body.len().min(8)]);
        }
        // An element may fall into the part that is well formed.
        let added = client.run(commands[0]);
        assert!(added == corrupt || matches!(added, Value::Int(_)), "{added:?}");
    }
    // Dense registers that no element can fill.
    client.call(&[b"SET".as_slice(), b"k", &forged(0, &[0xff; 12_288])]);
    assert!(matches!(client.run("PFCOUNT k"), Value::Int(_)));
    assert_eq!(client.run("RPUSH list a"), Value::Int(1));
    let other = error("WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(client.run("PFADD list a"), other);
    drop(client);
    victim.assert_unharmed();
}
