//! The same conversations with redis-server: every message has to be the same.

use crate::scenario::run;
use crate::support::Server;

const OWN_AND_OTHERS: &str = "
    a: HELLO 3
    a: CLIENT TRACKING ON
    a: GET k
    b: SET k 1
    b: SET k 2
    a: MGET k l m
    b: MSET m 1 k 2 l 3
    a: GET k
    a: SET k 4
    a: EXISTS k
    a: INCRBYFLOAT k 1.5
    a: GET nothing
    b: DEL nothing
    b: SET nothing x
    a: TYPE k
    b: DEL k
    a: STRLEN k
    b: SELECT 3
    b: SET k in-another-database
    a: LLEN nothing
    b: LPUSH nothing x
    b: SET nothing now-in-3
    a: GETRANGE j 0 1
    a: MULTI | SET j 1 | GET j | SET j 2 | MSET x 1 y 2 | GET x | SET x 3 | EXEC
    b: SELECT 0
    b: SET j 9
    a: CLIENT TRACKING ON NOLOOP
    a: GET k
    a: SET k 1
    b: SET k 2
    a: GET k
    b: SET k 3
    a: CLIENT TRACKING OFF
    a: GET k
    b: SET k 4
    a: CLIENT TRACKING ON
    a: GET k
    a: CLIENT TRACKING OFF
    b: SET k 5
    a: CLIENT TRACKING ON
    a: GET k
    a: RESET
    a: CLIENT TRACKINGINFO
    b: SET k 6
    a: CLIENT TRACKING ON
    a: GET k
    b: SET k 7
    a: HELLO 3
    a: GET k
    a: HELLO 2
    b: SET k 8
    a: PING
";

const FLUSHES: &str = "
    a: HELLO 3
    a: CLIENT TRACKING ON
    a: GET k
    b: FLUSHDB
    b: SET k 1
    a: GET k
    a: FLUSHALL
    a: MULTI | GET k | SET k 1 | FLUSHDB | SET k 2 | EXEC
    r: SUBSCRIBE __redis__:invalidate
    c: CLIENT TRACKING ON REDIRECT {r}
    c: GET k
    b: SET k 3
    b: FLUSHALL
    c: HELLO 3
    b: FLUSHALL
    d: HELLO 3
    d: CLIENT TRACKING ON BCAST NOLOOP
    d: FLUSHALL
    b: SWAPDB 0 1
";

const BROADCAST: &str = "
    a: HELLO 3
    a: CLIENT TRACKING ON BCAST PREFIX obj: PREFIX foo
    a: CLIENT TRACKINGINFO
    b: SET k 1
    b: SET obj:1 1
    b: MSET foo2 1 obj:2 2 obj:1 3 foo 4
    b: DEL obj:1 obj:2 nothing
    b: HSET obj:h f v
    b: HSET obj:h f v
    b: SADD obj:s a
    b: SADD obj:s a
    b: MULTI | SET foo 1 | SET obj:3 1 | SET obj:3 2 | EXEC
    a: GET obj:3
    a: SET obj:3 4
    a: CLIENT TRACKING ON BCAST PREFIX obj:x
    a: CLIENT TRACKING ON BCAST PREFIX o
    a: CLIENT TRACKING ON BCAST PREFIX new PREFIX new2
    a: CLIENT TRACKING ON BCAST PREFIX new PREFIX new
    a: CLIENT TRACKING ON BCAST PREFIX news
    a: CLIENT TRACKING ON BCAST NOLOOP
    a: CLIENT TRACKINGINFO
    b: SET news 1
    a: SET news 2
    a: MSET news 2 foo 2 x 1
    a: MULTI | SET news 2 | EXEC
    b: SET obj:z 1
    a: CLIENT TRACKING ON
    a: CLIENT TRACKING ON BCAST OPTIN
    a: CLIENT TRACKING OFF
    a: CLIENT TRACKINGINFO
    b: SET obj:z 2
    a: CLIENT TRACKING ON
    a: GET k
    a: CLIENT TRACKING OFF
    a: CLIENT TRACKING ON BCAST
    b: SET k 1
    a: CLIENT CACHING YES
    a: RESET
    b: SET k 1
    r: SUBSCRIBE x
    c: CLIENT TRACKING ON BCAST REDIRECT {r} PREFIX k
    b: MSET k 2 k1 3 l 4
    r: UNSUBSCRIBE x
    b: MSET k 2 k1 3 l 4
