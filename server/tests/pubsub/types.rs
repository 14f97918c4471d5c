//! Events of every type, side by side with redis-server: each command has to tell of the same, in the
//! same order.

use crate::events::Listener;
use crate::support::Server;

/// Commands in the order in which they run on an empty server.
const LINES: &str = "\
LPUSH l a b c
RPUSH l d
LPUSHX nokey a
RPUSHX l e
LPOP l
RPOP l 2
LPOP nokey
LPOP nokey 3
LSET l 0 x
LINSERT l BEFORE x y
LINSERT l BEFORE nope y
LINSERT nokey BEFORE x y
LREM l 0 nope
LREM l 0 y
LTRIM l 0 -1
LTRIM l 5 10
LTRIM nokey 0 1
RPUSH l a b c d
LMOVE l l2 LEFT RIGHT
LMOVE l l LEFT RIGHT
LMOVE nokey l LEFT LEFT
RPOPLPUSH l l2
RPOPLPUSH l l3
RPOPLPUSH nokey l
LMOVE l3 l4 LEFT LEFT
LMPOP 2 nokey l LEFT COUNT 10
LMPOP 1 nokey LEFT
LRANGE nokey 0 1
LLEN nokey
LINDEX nokey 0
LPOS nokey a
RPUSH l a
LPOP l
RPUSH l a
LREM l 0 a
RPUSH l a
RPOPLPUSH l l
SADD s a b c
SADD s a
SREM s a nope
SREM s nope
SREM nokey a
SMOVE s s2 b
SMOVE s s2 nope
SMOVE s s2 c
SMOVE s2 s2 b
SMOVE nokey s2 b
SADD s a b c
SPOP s 0
SPOP s
SPOP s 2
SPOP nokey
SPOP nokey 2
SADD s a b c
SPOP s 10
SADD s a b c
SADD s2 b c d
SINTER s nokey
SUNION s nokey
SDIFF nokey s
SINTERSTORE d s s2
SINTERSTORE d s nokey
SINTERSTORE d nokey s
SUNIONSTORE d s s2
SUNIONSTORE d nokey
SDIFFSTORE d s s2
SDIFFSTORE d s s
SMEMBERS nokey
SCARD nokey
SISMEMBER nokey a
SMISMEMBER nokey a
SRANDMEMBER nokey
SSCAN nokey 0
SINTERCARD 2 s nokey
HSET h a 1 b 2
HSET h a 1
HMSET h c 3
HSETNX h a 1
HSETNX h d 4
HINCRBY h a 1
HINCRBYFLOAT h a 1.5
HDEL h nope
HDEL h a b
HDEL h c d
HDEL nokey a
HGET nokey a
HMGET nokey a
HGETALL nokey
HKEYS nokey
HLEN nokey
HSTRLEN nokey a
HEXISTS nokey a
HRANDFIELD nokey
HSCAN nokey 0
HINCRBY h2 a 1
HINCRBYFLOAT h3 a 1
ZADD z 1 a 2 b 3 c
ZADD z 1 a
ZADD z 5 a
ZADD z XX 5 nope
ZADD z NX 5 a
ZADD nokey XX 5 a
ZADD z INCR 1 a
ZADD z INCR 0 a
ZADD z GT INCR -1 a
ZINCRBY z 1 a
ZINCRBY z 0 a
ZREM z nope
ZREM z a
ZREM nokey a
ZPOPMIN z
ZPOPMAX z 5
ZPOPMIN nokey
ZPOPMIN z 0
ZADD z 1 a 2 b 3 c 4 d
ZADD z2 1 a 2 x
ZPOPMIN z 0
ZMPOP 2 nokey z MIN
ZMPOP 1 nokey MIN
ZREMRANGEBYRANK z 10 20
ZREMRANGEBYRANK z 0 0
ZREMRANGEBYSCORE z 3 3
ZREMRANGEBYLEX z [d [d
ZREMRANGEBYSCORE nokey 1 1
ZADD z 1 a 2 b 3 c 4 d
ZUNIONSTORE zd 2 z z2
ZINTERSTORE zd 2 z z2
ZINTERSTORE zd 2 z nokey
ZINTERSTORE zd 2 nokey z
ZUNIONSTORE zd 1 nokey
ZDIFFSTORE zd 2 z z2
ZDIFFSTORE zd 2 z z
ZDIFFSTORE zd 2 nokey z
ZUNION 2 z nokey
ZINTER 2 nokey z
ZDIFF 2 nokey z
ZINTERCARD 2 nokey z
ZRANGESTORE zd z 0 -1
ZRANGESTORE zd z 10 20
ZRANGESTORE zd nokey 0 -1
ZSCORE nokey a
ZMSCORE nokey a
ZCARD nokey
ZCOUNT nokey 0 1
ZRANK nokey a
ZRANGE nokey 0 1
ZRANGEBYSCORE nokey 0 1
ZREVRANGEBYLEX nokey + -
ZLEXCOUNT nokey - +
ZRANDMEMBER nokey
ZSCAN nokey 0
GEOADD g 13.361389 38.115556 p 15.087269 37.502669 c
GEOADD g 13.361389 38.115556 p
GEOADD g XX CH 13.4 38.1 p
GEOSEARCH nokey FROMLONLAT 15 37 BYRADIUS 200 km
GEOSEARCHSTORE gd g FROMLONLAT 15 37 BYRADIUS 200 km
GEOSEARCHSTORE gd g FROMLONLAT 100 37 BYRADIUS 1 km
GEOSEARCHSTORE gd nokey FROMLONLAT 100 37 BYRADIUS 1 km
GEORADIUS g 15 37 200 km STORE gd
GEORADIUS g 15 37 200 km STOREDIST gd
GEORADIUS g 100 37 1 km STORE gd
GEORADIUS nokey 15 37 200 km STORE gd
GEORADIUSBYMEMBER g p 200 km STORE gd
GEORADIUSBYMEMBER g c 1 m STORE gd2
GEOPOS nokey a
GEODIST nokey a b
GEOHASH nokey a
XADD x 1-1 a b
XADD x NOMKSTREAM 2-1 a b
XADD nokey NOMKSTREAM 2-1 a b
XADD x MAXLEN 1 3-1 a b
XADD x MAXLEN 10 4-1 a b
XTRIM x MAXLEN 10
XTRIM x MAXLEN 1
XTRIM nokey MAXLEN 1
XDEL x 9-9
XADD x 5-1 a b
XADD x 6-1 a b
XDEL x 4-1
XDEL nokey 1-1
XSETID x 7-1
XSETID nokey 1-1
XGROUP CREATE x g 0
XGROUP CREATE x g 0
XGROUP CREATE xnew g $ MKSTREAM
XGROUP CREATE nokey g $
XGROUP SETID x g 0
XGROUP CREATECONSUMER x g c1
XGROUP CREATECONSUMER x g c1
XGROUP CREATECONSUMER nokey g c1
XREADGROUP GROUP g c2 STREAMS x >
XREADGROUP GROUP g c2 STREAMS x 0
XREADGROUP GROUP g c3 STREAMS x 0
XREAD STREAMS nokey 0
XACK x g 5-1
XACK nokey g 5-1
XCLAIM x g c6 0 6-1
XCLAIM x g c6 0 6-1 JUSTID
XAUTOCLAIM x g c8 0 0
XADD x 8-1 a b
XCLAIM x g c10 0 8-1 FORCE
XPENDING nokey g
XLEN nokey
XRANGE nokey - +
XINFO STREAM nokey
XGROUP DELCONSUMER x g c1
XGROUP DELCONSUMER x g nope
XGROUP DESTROY x g
XGROUP DESTROY x g
XGROUP DESTROY nokey g
SADD e a
EXPIRE e 0
RPUSH e a
PEXPIREAT e 1
LPUSH e a
COPY e e2
COPY l4 e2 REPLACE
RENAME e e2
RENAME e2 h2
MOVE h2 1
SMOVE s s4 a
SET str 1
GETSET str 2
SUNIONSTORE str s
SETRANGE nk 0 abc
SINTERSTORE h3 s s
GETEX nokey2
GETRANGE nokey2 0 1
OBJECT FREQ nokey2
BITFIELD_RO nokey2 GET u8 0
TOUCH nokey2 s
SWAPDB 0 1
SWAPDB 0 1
XCLAIM nokey5 g c6 0 6-1
XAUTOCLAIM nokey5 g c 0 0
XGROUP SETID nokey5 g 0
XGROUP DELCONSUMER nokey5 g c
SPOP nokey5 0
SMOVE nokey5 nokey6 a
HRANDFIELD nokey5 1
SRANDMEMBER nokey5 2
ZRANDMEMBER nokey5 2
GETDEL nokey5
SETNX s 1
MSETNX s 1 zzz 1
LCS nokey5 nokey6
OBJECT ENCODING s
SMEMBERS nokey5
APPEND nokey5 a
BITPOS nokey6 1
LPUSH big a
LPUSH big b
DEL big
UNLINK s
GETSET s 1
HSET hx a 1
HGETALL hx
HDEL hx a
ZADD zx 1 a
ZPOPMIN zx 5
ZADD zx 1 a
ZREM zx a
ZADD zx 1 a
ZREMRANGEBYRANK zx 0 -1
SADD sx a
SPOP sx
SADD sx a
SREM sx a
SADD sx a
SMOVE sx sy a
";

#[test]
fn events_of_all_types_are_those_of_the_reference() {
    let Some(reference) = Server::redis(&[]) else { return };
    let subject = Server::dunlin(&[]);
    let [mut theirs, mut ours] = [&reference, &subject]
        .map(|server| Listener::start(server, "EAmn", "PSUBSCRIBE __key*__:*"));
    let mut differences = Vec::new();
    for line in LINES.lines() {
        let (theirs, ours) = (theirs.events(line), ours.events(line));
        if theirs != ours {
            differences.push(format!("{line}\n  {theirs}\n  {ours}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
