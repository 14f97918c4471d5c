//! Rows 37, 38, 41, 43 to 45: patterns, repeated keys, key extraction, arity, long keys.

use crate::Victim;
use crate::support::process::against_reference;
use crate::support::{Client, Value, alone, command};

fn fill(client: &mut Client, count: usize, key: impl Fn(usize) -> String) {
    let mut wire = Vec::new();
    for n in 0..count {
        wire.extend(command(&["SET", &key(n), "v"]));
        if n % 1000 == 999 || n + 1 == count {
            client.send(&wire);
            wire.clear();
            (0..=n % 1000).for_each(|_| assert_eq!(client.recv(), Value::ok()));
        }
    }
}

#[test]
fn row_37_patterns_that_make_backtracking_matchers_explode() {
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let a = "a".repeat(40);
    fill(&mut client, 100_000, |n| format!("{a}{n}"));
    let stars = format!("{}b", "a*".repeat(50));
    let long = "*?".repeat(50_000);
    for pattern in [stars.as_str(), &long] {
        assert_eq!(client.call(&["KEYS", pattern]), Value::Array(Vec::new()));
        let scan = client.call(&["SCAN", "0", "MATCH", pattern, "COUNT", "1000000"]).items();
        assert_eq!(scan[1], Value::Array(Vec::new()));
        assert_eq!(client.call(&["CONFIG", "GET", pattern]), Value::Array(Vec::new()));
    }
    let mut subscriber = victim.client();
    for pattern in [stars.as_str(), &long, "a*"] {
        assert_eq!(subscriber.call(&["PSUBSCRIBE", pattern]).items()[0], Value::bulk("psubscribe"));
    }
    for _ in 0..100 {
        // Matches the long one as well: half of its elements are a byte each.
        let channel = "a".repeat(60_000);
        assert_eq!(client.call(&["PUBLISH", &channel, "x"]), Value::Int(2));
        assert_eq!(client.call(&["PUBLISH", &channel[..2000], "x"]), Value::Int(1));
        (0..3).for_each(|_| drop(subscriber.recv()));
    }
    assert_eq!(client.call(&["PUBSUB", "CHANNELS", &long]), Value::Array(Vec::new()));
    drop(subscriber);
    let stars = format!("{}9", "a*".repeat(30));
    assert_eq!(client.call(&["KEYS", &stars]).items().len(), 10_000);
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_38_a_key_named_twice() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    assert_eq!(client.run("MSETNX a 1 a 2"), Value::Int(1));
    assert_eq!(client.run("GET a"), Value::bulk("2"));
    assert_eq!(client.run("MSET b 1 b 2"), Value::ok());
    assert_eq!(client.run("GET b"), Value::bulk("2"));
    assert_eq!(client.run("EXISTS a a b"), Value::Int(3));
    assert_eq!(client.run("DEL a a b"), Value::Int(2));
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_41_key_extraction_never_reads_past_the_arguments() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    if !against_reference() {
        for count in ["4294967296", "-1", "9223372036854775807", "18446744073709551616", "x"] {
            let line = format!("COMMAND GETKEYS MSETEX {count} k v");
            assert!(client.run(&line).is_error(), "{line}");
        }
    }
    for line in ["COMMAND GETKEYS GET", "COMMAND GETKEYS MSET a", "COMMAND GETKEYS NOSUCH a"] {
        assert!(client.run(line).is_error(), "{line}");
    }
    drop(client);
    victim.assert_unharmed();
}

/// Name and arity of every command and subcommand.
fn commands(client: &mut Client) -> Vec<(String, i64)> {
    let mut out = Vec::new();
    for entry in client.call(&["COMMAND"]).items() {
        let entry = entry.items();
        out.push((entry[0].text(), entry[1].int()));
        for sub in entry.get(9).map(Value::items).unwrap_or_default() {
            let sub = sub.items();
            out.push((sub[0].text(), sub[1].int()));
        }
    }
    out
}

#[test]
fn row_43_every_command_with_every_number_of_arguments() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let all = commands(&mut client);
    assert!(all.len() > 100, "{} commands", all.len());
    drop(client);
    for (name, arity) in all {
        let words: Vec<&str> = name.split('|').collect();
        let least = arity.unsigned_abs() as usize;
        for count in words.len()..=least.max(words.len()) + 3 {
            let right = if arity < 0 { count >= least } else { count == least };
            // Commands that end the server or the conversation when they are right.
            let special =
                ["shutdown", "monitor", "quit", "sync", "psync", "failover", "debug", "exec"];
            let waits = words.len() == 1 && name.contains("subscribe");
            if (right || words[0] == "exec") && (special.contains(&words[0]) || waits) {
                continue;
            }
            let mut args: Vec<&str> = words.clone();
            args.resize(count, "x");
            let mut client = victim.client();
            let reply = client.try_recv_after(&command(&args));
            let reply = reply.unwrap_or_else(|e| panic!("{args:?}: {e:?}"));
            // A container alone or with an unknown subcommand has a text of its own.
            if !right {
                let wanted = format!("ERR wrong number of arguments for '{name}' command");
                assert_eq!(reply, Value::Error(wanted.into_bytes()), "{args:?}");
            }
        }
    }
    victim.assert_unharmed();
}

#[test]
fn row_44_keys_that_share_a_hash_slot() {
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    // One hash tag: the same CRC16 for all; the hash of the store is keyed, so nothing else is
    // known to collide.
    fill(&mut client, 100_000, |n| format!("{{tag}}{n}"));
    assert_eq!(client.run("DBSIZE"), Value::Int(100_000));
    for n in [0, 1, 50_000, 99_999] {
        assert_eq!(client.call(&["GET", &format!("{{tag}}{n}")]), Value::bulk("v"));
    }
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_45_empty_huge_and_binary_keys_and_values() {
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let every: Vec<u8> = (0..=255).collect();
    let huge = vec![b'k'; 32 << 20];
    for key in [&b""[..], &every, b"\r\n", b"\0", &huge] {
        assert_eq!(client.call(&[b"SET", key, b""]), Value::ok());
        assert_eq!(client.call(&[b"GET", key]), Value::bulk(""));
        assert_eq!(client.call(&[b"APPEND".as_slice(), key, &every]), Value::Int(256));
        assert_eq!(client.call(&[b"GET", key]), Value::Bulk(every.clone()));
        assert_eq!(client.call(&[b"EXISTS", key]), Value::Int(1));
    }
    assert_eq!(client.call(&[b"RENAME".as_slice(), &huge, b"short"]), Value::ok());
    assert_eq!(client.call(&[b"SET".as_slice(), b"short", &huge]), Value::ok());
    assert_eq!(client.call(&[b"GET".as_slice(), b"short"]), Value::Bulk(huge));
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    drop(client);
    victim.assert_unharmed();
}
