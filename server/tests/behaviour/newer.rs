//! What is newer than the reference: DIGEST, DELEX, DELIFEQ, MSETEX, INCREX, the conditions of SET,
//! and the ranges of BITCOUNT and BITPOS. The rules stand here because there is nothing to compare with.

use crate::support::{Server, Value};

fn check(table: &[(&str, Value)]) {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for (line, want) in table {
        assert_eq!(client.run(line), *want, "{line}");
    }
}

fn nil() -> Value {
    Value::NullBulk
}

#[test]
fn set_if_the_value_is_equal_or_not() {
    check(&[
        ("SET k one IFEQ x", nil()),
        ("EXISTS k", Value::Int(0)),
        ("SET k one IFNE x", Value::ok()),
        ("SET k two IFEQ one", Value::ok()),
        ("SET k three IFEQ one", nil()),
        ("GET k", Value::bulk("two")),
        ("SET k three IFNE two", nil()),
        ("SET k three IFNE other", Value::ok()),
        ("SET k four IFEQ three GET", Value::bulk("three")),
        ("SET k five IFEQ three GET", Value::bulk("four")),
        ("GET k", Value::bulk("four")),
        ("SET k five IFEQ four EX 100", Value::ok()),
        ("SET k six IFEQ five KEEPTTL", Value::ok()),
        ("PERSIST k", Value::Int(1)),
        ("SET k x NX IFEQ six", Value::error("ERR syntax error")),
        ("SET k x IFEQ six IFNE six", Value::error("ERR syntax error")),
        ("SET k x IFEQ", Value::error("ERR syntax error")),
    ]);
}

#[test]
fn delete_if_the_value_is_equal_or_not() {
    check(&[
        ("SET k one", Value::ok()),
        ("DELEX k IFEQ two", Value::Int(0)),
        ("DELEX k IFNE one", Value::Int(0)),
        ("DELEX nokey IFEQ one", Value::Int(0)),
        ("DELEX k IFEQ one", Value::Int(1)),
        ("SET k one", Value::ok()),
        ("DELEX k", Value::Int(1)),
        ("SET k one", Value::ok()),
        ("DELIFEQ k two", Value::Int(0)),
        ("DELIFEQ k one", Value::Int(1)),
        ("EXISTS k", Value::Int(0)),
    ]);
}

#[test]
fn digests_stand_for_values() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert!(client.run("DIGEST nokey").is_null());
    assert_eq!(client.run("SET k Hello"), Value::ok());
    assert_eq!(client.run("SET same Hello"), Value::ok());
    assert_eq!(client.run("SET other hello"), Value::ok());
    let digest = client.run("DIGEST k").text();
    assert!(digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{digest}");
    assert_eq!(client.run("DIGEST same").text(), digest);
    assert_ne!(client.run("DIGEST other").text(), digest);
    assert_eq!(client.run(&format!("SET k new IFDNE {digest}")), nil());
    assert_eq!(client.run(&format!("SET k new IFDEQ {digest}")), Value::ok());
    assert_eq!(client.run(&format!("DELEX k IFDEQ {digest}")), Value::Int(0));
    assert_eq!(client.run(&format!("DELEX same IFDEQ {digest}")), Value::Int(1));
    // XXH3 of nothing, as every implementation has it.
    assert_eq!(client.call(&["SET", "empty", ""]), Value::ok());
    assert_eq!(client.run("DIGEST empty"), Value::bulk("2d06800538d394c2"));
}

#[test]
fn several_keys_with_one_lifetime() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert_eq!(client.run("MSETEX 2 a 1 b 2 EX 100"), Value::Int(1));
    assert_eq!(client.run("MGET a b"), Value::Array(vec![Value::bulk("1"), Value::bulk("2")]));
    assert!((90..=100).contains(&client.run("TTL b").int()));
    assert_eq!(client.run("MSETEX 2 a 3 c 4 NX"), Value::Int(0));
    assert_eq!(client.run("EXISTS c"), Value::Int(0));
    assert_eq!(client.run("MSETEX 2 a 3 b 4 XX KEEPTTL"), Value::Int(1));
    assert!(client.run("TTL a").int() > 0);
    assert_eq!(client.run("MSETEX 1 a 5"), Value::Int(1));
    assert_eq!(client.run("TTL a"), Value::Int(-1));
    for line in
        ["MSETEX 0 a 1", "MSETEX 2 a 1", "MSETEX x a 1", "MSETEX -1 a 1", "MSETEX 1 a 1 EX 0"]
    {
        assert!(client.run(line).is_error(), "{line}");
    }
    assert_eq!(client.run("GET a"), Value::bulk("5"));
}

#[test]
fn counters_with_a_lifetime() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let reply = client.run("INCREX n BYINT 5 EX 100");
    assert!(!reply.is_error(), "{reply:?}");
    assert_eq!(client.run("GET n"), Value::bulk("5"));
    assert!((90..=100).contains(&client.run("TTL n").int()));
    assert_eq!(client.run("SET text x"), Value::ok());
    assert!(client.run("INCREX text").is_error());
    assert_eq!(client.run("GET text"), Value::bulk("x"));
}

#[test]
fn ranges_of_bits_are_read_before_the_key() {
    let [syntax, integer] = ["ERR syntax error", "ERR value is not an integer or out of range"];
    for key in ["nokey", "text", "list"] {
        let server = Server::dunlin(&[]);
        let mut client = server.client();
        assert_eq!(client.run("SET text foobar"), Value::ok());
        assert_eq!(client.run("RPUSH list a"), Value::Int(1));
        for (line, error) in [
            ("BITCOUNT k 0 1 HELLO", syntax),
            ("BITCOUNT k -1 -2 HELLO", syntax),
            ("BITCOUNT k 0 1 BIT x", syntax),
            ("BITCOUNT k a b", integer),
            ("BITCOUNT k 0 b", integer),
            ("BITPOS k 0 0 1 HELLO", syntax),
            ("BITPOS k 0 0 1 BIT x", syntax),
            ("BITPOS k 0 a", integer),
            ("BITPOS k 0 0 b", integer),
        ] {
            let line = line.replace(" k ", &format!(" {key} "));
            assert_eq!(client.run(&line), Value::error(error), "{line}");
        }
    }
}

#[test]
fn bitcount_from_a_place_on() {
    check(&[
        ("SET k foobar", Value::ok()),
        ("BITCOUNT k 0", Value::Int(26)),
        ("BITCOUNT k 1", Value::Int(22)),
        ("BITCOUNT k -2", Value::Int(7)),
        ("BITCOUNT k 100", Value::Int(0)),
        ("BITCOUNT nokey 0", Value::Int(0)),
    ]);
}