";

const OPTIONS: &str = "
    a: CLIENT CACHING YES
    a: CLIENT CACHING FOO
    a: HELLO 3
    a: CLIENT TRACKING ON OPTIN
    a: GET k
    b: SET k 1
    a: CLIENT CACHING NO
    a: CLIENT CACHING maybe
    a: CLIENT CACHING YES
    b: PING
    a: GET k
    b: SET k 1
    a: CLIENT TRACKING ON OPTOUT
    a: CLIENT TRACKING ON BCAST
    a: CLIENT TRACKING OFF
    a: CLIENT TRACKING ON OPTOUT NOLOOP
    a: CLIENT TRACKINGINFO
    a: GET k
    b: SET k 2
    a: CLIENT CACHING YES
    a: CLIENT TRACKING ON OPTIN
    a: CLIENT TRACKING ON OPTIN OPTOUT
    a: CLIENT TRACKING ON PREFIX a
    a: CLIENT TRACKING ON FOO
    a: CLIENT TRACKING FOO
    a: CLIENT TRACKING ON REDIRECT
    a: CLIENT TRACKING ON REDIRECT x
    a: CLIENT TRACKING ON REDIRECT 0
    a: CLIENT TRACKING ON REDIRECT -1
    a: CLIENT TRACKING OFF REDIRECT 9999
    a: CLIENT TRACKING ON REDIRECT {b} REDIRECT {b}
    a: CLIENT TRACKING
    a: CLIENT TRACKINGINFO x
    a: CLIENT GETREDIR x
    a: CLIENT CACHING
    b: CLIENT GETREDIR
    b: CLIENT TRACKINGINFO
";

/// Several commands at once, so that nothing else comes between them.
const CACHING: &str = "
    a: HELLO 3
    a: CLIENT TRACKING ON OPTIN
    a: CLIENT CACHING YES | GET k | GET l | CLIENT TRACKINGINFO
    b: MSET k 1 l 1
    a: CLIENT CACHING YES | CLIENT TRACKINGINFO | GET k
    b: SET k 1
    a: CLIENT CACHING YES | NOSUCH | GET k
    b: SET k 1
    a: CLIENT CACHING YES | GET | GET k
    b: SET k 1
    a: CLIENT CACHING YES | CLIENT NOSUCH | GET k
    b: SET k 1
    a: CLIENT CACHING YES | CLIENT ID x | GET k
    b: SET k 1
    a: CLIENT CACHING YES | MULTI | GET k | GET l | EXEC | GET m
    b: MSET k 1 l 1 m 1
    a: MULTI | GET k | CLIENT CACHING YES | GET l | EXEC | GET m
    b: MSET k 1 l 1 m 1
    a: CLIENT CACHING YES | MULTI | DISCARD | GET k
    b: SET k 1
    a: CLIENT CACHING YES | LPUSH k x | GET k
    b: SET k 1
    a: CLIENT CACHING YES | LRANGE k 0 1 | GET l
    b: MSET k 1 l 1
    a: CLIENT TRACKING OFF
    a: CLIENT TRACKING ON OPTOUT
    a: CLIENT CACHING NO | GET k | GET l | CLIENT TRACKINGINFO
    b: MSET k 1 l 1
";

