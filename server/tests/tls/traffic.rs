//! Commands and replies through TLS: nothing may differ from a plain connection.

use crate::Secure;
use crate::support::{Value, alone, command, eventually};
use rustls::version::{TLS12, TLS13};
use std::time::Duration;

#[test]
fn both_versions_speak_both_protocols() {
    let secure = Secure::start(&[]);
    for version in [&TLS12, &TLS13] {
        let identity = Some(secure.authority.issue("somebody"));
        let config = secure.authority.trusting_in(identity, &[version]);
        let mut client = secure.connect(config).expect("it connects");
        assert_eq!(client.session().protocol_version(), Some(version.version));
        assert_eq!(client.run("SET a 1"), Value::ok());
        assert_eq!(client.run("GET a"), Value::bulk("1"));
        assert!(!client.run("HELLO 3").is_error());
        assert_eq!(client.run("GET nokey"), Value::Null);
        assert_eq!(client.run("INCR a"), Value::Int(2));
    }
    // One keyspace behind both ports.
    assert_eq!(secure.server.client().run("GET a"), Value::bulk("2"));
}

#[test]
fn there_need_be_no_plain_port() {
    let secure = Secure::start_tls_only(&[]);
    let mut client = secure.client();
    assert_eq!(client.run("SET a 1"), Value::ok());
    let info = client.run("INFO server").text();
    assert!(info.contains(&format!("tcp_port:{}\r\n", secure.port)), "{info}");
    assert_eq!(client.run("CONFIG GET port").items()[1].text(), "0");
}

#[test]
fn big_values_and_long_pipelines_arrive_whole() {
    let _alone = alone();
    let secure = Secure::start(&[]);
    let mut client = secure.client();
    let value: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(client.call(&[b"SET".as_slice(), b"big", &value]), Value::ok());
    assert_eq!(client.run("GET big"), Value::Bulk(value.clone()));
    assert_eq!(client.run("STRLEN big"), Value::Int(20_000_000));
    let mut packet = Vec::new();
    for n in 0..20_000 {
        packet.extend(command(&["SET", &format!("k{n}"), &format!("v{n}")]));
        packet.extend(command(&["GET", &format!("k{n}")]));
    }
    client.send(&packet);
    for n in 0..20_000 {
        assert_eq!(client.recv(), Value::ok());
        assert_eq!(client.recv(), Value::bulk(format!("v{n}")));
    }
}

#[test]
fn requests_may_come_in_any_pieces() {
    let secure = Secure::start(&[]);
    let mut client = secure.client();
    // A record per byte.
    for byte in command(&["SET", "key", "value"]) {
        client.send(&[byte]);
    }
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.run("GET key"), Value::bulk("value"));
}

#[test]
fn a_pipeline_written_before_anything_is_read_does_not_deadlock() {
    let _alone = alone();
    let secure = Secure::start(&[]);
    let mut client = secure.client();
    let value = vec![b'v'; 10_000];
    assert_eq!(client.call(&[b"SET".as_slice(), b"k", &value]), Value::ok());
    for _ in 0..2000 {
        client.send(&command(&[b"SET".as_slice(), b"other", &value]));
        client.send(&command(&["GET", "k"]));
    }
    for _ in 0..2000 {
        assert_eq!(client.recv(), Value::ok());
        assert_eq!(client.recv(), Value::Bulk(value.clone()));
    }
}

#[test]
fn a_blocked_client_that_hangs_up_is_noticed() {
    let secure = Secure::start(&[]);
    let mut watcher = secure.server.client();
    let mut clients = || watcher.run("CLIENT LIST").text().lines().count();
    let mut blocked = secure.client();
    blocked.send(b"WAIT 1 0\r\n");
    assert!(eventually(Duration::from_secs(5), || clients() == 2));
    std::thread::sleep(Duration::from_millis(100)); // it has to wait before it hangs up
    drop(blocked);
    assert!(eventually(Duration::from_secs(5), || clients() == 1), "the connection has leaked");
    // Behind commands that nobody reads yet.
    let mut hasty = secure.client();
    hasty.send(b"WAIT 1 0\r\n");
    assert!(eventually(Duration::from_secs(5), || clients() == 2));
    hasty.send(&b"PING\r\n".repeat(1000));
    std::thread::sleep(Duration::from_millis(100));
    drop(hasty);
    assert!(eventually(Duration::from_secs(5), || clients() == 1), "the connection has leaked");
    // With an end in TLS's own words before the socket's.
    let mut polite = secure.client();
    polite.send(b"WAIT 1 0\r\n");
    assert!(eventually(Duration::from_secs(5), || clients() == 2));
    std::thread::sleep(Duration::from_millis(100));
    polite.say_goodbye();
    assert!(eventually(Duration::from_secs(5), || clients() == 1), "the connection has leaked");
}

#[test]
fn a_killed_client_gets_its_replies_and_the_end() {
    let secure = Secure::start(&[]);
    let mut client = secure.client();
    let id = client.run("CLIENT ID").int().to_string();
    let mut packet = command(&["SET", "a", "1"]);
    packet.extend(command(&["CLIENT", "KILL", "ID", &id, "SKIPME", "no"]));
    client.send(&packet);
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.recv(), Value::Int(1));
    assert!(client.is_closed());
    let mut other = secure.client();
    let id = other.run("CLIENT ID").int();
    assert_eq!(secure.server.client().run(&format!("CLIENT KILL ID {id}")), Value::Int(1));
    assert!(other.is_closed());
}

#[test]
fn a_shutdown_answers_what_has_arrived() {
    let mut secure = Secure::start(&[]);
    let mut client = secure.client();
    assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
    client.send(&command(&["SET", "a", "1"]).repeat(1000));
    secure.server.signal("TERM");
    let rest = client.read_to_close().expect("an orderly end");
    assert!(rest.len().is_multiple_of(5) && rest.chunks(5).all(|reply| reply == b"+OK\r\n"));
    assert!(secure.server.wait(Duration::from_secs(15)).is_some_and(|status| status.success()));
}

#[test]
fn a_connection_may_change_workers_between_any_two_commands() {
    let settings = ["--workers", "3", "--enable-debug-command", "yes", "--placement-gap", "100"];
    let secure = Secure::start(&settings);
    let (mut admin, mut client) = (secure.server.client(), secure.client());
    let id = client.run("CLIENT ID").int().to_string();
    // More than a record.
    let value = "v".repeat(30_000);
    for round in 1..=300_usize {
        let worker = (round % 3).to_string();
        admin.send_command(&["DEBUG", "MOVE-CLIENT", &id, &worker]);
        let bytes = [command(&["SET", "key", &value]), command(&["INCR", "n"])].concat();
        let cut = bytes.len() * (round % 7) / 7;
        client.send(&bytes[..cut]);
        assert_eq!(admin.recv(), Value::ok());
        client.send(&bytes[cut..]);
        assert_eq!(client.recv(), Value::ok());
        assert_eq!(client.recv(), Value::Int(round as i64));
        assert_eq!(client.run("GET key"), Value::bulk(&value));
    }
    let info = admin.run("INFO workers").text();
    let moved = info.lines().find_map(|line| line.strip_prefix("connections_moved:"));
    let moved: u64 = moved.and_then(|moved| moved.parse().ok()).expect("a number");
    assert!(moved > 100, "{moved} moves");
}
