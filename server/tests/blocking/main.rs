//! Blocking commands over real sockets.
//!
//! What is expected stands in the scenarios, which redis-server has to follow as well, where it is
//! installed (but for what Redis has changed since 7.0).

mod ends;
mod hostile;
mod lists;
mod scenario;
mod sorted_sets;
mod streams;
mod stress;
#[path = "../support/mod.rs"]
mod support;
mod timeouts;

use std::time::Duration;
use support::{Client, Server, eventually};

/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// The field of INFO clients.
fn info(client: &mut Client, name: &str) -> i64 {
    let text = client.run("INFO clients").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in INFO"))
}

/// Waits until so many clients are blocked.
#[track_caller]
fn wait_blocked(client: &mut Client, count: i64) {
    let reached = eventually(SOON, || info(client, "blocked_clients") == count);
    assert!(reached, "{} are blocked, not {count}", info(client, "blocked_clients"));
}

/// A client that waits for the reply to `line`.
#[track_caller]
fn blocked(server: &Server, watcher: &mut Client, line: &str) -> Client {
    let before = info(watcher, "blocked_clients");
    let mut client = server.client();
    client.send_command(&line.split(' ').collect::<Vec<_>>());
    wait_blocked(watcher, before + 1);
    client
}

/// The number of the connection.
fn id(client: &mut Client) -> i64 {
    client.run("CLIENT ID").int()
}