const REDIRECTS: &str = "
    r: PING
    a: CLIENT TRACKING ON REDIRECT {r}
    a: CLIENT GETREDIR
    a: CLIENT TRACKINGINFO
    a: GET k
    b: SET k 1
    r: SUBSCRIBE __redis__:invalidate
    a: GET k
    b: SET k 1
    a: MGET k l
    a: MSET k 1 l 2
    r: UNSUBSCRIBE
    a: GET k
    b: SET k 1
    r: PSUBSCRIBE x*
    a: GET k
    b: SET k 2
    r: PUNSUBSCRIBE
    r: SSUBSCRIBE x
    a: GET k
    b: SET k 2
    r: SUNSUBSCRIBE
    r: HELLO 3
    a: GET k
    b: SET k 1
    c: CLIENT TRACKING ON REDIRECT {r}
    c: MGET k l
    a: MGET k l
    b: SET l 1
    s: SUBSCRIBE x
    a: CLIENT TRACKING ON REDIRECT {s} NOLOOP
    a: CLIENT GETREDIR
    b: SET k 1
    a: GET k
    a: SET k 1
    b: SET k 1
    a: HELLO 3
    a: GET k
    s: gone
    b: SET k 1
    a: CLIENT TRACKINGINFO
    a: GET k
    a: SET k 1
    a: CLIENT TRACKING ON
    a: CLIENT TRACKINGINFO
    a: GET k
    b: SET k 1
    a: CLIENT TRACKING ON REDIRECT {a}
    a: CLIENT GETREDIR
    a: GET k
    a: SET k 1
";

/// Commands that change a key of each type or do not; before each one the client reads the key again.
const CHANGES: &[(&str, &str)] = &[
    ("GET s", "SET s v"),
    ("GET s", "SET s v"),
    ("GET s", "SET s w NX"),
    ("GET s", "SET s w XX GET"),
    ("GET s", "APPEND s x"),
    ("GET s", "SETRANGE s 0 w"),
    ("GET s", "GETEX s"),
    ("GET s", "GETEX s EX 1000"),
    ("GET s", "GETEX s PERSIST"),
    ("GET s", "GETEX s PERSIST"),
    ("GET s", "EXPIREAT s 99999999999"),
    ("GET s", "EXPIREAT s 99999999999"),
    ("GET s", "EXPIREAT s 99999999998 GT"),
    ("GET s", "PERSIST s"),
    ("GET s", "PERSIST s"),
    ("GET s", "TOUCH s"),
    ("GET s", "SETBIT s 1 1"),
    ("GET s", "SETBIT s 1 1"),
    ("GET s", "BITFIELD s SET u8 0 97"),
    ("GET s", "BITFIELD s GET u8 0"),
    ("GET s", "LPUSH s x"),
    ("GET s", "COPY s s2"),
    ("GET s2", "COPY s s2"),
    ("GET s2", "COPY s s2 REPLACE"),
    ("MGET s s2", "RENAME s s2"),
    ("MGET s s2", "RENAME s2 s2"),
    ("MGET s s2", "RENAMENX s2 s"),
    ("GET s", "MOVE s 1"),
    ("GET s", "SETNX s 1"),
    ("GET s", "SETNX s 1"),
    ("GET s", "MSETNX s 1 q 2"),
    ("GET s", "GETSET s 1"),
    ("GET s", "INCRBY s 0"),
    ("GET s", "GETDEL s"),
    ("GET s", "GETDEL s"),
    ("HGET h f", "HSET h f 1"),
    ("HGET h f", "HSET h f 1"),
    ("HGET h f", "HSETNX h f 1"),
    ("HGET h f", "HINCRBY h f 0"),
    ("HGET h f", "HDEL h nothing"),
    ("HGET h f", "HDEL h f"),
    ("SCARD t", "SADD t a b"),
    ("SCARD t", "SADD t a b"),
    ("SCARD t", "SREM t x"),
    ("SCARD t", "SREM t a"),
    ("MGET t u", "SMOVE t u x"),
    ("MGET t u", "SMOVE t u b"),
    ("ZCARD z", "ZADD z 1 a"),
    ("ZCARD z", "ZADD z 1 a"),
    ("ZCARD z", "ZADD z NX 2 a"),
    ("ZCARD z", "ZADD z GT 0 a"),
    ("ZCARD z", "ZADD z XX CH 3 a"),
    ("ZCARD z", "ZINCRBY z 0 a"),
    ("ZCARD z", "ZREM z x"),
    ("ZCARD z", "ZREMRANGEBYSCORE z 100 200"),
    ("ZCARD z", "ZREM z a"),
    ("LLEN l", "RPUSH l a b c"),
    ("LLEN l", "LPUSHX nothing a"),
    ("LLEN l", "LSET l 0 a"),
    ("LLEN l", "LREM l 0 x"),
    ("LLEN l", "LTRIM l 0 -1"),
    ("LLEN l", "LINSERT l BEFORE x y"),
    ("LLEN l", "LINSERT l BEFORE a y"),
    ("LLEN l", "LMOVE l l LEFT LEFT"),
    ("LLEN l", "LPOP l 0"),
    ("LLEN l", "LPOP l 9"),
    ("XLEN x", "XADD x 1-1 f v"),
    ("XLEN x", "XDEL x 5-5"),
    ("XLEN x", "XTRIM x MAXLEN 10"),
    ("XLEN x", "XADD x NOMKSTREAM 2-1 f v"),
    ("XLEN x", "XDEL x 1-1"),
    ("XLEN x", "XTRIM x MAXLEN 0"),
    ("LLEN d", "SUNIONSTORE d t u"),
    ("LLEN d", "SINTERSTORE d t nothing"),
    ("LLEN d", "SINTERSTORE d t nothing"),
    // Large collections.
    ("HGET H 5", "HSET H 5 v"),
    ("HGET H 5", "HSETNX H 5 v"),
    ("HGET H 5", "HDEL H nothing"),
    ("HGET H 5", "HDEL H 5"),
    ("SCARD S", "SADD S 5"),
    ("SCARD S", "SREM S nothing"),
    ("SCARD S", "SREM S 5"),
    ("ZCARD Z", "ZADD Z 5 5"),
    ("ZCARD Z", "ZADD Z NX 6 5"),
    ("ZCARD Z", "ZREM Z nothing"),
    ("ZCARD Z", "ZADD Z 6 5"),
    ("ZCARD Z", "ZREMRANGEBYRANK Z 0 3"),
    ("ZCARD Z", "ZPOPMIN Z"),
    ("LLEN L", "LREM L 0 nothing"),
    ("LLEN L", "LTRIM L 0 -1"),
    ("LLEN L", "LINSERT L BEFORE nothing y"),
    ("LLEN L", "LSET L 5 x"),
    ("LLEN L", "LPUSH L x"),
    ("LLEN L", "RPOP L"),
    ("LLEN L", "LTRIM L 0 500"),
    ("LLEN L", "LPOP L 100"),
];

