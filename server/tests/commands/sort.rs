//! SORT over a socket: what the differential test does not look at.

use crate::support::{Client, Server, Value};
use std::sync::atomic::{AtomicBool, Ordering};

fn bulks(items: &[&str]) -> Value {
    Value::Array(items.iter().map(Value::bulk).collect())
}

/// A hash that is too large to be packed.
fn large_hash(client: &mut Client, key: &str, field: &str, value: &str) {
    let filler = "x".repeat(100);
    client.call(&["HSET", key, "filler", &filler, field, value]);
    assert_eq!(client.call(&["OBJECT", "ENCODING", key]), Value::bulk("hashtable"));
}

#[test]
fn fields_of_large_hashes_in_other_shards() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for (i, member) in ["a", "b", "c", "d", "e", "f"].iter().enumerate() {
        client.call(&["RPUSH", "k", member]);
        large_hash(&mut client, &format!("h_{member}"), "weight", &(10 - i).to_string());
    }
    let up = bulks(&["f", "e", "d", "c", "b", "a"]);
    assert_eq!(client.run("SORT k BY h_*->weight"), up);
    assert_eq!(client.run("SORT_RO k BY h_*->weight"), up);
    assert_eq!(client.run("SORT k LIMIT 0 2 ALPHA GET h_*->weight"), bulks(&["10", "9"]));
    assert_eq!(client.run("SORT k BY h_*->weight STORE d"), Value::Int(6));
    assert_eq!(client.run("LRANGE d 0 -1"), up);
    // In front of another command of the same pipeline, too.
    client.send(b"RPUSH k g\r\nSORT k BY h_*->weight LIMIT 0 1\r\nLLEN k\r\n");
    assert_eq!(client.recv(), Value::Int(7));
    assert_eq!(client.recv(), bulks(&["g"]));
    assert_eq!(client.recv(), Value::Int(7));
}

/// Many connections write while others sort by large hashes, so that sessions are handed over with
/// the roles of their keys and then with all: none may be lost, and every reply is whole.
#[test]
fn sorting_by_large_hashes_under_writes() {
    let server = Server::dunlin_unhurried(&["--workers", "2"]);
    let mut client = server.client();
    for i in 0..20 {
        client.call(&["RPUSH", "k", &i.to_string()]);
        large_hash(&mut client, &format!("h_{i}"), "weight", &(20 - i).to_string());
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (mut client, stop) = (server.client(), &stop);
            scope.spawn(move || {
                let mut n = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    for i in 0..20 {
                        n += 1;
                        let command = format!("HSET h_{i} other{writer} {n}\r\n");
                        client.send(command.as_bytes());
                    }
                    (0..20).for_each(|_| assert!(!client.recv().is_error()));
                }
            });
        }
        let wanted: Vec<String> = (0..20).rev().map(|i| i.to_string()).collect();
        let wanted = Value::Array(wanted.iter().map(Value::bulk).collect());
        let sorters: Vec<_> = (0..3)
            .map(|_| {
                let (mut client, wanted) = (server.client(), wanted.clone());
                scope.spawn(move || {
                    for line in ["SORT k BY h_*->weight", "SORT_RO k BY h_*->weight"].repeat(150) {
                        assert_eq!(client.run(line), wanted);
                    }
                })
            })
            .collect();
        let ended: Vec<_> = sorters.into_iter().map(|sorter| sorter.join().is_ok()).collect();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(ended, [true; 3]);
    });
}

#[test]
fn patterns_need_the_right_to_every_key() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    admin.run("RPUSH k 2 1");
    assert_eq!(admin.run("ACL SETUSER limited on nopass +@all %R~k %W~d"), Value::ok());
    assert_eq!(admin.run("ACL SETUSER reader on nopass +@all %R~* %W~d"), Value::ok());
    let mut client = server.client();
    client.run("AUTH limited x");
    let denied = |what: &str| {
        let text = format!("ERR {what} option of SORT denied due to insufficient ACL permissions.");
        Value::error(&text)
    };
    assert_eq!(client.run("SORT k"), bulks(&["1", "2"]));
    assert_eq!(client.run("SORT k BY nosort"), bulks(&["2", "1"]));
    assert_eq!(client.run("SORT k STORE d"), Value::Int(2));
    assert_eq!(client.run("SORT k BY w_*"), denied("BY"));
    assert_eq!(client.run("SORT_RO k GET #"), denied("GET"));
    let no_key = Value::error("NOPERM No permissions to access a key");
    assert_eq!(client.run("SORT k STORE k"), no_key);
    client.run("AUTH reader x");
    assert_eq!(client.run("SORT k BY w_* GET # STORE d"), Value::Int(2));
    assert_eq!(client.run("SORT k STORE k"), no_key);
}
