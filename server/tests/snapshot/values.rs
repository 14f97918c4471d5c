//! What is saved comes back: every type, every form, and what changes meanwhile.

use crate::support::{Client, Rng, Value, command};
use crate::{Dir, LIMIT, digest, fill, info, saved, simple, start, text};

/// Every key with its type, encoding and time to live, rounded: what a digest does not show.
fn forms(client: &mut Client) -> Vec<String> {
    let mut forms = Vec::new();
    for db in [0, 3, 15] {
        client.run(&format!("SELECT {db}"));
        let Value::Array(keys) = client.run("KEYS *") else { panic!("an array") };
        for key in keys {
            let key = text(&key);
            let encoding = client.call(&["OBJECT", "ENCODING", &key]);
            let expiry = client.call(&["PEXPIRETIME", &key]);
            forms.push(format!("{db} {key} {encoding:?} {expiry:?}"));
        }
    }
    client.run("SELECT 0");
    forms.sort();
    forms
}

#[test]
fn every_value_comes_back() {
    for compression in ["yes", "no"] {
        let dir = Dir::new();
        let server = start(&dir, &[]);
        let mut client = server.client();
        // An unoptimised server may take long to save all of it, on a thread that gives way to others.
        client.set_patience(LIMIT * 5);
        assert_eq!(client.run(&format!("CONFIG SET rdbcompression {compression}")), Value::ok());
        fill(&mut client, 7, 10);
        let library = "#!lua name=lib\nredis.register_function('f', function() return 7 end)";
        assert_eq!(client.call(&["FUNCTION", "LOAD", library]), Value::bulk("lib"));
        assert_eq!(client.run("SAVE"), Value::ok());
        let before = (digest(&mut client), forms(&mut client));
        let group = client.run("XINFO STREAM 0:6 FULL");
        drop(server);
        let server = start(&dir, &[]);
        let mut client = server.client();
        assert_eq!((digest(&mut client), forms(&mut client)), before);
        assert_eq!(client.run("XINFO STREAM 0:6 FULL"), group);
        assert_eq!(client.call(&["FCALL", "f", "0"]), Value::Int(7));
        assert_eq!(info(&mut client, "rdb_last_load_keys_loaded"), "600");
        assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
        assert_eq!(dir.names(), ["dump.dunlin"]);
    }
}

#[test]
fn large_collections_come_back_from_their_parts() {
    let dir = Dir::new();
    let server = start(&dir, &["--snapshot-rate-limit", "0"]);
    let mut client = server.client();
    for (name, key) in [("ZADD", "zset"), ("SADD", "set"), ("HSET", "hash"), ("RPUSH", "list")] {
        for chunk in 0..40 {
            let mut line = vec![name.to_owned(), key.to_owned()];
            for item in chunk * 500..(chunk + 1) * 500 {
                match name {
                    "ZADD" => line.extend([(item % 77).to_string(), format!("member {item}")]),
                    "HSET" => line.extend([format!("field {item}"), format!("value {item}")]),
                    _ => line.push(format!("item {item}")),
                }
            }
            assert!(!client.call(&line).is_error());
        }
    }
    client.run("HPEXPIRE hash 90000000 FIELDS 1 x");
    client.call(&["HPEXPIRE", "hash", "90000000", "FIELDS", "2", "field 7", "field 19999"]);
    client.run("PEXPIRE zset 90000000");
    // A value that has to be cut into many blocks, and keys of every length.
    client.call(&["SET", "big", &"0123456789".repeat(500_000)]);
    client.call(&["SET", &"k".repeat(200_000), "value of a long key"]);
    client.call(&["SET", "", ""]);
    assert_eq!(client.run("SAVE"), Value::ok());
    let before = digest(&mut client);
    let expiry = client.run("PEXPIRETIME zset");
    drop(server);
    let server = start(&dir, &[]);
    let mut client = server.client();
    assert_eq!(digest(&mut client), before);
    assert_eq!(client.run("PEXPIRETIME zset"), expiry);
    assert_eq!(client.run("ZCARD zset"), Value::Int(20_000));
    assert_eq!(info(&mut client, "rdb_last_load_keys_loaded"), "7");
}

