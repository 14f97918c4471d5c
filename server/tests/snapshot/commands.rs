//! SAVE, BGSAVE, LASTSAVE, SHUTDOWN, save points, and what INFO says of them.

use crate::support::{Value, eventually};
use crate::{Dir, LIMIT, info, saved, simple, start};
use std::time::Duration;

#[test]
fn one_snapshot_at_a_time_and_others_go_on() {
    let dir = Dir::new();
    let server = start(&dir, &["--snapshot-rate-limit", "200kb", "--rdbcompression", "no"]);
    let (mut client, mut other) = (server.client(), server.client());
    client.run("DEBUG POPULATE 20000 key 100");
    assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
    let busy = Value::error("ERR Background save already in progress");
    for line in ["SAVE", "BGSAVE", "BGSAVE SCHEDULE"] {
        assert_eq!(client.run(line), busy, "{line}");
    }
    assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "1");
    assert!(eventually(LIMIT, || info(&mut client, "current_save_keys_total") == "20000"));
    assert_eq!(client.run("BGSAVE NOW"), Value::error("ERR syntax error"));
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    saved(&mut client);
    assert_eq!(dir.names(), [""; 0], "what was written is of keys that were flushed");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    client.run("DEBUG POPULATE 5000 key 100");
    client.send(b"SAVE\r\nPING\r\n");
    assert_eq!(other.run("SET a b"), Value::ok());
    // The connections may be of different workers: what was sent first need not begin first.
    assert!(eventually(LIMIT, || info(&mut other, "rdb_bgsave_in_progress") == "1"));
    assert_eq!(other.run("SAVE"), busy);
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.recv(), simple("PONG"));
    assert_eq!(dir.names(), ["dump.dunlin"]);
}

#[test]
fn in_a_transaction_only_the_background_saves() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    client.run("MULTI");
    assert_eq!(client.run("BGSAVE"), simple("QUEUED"));
    let scheduled = simple("Background saving scheduled");
    assert_eq!(client.run("EXEC"), Value::Array(vec![scheduled]));
    saved(&mut client);
    assert_eq!(dir.names(), ["dump.dunlin"]);
    client.run("MULTI");
    assert!(client.run("SAVE").is_error());
    assert!(client.run("EXEC").is_error());
}

#[test]
fn figures_are_true() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    let Value::Int(started) = client.run("LASTSAVE") else { panic!("a number") };
    client.run("SET a 1");
    client.run("SET b 1");
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "2");
    assert_eq!(info(&mut client, "rdb_last_bgsave_time_sec"), "-1");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(client.run("SAVE"), Value::ok());
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    assert_eq!(info(&mut client, "rdb_saves"), "1");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    assert_eq!(info(&mut client, "rdb_current_bgsave_time_sec"), "-1");
    assert_ne!(info(&mut client, "rdb_last_bgsave_time_sec"), "-1");
    let Value::Int(last) = client.run("LASTSAVE") else { panic!("a number") };
    assert!(last > started, "{last} {started}");
    assert_eq!(info(&mut client, "rdb_last_save_time"), last.to_string());
}

#[test]
fn save_points_ask_for_snapshots() {
    let dir = Dir::new();
    let server = start(&dir, &["--save", "1 3"]);
    let mut client = server.client();
    client.run("SET a 1");
    client.run("SET b 1");
    std::thread::sleep(Duration::from_millis(1600));
    assert_eq!(info(&mut client, "rdb_saves"), "0", "two changes are not enough");
    client.run("SET c 1");
    assert!(eventually(LIMIT, || info(&mut client, "rdb_saves") == "1"));
    assert_eq!(client.call(&["CONFIG", "SET", "save", ""]), Value::ok());
    client.run("MSET a 1 b 1 c 1 d 1");
    std::thread::sleep(Duration::from_millis(1600));
    assert_eq!(info(&mut client, "rdb_saves"), "1", "there are no points");
}

#[test]
fn what_was_flushed_does_not_come_back() {
    let dir = Dir::new();
    let mut server = start(&dir, &["--save", "3600 1"]);
    let mut client = server.client();
    client.run("SET key value");
    assert_eq!(client.run("SAVE"), Value::ok());
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    assert!(eventually(LIMIT, || info(&mut client, "rdb_saves") == "2"));
    server.signal("KILL");
    assert!(server.wait(LIMIT).is_some());
    let server = start(&dir, &[]);
    assert_eq!(server.client().run("DBSIZE"), Value::Int(0));
}

#[test]
fn the_end_of_the_process_saves_if_it_is_to() {
    let cases: [(&[&str], &str, bool); 6] = [
        (&[], "SHUTDOWN", false),
        (&[], "SHUTDOWN SAVE", true),
        (&["--save", "3600 1"], "SHUTDOWN", true),
        (&["--save", "3600 1"], "SHUTDOWN NOSAVE", false),
        (&["--save", "3600 1"], "SIGTERM", true),
        (&[], "SIGTERM", false),
    ];
    for (args, how, saves) in cases {
        let dir = Dir::new();
        let mut server = start(&dir, args);
        let mut client = server.client();
        client.run("SET key value");
        match how {
            "SIGTERM" => server.signal("TERM"),
            line => client.send_command(&line.split(' ').collect::<Vec<_>>()),
        }
        let status = server.wait(LIMIT);
        assert!(status.is_some_and(|status| status.success()), "{how}: {status:?}");
        let wanted: &[&str] = if saves { &["dump.dunlin"] } else { &[] };
        assert_eq!(dir.names(), wanted, "{args:?} {how}");
        if saves {
            let server = start(&dir, &[]);
            assert_eq!(server.client().run("GET key"), Value::bulk("value"), "{how}");
        }
    }
}

#[test]
fn a_snapshot_under_way_does_not_hold_up_the_end() {
    let dir = Dir::new();
    let mut server = start(&dir, &["--snapshot-rate-limit", "10kb", "--rdbcompression", "no"]);
    let mut client = server.client();
    client.run("DEBUG POPULATE 50000 key 100");
    client.run("BGSAVE");
    client.send_command(&["SHUTDOWN"]);
    let status = server.wait(Duration::from_secs(30));
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert_eq!(dir.names(), [""; 0], "neither a snapshot nor a part of one");
}

#[test]
fn where_snapshots_are_is_protected() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    assert!(client.run("CONFIG SET dir /tmp").is_error());
    assert!(client.run("CONFIG SET dbfilename x").is_error());
}
