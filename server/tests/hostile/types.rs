//! Row 42: every command on a key of every other type.

use crate::support::Value;
use crate::{Victim, error};

const WRONG: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// What LCS says, and no other.
const NO_STRING: &str = "ERR The specified keys must contain string values";

/// What makes the key `k` of each type.
const KINDS: [(&str, &str); 6] = [
    ("string", "SET k 12"),
    ("list", "RPUSH k a b"),
    ("set", "SADD k a b"),
    ("zset", "ZADD k 1 a 2 b"),
    ("hash", "HSET k a 1 b 2"),
    ("stream", "XADD k 1-1 a 1"),
];

/// Commands that take a key of these types only. Where there are two keys, `none` does not exist.
const COMMANDS: [(&[&str], &[&str]); 9] = [
    (
        &["string"],
        &[
            "APPEND k v",
            "BITCOUNT k",
            "BITFIELD k GET u8 0",
            "BITFIELD k SET u8 0 1",
            "BITFIELD_RO k GET u8 0",
            "BITOP AND none k",
            "BITOP OR none none k",
            "BITPOS k 1",
            "DECR k",
            "DECRBY k 2",
            "GET k",
            "GETBIT k 0",
            "GETDEL k",
            "GETEX k PERSIST",
            "GETRANGE k 0 1",
            "GETSET k v",
            "INCR k",
            "INCRBY k 2",
            "INCRBYFLOAT k 1.5",
            "LCS k none",
            "LCS none k",
            "SET k v GET",
            "SETBIT k 0 1",
            "SETRANGE k 0 v",
            "STRLEN k",
            "SUBSTR k 0 1",
            "PFADD k a",
            "PFCOUNT k",
            "PFCOUNT none k",
            "PFMERGE k none",
            "PFMERGE none k",
        ],
    ),
    (
        &["list"],
        &[
            "LINDEX k 0",
            "LINSERT k BEFORE a c",
            "LLEN k",
            "LMOVE k none LEFT RIGHT",
            "LMPOP 1 k LEFT",
            "LPOP k",
            "LPOP k 1",
            "LPOS k a",
            "LPUSH k a",
            "LPUSHX k a",
            "LRANGE k 0 -1",
            "LREM k 0 a",
            "LSET k 0 c",
            "LTRIM k 0 0",
            "RPOP k",
            "RPOPLPUSH k none",
            "RPUSH k a",
            "RPUSHX k a",
            "BLPOP k 1",
            "BRPOP k 1",
            "BLMOVE k none LEFT LEFT 1",
            "BRPOPLPUSH k none 1",
            "BLMPOP 1 1 k LEFT",
        ],
    ),
    (
        &["set"],
        &[
            "SADD k c",
            "SCARD k",
            "SDIFF k none",
            "SDIFFSTORE none none k",
            "SINTER k",
            "SINTERCARD 1 k",
            "SINTERSTORE none k",
            "SISMEMBER k a",
            "SMEMBERS k",
            "SMISMEMBER k a",
            "SMOVE k none a",
            "SPOP k",
            "SPOP k 1",
            "SRANDMEMBER k",
            "SRANDMEMBER k 1",
            "SREM k a",
            "SSCAN k 0",
            "SUNION none k",
            "SUNIONSTORE none k",
        ],
    ),
    (
        &["zset"],
        &[
            "BZMPOP 1 1 k MIN",
            "BZPOPMAX k 1",
            "BZPOPMIN k 1",
            "GEOADD k 1 1 a",
            "GEODIST k a b",
            "GEOHASH k a",
            "GEOPOS k a",
            "GEORADIUS k 1 1 1 km",
            "GEORADIUS_RO k 1 1 1 km",
            "GEORADIUSBYMEMBER k a 1 km",
            "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km",
            "GEOSEARCHSTORE none k FROMLONLAT 1 1 BYRADIUS 1 km",
            "ZADD k 3 c",
            "ZCARD k",
            "ZCOUNT k 0 1",
            "ZINCRBY k 1 a",
            "ZLEXCOUNT k - +",
            "ZMPOP 1 k MIN",
            "ZMSCORE k a",
            "ZPOPMAX k",
            "ZPOPMIN k 1",
            "ZRANDMEMBER k",
            "ZRANGE k 0 -1",
            "ZRANGEBYLEX k - +",
            "ZRANGEBYSCORE k 0 1",
            "ZRANGESTORE none k 0 -1",
            "ZRANK k a",
            "ZREM k a",
            "ZREMRANGEBYLEX k - +",
            "ZREMRANGEBYRANK k 0 0",
            "ZREMRANGEBYSCORE k 0 1",
            "ZREVRANGE k 0 -1",
            "ZREVRANGEBYLEX k + -",
            "ZREVRANGEBYSCORE k 1 0",
            "ZREVRANK k a",
            "ZSCAN k 0",
            "ZSCORE k a",
        ],
    ),
    (
        // Members of a set count with a score of one.
        &["zset", "set"],
        &[
            "ZDIFF 2 none k",
            "ZDIFFSTORE none 1 k",
            "ZINTER 1 k",
            "ZINTERCARD 1 k",
            "ZINTERSTORE none 1 k",
            "ZUNION 2 k none",
            "ZUNIONSTORE none 1 k",
        ],
    ),
    (
        &["hash"],
        &[
            "HDEL k a",
            "HEXISTS k a",
            "HGET k a",
            "HGETALL k",
            "HINCRBY k a 1",
            "HINCRBYFLOAT k a 1",
            "HKEYS k",
            "HLEN k",
            "HMGET k a",
            "HMSET k a 2",
            "HRANDFIELD k",
            "HRANDFIELD k 1",
            "HSCAN k 0",
            "HSET k a 2",
            "HSETNX k c 2",
            "HSTRLEN k a",
            "HVALS k",
        ],
    ),
    (
        &["stream"],
        &[
            "XACK k g 1-1",
            "XADD k * a 1",
            "XAUTOCLAIM k g c 0 0",
            "XCLAIM k g c 0 1-1",
            "XDEL k 1-1",
            "XGROUP CREATE k g $",
            "XGROUP CREATECONSUMER k g c",
            "XGROUP DELCONSUMER k g c",
            "XGROUP DESTROY k g",
            "XGROUP SETID k g 0",
            "XINFO CONSUMERS k g",
            "XINFO GROUPS k",
            "XINFO STREAM k",
            "XLEN k",
            "XPENDING k g",
            "XRANGE k - +",
            "XREAD STREAMS k 0",
            "XREADGROUP GROUP g c STREAMS k 0",
            "XREVRANGE k + -",
            "XSETID k 2-0",
            "XTRIM k MAXLEN 0",
        ],
    ),
    (&["list", "set", "zset"], &["SORT k ALPHA", "SORT k ALPHA STORE none", "SORT_RO k ALPHA"]),
    (
        &["string", "list", "set", "zset", "hash", "stream"],
        &["TYPE k", "DUMP k", "TTL k", "EXISTS k"],
    ),
];

#[test]
fn row_42_every_command_on_a_key_of_every_other_type() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let mut wrong = Vec::new();
    for (kind, make) in KINDS {
        for (right, commands) in COMMANDS {
            if right.contains(&kind) {
                continue;
            }
            for line in commands {
                client.run("FLUSHALL");
                assert!(!client.run(make).is_error(), "{make}");
                let before = client.run("DUMP k");
                let reply = client.run(line);
                let after = (client.run("DUMP k"), client.run("DBSIZE"));
                let text = if line.starts_with("LCS") { NO_STRING } else { WRONG };
                if reply != error(text) || after != (before, Value::Int(1)) {
                    wrong.push((kind, line, reply));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_42_every_command_on_a_key_of_its_own_type() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    for (kind, make) in KINDS {
        for (right, commands) in COMMANDS {
            if !right.contains(&kind) {
                continue;
            }
            for line in commands {
                client.run("FLUSHALL");
                assert!(!client.run(make).is_error(), "{make}");
                let reply = client.run(line);
                assert_ne!(reply, error(WRONG), "{line}, {kind}");
            }
        }
    }
    drop(client);
    victim.assert_unharmed();
}
