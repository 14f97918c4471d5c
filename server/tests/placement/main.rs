//! Connections that move between workers, and workers that come and go, under load.

mod moves;
mod scaling;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use support::{Client, Server};

/// A server with several workers on which a test may move connections.
fn start(args: &[&str]) -> Server {
    Server::dunlin(&[&["--workers", "4", "--enable-debug-command", "yes"], args].concat())
}

/// A field of `INFO workers`.
#[track_caller]
fn field(client: &mut Client, name: &str) -> String {
    let info = client.run("INFO workers").text();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {info}")).trim().to_owned()
}

/// A field that is a number.
#[track_caller]
fn number(client: &mut Client, name: &str) -> i64 {
    field(client, name).parse().expect("a number")
}

/// Connections of a worker.
#[track_caller]
fn connections(client: &mut Client, worker: usize) -> i64 {
    let line = field(client, &format!("worker_{worker}"));
    let value = line.split(',').find_map(|part| part.strip_prefix("connections="));
    value.and_then(|value| value.parse().ok()).expect("a number of connections")
}

/// The number of a connection.
#[track_caller]
fn id(client: &mut Client) -> String {
    client.run("CLIENT ID").int().to_string()
}
