//! Rows 37, 38, 41, 43 to 45: patterns, repeated keys, key extraction, arity, long keys.

use crate::Victim;
use crate::support::process::against_reference;
use crate::support::{Client, Value, alone, command};
use std::collections::HashSet;

fn fill<K: AsRef<[u8]>>(client: &mut Client, count: usize, key: impl Fn(usize) -> K) {
    let mut wire = Vec::new();
    for n in 0..count {
        wire.extend(command(&[b"SET", key(n).as_ref(), b"v"]));
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
        // Not the long one: a pattern of more than a thousand stars matches nothing.
        let channel = "a".repeat(60_000);
        assert_eq!(client.call(&["PUBLISH", &channel, "x"]), Value::Int(1));
        assert_eq!(client.call(&["PUBLISH", &channel[..2000], "x"]), Value::Int(1));
        (0..2).for_each(|_| drop(subscriber.recv()));
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
    // As in Redis a command that may name no key names none then.
    for count in ["4294967296", "4294967297", "-1", "9223372036854775807", "2", "x"] {
        for command in ["EVAL", "EVALSHA_RO", "FCALL"] {
            let reply = client.run(&format!("COMMAND GETKEYS {command} s {count} k"));
            assert_eq!(reply, Value::Array(Vec::new()), "{command} {count}");
        }
    }
    assert_eq!(client.run("COMMAND GETKEYS EVAL s 1 k a").items(), [Value::bulk("k")]);
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

const MURMUR: u64 = 0xc6a4_a793_5bd1_e995;

/// Words of a colliding key.
const WORDS: usize = 3;

fn murmur_mix(word: u64) -> u64 {
    let word = word.wrapping_mul(MURMUR);
    (word ^ (word >> 47)).wrapping_mul(MURMUR)
}

/// The word that [`murmur_mix`] turns into this one.
fn murmur_unmix(word: u64) -> u64 {
    // An odd number has the lowest three bits of its inverse; each round doubles the right ones.
    let round = |i: u64, _| i.wrapping_mul(2u64.wrapping_sub(MURMUR.wrapping_mul(i)));
    let inverse = (0..5).fold(MURMUR, round);
    let word = word.wrapping_mul(inverse);
    (word ^ (word >> 47)).wrapping_mul(inverse)
}

/// The state of MurmurHash64A, without a seed as many stores use it, after these words of a key.
/// The hash is a function of the last state.
fn murmur(words: &[u64]) -> u64 {
    let start = (WORDS as u64 * 8).wrapping_mul(MURMUR);
    words.iter().fold(start, |state, word| (state ^ murmur_mix(*word)).wrapping_mul(MURMUR))
}

/// Keys that share their Murmur hash and, through the tag, their CRC16 slot: the last word cancels
/// what the others have made of the state.
fn colliding(n: usize) -> [u64; WORDS] {
    let (tag, number) = (u64::from_le_bytes(*b"{tag}..."), n as u64);
    [tag, number, murmur_unmix(murmur(&[tag, number]))]
}

#[test]
fn row_44_a_million_keys_that_collide_where_hashes_have_no_key() {
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    const KEYS: usize = 1_000_000;
    let key = |n: usize| colliding(n).map(u64::to_le_bytes).concat();
    for n in [1, 2, 500_000, KEYS - 1] {
        assert_eq!(murmur(&colliding(n)), murmur(&colliding(0)), "{n}");
    }
    fill(&mut client, KEYS, key);
    assert_eq!(client.run("DBSIZE"), Value::Int(KEYS as i64));
    // A scan's step ends only between buckets, so a long chain would come in one piece.
    let (mut cursor, mut seen) = (String::from("0"), HashSet::new());
    loop {
        let [next, keys] = &client.call(&["SCAN", &cursor, "COUNT", "100"]).items()[..] else {
            panic!("a cursor and keys");
        };
        let keys = keys.items();
        assert!(keys.len() < 200, "{} keys in one step", keys.len());
        seen.extend(keys.iter().filter_map(Value::bytes).map(<[u8]>::to_vec));
        cursor = next.text();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), KEYS);
    for n in [0, 1, 500_000, KEYS - 1] {
        assert_eq!(client.call(&[b"GET", &key(n)[..]]), Value::bulk("v"));
        assert_eq!(client.call(&[b"DEL", &key(n)[..]]), Value::Int(1));
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

#[test]
fn row_45_a_key_of_256_mib() {
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let huge = vec![b'k'; 256 << 20];
    assert_eq!(client.call(&[b"SET", &huge[..], b"v"]), Value::ok());
    assert_eq!(client.call(&[b"GET", &huge[..]]), Value::bulk("v"));
    assert_eq!(client.call(&[b"DEL", &huge[..]]), Value::Int(1));
    drop(client);
    victim.assert_unharmed();
}
