//! DUMP and RESTORE of every type: payloads go to the reference and come from it, and keep what they
//! hold.

use crate::support::{Client, Server, Value};

/// Numbers of members on both sides of the limits of packed collections.
const SIZES: [usize; 8] = [1, 5, 127, 128, 129, 512, 513, 3000];

/// How a collection with a name gets its member of a number.
type Fill = fn(usize) -> String;

const FILLS: [Fill; 11] = [
    |n| format!("SADD k {n}"),
    |n| format!("SADD k -{n}000000000"),
    |n| format!("SADD k member:{n}"),
    |n| format!("SADD k {}{n}", "x".repeat(64)),
    |n| format!("HSET k field:{n} {n}"),
    |n| format!("HSET k {n} {}", "y".repeat(65)),
    |n| format!("ZADD k {}.5 member:{n}", n % 7),
    |n| format!("ZADD k -{n} {}{n}", "z".repeat(64)),
    |n| format!("RPUSH k {n}"),
    |n| format!("LPUSH k {}{n}", "e".repeat(n % 300 * 40)),
    |n| format!("XADD k {}-{n} a {n} b value", n / 3 + 1),
];

fn fill(client: &mut Client, how: Fill, size: usize) {
    client.run("DEL k");
    for n in 0..size {
        let reply = client.run(&how(n));
        assert!(reply.error_text().is_none(), "{}: {reply:?}", how(n));
    }
}

fn dump(client: &mut Client, key: &str) -> Vec<u8> {
    match client.run(&format!("DUMP {key}")) {
        Value::Bulk(payload) => payload,
        other => panic!("a dump is a bulk string, not {other:?}"),
    }
}

fn restore(client: &mut Client, key: &str, payload: &[u8]) {
    let reply = client.call(&[b"RESTORE", key.as_bytes(), b"0", payload, b"REPLACE"]);
    assert_eq!(reply, Value::ok(), "{}", payload.escape_ascii());
}

/// Small sets of strings and small lists are packed since 7.2.
fn is_newer(reference: &Value, subject: &Value) -> bool {
    let large = ["hashtable", "quicklist"].map(Value::bulk);
    large.contains(reference) && *subject == Value::bulk("listpack")
}

#[test]
fn values_of_the_reference_come_and_go() {
    let Some(reference) = Server::redis(&["--enable-debug-command", "yes"]) else { return };
    let server = Server::dunlin(&[]);
    let (mut reference, mut subject) = (reference.client(), server.client());
    for how in FILLS {
        for size in SIZES {
            fill(&mut reference, how, size);
            restore(&mut subject, "k", &dump(&mut reference, "k"));
            let encodings = [&mut reference, &mut subject].map(|c| c.run("OBJECT ENCODING k"));
            let what = format!("{size} of {}", how(0));
            let newer = how(0).starts_with("SADD") || how(0).contains("PUSH");
            let same = encodings[0] == encodings[1];
            let good = same || newer && is_newer(&encodings[0], &encodings[1]);
            assert!(good, "{what}: {encodings:?}");
            assert_eq!(subject.run("COPY k copy REPLACE"), Value::Int(1), "{what}");
            for (key, back) in [("k", "back"), ("copy", "back")] {
                restore(&mut reference, back, &dump(&mut subject, key));
                let digests = reference.run(&format!("DEBUG DIGEST-VALUE k {back}"));
                assert_eq!(digests.items()[0], digests.items()[1], "{what}");
            }
            let encodings = ["k", "back"].map(|k| reference.run(&format!("OBJECT ENCODING {k}")));
            assert_eq!(encodings[0], encodings[1], "{what}");
        }
    }
}

#[test]
fn groups_of_streams_come_and_go() {
    let Some(reference) = Server::redis(&[]) else { return };
    let server = Server::dunlin(&[]);
    let (mut reference, mut subject) = (reference.client(), server.client());
    fill(&mut reference, FILLS[10], 400);
    for line in [
        "XGROUP CREATE k g 0",
        "XGROUP CREATE k other 20-0",
        "XREADGROUP GROUP g alice COUNT 150 STREAMS k >",
        "XREADGROUP GROUP g bob COUNT 7 STREAMS k >",
        "XACK k g 1-1",
        "XCLAIM k g bob 0 2-3 TIME 1 RETRYCOUNT 9 JUSTID",
        "XDEL k 1-0 3-8 100-299",
    ] {
        assert!(reference.run(line).error_text().is_none(), "{line}");
    }
    restore(&mut subject, "k", &dump(&mut reference, "k"));
    restore(&mut reference, "back", &dump(&mut subject, "k"));
    for line in ["XRANGE k - +", "XPENDING k g", "XPENDING k g - + 1000 bob", "XINFO STREAM k FULL"]
    {
        let back = reference.run(&line.replace(" k", " back"));
        let here = reference.run(line);
        if line.starts_with("XPENDING k g -") {
            let without_idle = |reply: &Value| -> Vec<Vec<Value>> {
                let rows = reply.items().into_iter().map(|row| row.items());
                rows.map(|row| vec![row[0].clone(), row[1].clone(), row[3].clone()]).collect()
            };
            assert_eq!(without_idle(&here), without_idle(&back), "{line}");
        } else {
            assert_eq!(here, back, "{line}");
        }
    }
}

