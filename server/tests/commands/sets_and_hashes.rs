//! Sets and hashes where the differential test cannot compare: chance, walks through a collection
//! that changes, replies without end, shapes of replies in RESP3.

use crate::support::{Client, Server, Value, follow};
use crate::texts;
use std::collections::{BTreeMap, BTreeSet};

/// Sizes of a packed collection and of a table.
const SIZES: [usize; 2] = [20, 2_000];

/// Adds members `m:0`, `m:1` and so on.
fn fill_set(client: &mut Client, count: usize) {
    for n in 0..count {
        client.run(&format!("sadd s m:{n}"));
    }
}

#[test]
fn members_by_chance_are_members_and_all_have_the_chance() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for size in SIZES {
        client.run("del s");
        fill_set(&mut client, size);
        let all: BTreeSet<String> = texts(&client.run("smembers s")).into_iter().collect();
        assert_eq!(all.len(), size);
        for count in [1, 5, size / 2, size - 1, size, size + 5] {
            let sample = texts(&client.run(&format!("srandmember s {count}")));
            let different: BTreeSet<String> = sample.iter().cloned().collect();
            assert_eq!((sample.len(), different.len()), (count.min(size), count.min(size)));
            assert!(different.is_subset(&all));
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for member in texts(&client.run(&format!("srandmember s -{}", size * 100))) {
            *counts.entry(member).or_default() += 1;
        }
        // A hundred are expected; seven standard deviations are seventy.
        assert!(counts.keys().eq(&all) && counts.values().all(|count| (30..170).contains(count)));
        assert!(all.contains(&client.run("srandmember s").text()));
        assert_eq!(client.run("scard s").int(), size as i64, "looking changes nothing");
    }
}

#[test]
fn popped_members_are_gone() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for size in SIZES {
        for count in [1, size / 4, size - 2, size, size * 2] {
            client.run("del s");
            fill_set(&mut client, size);
            let all: BTreeSet<String> = texts(&client.run("smembers s")).into_iter().collect();
            let popped: BTreeSet<String> =
                texts(&client.run(&format!("spop s {count}"))).into_iter().collect();
            let left: BTreeSet<String> = texts(&client.run("smembers s")).into_iter().collect();
            assert_eq!(popped.len(), count.min(size));
            assert!(popped.is_disjoint(&left) && popped.len() + left.len() == size);
            assert!(popped.union(&left).eq(&all));
            assert_eq!(client.run("exists s").int(), i64::from(count < size));
        }
        fill_set(&mut client, 3);
        while client.run("exists s").int() == 1 {
            assert!(!client.run("spop s").is_null());
        }
        assert!(client.run("spop s").is_null());
    }
}

#[test]
fn a_walk_through_a_changing_set_sees_what_stays() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    fill_set(&mut client, 1_000);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut cursor, mut next) = ("0".to_owned(), 0);
    loop {
        let reply = client.run(&format!("sscan s {cursor} count 20")).items();
        cursor = reply[0].text();
        for member in texts(&reply[1]) {
            *seen.entry(member).or_default() += 1;
        }
        if cursor == "0" {
            break;
        }
        // It grows to many times its size, then shrinks again.
        for _ in 0..200 {
            let command = if next < 5_000 { "sadd" } else { "srem" };
            client.run(&format!("{command} s other:{}", next % 5_000));
            next += 1;
        }
    }
    assert!((0..1_000).all(|n| seen.get(&format!("m:{n}")) == Some(&1)), "each one once");
    assert!(seen.values().all(|count| *count == 1));
}

#[test]
fn a_reply_without_end_ends_the_connection() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("sadd s member");
    client.run("hset h field value");
    for command in ["srandmember s -1000000000", "hrandfield h -1000000000 withvalues"] {
        let mut greedy = server.client();
        greedy.send(format!("{command}\r\n").as_bytes());
        let received = greedy.read_to_close().expect("the server closes");
        assert!((60 << 20..80 << 20).contains(&received.len()), "{}", received.len());
        assert_eq!(client.run("scard s").int(), 1, "others are served");
    }
}

#[test]
fn replies_have_the_types_of_resp3() {
    let server = Server::dunlin(&[]);
    let mut client = server.client3();
    client.run("sadd s 1 2");
    client.run("sadd t 2");
    client.run("hset h f v");
    let (one, two) = (Value::bulk("1"), Value::bulk("2"));
    let (field, value) = (Value::bulk("f"), Value::bulk("v"));
    let pair = Value::Array(vec![field.clone(), value.clone()]);
    for (command, reply) in [
        ("smembers s", Value::Set(vec![one.clone(), two.clone()])),
        ("smembers nokey", Value::Set(vec![])),
        ("sinter s t", Value::Set(vec![two.clone()])),
        ("sunion s t", Value::Set(vec![one.clone(), two.clone()])),
        ("sdiff s t", Value::Set(vec![one])),
        ("sdiff nokey t", Value::Set(vec![])),
        ("smismember s 2 3", Value::Array(vec![Value::Int(1), Value::Int(0)])),
        ("srandmember t 1", Value::Array(vec![two.clone()])),
        ("srandmember nokey", Value::Null),
        ("srandmember nokey 1", Value::Array(vec![])),
        ("spop nokey", Value::Null),
        ("spop nokey 1", Value::Set(vec![])),
        ("spop t 1", Value::Set(vec![two])),
        ("hgetall h", Value::Map(vec![(field.clone(), value.clone())])),
        ("hgetall nokey", Value::Map(vec![])),
        ("hkeys h", Value::Array(vec![field.clone()])),
        ("hvals h", Value::Array(vec![value.clone()])),
        ("hget h nofield", Value::Null),
        ("hrandfield h", field),
        ("hrandfield h 1 withvalues", Value::Array(vec![pair.clone()])),
        ("hrandfield h -2 withvalues", Value::Array(vec![pair.clone(), pair])),
        ("hrandfield nokey", Value::Null),
        ("hrandfield nokey 1", Value::Array(vec![])),
        ("hincrbyfloat h n 1.5", Value::bulk("1.5")),
    ] {
        assert_eq!(client.run(command), reply, "{command}");
    }
}

#[test]
fn options_of_walks() {
    let server = Server::dunlin(&[]);
    follow(
        &mut server.client(),
        "
        sadd s 1 2 => 2
        hset h f v => 1
        sscan s 0 => 0 1 2
        sscan s 0 match 2* count 5 => 0 2
        sscan s 0 novalues => -ERR NOVALUES option can only be used in HSCAN
        sscan s 0 noscores => -ERR NOSCORES option can only be used in ZSCAN
        hscan h 0 => 0 f v
        hscan h 0 NOVALUES => 0 f
        hscan h 0 noscores => -ERR NOSCORES option can only be used in ZSCAN
        hscan h 0 count 0 => -ERR syntax error
        hscan h x => -ERR invalid cursor
        hscan nokey 0 foo => 0 (empty)
        sscan h 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        ",
    );
}
