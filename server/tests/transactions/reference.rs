//! The same conversations with redis-server: every byte of the replies has to be the same.

use crate::support::client::PATIENCE;
use crate::support::{Client, Server};
use std::time::Duration;

/// Conversations of one connection each. A line that begins with `!` is sent by another one.
const CONVERSATIONS: &[&[&str]] = &[
    &["MULTI", "EXEC", "EXEC", "DISCARD", "MULTI", "DISCARD", "UNWATCH"],
    &["MULTI", "MULTI", "PING", "EXEC"],
    &["MULTI", "WATCH a", "PING", "EXEC"],
    &["MULTI", "SET a 1", "INCR a", "LPUSH a x", "GET a", "MGET a b", "EXEC", "GET a"],
    &["MULTI", "NOSUCH x", "SET a", "SET b 1", "EXEC", "EXISTS b"],
    &["EXEC foo", "MULTI", "EXEC foo", "EXEC", "MULTI", "DISCARD foo", "EXEC"],
    &["MULTI", "MULTI x", "EXEC", "MULTI", "WATCH", "EXEC", "MULTI", "UNWATCH x", "EXEC"],
    &["MULTI", "SHUTDOWN", "EXEC", "MULTI", "SHUTDOWN NOSAVE", "PING", "EXEC"],
    &["MULTI", "DEBUG SLEEP 0", "EXEC", "DEBUG SLEEP 0"],
    &[
        "MULTI",
        "SELECT 3",
        "SET a three",
        "SELECT 4",
        "GET a",
        "EXEC",
        "GET a",
        "SELECT 3",
        "GET a",
    ],
    &["MULTI", "HELLO 3", "GET nokey", "HGETALL nokey", "EXEC", "MULTI", "FOO", "EXEC"],
    &["HELLO 3", "SET a 1", "WATCH a", "!SET a 2", "MULTI", "PING", "EXEC", "GET nokey"],
    &["WATCH a", "!SET a 2", "MULTI", "PING", "EXEC", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!SET a 2", "MULTI", "FOO", "EXEC", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!SET a 2", "EXEC foo", "MULTI", "PING", "EXEC"],
    &["WATCH a", "EXEC foo", "!SET a 2", "MULTI", "PING", "EXEC"],
    &["WATCH a", "EXEC", "!SET a 2", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!SET a 2", "UNWATCH", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!SET a 2", "MULTI", "UNWATCH", "PING", "EXEC"],
    &["WATCH a", "!SET a 2", "MULTI", "DISCARD", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!SET a 2", "WATCH b", "MULTI", "PING", "EXEC", "!SET b 1", "MULTI", "EXEC"],
    &["WATCH a b", "MULTI", "SET a 1", "EXEC", "!SET b 1", "MULTI", "PING", "EXEC"],
    &["WATCH a a a", "SET a 1", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!SET a 2", "RESET", "MULTI", "PING", "EXEC"],
    &["MULTI", "PING", "RESET", "EXEC"],
    &["MULTI", "PING", "QUIT"],
    &["MULTI", "PING", "UNWATCH", "EXEC"],
    &["MULTI", "CLIENT REPLY OFF", "PING", "CLIENT REPLY ON", "PING", "EXEC", "PING"],
    &["MULTI", "CLIENT REPLY SKIP", "PING", "EXEC", "PING", "PING"],
    &["CLIENT REPLY OFF", "MULTI", "PING", "CLIENT REPLY ON", "PING", "EXEC", "PING"],
    &["CLIENT REPLY SKIP", "MULTI", "CLIENT REPLY SKIP", "EXEC", "PING", "PING"],
    &["MULTI", "MONITOR", "PING", "EXEC", "PING"],
    &[
        "MULTI",
        "SUBSCRIBE a b",
        "SSUBSCRIBE c",
        "PSUBSCRIBE d",
        "PING",
        "GET a",
        "EXEC",
        "PING",
        "GET a",
    ],
    &["MULTI", "SUBSCRIBE a", "UNSUBSCRIBE a", "GET a", "EXEC", "GET a"],
    &["HELLO 3", "MULTI", "SUBSCRIBE a", "GET a", "EXEC", "GET a"],
    &[
        "MULTI",
        "WAIT 1 0",
        "XADD s 1-1 f v",
        "XREAD BLOCK 0 STREAMS s $",
        "XREAD BLOCK 0 STREAMS s 0",
        "EXEC",
    ],
    &["MULTI", "FLUSHALL", "SET a 1", "DBSIZE", "KEYS *", "RANDOMKEY", "SCAN 0", "EXEC"],
    &[
        "MSET a 1 b 2",
        "MULTI",
        "RENAME a c",
        "COPY c d",
        "MOVE d 1",
        "SWAPDB 0 1",
        "DBSIZE",
        "EXEC",
        "DBSIZE",
    ],
    &["MULTI", "ECHO hello", "TIME x", "CONFIG SET maxmemory bla", "PING", "EXEC"],
    &["AUTH default wrong", "MULTI", "AUTH default wrong x", "AUTH default x", "EXEC"],
    &["ACL SETUSER u on >p ~k* +@all -exec", "AUTH u p", "EXEC", "MULTI", "EXEC", "ACL WHOAMI"],
    &[
        "MULTI",
        "OBJECT ENCODING a",
        "OBJECT NOSUCH a",
        "EXEC",
        "MULTI",
        "OBJECT ENCODING a",
        "EXEC",
    ],
    &["WATCH a", "!PEXPIRE a 100000", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!PEXPIRE a 100000", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!APPEND a x", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!DEL a", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!DEL a", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!DEL a", "!SET a 1", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a b", "!RENAME a b", "MULTI", "PING", "EXEC"],
    &["SET b 1", "WATCH a", "!RENAME b a", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!FLUSHDB", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!FLUSHALL", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!SWAPDB 0 1", "MULTI", "PING", "EXEC"],
    &["SELECT 1", "SET a 1", "SELECT 0", "WATCH a", "!SWAPDB 0 1", "MULTI", "PING", "EXEC"],
    &["SELECT 1", "SET a 1", "SELECT 0", "WATCH a", "!SWAPDB 0 1", "!SWAPDB 0 1", "MULTI", "EXEC"],
    &["WATCH a", "!SWAPDB 0 1", "MULTI", "PING", "EXEC"],
    &["SELECT 5", "SET a 1", "WATCH a", "SELECT 1", "SET a 2", "SELECT 5", "MULTI", "PING", "EXEC"],
    &["SADD s a", "WATCH s", "!SADD s a", "MULTI", "PING", "EXEC"],
    &["SADD s a", "WATCH s", "!SREM s a", "MULTI", "PING", "EXEC"],
    &["HSET h f v", "WATCH h", "!HSET h f v", "MULTI", "PING", "EXEC"],
    &["HSET h f v", "WATCH h", "!HDEL h g", "MULTI", "PING", "EXEC"],
    &["RPUSH l a b", "WATCH l", "!LSET l 0 a", "MULTI", "PING", "EXEC"],
    &["RPUSH l a b", "WATCH l", "!LTRIM l 0 -1", "MULTI", "PING", "EXEC"],
    &["RPUSH l a b", "WATCH l", "!LREM l 0 z", "MULTI", "PING", "EXEC"],
    &["RPUSH l a a", "WATCH l", "!LMOVE l l LEFT RIGHT", "MULTI", "PING", "EXEC"],
    &["ZADD z 1 a", "WATCH z", "!ZADD z 1 a", "MULTI", "PING", "EXEC"],
    &["ZADD z 1 a", "WATCH z", "!ZINCRBY z 0 a", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!SETRANGE a 0 1", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!SETRANGE a 0 ''", "MULTI", "PING", "EXEC"],
    &["SET a x", "APPEND a y", "WATCH a", "!SETBIT a 1 1", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!INCRBY a 0", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!GETEX a", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!GETEX a PERSIST", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!PERSIST a", "MULTI", "PING", "EXEC"],
    &["SET a 1 EX 100", "WATCH a", "!PERSIST a", "MULTI", "PING", "EXEC"],
    &["SET a 1 EXAT 9000000000", "WATCH a", "!EXPIREAT a 9000000000", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!COPY b a", "!SETNX a 2", "!MSETNX a 1 c 1", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!GETSET a 1", "MULTI", "PING", "EXEC"],
    &["XADD s 1-1 f v", "WATCH s", "!XADD s 1-2 f v", "MULTI", "PING", "EXEC"],
    &["SET a 1", "WATCH a", "!SINTERSTORE a nokey", "MULTI", "PING", "EXEC"],
    &["WATCH a", "!SINTERSTORE a nokey", "MULTI", "PING", "EXEC"],
    &["GEOADD g 1 1 a", "WATCH g", "!GEOADD g 1 1 a", "MULTI", "PING", "EXEC"],
];

/// How long to wait for more replies to a line. What comes later is taken for the next line's; that
/// makes no difference, because of the subject exactly as many are read.
const MOMENT: Duration = Duration::from_millis(8);

/// The replies of the reference to each line, and the bytes that are left at the end.
fn learn(server: &Server, lines: &[&str]) -> Vec<Vec<String>> {
    let silent = lines.iter().any(|line| line.starts_with("CLIENT REPLY"));
    converse(server, lines, |client, _| {
        let mut replies = Vec::new();
        if !silent {
            replies.push(format!("{:?}", client.recv()));
        }
        client.set_patience(MOMENT);
        while let Ok(value) = client.try_recv() {
            replies.push(format!("{value:?}"));
        }
        client.set_patience(PATIENCE);
        replies
    })
}

/// As many replies of the subject.
fn compare(server: &Server, lines: &[&str], expected: &[Vec<String>]) -> Vec<Vec<String>> {
    converse(server, lines, |client, number| {
        expected[number].iter().map(|_| format!("{:?}", client.recv())).collect()
    })
}

fn converse(
    server: &Server,
    lines: &[&str],
    mut answers: impl FnMut(&mut Client, usize) -> Vec<String>,
) -> Vec<Vec<String>> {
    let mut admin = server.client();
    for reset in ["FLUSHALL", "ACL DELUSER u"] {
        admin.run(reset);
    }
    let (mut client, mut other) = (server.client(), server.client());
    let mut out = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        out.push(match line.strip_prefix('!') {
            Some(line) => vec![format!("{:?}", other.run(line))],
            None => {
                client.send(format!("{line}\r\n").as_bytes());
                answers(&mut client, number)
            }
        });
    }
    client.finish_sending();
    let rest = client.read_to_close().expect("the connection ends");
    out.push(vec![rest.escape_ascii().to_string()]);
    out
}

/// Differences of the two that are no difference of transactions: versions and the words of 7.2.
fn same(text: &str) -> String {
    let mut text = text.replace("7.0.15", "7.2.4");
    text = text.replace("this user has no permissions", "User u has no permissions");
    // Numbers of connections.
    if let (Some(from), Some(to)) = (text.find("$\"id\""), text.find("$\"mode\"")) {
        text.replace_range(from..to, "");
    }
    text
}

#[test]
fn replies_are_those_of_the_reference() {
    let Some(reference) = Server::redis(&[]) else { return };
    let subject = Server::dunlin(&[]);
    let mut different = Vec::new();
    for lines in CONVERSATIONS {
        let theirs = learn(&reference, lines);
        let ours = compare(&subject, lines, &theirs);
        for ((theirs, ours), line) in theirs.iter().zip(&ours).zip(lines.iter().chain(&["end"])) {
            let (theirs, ours) = (same(&theirs.join(" ")), same(&ours.join(" ")));
            if theirs != ours {
                different.push(format!("{lines:?}\n  {line}\n  {theirs}\n  {ours}"));
                break;
            }
        }
    }
    assert!(different.is_empty(), "{}\n{}", different.len(), different.join("\n"));
}