#[test]
fn keys_whose_time_is_over_stay_away() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    client.run("SET stays 1 PX 100000000");
    client.run("SET goes 1 PX 4000");
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    assert_eq!(client.run("SAVE"), Value::ok());
    drop(server);
    std::thread::sleep(std::time::Duration::from_millis(4100));
    let server = start(&dir, &[]);
    let mut client = server.client();
    assert_eq!(client.run("DBSIZE"), Value::Int(1));
    assert_eq!(info(&mut client, "rdb_last_load_keys_expired"), "1");
}

#[test]
fn hashes_whose_fields_have_expired_stay_away() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("SET stays 1");
    // All are tables: for a long value, for many fields, and one that is read in parts.
    for (key, count, length) in [("long", 1, 100), ("many", 600, 1), ("parts", 600, 300)] {
        let (number, value) = (count.to_string(), "v".repeat(length));
        let fields: Vec<String> = (0..count).map(|field| format!("f{field}")).collect();
        let mut set = vec!["HSET", key];
        set.extend(fields.iter().flat_map(|field| [field.as_str(), value.as_str()]));
        assert_eq!(client.call(&set), Value::Int(count));
        let mut expire = vec!["HPEXPIRE", key, "50", "FIELDS", number.as_str()];
        expire.extend(fields.iter().map(String::as_str));
        assert!(!client.call(&expire).is_error());
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(client.run("DBSIZE"), Value::Int(4), "nobody has removed them");
    assert_eq!(client.run("SAVE"), Value::ok());
    drop(server);
    let server = start(&dir, &[]);
    let mut client = server.client();
    assert_eq!(client.run("DBSIZE"), Value::Int(1));
    assert_eq!(client.run("GET stays"), Value::bulk("1"));
}

/// Values with a checksum of their key, so that one which it never had is found.
fn value_of(key: usize, version: u64) -> String {
    format!("{key}/{version}/{}", "v".repeat((version % 700) as usize))
}

#[test]
fn under_changes_every_key_has_a_value_that_it_had() {
    const STILL: usize = 20_000;
    const MOVING: usize = 5_000;
    let dir = Dir::new();
    let server = start(&dir, &["--snapshot-rate-limit", "4mb", "--rdbcompression", "no"]);
    let mut client = server.client();
    for key in 0..STILL {
        client.send(&command(&["SET", &format!("still:{key}"), &value_of(key, 300)]));
    }
    (0..STILL).for_each(|_| assert_eq!(client.recv(), Value::ok()));
    for key in 0..MOVING {
        assert_eq!(client.call(&["SET", &format!("moving:{key}"), &value_of(key, 0)]), Value::ok());
    }
    assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
    let (mut rng, mut version) = (Rng::new(3), 0_u64);
    let mut came = 0;
    while info(&mut client, "rdb_bgsave_in_progress") == "1" {
        for _ in 0..200 {
            version += 1;
            let key = rng.below(MOVING);
            let line = match rng.below(5) {
                0 => command(&["DEL", &format!("moving:{key}")]),
                1 => {
                    came += 1;
                    command(&["SET", &format!("new:{came}"), "1"])
                }
                2 => command(&["INCR", "count"]),
                _ => command(&["SET", &format!("moving:{key}"), &value_of(key, version)]),
            };
            client.send(&line);
        }
        (0..200).for_each(|_| assert!(!client.recv().is_error()));
    }
    assert!(version > 0, "there were changes");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    drop(server);
    let server = start(&dir, &[]);
    let mut client = server.client();
    for key in 0..STILL {
        client.send(&command(&["GET", &format!("still:{key}")]));
    }
    for key in 0..STILL {
        assert_eq!(client.recv(), Value::bulk(value_of(key, 300)), "still:{key}");
    }
    for key in 0..MOVING {
        match client.call(&["GET", &format!("moving:{key}")]) {
            value if value.is_null() => {}
            value => {
                let value = text(&value);
                let version: u64 = value.split('/').nth(1).and_then(|v| v.parse().ok()).unwrap();
                assert_eq!(value, value_of(key, version));
            }
        }
    }
}

