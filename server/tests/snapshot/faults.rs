//! What a process or a disk can do to a snapshot: the one before it always loads, and clients are served
//! as ever.

use crate::support::{Client, Rng, Server, Value, command, eventually};
use crate::{Dir, LIMIT, info, loaded, saved, simple, start, text};
use std::fs;
use std::time::Duration;

/// Keys of the test that is killed.
const KEYS: usize = 2_000;

/// Gives all keys the same version.
fn write(client: &mut Client, version: usize) {
    for key in 0..KEYS {
        let value = format!("{version}:{}", "v".repeat(500));
        client.send(&command(&["SET", &format!("key:{key}"), &value]));
    }
    (0..KEYS).for_each(|_| assert_eq!(client.recv(), Value::ok()));
}

/// The version that all keys have.
fn version(client: &mut Client) -> usize {
    let mut versions = Vec::new();
    for key in 0..KEYS {
        client.send(&command(&["GETRANGE", &format!("key:{key}"), "0", "8"]));
    }
    for _ in 0..KEYS {
        let value = text(&client.recv());
        versions.push(value.split(':').next().and_then(|v| v.parse::<usize>().ok()));
    }
    versions.dedup();
    assert_eq!(versions.len(), 1, "a mixture: {versions:?}");
    versions[0].expect("there are keys")
}

#[test]
fn killed_at_any_point_the_last_snapshot_loads() {
    let points =
        std::env::var("DUNLIN_KILL_POINTS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let dir = Dir::new();
    let args = ["--snapshot-rate-limit", "8mb", "--rdbcompression", "no"];
    let mut rng = Rng::new(Rng::random_seed());
    let mut server = start(&dir, &args);
    let mut client = server.client();
    write(&mut client, 0);
    assert_eq!(client.run("SAVE"), Value::ok());
    let (mut last, mut newer, mut older) = (0, 0, 0);
    for point in 1..=points {
        write(&mut client, point);
        assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
        std::thread::sleep(Duration::from_micros(rng.below(160_000) as u64));
        server.signal("KILL");
        assert!(server.wait(LIMIT).is_some());
        server = start(&dir, &args);
        client = server.client();
        let found = version(&mut client);
        assert!(found == point || found == last, "{found} is neither {point} nor {last}");
        if found == point {
            newer += 1;
        } else {
            older += 1;
        }
        last = found;
        assert_eq!(dir.names(), ["dump.dunlin"], "what was begun is removed");
    }
    println!(
        "killed {points} times: {older} times the snapshot before was there, {newer} times the new one"
    );
}

/// What a failed snapshot must not change.
fn goes_on(client: &mut Client) {
    assert_eq!(client.run("SET after 1"), Value::ok());
    assert_eq!(client.run("INCR after"), Value::Int(2));
    assert_eq!(info(client, "rdb_last_bgsave_status"), "err");
    assert_ne!(info(client, "rdb_failures"), "0");
    assert_eq!(info(client, "rdb_bgsave_in_progress"), "0");
}

#[test]
fn a_full_disk_is_an_error_and_nothing_else() {
    let dir = Dir::new();
    let path = dir.path().to_str().expect("a path in UTF-8");
    // No file may be longer than 50 KiB; the signal that says so is ignored.
    let args = ["--dir", path, "--rdbcompression", "no", "--save", "3600 1"];
    let mut server = Server::dunlin_after("trap '' XFSZ; ulimit -f 100", &args);
    loaded(&server);
    let mut client = server.client();
    client.run("SET key small");
    assert_eq!(client.run("SAVE"), Value::ok());
    for key in 0..200 {
        client.call(&["SET", &format!("key:{key}"), &"v".repeat(1000)]);
    }
    let why = client.run("SAVE").error_text().expect("it cannot be written");
    assert!(why.starts_with("ERR The snapshot failed: File too large"), "{why}");
    goes_on(&mut client);
    assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
    saved(&mut client);
    goes_on(&mut client);
    assert_eq!(dir.names(), ["dump.dunlin"]);
    assert!(server.log().contains("the snapshot failed: File too large"), "{}", server.log());
    // The end of the process tells that it has not saved, and ends all the same.
    server.signal("TERM");
    assert_eq!(server.wait(LIMIT).and_then(|status| status.code()), Some(1));
    assert!(server.log().contains("nothing was saved: File too large"), "{}", server.log());
    let server = start(&dir, &[]);
    assert_eq!(server.client().run("GET key"), Value::bulk("small"), "the snapshot before");
}

#[test]
fn a_directory_that_takes_no_files_is_an_error_and_nothing_else() {
    // Nobody can make files there, not even root.
    let mut server = Server::dunlin(&["--dir", "/sys"]);
    let mut client = server.client();
    client.run("SET key value");
    let why = client.run("SAVE").error_text().expect("it cannot be written");
    assert!(why.starts_with("ERR The snapshot failed: "), "{why}");
    goes_on(&mut client);
    let refused = Value::error("ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(client.run("SHUTDOWN SAVE"), refused);
    assert_eq!(client.run("PING"), simple("PONG"));
    client.send_command(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait(LIMIT).is_some_and(|status| status.success()));
}

#[test]
fn a_directory_that_goes_is_an_error_until_it_is_back() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    client.run("SET key value");
    fs::remove_dir_all(dir.path()).expect("it goes");
    let gone = Value::error("ERR The snapshot failed: No such file or directory");
    assert_eq!(client.run("SAVE"), gone);
    goes_on(&mut client);
    fs::create_dir_all(dir.path()).expect("it is back");
    assert_eq!(client.run("SAVE"), Value::ok());
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
}

#[test]
fn what_was_flushed_is_saved_as_soon_as_the_directory_is_back() {
    let dir = Dir::new();
    let mut server = start(&dir, &["--save", "3600 1"]);
    let mut client = server.client();
    client.run("SET key value");
    assert_eq!(client.run("SAVE"), Value::ok());
    let away = dir.path().with_extension("away");
    fs::rename(dir.path(), &away).expect("it moves");
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    assert!(eventually(LIMIT, || info(&mut client, "rdb_failures") != "0"), "it is tried at once");
    fs::rename(&away, dir.path()).expect("it moves back");
    assert_eq!(dir.names(), ["dump.dunlin"]);
    assert!(eventually(LIMIT, || info(&mut client, "rdb_saves") == "2"), "it is tried again");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    server.signal("KILL");
    assert!(server.wait(LIMIT).is_some());
    let server = start(&dir, &[]);
    assert_eq!(server.client().run("DBSIZE"), Value::Int(0));
}

#[test]
fn what_others_have_begun_is_not_loaded() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    client.run("SET key value");
    assert_eq!(client.run("SAVE"), Value::ok());
    drop(server);
    fs::rename(dir.file(), dir.path().join("temp-999999999-0.dunlin")).expect("it moves");
    let server = start(&dir, &[]);
    assert_eq!(server.client().run("DBSIZE"), Value::Int(0));
    assert_eq!(dir.names(), [""; 0], "it is removed");
}
