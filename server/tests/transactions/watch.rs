//! WATCH: what changes a key and what does not. The rest is in `reference.rs`.

use crate::support::{Client, Server, Value, eventually};
use crate::{pong, queue, transaction};
use std::time::Duration;

/// Whether EXEC of a transaction of this client runs.
#[track_caller]
fn may_exec(client: &mut Client) -> bool {
    match transaction(client, &["PING"]) {
        Value::Array(replies) => {
            assert_eq!(replies, [pong()]);
            true
        }
        reply => {
            assert!(reply.is_null(), "{reply:?}");
            false
        }
    }
}

#[track_caller]
fn ok(client: &mut Client, line: &str) {
    assert_eq!(client.run(line), Value::ok(), "{line}");
}

#[test]
fn a_key_whose_time_ends_has_changed_before_anybody_removes_it() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    ok(&mut client, "DEBUG SET-ACTIVE-EXPIRE 0");
    ok(&mut client, "SET a 1 PX 60");
    ok(&mut client, "WATCH a");
    assert_eq!(client.run("EXISTS a"), Value::Int(1), "the machine is too slow for this test");
    assert!(eventually(Duration::from_secs(5), || client.run("EXISTS a") == Value::Int(0)));
    assert!(!may_exec(&mut client));
}

#[test]
fn a_key_that_expires_by_itself_has_changed() {
    let server = Server::dunlin(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    ok(&mut client, "SET a 1 PX 60");
    ok(&mut client, "WATCH a");
    assert!(eventually(Duration::from_secs(5), || other.run("DBSIZE") == Value::Int(0)));
    assert!(!may_exec(&mut client));
}

#[test]
fn a_key_whose_time_was_over_may_be_removed() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let (mut client, mut other) = (server.client(), server.client());
    let stale = |client: &mut Client| {
        ok(client, "DEBUG SET-ACTIVE-EXPIRE 0");
        ok(client, "SET a 1 PX 1");
        assert!(eventually(Duration::from_secs(5), || client.run("EXISTS a") == Value::Int(0)));
        ok(client, "WATCH a");
    };
    stale(&mut client);
    assert!(may_exec(&mut client));
    stale(&mut client);
    ok(&mut other, "FLUSHDB");
    assert!(may_exec(&mut client));
    stale(&mut client);
    assert_eq!(other.run("DEL a"), Value::Int(0));
    assert!(may_exec(&mut client));
    stale(&mut client);
    ok(&mut other, "DEBUG SET-ACTIVE-EXPIRE 1");
    std::thread::sleep(Duration::from_millis(300));
    assert!(may_exec(&mut client));
    stale(&mut client);
    ok(&mut other, "SET a 2");
    assert!(!may_exec(&mut client));
}

#[test]
fn a_key_that_is_evicted_has_changed() {
    let server = Server::dunlin(&["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random"]);
    let (mut client, mut other) = (server.client(), server.client());
    ok(&mut client, "SET a 1");
    ok(&mut client, "WATCH a");
    let value = "x".repeat(1000);
    let mut i = 0;
    while other.run("EXISTS a") == Value::Int(1) {
        assert_eq!(other.call(&["SET", &format!("k{i}"), &value]), Value::ok());
        i += 1;
        assert!(i < 1_000_000);
    }
    assert!(!may_exec(&mut client));
}

#[test]
fn many_clients_watch_one_key() {
    let server = Server::dunlin(&[]);
    let mut clients: Vec<Client> = (0..50).map(|_| server.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        ok(client, &format!("WATCH shared own:{i}"));
    }
    ok(&mut server.client(), "SET own:7 x");
    let may: Vec<bool> = clients.iter_mut().map(may_exec).collect();
    assert!(may.iter().enumerate().all(|(i, may)| *may == (i != 7)));
    // Nobody watches any more.
    ok(&mut server.client(), "SET shared x");
    assert!(clients.iter_mut().all(may_exec));
    for client in &mut clients {
        ok(client, "WATCH shared");
    }
    // Who goes away takes nothing with them.
    clients.truncate(25);
    ok(&mut server.client(), "SET shared y");
    assert!(!clients.iter_mut().any(may_exec));
}

#[test]
fn ten_thousand_keys_can_be_watched() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let keys: Vec<String> = (0..10_000).map(|i| format!("key:{i}")).collect();
    let mut line = vec!["WATCH"];
    line.extend(keys.iter().map(String::as_str));
    assert_eq!(client.call(&line), Value::ok());
    assert_eq!(client.call(&line), Value::ok());
    ok(&mut server.client(), "SET key:9999 1");
    assert!(!may_exec(&mut client));
    assert_eq!(client.call(&line), Value::ok());
    queue(&mut client, &["GET key:9999"]);
    assert_eq!(client.run("EXEC"), Value::Array(vec![Value::bulk("1")]));
}

#[test]
fn the_own_writes_of_a_client_count_before_exec_and_not_in_it() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    ok(&mut client, "WATCH a");
    ok(&mut client, "SET a 1");
    assert!(!may_exec(&mut client));
    ok(&mut client, "WATCH a");
    assert_eq!(transaction(&mut client, &["SET a 2", "SET a 3"]).items().len(), 2);
    assert!(may_exec(&mut client));
}