#[test]
fn databases_that_change_places_meanwhile_keep_their_collections_apart() {
    let dir = Dir::new();
    // So slow that most of them are still to be written when it happens.
    let server = start(&dir, &["--snapshot-rate-limit", "500kb", "--rdbcompression", "no"]);
    let mut client = server.client();
    for db in [1, 0] {
        assert_eq!(client.run(&format!("SELECT {db}")), Value::ok());
        for set in 0..5 {
            for key in [format!("both:{set}"), format!("only {db}:{set}")] {
                let mut line = vec!["SADD".to_owned(), key];
                line.extend((0..5_000).map(|item| format!("a member in {db}: {item}")));
                assert_eq!(client.call(&line), Value::Int(5_000));
            }
        }
    }
    let before = digest(&mut client);
    assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
    std::thread::sleep(std::time::Duration::from_millis(1000));
    assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "1");
    assert_eq!(client.run("SWAPDB 0 1"), Value::ok());
    assert_ne!(digest(&mut client), before);
    saved(&mut client);
    drop(server);
    let server = start(&dir, &[]);
    assert_eq!(digest(&mut server.client()), before, "with the numbers of the beginning");
}

#[test]
fn a_changing_collection_keeps_what_stays() {
    let dir = Dir::new();
    let server = start(&dir, &["--snapshot-rate-limit", "1mb", "--rdbcompression", "no"]);
    let mut client = server.client();
    for chunk in 0..40 {
        let mut line = vec!["ZADD".to_owned(), "zset".to_owned()];
        for member in chunk * 1000..(chunk + 1) * 1000 {
            line.extend([member.to_string(), format!("a member that stays {member}")]);
        }
        client.call(&line);
    }
    client.run("ZADD gone 1 a");
    client.call(&[
        "EVAL",
        "for i = 1, 5000 do redis.call('SADD', 'gone:set', 'member' .. i) end",
        "0",
    ]);
    assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
    let mut round = 0;
    while info(&mut client, "rdb_bgsave_in_progress") == "1" {
        for _ in 0..100 {
            round += 1;
            client.call(&["ZADD", "zset", "0.5", &format!("comes {round}")]);
            client.call(&["ZREM", "zset", &format!("comes {}", round / 2)]);
        }
    }
    drop(server);
    let server = start(&dir, &[]);
    let mut client = server.client();
    for member in (0..40_000).step_by(7) {
        let score = client.call(&["ZSCORE", "zset", &format!("a member that stays {member}")]);
        assert_eq!(text(&score), member.to_string());
    }
}

/// A set of 60,000 members: 1.5 MB of a snapshot.
fn add_set(client: &mut Client) {
    for chunk in 0..60 {
        let mut line = vec!["SADD".to_owned(), "set".to_owned()];
        line.extend((0..1000).map(|item| format!("a member of the set {}", chunk * 1000 + item)));
        client.call(&line);
    }
}

#[test]
fn a_collection_expires_as_it_was_told_last() {
    for (line, expires) in [("PERSIST set", false), ("PEXPIRE set 100000000", true)] {
        let dir = Dir::new();
        // So slow that some parts are written before its expiry changes, and some after that.
        let server = start(&dir, &["--snapshot-rate-limit", "300kb", "--rdbcompression", "no"]);
        let mut client = server.client();
        add_set(&mut client);
        assert_eq!(client.run("PEXPIRE set 6000"), Value::Int(1));
        assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
        std::thread::sleep(std::time::Duration::from_millis(1500));
        assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "1");
        assert_eq!(client.run(line), Value::Int(1));
        std::thread::sleep(std::time::Duration::from_millis(5000));
        saved(&mut client);
        drop(server);
        let server = start(&dir, &[]);
        let mut client = server.client();
        assert_eq!(client.run("SCARD set"), Value::Int(60_000), "{line}: all of its parts");
        let Value::Int(left) = client.run("PTTL set") else { panic!("a number") };
        assert_eq!(left > 50_000_000, expires, "{line}: {left}");
        assert_eq!(left == -1, !expires, "{line}: {left}");
    }
}

#[test]
fn a_collection_that_goes_meanwhile_is_left_out() {
    let dir = Dir::new();
    // So slow that its parts are still being written when it goes.
    let server = start(&dir, &["--snapshot-rate-limit", "300kb", "--rdbcompression", "no"]);
    let mut client = server.client();
    add_set(&mut client);
    assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "1");
    assert_eq!(client.run("DEL set"), Value::Int(1));
    // Another one in its place is not what was begun.
    let mut line = vec!["SADD".to_owned(), "set".to_owned()];
    line.extend((0..1000).map(|item| format!("another member {item}")));
    client.call(&line);
    client.run("SET other 1");
    saved(&mut client);
    drop(server);
    let server = start(&dir, &[]);
    let mut client = server.client();
    assert_eq!(client.run("EXISTS set"), Value::Int(0), "half of it would be wrong");
}
