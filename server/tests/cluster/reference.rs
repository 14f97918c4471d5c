//! The same conversations with redis-server in cluster mode: every byte has to be the same.

use crate::support::process::free_port;
use crate::support::{Client, Server, Value, eventually, show};
use std::time::Duration;

/// Conversations of one connection each; quotes keep words together. Of the slots the upper half is
/// another node's.
const CONVERSATIONS: &[&[&str]] = &[
    &["GET foo", "GET bar", "SET foo 1", "DEL foo", "OBJECT ENCODING foo", "MEMORY USAGE foo"],
    &["MGET bar hello", "MGET foo bar", "MGET bar foo", "MSET bar 1 foo 1", "MSET {a}1 1 {a}2 2"],
    &["RENAME bar hello", "SMOVE bar hello x", "RENAME {bar}1 {bar}2", "LMOVE bar foo LEFT LEFT"],
    &[
        "COPY bar hello DB 1",
        "COPY bar {bar}2 DB 1",
        "COPY bar {bar}2 DB 0",
        "COPY bar {bar}2 DB 99",
    ],
    &["SELECT 1", "SELECT 0", "SELECT 99", "SELECT x", "SWAPDB 0 1", "SWAPDB 0 0", "SWAPDB x y"],
    &["MOVE bar 1", "MOVE bar 0", "MOVE bar x", "MOVE foo 1"],
    &["EVAL \"return redis.call('get', KEYS[1])\" 1 bar", "EVAL \"return 1\" 1 foo"],
    &[
        "EVAL \"return redis.call('get', 'foo')\" 0",
        "EVAL \"return redis.pcall('get', 'foo').err\" 0",
    ],
    &["EVAL \"return redis.call('get', 'hello')\" 1 bar", "EVAL \"return 1\" 2 bar hello"],
    &["EVAL \"return redis.call('mget', 'bar', 'hello')\" 0", "EVAL x 3 a", "EVAL x -1 a"],
    &["EVAL \"#!lua\nreturn redis.call('get', 'hello')\" 1 bar"],
    &["EVAL \"#!lua\nreturn redis.call('get', 'hello')\" 0"],
    &["EVAL \"#!lua\nredis.call('get', 'bar') return redis.call('get', 'hello')\" 0"],
    &["EVAL \"#!lua\nreturn redis.call('get', 'foo')\" 0"],
    &[
        "EVAL \"#!lua flags=allow-cross-slot-keys\nredis.call('get', 'bar') redis.call('get', 'hello')\" 0",
    ],
    &["EVAL \"#!lua flags=allow-cross-slot-keys\nreturn redis.call('get', 'foo')\" 1 bar"],
    &["EVAL \"#!lua flags=no-cluster\nreturn 1\" 0", "EVAL \"return redis.call('select', 1)\" 0"],
    &["EVAL \"redis.call('get', 'bar') return redis.call('get', 'hello')\" 0"],
    &[
        "SORT bar BY w_*",
        "SORT bar BY nosort",
        "SORT bar GET #",
        "SORT bar GET x*",
        "SORT_RO bar GET #",
    ],
    &["SORT bar STORE hello", "SORT bar STORE {bar}2", "GEORADIUS bar 0 0 1 m STORE hello"],
    &["XREAD STREAMS foo bar 0 0", "XREAD STREAMS foo 0", "XREAD COUNT x STREAMS", "ZUNION 2 foo"],
    &["WATCH foo", "WATCH bar hello", "WATCH bar", "MULTI", "WATCH foo", "EXEC"],
    &["MULTI", "GET foo", "GET bar", "EXEC", "EXEC"],
    &["MULTI", "GET bar", "GET hello", "EXEC", "EXEC", "MULTI", "EXEC"],
    &["MULTI", "MGET bar hello", "EXEC", "MULTI", "PING", "EXEC", "MULTI", "SELECT 1", "EXEC"],
    &["MULTI", "SET bar 1", "DEL bar", "EXEC", "MULTI", "NOSUCH", "GET foo", "EXEC"],
    &["BLPOP foo 0", "BLPOP bar hello 0", "BZPOPMIN foo 1", "BLMOVE bar foo LEFT LEFT 0"],
    &["DBSIZE", "KEYS *", "RANDOMKEY", "SCAN 0", "PING", "GET", "GET a b"],
    &[
        "EVALSHA 0000000000000000000000000000000000000000 1 foo",
        "FCALL nosuch 1 foo",
        "FCALL nosuch 1 bar",
    ],
    &[
        "PFMERGE bar hello",
        "BITOP AND bar hello foo",
        "SINTERCARD 2 bar hello",
        "LMPOP 2 bar hello LEFT",
    ],
];

/// Splits a line at its spaces, but not in quotes.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        match at % 2 {
            0 => words.extend(part.split(' ').filter(|word| !word.is_empty())),
            _ => words.push(part),
        }
    }
    words
}

/// Two nodes of Redis, of which the first has the lower half of the slots; the other's port is where
/// clients are sent.
pub(crate) fn redis() -> Option<(Server, Server)> {
    let [first, second] = ["a", "b"].map(|name| {
        let file = format!("nodes-{name}.conf");
        let bus = free_port().to_string();
        let args =
            ["--cluster-enabled", "yes", "--cluster-config-file", &file, "--cluster-port", &bus];
        Server::redis(&args).map(|server| (server, bus))
    });
    let ((first, _), (second, bus)) = (first?, second?);
    let run = |server: &Server, line: &str| assert_eq!(server.client().run(line), Value::ok());
    run(&first, "CLUSTER ADDSLOTSRANGE 0 8191");
    run(&second, "CLUSTER ADDSLOTSRANGE 8192 16383");
    run(&first, &format!("CLUSTER MEET 127.0.0.1 {} {bus}", second.port()));
    let ready = || {
        let ok = |server: &Server| {
            server.client().run("CLUSTER INFO").text().contains("cluster_state:ok")
        };
        ok(&first) && ok(&second) && show(&first.client().run("GET foo")).starts_with("-MOVED")
    };
    assert!(eventually(Duration::from_secs(60), ready), "the nodes of redis have not met");
    Some((first, second))
}

#[test]
fn replies_are_those_of_redis() {
    let Some((first, second)) = redis() else { return };
    let ours = crate::node(&[]);
    let give = format!("DEBUG SLOTS GIVE 8192 16383 127.0.0.1 {}", second.port());
    assert_eq!(ours.client().run(&give), Value::ok());
    let mut different = Vec::new();
    for conversation in CONVERSATIONS {
        let [theirs, ours] = [&first, &ours].map(|server| {
            let mut client: Client = server.client();
            conversation.iter().map(|line| client.call(&words(line))).collect::<Vec<_>>()
        });
        for ((line, theirs), ours) in conversation.iter().zip(theirs).zip(ours) {
            if ours != theirs {
                different.push(format!("{line}\n   redis: {theirs:?}\n  dunlin: {ours:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