fn large() -> String {
    let numbers = |each: fn(usize) -> String| (0..1500).map(each).collect::<Vec<_>>().join(" ");
    [
        format!("b: HSET H {}", numbers(|i| format!("{i} v"))),
        format!("b: SADD S {} x", numbers(|i| format!("m{i}"))),
        "b: SADD S 5".to_owned(),
        format!("b: ZADD Z {}", numbers(|i| format!("{i} {i}"))),
        format!("b: RPUSH L {}", numbers(|i| format!("element-number-{i}"))),
    ]
    .join("\n")
}

#[test]
fn messages_are_those_of_the_reference() {
    let Some(reference) = Server::redis(&[]) else { return };
    let subject = Server::dunlin_unhurried(&[]);
    let mut changes = format!("a: HELLO 3\na: CLIENT TRACKING ON\n{}\n", large());
    for (read, change) in CHANGES {
        changes.push_str(&format!("a: {read}\nb: {change}\n"));
    }
    let scripts =
        [OWN_AND_OTHERS, FLUSHES, BROADCAST, OPTIONS, CACHING, REDIRECTS, changes.as_str()];
    for script in scripts {
        let (theirs, ours) = (run(&reference, script), run(&subject, script));
        let pairs = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs);
        let wrong: Vec<String> = pairs.map(|(o, t)| format!("{o}\n  instead of {t}")).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
