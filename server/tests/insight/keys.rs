//! INSIGHT: hot keys, big keys and prefixes, bounded whatever the keys are called.

use crate::support::{Client, Server, Value};
use crate::{info, until};
use std::collections::BTreeMap;

type Map = BTreeMap<String, Value>;

/// A reply of fields and values.
#[track_caller]
fn map(value: &Value) -> Map {
    let items = value.items();
    items.chunks(2).map(|pair| (pair[0].text(), pair[1].clone())).collect()
}

fn maps(value: &Value) -> Vec<Map> {
    value.items().iter().map(map).collect()
}

/// The figures of one prefix.
fn prefix(client: &mut Client, name: &str) -> Option<BTreeMap<String, i64>> {
    let all = map(&client.run("INSIGHT PREFIXES COUNT 1000"));
    let found = maps(&all["prefixes"]).into_iter().find(|map| map["prefix"].text() == name)?;
    let number = |(name, value): (String, Value)| match value {
        Value::Int(n) => Some((name, n)),
        _ => None,
    };
    Some(found.into_iter().filter_map(number).collect())
}

/// A server that looks at every command; ready when it does.
fn server(args: &[&str]) -> (Server, Client) {
    let all = ["--hot-key-sampling", "1000000", "--workers", "1"];
    let server = Server::dunlin(&[&all, args].concat());
    let mut client = server.client();
    until("it samples", || {
        client.run("GET warm:up");
        !client.run("INSIGHT HOTKEYS").items().is_empty()
    });
    client.run("INSIGHT RESET");
    (server, client)
}

#[test]
fn the_hottest_keys_come_first() {
    let (_server, mut client) = server(&[]);
    for i in 0..300 {
        client.run("GET hottest");
        if i % 3 == 0 {
            client.run("INCR warm");
            client.run(&format!("SET cold:{i} 1"));
        }
    }
    client.run("SELECT 1");
    (0..50).for_each(|_| drop(client.run("MGET warm cold")));
    let hot = maps(&client.run("INSIGHT HOTKEYS COUNT 4"));
    let names: Vec<_> = hot.iter().map(|key| (key["key"].text(), key["db"].int())).collect();
    let expected = [("hottest", 0), ("warm", 0), ("cold", 1), ("warm", 1)];
    assert_eq!(names, expected.map(|(name, db)| (name.to_owned(), db)));
    let rates: Vec<f64> =
        hot.iter().map(|key| key["per-second"].text().parse().expect("a number")).collect();
    assert!(rates.is_sorted_by(|a, b| a >= b) && rates[3] > 0.0, "{rates:?}");
    assert_eq!(maps(&client.run("INSIGHT HOTKEYS COUNT 1")).len(), 1);
    client.run("INSIGHT RESET");
    assert!(maps(&client.run("INSIGHT HOTKEYS")).is_empty());
}

#[test]
fn prefixes_have_their_hits_misses_and_bytes() {
    let (_server, mut client) = server(&[]);
    for i in 0..100 {
        client.run(&format!("SET user:{i} {}", "v".repeat(100)));
    }
    client.run("DEL user:0 user:1");
    client.run("INSIGHT RESET");
    (0..100).for_each(|i| drop(client.run(&format!("GET user:{i}"))));
    client.run("MGET user:0 user:2 user:nobody other:1");
    client.run("SET user:1 x");
    let found = prefix(&mut client, "user").expect("a prefix that was used");
    assert_eq!(found["accesses"], 104);
    assert_eq!((found["hits"], found["misses"], found["writes"]), (99, 4, 1));
    assert_eq!((found["misses-deleted"], found["misses-never-set"]), (3, 1));
    assert!(found["net-bytes"] > 98 * 100);
    let other = prefix(&mut client, "other").expect("a prefix that was used");
    assert_eq!((other["hits"], other["misses"]), (0, 1));
    until("its keys and memory are counted", || {
        prefix(&mut client, "user").is_some_and(|user| user["keys"] == 99 && user["bytes"] > 9800)
    });
}

#[test]
fn a_prefix_reaches_as_far_as_it_is_told() {
    let (_server, mut client) = server(&["--prefix-separator", "/", "--prefix-depth", "2"]);
    client.run("SET a/b/c 1");
    client.run("SET a:b 1");
    assert!(prefix(&mut client, "a/b").is_some());
    assert!(prefix(&mut client, "").is_some(), "keys without one");
    client.run("CONFIG SET prefix-separator : prefix-depth 1");
    until("the tables begin anew", || {
        client.run("GET x:y:z");
        prefix(&mut client, "x").is_some() && prefix(&mut client, "a/b").is_none()
    });
}

