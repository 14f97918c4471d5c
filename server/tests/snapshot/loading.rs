//! While a snapshot is read: who is told to wait, and what happens to those who do not.

use crate::support::{Server, Value, eventually};
use crate::{Dir, LIMIT, digest, fill, info, loaded, start, text};
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

const LOADING: &str = "LOADING Redis is loading the dataset in memory";

/// A snapshot, and the digest of what is in it.
fn snapshot(dir: &Dir) -> (Vec<u8>, String) {
    let server = start(dir, &["--rdbcompression", "no"]);
    let mut client = server.client();
    fill(&mut client, 5, 10);
    assert_eq!(client.run("SAVE"), Value::ok());
    (fs::read(dir.file()).expect("the snapshot"), digest(&mut client))
}

/// A server whose snapshot comes out of a pipe: it is read as fast as the test writes it.
fn fed(dir: &Dir) -> (Server, File) {
    fs::remove_file(dir.file()).expect("it goes");
    let made = Command::new("mkfifo").arg(dir.file()).status();
    assert!(made.is_ok_and(|status| status.success()));
    let path = dir.path().to_str().expect("a path in UTF-8");
    let server = Server::dunlin(&["--dir", path, "--enable-debug-command", "yes"]);
    let pipe = File::options().write(true).open(dir.file()).expect("the server reads");
    (server, pipe)
}

#[test]
fn commands_on_data_are_told_to_wait() {
    let dir = Dir::new();
    let (bytes, wanted) = snapshot(&dir);
    let (server, mut pipe) = fed(&dir);
    let mut client = server.client();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    pipe.write_all(first).expect("the server reads");
    for line in ["PING", "GET a", "SET a 1", "DBSIZE", "KEYS *", "BGSAVE", "SAVE", "EVAL x 0"] {
        assert_eq!(client.run(line), Value::error(LOADING), "{line}");
    }
    for line in ["AUTH x", "CLIENT ID", "CONFIG GET port", "COMMAND COUNT", "LASTSAVE", "TIME"] {
        assert_ne!(client.run(line), Value::error(LOADING), "{line}");
    }
    assert_eq!(client.run("MULTI"), Value::ok());
    assert_eq!(client.run("GET a"), Value::error(LOADING));
    assert!(client.run("EXEC").is_error());
    assert_eq!(info(&mut client, "loading"), "1");
    let read = || server.client();
    assert!(eventually(LIMIT, || info(&mut read(), "loading_loaded_bytes") != "0"));
    assert!(text(&client.run("INFO errorstats")).contains("errorstat_LOADING"));
    pipe.write_all(second).expect("the server reads");
    drop(pipe);
    loaded(&server);
    assert_eq!(digest(&mut client), wanted);
    assert_eq!(info(&mut client, "loading"), "0");
    assert!(!text(&client.run("INFO persistence")).contains("loading_start_time"));
}

#[test]
fn a_process_that_is_to_end_does_not_load_on() {
    let dir = Dir::new();
    let (bytes, _) = snapshot(&dir);
    let (mut server, mut pipe) = fed(&dir);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    pipe.write_all(first).expect("the server reads");
    let mut client = server.client();
    client.send_command(&["SHUTDOWN", "SAVE"]);
    assert!(client.is_closed() || client.read_to_close().is_ok());
    // The next blocks let it see that it is to end; it may have ended before all are written.
    let _ = pipe.write_all(second);
    drop(pipe);
    assert!(server.wait(LIMIT).is_some_and(|status| status.success()));
    assert_eq!(dir.names(), ["dump.dunlin"], "what was half loaded is not saved");
    let kind = fs::metadata(dir.file()).expect("it is there").file_type();
    assert!(!kind.is_file(), "it is still the pipe");
}

#[test]
fn a_snapshot_that_breaks_off_is_refused_while_clients_wait() {
    let dir = Dir::new();
    let (bytes, _) = snapshot(&dir);
    let (mut server, mut pipe) = fed(&dir);
    let mut client = server.client();
    pipe.write_all(&bytes[..bytes.len() / 2]).expect("the server reads");
    assert_eq!(client.run("GET a"), Value::error(LOADING));
    drop(pipe);
    assert_eq!(server.wait(LIMIT).and_then(|status| status.code()), Some(1));
    assert!(server.log().contains("it ends too early"), "{}", server.log());
}

#[test]
fn a_snapshot_of_more_than_maxmemory_is_loaded_as_far_as_it_fits() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    client.run("DEBUG POPULATE 40000 key 500");
    assert_eq!(client.run("SAVE"), Value::ok());
    drop(server);
    for policy in ["noeviction", "allkeys-lru"] {
        let args = ["--maxmemory", "8mb", "--maxmemory-policy", policy];
        let server = start(&dir, &args);
        let mut client = server.client();
        let Value::Int(keys) = client.run("DBSIZE") else { panic!("a number") };
        assert!((1_000..20_000).contains(&keys), "{policy}: {keys}");
        let memory = text(&client.run("INFO memory"));
        let used: u64 = memory
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok())
            .expect("a number");
        assert!(used < 9 << 20, "{policy}: {used}");
        let warned = server.log().contains("maxmemory is reached");
        assert_eq!(warned, policy == "noeviction", "{}", server.log());
    }
}

#[test]
fn of_more_than_maxmemory_collections_are_loaded_whole_or_not_at_all() {
    const MEMBERS: i64 = 20_000;
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    client.set_patience(LIMIT);
    for set in 0..12 {
        for chunk in 0..4 {
            let mut line = vec!["SADD".to_owned(), format!("set:{set}")];
            line.extend((0..MEMBERS / 4).map(|item| format!("a member of a set {chunk}:{item}")));
            assert_eq!(client.call(&line), Value::Int(MEMBERS / 4));
        }
    }
    assert_eq!(client.run("SAVE"), Value::ok());
    drop(server);
    for policy in ["noeviction", "allkeys-lru"] {
        let server = start(&dir, &["--maxmemory", "8mb", "--maxmemory-policy", policy]);
        let mut client = server.client();
        let counts: Vec<Value> =
            (0..12).map(|set| client.run(&format!("SCARD set:{set}"))).collect();
        let whole = counts.iter().filter(|count| **count == Value::Int(MEMBERS)).count();
        let missing = counts.iter().filter(|count| **count == Value::Int(0)).count();
        assert_eq!(whole + missing, 12, "{policy}: {counts:?}");
        assert!(whole > 0 && missing > 0, "{policy}: {counts:?}");
    }
}
