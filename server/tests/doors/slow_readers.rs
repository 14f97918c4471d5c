//! Clients that do not read what they have asked for.

use crate::support::{Client, Server, Value, alone, command, eventually};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const MB: u64 = 1 << 20;

/// A list whose elements are 1 MB together: its reply is a copy.
fn store_list(client: &mut Client) {
    let element = vec![b'e'; 16 * 1024];
    for _ in 0..64 {
        client.call(&[b"RPUSH".as_slice(), b"list", &element]);
    }
}

fn figure(client: &mut Client, field: &str) -> u64 {
    let info = client.run("INFO everything").text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {field}"))
}

#[test]
fn many_who_do_not_read_stay_within_the_budget() {
    let _alone = alone();
    let server = Server::dunlin(&["--maxmemory-clients", "64mb"]);
    let mut witness = server.client();
    store_list(&mut witness);
    let base = server.rss();
    let ask = command(&["LRANGE", "list", "0", "-1"]).repeat(12);
    let mut deaf = Vec::new();
    let mut most = 0;
    for _ in 0..100 {
        let mut client = server.client();
        client.send(&ask);
        deaf.push(client);
        assert_eq!(witness.run("PING"), Value::Simple(b"PONG".to_vec()));
        most = most.max(server.rss());
    }
    assert!(eventually(SOON, || figure(&mut witness, "evicted_clients") > 0));
    for _ in 0..20 {
        most = most.max(server.rss());
        assert_eq!(witness.run("PING"), Value::Simple(b"PONG".to_vec()));
        std::thread::sleep(Duration::from_millis(20));
    }
    // The allocator keeps some of what was freed for a while.
    let grown = most.saturating_sub(base) / MB;
    assert!(grown < 2 * 64, "{grown} MB with a budget of 64");
    assert!(figure(&mut witness, "client_bytes") <= 64 * MB);
    assert!(server.log().contains("closing a client: maxmemory-clients"), "{}", server.log());
    drop(deaf);
    assert!(eventually(SOON, || figure(&mut witness, "client_bytes") < MB));
    assert_eq!(figure(&mut witness, "clients_held_back"), 0);
}

#[test]
fn who_is_held_back_goes_on_when_it_reads() {
    let _alone = alone();
    let server = Server::dunlin(&["--maxmemory-clients", "24mb"]);
    let mut witness = server.client();
    store_list(&mut witness);
    let mut slow = server.client();
    // 40 MB: the kernel holds a few, and what is left does not fit into the budget.
    let each = command(&["LRANGE", "list", "0", "-1"]);
    slow.send(&each.repeat(40));
    assert!(eventually(SOON, || figure(&mut witness, "clients_held_back") == 1));
    assert_eq!(figure(&mut witness, "client_output_pause_at"), MB);
    assert!(figure(&mut witness, "client_bytes") < 24 * MB);
    for number in 0..40 {
        let Value::Array(elements) = slow.recv() else { panic!("reply {number}") };
        assert_eq!(elements.len(), 64);
    }
    assert_eq!(slow.run("PING"), Value::Simple(b"PONG".to_vec()));
    assert!(eventually(SOON, || figure(&mut witness, "clients_held_back") == 0));
    assert_eq!(figure(&mut witness, "evicted_clients"), 0);
    assert!(figure(&mut witness, "client_pauses") > 0);
}

#[test]
fn who_is_held_back_goes_on_when_others_leave() {
    let _alone = alone();
    let server = Server::dunlin(&["--maxmemory-clients", "40mb", "--client-output-pause", "16mb"]);
    let mut witness = server.client();
    store_list(&mut witness);
    let each = command(&["LRANGE", "list", "0", "-1"]);
    let mut first = server.client();
    first.send(&each.repeat(40));
    assert!(eventually(SOON, || figure(&mut witness, "clients_held_back") == 1));
    let mut second = server.client();
    second.send(&each.repeat(40));
    assert!(eventually(SOON, || figure(&mut witness, "clients_held_back") == 2));
    assert!(eventually(SOON, || figure(&mut witness, "client_output_pause_at") == MB));
    let before = figure(&mut witness, "client_bytes");
    drop(first);
    // It is served up to the limit that holds when there is plenty of room.
    assert!(eventually(SOON, || figure(&mut witness, "client_output_pause_at") == 16 * MB));
    assert!(eventually(SOON, || figure(&mut witness, "client_bytes") >= 16 * MB), "of {before}");
    for _ in 0..40 {
        assert!(matches!(second.recv(), Value::Array(_)));
    }
}

#[test]
fn who_never_reads_is_closed_and_the_log_names_the_deadlock() {
    let server = Server::dunlin(&["--client-output-stall-timeout", "2"]);
    let mut witness = server.client();
    store_list(&mut witness);
    let base = server.rss();
    let mut deaf = server.client();
    // 10 GB of replies.
    deaf.send(&command(&["LRANGE", "list", "0", "-1"]).repeat(10_000));
    let mut most = 0;
    let closed = eventually(SOON, || {
        most = most.max(server.rss());
        assert_eq!(witness.run("PING"), Value::Simple(b"PONG".to_vec()));
        figure(&mut witness, "clients_stalled") == 1
    });
    assert!(closed);
    assert!(server.log().contains("deadlock"), "{}", server.log());
    let grown = most.saturating_sub(base) / MB;
    // Twice, because the buffer grows by doubling.
    assert!(grown < 2 * 64 + 32, "{grown} MB for one client that does not read");
    assert!(eventually(SOON, || figure(&mut witness, "connected_clients") == 1));
}

#[test]
fn a_pipeline_of_60_mb_that_is_written_before_anything_is_read_is_answered() {
    let _alone = alone();
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let value = vec![b'v'; MB as usize];
    let mut pair = command(&[b"SET".as_slice(), b"key", &value]);
    pair.extend(command(&["GETRANGE", "key", "0", "-1"]));
    for _ in 0..60 {
        client.send(&pair);
    }
    for _ in 0..60 {
        assert_eq!(client.recv(), Value::ok());
        assert_eq!(client.recv(), Value::Bulk(value.clone()));
    }
}

#[test]
fn what_replies_hold_of_a_deleted_value_is_counted() {
    let _alone = alone();
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let value = vec![b'v'; 8 * MB as usize];
    let mut deaf = server.client();
    for number in 0..6 {
        let key = format!("key{number}");
        assert_eq!(client.call(&[b"SET".as_slice(), key.as_bytes(), &value]), Value::ok());
        deaf.send(&command(&["GET", &key]));
    }
    assert!(eventually(SOON, || figure(&mut client, "client_bytes") > 30 * MB));
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    assert!(figure(&mut client, "client_bytes") > 30 * MB, "the replies still hold them");
    for _ in 0..6 {
        assert_eq!(deaf.recv(), Value::Bulk(value.clone()));
    }
    assert!(eventually(SOON, || figure(&mut client, "client_bytes") < MB));
}
