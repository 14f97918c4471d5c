//! Hostile input over a real socket. Every test is one row of the table of hostile inputs: what is
//! sent, what has to come back, and afterwards the server is alive and its memory and descriptors
//! are where they were.
//!
//! Row 56, a forged name in a certificate, is in the tests of TLS, row 58, damaged files, in those of
//! snapshots, rows 47 and 55 in those of doors.

mod collections;
mod lines;
mod numbers;
mod patterns;
mod payloads;
mod protocol;
mod rights;
mod sessions;
mod subscribers;
#[path = "../support/mod.rs"]
mod support;
mod types;

use std::time::Duration;
use support::{Client, Server, Value, eventually};

/// Memory that may stay after a hostile client has gone: what allocators keep for reuse.
const SLACK: u64 = 32 << 20;

/// A server that has to be as it was when the test ends.
struct Victim {
    server: Server,
    rss: u64,
    fds: usize,
}

impl Victim {
    fn start(args: &[&str]) -> Self {
        let server = Server::dunlin(args);
        // Some work first, so that threads and buffers exist before memory is measured.
        for _ in 0..20 {
            let mut client = server.client();
            for _ in 0..50 {
                client.send(&b"PING\r\n".repeat(10));
                (0..10).for_each(|_| drop(client.recv()));
            }
        }
        // The lowest seen for a while: connections end a little after their clients.
        let fds = (0..20)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                server.fds()
            })
            .min()
            .unwrap_or_default();
        let rss = server.rss();
        Victim { server, rss, fds }
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    /// Sends bytes on a connection of their own: exactly one error, then the connection ends.
    fn refuses(&self, bytes: &[u8], error: &str) {
        let what = support::resp::show(bytes);
        let mut client = self.client();
        // The server may close before it has read everything.
        let _ = client.try_send(bytes);
        let reply = client.try_recv();
        assert_eq!(reply, Ok(Value::error(error)), "{what}");
        assert_eq!(client.read_to_close(), Ok(Vec::new()), "{what}");
    }

    /// Alive, with the memory and the descriptors of the start.
    fn assert_unharmed(mut self) {
        assert!(self.server.is_running(), "the server has ended:\n{}", self.server.log());
        assert!(self.server.answers(), "the server is silent");
        let patience = Duration::from_secs(10);
        let server = &self.server;
        assert!(
            eventually(patience, || server.fds() <= self.fds),
            "descriptors: {} of {}",
            server.fds(),
            self.fds
        );
        // Allocators give memory back while they are in use: the server goes on working.
        let works = || {
            for _ in 0..8 {
                let mut client = server.client();
                client.send(&b"SET after 1\r\nDEL after\r\n".repeat(500));
                (0..1000).for_each(|_| drop(client.try_recv()));
            }
            server.rss()
        };
        assert!(
            eventually(patience, || works() <= self.rss + SLACK),
            "memory: {} MiB, at the start {} MiB",
            server.rss() >> 20,
            self.rss >> 20
        );
        let log = self.server.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Sends each command line (words; `\x20` is not needed) and compares the reply.
fn expect(client: &mut Client, table: &[(&str, Value)]) {
    for (line, want) in table {
        let words: Vec<&str> =
            line.split(' ').map(|word| if word == "\"\"" { "" } else { word }).collect();
        assert_eq!(client.call(&words), *want, "{line}");
    }
}

fn error(text: &str) -> Value {
    Value::error(text)
}
