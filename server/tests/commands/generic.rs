//! Generic commands where the differential test cannot compare: waiting, walks through a growing
//! keyspace, use frequencies, replies larger than any buffer on the way.

use crate::support::{Client, Server, Value};
use std::collections::HashMap;
use std::time::Duration;

fn start(args: &[&str]) -> Server {
    Server::dunlin(args)
}

/// Walks through the database; how often each key came.
fn walk(client: &mut Client, mut between: impl FnMut(&mut Client)) -> HashMap<String, usize> {
    let mut seen = HashMap::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = client.run(&format!("scan {cursor} count 50")).items();
        cursor = reply[0].text();
        for key in reply[1].items() {
            *seen.entry(key.text()).or_insert(0) += 1;
        }
        if cursor == "0" {
            return seen;
        }
        between(client);
    }
}

#[test]
fn a_reply_of_many_megabytes_arrives_whole() {
    let server = start(&[]);
    let mut client = server.client();
    let value: Vec<u8> = (0..40_000_000_u32).map(|i| i.to_le_bytes()[1]).collect();
    assert_eq!(client.call(&[&b"set"[..], b"big", &value]), Value::ok());
    // Shorter than the period of the sweep that would wake a stalled connection in the end.
    client.set_patience(Duration::from_millis(1_500));
    for _ in 0..4 {
        assert_eq!(client.run("get big").bytes(), Some(&value[..]));
    }
    client.set_patience(Duration::from_secs(20));
    let payload = client.run("dump big");
    let payload = payload.bytes().expect("a payload");
    assert_eq!(client.call(&[&b"restore"[..], b"again", b"0", payload]), Value::ok());
    assert_eq!(client.run("get again").bytes(), Some(&value[..]));
}

#[test]
fn waiting_for_replicas_that_do_not_exist() {
    let server = start(&[]);
    let mut client = server.client();
    assert_eq!(client.run("wait 0 0").int(), 0);
    assert_eq!(client.run("wait -1 0").int(), 0);
    assert_eq!(client.run("wait 1 20").int(), 0);
    assert_eq!(client.run("waitaof 0 0 0").items(), [Value::Int(0), Value::Int(0)]);
    assert_eq!(client.run("waitaof 0 1 20").items(), [Value::Int(0), Value::Int(0)]);
    let local = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    for (command, text) in [
        ("wait x 0", "ERR value is not an integer or out of range"),
        ("wait 1 x", "ERR timeout is not an integer or out of range"),
        ("wait 1 -1", "ERR timeout is negative"),
        ("wait 1 9223372036854775807", "ERR timeout is out of range"),
        ("waitaof 2 0 0", "ERR value is out of range, value must between 0 and 1"),
        ("waitaof 0 -1 0", "ERR value is out of range, must be positive"),
        ("waitaof 0 abc 0", "ERR value is out of range, must be positive"),
        ("waitaof abc 0 0", "ERR value is not an integer or out of range"),
        ("waitaof 0 0 -1", "ERR timeout is negative"),
        ("waitaof 1 0 0", local),
    ] {
        assert_eq!(client.run(command), Value::error(text), "{command}");
    }
}

#[test]
fn a_wait_without_end_is_ended_by_client_unblock() {
    let server = start(&[]);
    let (mut waiting, mut other) = (server.client(), server.client());
    let id = waiting.run("client id").int();
    for (how, wanted) in [
        ("timeout", Value::Int(0)),
        ("error", Value::error("UNBLOCKED client unblocked via CLIENT UNBLOCK")),
    ] {
        waiting.send_command(&["wait", "1", "0"]);
        while other.run(&format!("client unblock {id} {how}")).int() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(waiting.recv(), wanted);
    }
    assert_eq!(waiting.run("ping").text(), "PONG");
}

