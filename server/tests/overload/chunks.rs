//! The memory of big values: kept for the next ones, but not for long.

use crate::support::{Client, Server, Value, alone, command, eventually};
use std::time::Duration;

const BIG: usize = 48 << 20;
/// Most of it is done in three seconds; machines may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn free_chunks(client: &mut Client) -> usize {
    let Value::Bulk(text) = client.run("INFO memory") else { panic!("it is a bulk string") };
    let text = String::from_utf8(text).expect("it is text");
    let line = text.lines().find_map(|line| line.strip_prefix("free_chunks_bytes:"));
    line.and_then(|bytes| bytes.parse().ok()).expect("the field is there")
}

/// Overwrites a big value and removes it.
fn come_and_go(client: &mut Client) {
    let set = command(&[&b"SET"[..], b"big", &vec![b'v'; BIG]]);
    for _ in 0..3 {
        client.send(&set);
        assert_eq!(client.recv(), Value::ok());
    }
    assert_eq!(client.run("DEL big"), Value::Int(1));
}

#[test]
fn the_memory_of_removed_values_goes_back_to_the_system() {
    let _alone = alone();
    let server = Server::dunlin(&["--workers", "1", "--maxmemory", "1gb"]);
    let mut client = server.client();
    let before = server.rss();
    come_and_go(&mut client);
    let near = before + BIG as u64 / 4;
    let gone = eventually(PATIENCE, || free_chunks(&mut client) == 0 && server.rss() < near);
    assert!(gone, "{before} before, now {}", server.rss());
}

#[test]
fn an_idle_server_gives_it_back_too() {
    let _alone = alone();
    let server = Server::dunlin(&["--workers", "2", "--maxmemory", "1gb"]);
    let before = server.rss();
    come_and_go(&mut server.client());
    let near = before + BIG as u64 / 4;
    let gone = eventually(PATIENCE, || server.rss() < near);
    assert!(gone, "{before} before, now {}", server.rss());
}

#[test]
fn no_more_is_kept_than_a_part_of_the_budget() {
    let server = Server::dunlin(&["--workers", "1", "--maxmemory", "160mb"]);
    let mut client = server.client();
    come_and_go(&mut client);
    let most = (160 << 20) / 8;
    for _ in 0..20 {
        let kept = free_chunks(&mut client);
        assert!(kept <= most, "{kept}");
    }
    client.run("CONFIG SET maxmemory 8mb");
    assert!(free_chunks(&mut client) <= 1 << 20);
    assert_eq!(client.run("MEMORY PURGE"), Value::ok());
}