#[test]
fn fields_that_expire_keep_their_expiry() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for size in [3, 600] {
        client.run("DEL k");
        for n in 0..size {
            client.run(&format!("HSET k f{n} {n}"));
        }
        client.run("HPEXPIREAT k 4000000000123 FIELDS 2 f0 f2");
        let payload = dump(&mut client, "k");
        restore(&mut client, "back", &payload);
        let times = ["k", "back"]
            .map(|key| client.run(&format!("HPEXPIRETIME {key} FIELDS 4 f0 f1 f2 none")));
        assert_eq!(times[0], times[1]);
        assert_eq!(times[1].items()[0], Value::Int(4_000_000_000_123));
        let encodings = ["k", "back"].map(|key| client.run(&format!("OBJECT ENCODING {key}")));
        assert_eq!(encodings[0], encodings[1]);
        assert_eq!(client.run("HLEN back"), Value::Int(size));
    }
}

#[test]
fn of_a_hash_whose_fields_have_expired_nothing_is_dumped() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for field in ["f".to_owned(), "f".repeat(100)] {
        client.run("DEL k");
        assert_eq!(client.run(&format!("HSET k {field} v")), Value::Int(1));
        client.run(&format!("HPEXPIRE k 20 FIELDS 1 {field}"));
        std::thread::sleep(std::time::Duration::from_millis(60));
        assert_eq!(client.run("DUMP k"), Value::NullBulk);
        assert_eq!(client.run("MIGRATE 127.0.0.1 1 k 0 1000"), Value::Simple(b"NOKEY".to_vec()));
    }
}

#[test]
fn values_survive_a_reload() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    for (i, how) in FILLS.into_iter().enumerate() {
        fill(&mut client, how, 300);
        assert_eq!(client.run(&format!("COPY k kept:{i}")), Value::Int(1));
    }
    assert_eq!(client.run("SET k text EX 1000"), Value::ok());
    client.run("HSET expiring f v g w");
    client.run("HPEXPIREAT expiring 4000000000123 FIELDS 1 f");
    client.run("SELECT 3");
    client.run("SET elsewhere 12345");
    client.run("SELECT 0");
    let before: Vec<_> =
        (0..FILLS.len()).map(|i| contents(&mut client, &format!("kept:{i}"))).collect();
    assert_eq!(client.run("DEBUG RELOAD"), Value::ok());
    let after: Vec<_> =
        (0..FILLS.len()).map(|i| contents(&mut client, &format!("kept:{i}"))).collect();
    assert_eq!(before, after);
    assert_eq!(client.run("GET k"), Value::bulk("text"));
    assert!((1..=1000).contains(&client.run("TTL k").int()));
    let time = client.run("HPEXPIRETIME expiring FIELDS 2 f g");
    assert_eq!(time, Value::Array(vec![Value::Int(4_000_000_000_123), Value::Int(-1)]));
    let size = i64::try_from(FILLS.len()).unwrap_or(0) + 2;
    assert_eq!(client.run("DBSIZE"), Value::Int(size));
    client.run("SELECT 3");
    assert_eq!(client.run("GET elsewhere"), Value::bulk("12345"));
    assert_eq!(client.run("DEBUG RELOAD NOFLUSH MERGE"), Value::ok());
    for line in ["DEBUG RELOAD NOFLUSH", "DEBUG RELOAD NOW"] {
        assert!(client.run(line).is_error(), "{line}");
    }
    assert_eq!(client.run("GET elsewhere"), Value::bulk("12345"));
    // Without another snapshot the file is what counts.
    client.run("SET elsewhere changed");
    client.run("SET new value");
    assert_eq!(client.run("DEBUG RELOAD NOSAVE"), Value::ok());
    assert_eq!(client.run("GET elsewhere"), Value::bulk("12345"));
    assert_eq!(client.run("GET new"), Value::NullBulk);
    for line in ["MULTI", "DEBUG RELOAD"] {
        client.run(line);
    }
    assert!(client.run("EXEC").items()[0].is_error(), "it would be waited for");
    std::fs::write(server.dir().join("dump.dunlin"), "no snapshot").expect("it is written");
    assert!(client.run("DEBUG RELOAD NOSAVE NOFLUSH MERGE").is_error());
    assert_eq!(client.run("GET elsewhere"), Value::bulk("12345"));
}

#[test]
fn large_collections_survive_a_reload() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    for how in FILLS {
        fill(&mut client, how, 1000);
        client.run(&format!("COPY k {}", how(0).replace(' ', "-")));
    }
    let before = client.run("DEBUG DIGEST");
    assert_eq!(client.run("DEBUG RELOAD"), Value::ok());
    assert_eq!(client.run("DEBUG DIGEST"), before);
}

/// The encoding of a key and all that is in it, sorted where order means nothing.
fn contents(client: &mut Client, key: &str) -> (Value, Vec<String>) {
    let encoding = client.run(&format!("OBJECT ENCODING {key}"));
    let kind = client.run(&format!("TYPE {key}"));
    let (line, ordered) = match kind.text().as_str() {
        "set" => (format!("SMEMBERS {key}"), false),
        "hash" => (format!("HGETALL {key}"), false),
        "zset" => (format!("ZRANGE {key} 0 -1 WITHSCORES"), true),
        "list" => (format!("LRANGE {key} 0 -1"), true),
        _ => (format!("XRANGE {key} - +"), true),
    };
    let mut items: Vec<_> =
        client.run(&line).items().iter().map(|item| format!("{item:?}")).collect();
    if !ordered {
        items.sort();
    }
    (encoding, items)
}
