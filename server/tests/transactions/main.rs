//! MULTI, EXEC, DISCARD, WATCH and UNWATCH over real sockets.
//!
//! What is expected stands in the tests; `reference.rs` checks whole conversations against
//! redis-server as well, where it is installed.

mod atomic;
mod commands;
mod limits;
mod reference;
mod rights;
mod seen;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use support::{Client, Server, Value};

fn queued() -> Value {
    Value::Simple(b"QUEUED".to_vec())
}

fn pong() -> Value {
    Value::Simple(b"PONG".to_vec())
}

/// Begins a transaction with these commands.
#[track_caller]
fn queue(client: &mut Client, lines: &[&str]) {
    assert_eq!(client.run("MULTI"), Value::ok());
    for line in lines {
        assert_eq!(client.run(line), queued(), "{line}");
    }
}

/// Runs a whole transaction.
#[track_caller]
fn transaction(client: &mut Client, lines: &[&str]) -> Value {
    queue(client, lines);
    client.run("EXEC")
}

/// A client that has logged in.
#[track_caller]
fn login(server: &Server, user: &str) -> Client {
    let mut client = server.client();
    assert_eq!(client.call(&["AUTH", user, "pw"]), Value::ok());
    client
}