#[test]
fn random_prefixes_take_no_more_than_their_share() {
    let (server, mut client) = server(&[]);
    for round in 0..40 {
        for i in 0..1000 {
            client.send_command(&["GET", &format!("p{round}-{i}:x")]);
            client.send_command(&["GET", "steady:x"]);
        }
        (0..2000).for_each(|_| drop(client.recv()));
    }
    let all = map(&client.run("INSIGHT PREFIXES COUNT 100000"));
    let prefixes = maps(&all["prefixes"]);
    assert!(prefixes.len() <= 128, "{}", prefixes.len());
    assert_eq!(prefixes[0]["prefix"].text(), "steady");
    let of = |map: &Map| map["accesses"].int();
    let total: i64 = prefixes.iter().map(of).sum::<i64>() + of(&map(&all["other"]));
    assert_eq!(total, 80_000, "what has no place is in the others");
    assert_eq!(of(&prefixes[0]), 40_000);
    let few = map(&client.run("INSIGHT PREFIXES COUNT 1"));
    assert_eq!(of(&map(&few["other"])), 40_000);
    assert!(maps(&client.run("INSIGHT HOTKEYS COUNT 100000")).len() <= 512);
    assert!(server.rss() < 200 << 20);
}

#[test]
fn the_biggest_keys_of_all_kinds_are_found() {
    let (_server, mut client) = server(&["--shards", "16"]);
    for i in 0..500 {
        client.run(&format!("SET small:{i} 1"));
    }
    client.call(&["SET", "text", &"x".repeat(300_000)]);
    let members: Vec<String> =
        (0..3000).map(|i| format!("member:{i}:{}", "m".repeat(50))).collect();
    let call = |client: &mut Client, head: &[&str], tail: &[String]| {
        let head = head.iter().map(|word| (*word).to_owned());
        client.call(&head.chain(tail.iter().cloned()).collect::<Vec<_>>())
    };
    assert_eq!(call(&mut client, &["SADD", "members"], &members), Value::Int(3000));
    client.run("SELECT 3");
    assert_eq!(call(&mut client, &["RPUSH", "list"], &members[..200]), Value::Int(200));
    let top = |client: &mut Client| maps(&client.run("INSIGHT BIGKEYS COUNT 3"));
    until("they are found", || {
        top(&mut client).iter().map(|key| key["key"].text()).eq(["text", "members", "list"])
    });
    let [text, members, list] = &top(&mut client)[..] else { panic!("three keys") };
    let of = |key: &Map| (key["type"].text(), key["db"].int(), key["length"].int());
    assert_eq!(of(text), ("string".to_owned(), 0, 300_000));
    assert_eq!(of(members), ("set".to_owned(), 0, 3000));
    assert_eq!(of(list), ("list".to_owned(), 3, 200));
    assert_eq!(list["bytes"], client.run("MEMORY USAGE list"));
    client.run("DEL list");
    assert!(top(&mut client).iter().all(|key| key["key"].text() != "list"), "it is gone");
}

#[test]
fn nothing_is_sampled_that_is_not_to_be() {
    let server = Server::dunlin(&["--hot-key-sampling", "0"]);
    let mut client = server.client();
    (0..1000).for_each(|_| drop(client.run("GET key")));
    assert!(maps(&client.run("INSIGHT HOTKEYS")).is_empty());
    assert_eq!(info(&mut client, "keyspace_misses"), 1000);
    for (line, error) in [
        ("INSIGHT", "ERR wrong number of arguments for 'insight' command"),
        ("INSIGHT NOTHING", "ERR unknown subcommand 'NOTHING'. Try INSIGHT HELP."),
        ("INSIGHT HOTKEYS COUNT", "ERR syntax error"),
        ("INSIGHT BIGKEYS COUNT 0", "ERR COUNT must be positive"),
        ("INSIGHT PREFIXES COUNT x", "ERR value is not an integer or out of range"),
        ("INSIGHT HOTKEYS LIMIT 3", "ERR syntax error"),
        ("INSIGHT RESET NOW", "ERR wrong number of arguments for 'insight|reset' command"),
    ] {
        assert_eq!(client.run(line), Value::error(error), "{line}");
    }
    assert!(client.run("INSIGHT HELP").items().len() > 8);
}
