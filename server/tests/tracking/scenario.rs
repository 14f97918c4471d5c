//! Conversations of several clients, of which every message is kept.

use crate::support::{Client, Server, Value};
use crate::until;
use std::collections::BTreeMap;

/// Runs lines of `client: command` and shows what every client receives after each: those that the
/// line has sent nothing to are asked for it with PING. `{a}` is the number of client `a`; `a: gone`
/// ends its connection. ` | ` stands between
/// commands that are sent at once.
pub(crate) fn run(server: &Server, script: &str) -> Vec<String> {
    let mut scenario =
        Scenario { control: server.client(), clients: BTreeMap::new(), ids: BTreeMap::new() };
    scenario.control.run("FLUSHALL");
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| scenario.step(server, line)).collect()
}

struct Scenario {
    control: Client,
    clients: BTreeMap<String, Client>,
    /// Also of those that are gone.
    ids: BTreeMap<String, i64>,
}

impl Scenario {
    fn step(&mut self, server: &Server, line: &str) -> String {
        let (name, command) = line.split_once(": ").expect("a client and a command");
        if command == "gone" {
            drop(self.clients.remove(name));
            let id = self.ids[name];
            until("the connection has ended", || {
                !self.control.run("CLIENT LIST").text().contains(&format!("id={id} "))
            });
            return format!("{line}: {}", self.collect(BTreeMap::new()));
        }
        let command = self.with_ids(command).replace(" | ", "\r\n");
        let ids = &mut self.ids;
        let client = self.clients.entry(name.to_owned()).or_insert_with(|| {
            let mut client = server.client();
            ids.insert(name.to_owned(), client.run("CLIENT ID").int());
            client
        });
        client.send(format!("{command}\r\n").as_bytes());
        let mut replies = read_until(client, "first");
        if command.starts_with("HELLO") {
            // It names the server.
            replies.fill(Value::ok());
        }
        let shown = self.collect(BTreeMap::from([(name.to_owned(), replies)]));
        let names_clients = ["REDIR", "TRACKINGINFO"].iter().any(|word| command.contains(word))
            || shown.contains("tracking-redir-broken");
        let shown = if names_clients { self.without_ids(&shown) } else { shown };
        format!("{line}: {shown}")
    }

    /// What the clients have received since the last time, besides what was read of it. The reply to
    /// a PING shows where it ends.
    fn collect(&mut self, mut read: BTreeMap<String, Vec<Value>>) -> String {
        for (name, client) in &mut self.clients {
            let more = read_until(client, "end");
            if !more.is_empty() {
                read.entry(name.clone()).or_default().extend(more);
            }
        }
        format!("{read:?}")
    }

    fn with_ids(&self, command: &str) -> String {
        self.ids.iter().fold(command.to_owned(), |text, (name, id)| {
            text.replace(&format!("{{{name}}}"), &id.to_string())
        })
    }

    fn without_ids(&self, shown: &str) -> String {
        self.ids.iter().fold(shown.to_owned(), |text, (name, id)| {
            let id = format!(":{id}");
            [",", "]", "}"].iter().fold(text, |text, end| {
                text.replace(&format!("{id}{end}"), &format!(":{{{name}}}{end}"))
            })
        })
    }
}

fn read_until(client: &mut Client, word: &str) -> Vec<Value> {
    client.send(format!("PING {word}\r\n").as_bytes());
    let end = Value::bulk(word);
    let mut values = Vec::new();
    loop {
        match client.recv() {
            value if value == end => return values,
            Value::Array(items) if items.len() == 2 && items[1] == end => return values,
            value => values.push(sorted(value)),
        }
    }
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
