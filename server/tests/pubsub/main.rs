//! Publish/subscribe and keyspace notifications over real sockets, in both protocols.
//!
//! What is expected stands in the tests; `reference.rs` and `events.rs` check the expectations
//! against redis-server as well, where it is installed.

mod churn;
mod clients;
mod collections;
mod delivery;
mod events;
mod limits;
mod modes;
mod reference;
mod removals;
mod rights;
#[path = "../support/mod.rs"]
mod support;
mod types;

use support::{Client, Server, Value};

/// An array of words; a number is an integer.
fn words(line: &str) -> Vec<Value> {
    let value = |word: &str| match word.parse() {
        Ok(number) => Value::Int(number),
        Err(_) => Value::bulk(word),
    };
    line.split(' ').map(value).collect()
}

/// What RESP2 sends as a message or confirmation.
fn array(line: &str) -> Value {
    Value::Array(words(line))
}

/// What RESP3 sends as a message or confirmation.
fn push(line: &str) -> Value {
    Value::Push(words(line))
}

fn pong() -> Value {
    Value::Simple(b"PONG".to_vec())
}

/// Subscribes, and waits for the confirmation of each name.
fn subscribed(server: &Server, line: &str) -> Client {
    let mut client = server.client();
    let names = line.split(' ').count() - 1;
    client.send_command(&line.split(' ').collect::<Vec<_>>());
    for _ in 0..names {
        let confirmation = client.recv().items();
        assert_eq!(confirmation.len(), 3, "{confirmation:?}");
    }
    client
}

/// The field of one line of CLIENT LIST.
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// The field of INFO.
fn info(client: &mut Client, name: &str) -> i64 {
    let text = client.run("INFO everything").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in INFO"))
}
