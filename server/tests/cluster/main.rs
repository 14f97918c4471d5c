//! A node of a cluster over real sockets: what it does with each slot.
//!
//! `DEBUG SLOTS` stands for the other nodes: it does to this one what a new map would.

mod bus;
mod channels;
mod fence;
#[path = "../support/linear.rs"]
mod linear;
mod processes;
mod reference;
mod routing;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod topology;

use std::time::Duration;
use support::process::free_port;
use support::{Client, Server, Value, eventually};

/// Slots of keys that the tests use.
const SLOTS: [(&str, u16); 3] = [("foo", 12_182), ("bar", 5_061), ("hello", 866)];

/// A node that owns all slots.
fn node(args: &[&str]) -> Server {
    // The usual port of the bus may be taken by a connection of another test.
    let bus = free_port().to_string();
    let fixed = ["--cluster-enabled", "yes", "--enable-debug-command", "local"];
    let server = Server::dunlin(&[&fixed, &["--cluster-port", &bus][..], args].concat());
    // On a machine that is busy it may lose its lease now and then, and closes connections: so it gets
    // one that lasts. Before it begins to serve there is nothing that could.
    let ask = |line: &str| server.client().try_recv_after(format!("{line}\r\n").as_bytes());
    let serves = |key: &str| ask(&format!("EXISTS {key}")).is_ok_and(|reply| !reply.is_error());
    let ready = || {
        SLOTS.iter().all(|(key, _)| serves(key))
            && ask("DEBUG SLOTS LEASE 3600000").is_ok_and(|reply| reply == Value::ok())
    };
    assert!(eventually(Duration::from_secs(20), ready), "{}", server.log());
    server
}

/// A node of which another one, on port 1, has the upper half of the slots.
fn half() -> Server {
    let server = node(&[]);
    assert_eq!(server.client().run("DEBUG SLOTS GIVE 8192 16383 127.0.0.1 1"), Value::ok());
    server
}

/// The text of a reply that is an error.
#[track_caller]
fn error(reply: Value) -> String {
    match reply {
        Value::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("not an error: {other:?}"),
    }
}

#[track_caller]
fn refused(client: &mut Client, line: &str, text: &str) {
    assert_eq!(error(client.run(line)), text, "{line}");
}
