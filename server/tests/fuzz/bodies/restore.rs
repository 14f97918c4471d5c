//! Payloads of DUMP.

use super::Source;
use super::inside::{Connection, Inside};
use super::resp::Value;

/// What is asked of a value that was restored, whatever it is: most is refused for its type.
const LOOK: &[&str] = &[
    "STRLEN k",
    "GETRANGE k 0 10",
    "LRANGE k 0 -1",
    "LINDEX k 1",
    "LPOS k a",
    "SMEMBERS k",
    "SRANDMEMBER k 3",
    "SMISMEMBER k a b 1",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZRANGEBYSCORE k -inf +inf",
    "ZRANGEBYLEX k - +",
    "ZRANK k a",
    "HGETALL k",
    "HRANDFIELD k 3 WITHVALUES",
    "HTTL k FIELDS 1 a",
    "HSTRLEN k a",
    "XRANGE k - +",
    "XREVRANGE k + - COUNT 2",
    "XINFO STREAM k FULL",
    "XINFO GROUPS k",
    "XLEN k",
    "PFCOUNT k",
    "BITCOUNT k",
    "SORT k BY nosort ALPHA",
    "OBJECT ENCODING k",
    "MEMORY USAGE k SAMPLES 0",
    "TYPE k",
    "HSCAN k 0",
    "SSCAN k 0",
    "ZSCAN k 0",
];
/// How it is changed.
const CHANGE: &[&str] = &[
    "APPEND k x",
    "SETRANGE k 5 y",
    "LPUSH k a",
    "RPOP k",
    "LINSERT k BEFORE a b",
    "LSET k 0 z",
    "LTRIM k 1 -1",
    "LREM k 0 a",
    "SADD k a 5 bbb",
    "SREM k a",
    "SPOP k",
    "ZADD k 1 a 2 b",
    "ZINCRBY k 1 a",
    "ZPOPMIN k",
    "ZREMRANGEBYRANK k 0 0",
    "HSET k a 1 b 2",
    "HDEL k a",
    "HINCRBY k a 1",
    "HEXPIRE k 100 FIELDS 1 b",
    "HPERSIST k FIELDS 1 b",
    "XADD k * a 1",
    "XTRIM k MAXLEN 1",
    "XDEL k 1-1",
    "XGROUP CREATE k g 0",
    "XREADGROUP GROUP g c COUNT 2 STREAMS k >",
    "XACK k g 1-1",
    "XAUTOCLAIM k g c 0 0",
    "PFADD k a b c",
    "SETBIT k 70 1",
    "INCR k",
];

/// Takes the data for a type and a value, as RESTORE does (its checksum is right). A value that is taken can
/// be looked at and changed, and what DUMP then says restores an equal one.
pub fn restore(data: &[u8]) {
    let Some((&changes, data)) = data.split_first() else { return };
    let mut payload = data.to_vec();
    payload.extend([0; 10]);
    let inside = Inside::with_debug();
    let mut connection = inside.connect();
    let restored = inside.command(&mut connection, &[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]);
    if !matches!(restored, Some(Value::Simple(_))) {
        return;
    }
    let run = |line: &str, connection: &mut Connection| {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        inside.command(connection, &words)
    };
    comes_back(&inside, &mut connection);
    LOOK.iter().for_each(|line| drop(run(line, &mut connection)));
    let mut choices = Source(data);
    for _ in 0..changes % 8 {
        run(CHANGE[choices.below(CHANGE.len())], &mut connection);
    }
    comes_back(&inside, &mut connection);
    LOOK.iter().for_each(|line| drop(run(line, &mut connection)));
}

fn comes_back(inside: &Inside, connection: &mut Connection) {
    let Some(Value::Bulk(dumped)) = inside.command(connection, &[b"DUMP", b"k"]) else { return };
    let back = inside.command(connection, &[b"RESTORE", b"other", b"0", &dumped, b"REPLACE"]);
    assert!(matches!(back, Some(Value::Simple(_))), "{back:?}: {}", dumped.escape_ascii());
    let digests = inside.command(connection, &[b"DEBUG", b"DIGEST-VALUE", b"k", b"other"]);
    match digests {
        Some(Value::Array(digests)) => assert_eq!(digests.first(), digests.last()),
        other => panic!("{other:?}"),
    }
}
