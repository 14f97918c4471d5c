//! The same conversation with redis-server: every reply has to be the same.

use crate::support::{Server, Value};

/// Commands of one connection, in both protocols.
const CONVERSATION: &[&str] = &[
    "SUBSCRIBE a a b",
    "PSUBSCRIBE p* a",
    "SSUBSCRIBE s",
    "PING",
    "PING hey",
    "PING a b",
    "GET k",
    "CLIENT GETNAME",
    "CLIENT NOSUCH",
    "GET",
    "NOSUCH x",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "PUNSUBSCRIBE p* q*",
    "UNSUBSCRIBE b zz",
    "SUNSUBSCRIBE s",
    "SUNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "UNSUBSCRIBE x y",
    "GET k",
    "SUBSCRIBE a",
    "RESET",
    "GET k",
    "PUBLISH nobody x",
    "SPUBLISH nobody x",
    "PUBLISH",
    "PUBLISH a",
    "PUBLISH a b c",
    "SPUBLISH a",
    "PUBSUB",
    "PUBSUB FOO",
    "PUBSUB NUMPAT x",
    "PUBSUB NUMPAT",
    "PUBSUB CHANNELS",
    "PUBSUB CHANNELS a b",
    "PUBSUB SHARDCHANNELS a b",
    "PUBSUB NUMSUB",
    "PUBSUB NUMSUB a b",
    "PUBSUB SHARDNUMSUB a b",
    "PUBSUB HELP x",
    "COMMAND GETKEYS SPUBLISH a b",
    "COMMAND GETKEYS SSUBSCRIBE a b",
    "COMMAND GETKEYS PUBLISH a b",
    "COMMAND INFO PUBLISH SPUBLISH SUBSCRIBE SUNSUBSCRIBE PUNSUBSCRIBE",
    "CLIENT LIST TYPE pubsub",
    "CONFIG GET notify-keyspace-events",
    "CONFIG SET notify-keyspace-events KnE$",
    "CONFIG GET notify-keyspace-events",
    "CONFIG SET notify-keyspace-events Xy",
];

/// Every reply of every command: a second command shows where those of the first end.
fn replies(server: &Server, hello: &str) -> Vec<(String, Vec<Value>)> {
    let mut client = server.client();
    client.run(hello);
    let mut out = Vec::new();
    for (number, line) in CONVERSATION.iter().enumerate() {
        client.send(format!("{line}\r\nPING end{number}\r\n").as_bytes());
        let end = Value::bulk(format!("end{number}"));
        let mut values = Vec::new();
        loop {
            match client.recv() {
                value if value == end => break,
                Value::Array(items) if items.len() == 2 && items[1] == end => break,
                value => values.push(sorted(value)),
            }
        }
        if *line == "RESET" {
            client.run(hello);
        }
        out.push(((*line).to_owned(), values));
    }
    out
}

/// Sets have no order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Set(mut items) => {
            items.sort();
            Value::Set(items)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[test]
fn replies_are_those_of_the_reference() {
    let Some(reference) = Server::redis(&[]) else { return };
    let subject = Server::dunlin(&[]);
    for hello in ["HELLO 2", "HELLO 3"] {
        let (theirs, ours) = (replies(&reference, hello), replies(&subject, hello));
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!(ours, theirs, "{hello}");
        }
    }
}