#[test]
fn a_walk_finds_every_key_while_the_tables_grow() {
    let server = start(&["--maxmemory", "0"]);
    let mut client = server.client();
    for i in 0..2_000 {
        client.run(&format!("set old:{i} x"));
    }
    let mut new = 0;
    let seen = walk(&mut client, |client| {
        for _ in 0..50 {
            client.run(&format!("set new:{new} x"));
            new += 1;
        }
    });
    assert!(new > 1_000, "nothing grew");
    for i in 0..2_000 {
        assert!(seen.contains_key(&format!("old:{i}")), "key {i} was missed");
    }
    let total = client.run("dbsize").int();
    let seen = walk(&mut client, |_| {});
    assert!(seen.values().all(|times| *times == 1), "found twice although nothing changed");
    assert_eq!(i64::try_from(seen.len()), Ok(total));
}

#[test]
fn frequencies_under_an_lfu_policy() {
    let server = start(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu"]);
    let mut client = server.client();
    client.run("set cold x");
    client.run("set hot x");
    for _ in 0..20 {
        client.run("get hot");
    }
    assert_eq!(client.run("object freq cold").int(), 5);
    assert_eq!(client.run("object freq hot").int(), 8);
    assert!(client.run("object freq missing").is_null());
    let refused = client.run("object idletime hot").error_text().unwrap_or_default();
    assert!(refused.starts_with("ERR An LFU maxmemory policy is selected, idle time not tracked."));

    let payload = client.run("dump cold");
    let payload = payload.bytes().expect("a payload");
    for (key, wanted, shown) in [("f0", "0", 5), ("f6", "6", 6), ("f7", "7", 7), ("f9", "255", 8)] {
        let args: [&[u8]; 6] =
            [b"restore", key.as_bytes(), b"0", payload, b"freq", wanted.as_bytes()];
        assert_eq!(client.call(&args), Value::ok());
        assert_eq!(client.run(&format!("object freq {key}")).int(), shown, "{wanted}");
    }
}

/// What INFO says of changes, beside the reference.
#[test]
fn changes_are_counted_as_in_redis() {
    const LINES: &[&str] = &[
        "SET a 1",
        "SET a 1 NX",
        "GET a",
        "SETBIT bits 0 0",
        "SETBIT bits 0 0",
        "SETBIT bits 0 1",
        "BITFIELD field SET i5 0 0",
        "BITFIELD field SET i5 0 0",
        "LPUSH list x",
        "LMOVE list other LEFT RIGHT",
        "RPUSH other y",
        "LMOVE other list LEFT RIGHT",
        "RENAME list moved",
        "EXPIRE a 100",
        "PERSIST a",
        "PERSIST a",
        "HSET h f v",
        "HDEL h none",
        "HDEL h f",
        "SADD s m",
        "SADD s m",
        "DEL a bits none",
        "MSET a 1 b 2",
        "FLUSHALL",
        "FLUSHALL",
    ];
    let changes = |server: &Server| {
        let mut client = server.client();
        let mut count = || {
            let info = client.run("INFO persistence").text();
            let line = info.lines().find_map(|l| l.strip_prefix("rdb_changes_since_last_save:"));
            line.and_then(|count| count.parse::<i64>().ok()).expect("the field")
        };
        let mut other = server.client();
        LINES
            .iter()
            .map(|line| {
                let before = count();
                other.run(line);
                format!("{line}: {}", count() - before)
            })
            .collect::<Vec<_>>()
    };
    let ours = changes(&Server::dunlin(&[]));
    let Some(redis) = Server::redis(&[]) else { return };
    let differ: Vec<_> = ours
        .iter()
        .zip(&changes(&redis))
        .filter(|(a, b)| a != b)
        .map(|(a, b)| format!("{a} / {b}"))
        .collect();
    assert!(differ.is_empty(), "{differ:?}");
}

/// As long as nobody has come across it, what has expired is there.
#[test]
fn debug_object_sees_what_has_expired() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("SET k v PX 60000");
    client.run("PEXPIRE k 1");
    std::thread::sleep(std::time::Duration::from_millis(10));
    assert!(!client.run("DEBUG OBJECT k").is_error());
    assert_eq!(client.run("EXISTS k"), Value::Int(0));
}
