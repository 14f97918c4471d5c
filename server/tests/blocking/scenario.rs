//! Scenarios: what several clients do one after the other, and what they get.
//!
//! ```text
//! a> BLPOP k 0           a sends this and is blocked then
//! b: RPUSH k x => 1      b gets this reply
//! a< [k x]               and a has got this one
//! ```
//!
//! A client whose name ends with 3 speaks RESP3; `$a` in a command is the id of client a.

use crate::support::{Client, Server, Value, eventually};
use crate::{SOON, info};
use std::collections::BTreeMap;

struct Cast<'s> {
    server: &'s Server,
    clients: BTreeMap<String, (Client, i64)>,
    watcher: Client,
    blocked: i64,
}

impl Cast<'_> {
    fn client(&mut self, name: &str) -> &mut Client {
        if !self.clients.contains_key(name) {
            let mut client = self.server.client();
            if name.ends_with('3') {
                client.run("HELLO 3");
            }
            let id = crate::id(&mut client);
            self.clients.insert(name.to_owned(), (client, id));
        }
        &mut self.clients.get_mut(name).expect("just made").0
    }

    fn words(&self, line: &str) -> Vec<String> {
        let word = |word: &str| match word.strip_prefix('$').and_then(|name| self.clients.get(name))
        {
            Some((_, id)) => id.to_string(),
            None => word.replace("''", ""),
        };
        line.split(' ').map(word).collect()
    }

    fn step(&mut self, line: &str) {
        let at = line
            .find(['>', '<', ':'])
            .unwrap_or_else(|| panic!("{line}: a client and what it does"));
        let (name, rest) = line.split_at(at);
        let (kind, rest) = rest.split_at(1);
        let rest = rest.trim();
        match kind {
            ">" => {
                let words = self.words(rest);
                self.client(name).send_command(&words);
                self.blocked += 1;
                self.check_blocked(line);
            }
            "<" => {
                let reply = self.client(name).try_recv();
                let reply = show(&reply.unwrap_or_else(|broken| panic!("{line}: {broken:?}")));
                assert_eq!(reply, rest, "{line}");
                self.blocked -= 1;
            }
            _ => {
                let (command, expected) =
                    rest.rsplit_once(" => ").expect("a command and its reply");
                let words = self.words(command);
                let client = self.client(name);
                client.send_command(&words);
                let reply = client.try_recv().unwrap_or_else(|broken| panic!("{line}: {broken:?}"));
                let reply = show(&reply);
                assert_eq!(reply, expected, "{line}");
            }
        }
    }

    fn check_blocked(&mut self, line: &str) {
        let (watcher, blocked) = (&mut self.watcher, self.blocked);
        // Others may be about to be told that they wait no more.
        let reached = eventually(SOON, || info(watcher, "blocked_clients") >= blocked);
        assert!(reached, "{line}: {blocked} should be blocked");
    }
}

/// Plays a scenario.
#[track_caller]
pub(crate) fn play(server: &Server, scenario: &str) {
    let mut watcher = server.client();
    watcher.run("FLUSHALL");
    let mut cast = Cast { server, clients: BTreeMap::new(), watcher, blocked: 0 };
    for line in scenario.lines().map(str::trim).filter(|line| !line.is_empty()) {
        cast.step(line);
    }
    assert_eq!(info(&mut cast.watcher, "blocked_clients"), 0, "after {scenario}");
    // Redis tells of these since 7.2.
    let counts_keys = cast.watcher.run("INFO clients").text().contains("total_blocking_keys:");
    let empty = || info(&mut cast.watcher, "total_blocking_keys") == 0;
    assert!(!counts_keys || eventually(SOON, empty), "somebody stands in a queue: {scenario}");
}

/// Plays scenarios with one worker, with several, and with redis-server.
#[track_caller]
pub(crate) fn everywhere(scenarios: &[&str]) {
    newer(scenarios);
    if let Some(reference) = Server::redis(&[]) {
        scenarios.iter().for_each(|scenario| play(&reference, scenario));
    }
}

/// Plays scenarios about what Redis does since 7.2.
#[track_caller]
pub(crate) fn newer(scenarios: &[&str]) {
    for workers in ["1", "3"] {
        let server = Server::dunlin(&["--workers", workers]);
        scenarios.iter().for_each(|scenario| play(&server, scenario));
    }
}

/// A reply with its structure: RESP2's nulls are told apart.
pub(crate) fn show(reply: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(" ");
    match reply {
        Value::Int(n) => n.to_string(),
        Value::Error(text) => format!("-{}", String::from_utf8_lossy(text)),
        Value::Array(items) => format!("[{}]", list(items)),
        Value::Map(pairs) => {
            let pairs: Vec<_> =
                pairs.iter().map(|(k, v)| format!("{} {}", show(k), show(v))).collect();
            format!("{{{}}}", pairs.join(" "))
        }
        Value::Push(items) => format!("push {}", list(items)),
        Value::Double(text) => format!(",{}", String::from_utf8_lossy(text)),
        Value::NullBulk => "nil".to_owned(),
        Value::NullArray => "nil-array".to_owned(),
        Value::Null => "null".to_owned(),
        text => text.text(),
    }
}
