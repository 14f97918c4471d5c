//! Files that are not as they should be: refused with one clear line, or put aside.

use crate::support::{Rng, Server, Value, process};
use crate::{Dir, start};
use std::fs;
use std::path::Path;
use std::process::Output;
use xxhash_rust::xxh3::xxh3_64;

/// A small snapshot.
fn snapshot() -> Vec<u8> {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = server.client();
    for line in
        ["SET string value", "RPUSH list a b", "SADD set 1 2", "HSET hash f v", "ZADD z 1 m"]
    {
        assert!(!client.run(line).is_error());
    }
    assert_eq!(client.run("SAVE"), Value::ok());
    fs::read(dir.file()).expect("the snapshot")
}

/// Starts the server on a file and waits for its end.
fn refused(dir: &Dir, bytes: &[u8]) -> Output {
    fs::write(dir.file(), bytes).expect("the file");
    let path = dir.path().to_str().expect("a path in UTF-8");
    let program = Path::new(env!("CARGO_BIN_EXE_dunlin"));
    let mut command =
        Server::dunlin_command(program, process::free_port(), &["--dir", path, "--shards", "16"]);
    command.output().expect("it runs")
}

/// That a file is refused, and what is said of it.
fn why(dir: &Dir, bytes: &[u8]) -> String {
    let output = refused(dir, bytes);
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}{errors}");
    let all = format!("{log}{errors}");
    assert!(!all.contains("panicked"), "{all}");
    let lines: Vec<&str> = all.lines().filter(|line| line.contains("cannot load")).collect();
    assert_eq!(lines.len(), 1, "{all}");
    assert_eq!(fs::read(dir.file()).expect("it is there"), bytes, "the file stays as it is");
    let (_, why) = lines[0].split_once(": ").expect("a reason");
    why.to_owned()
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let (dir, whole) = (Dir::new(), snapshot());
    let says = |bytes: &[u8], text: &str| {
        let why = why(&dir, bytes);
        assert!(why.contains(text), "{why}: {text}");
    };
    says(b"", "it ends too early");
    says(&whole[..whole.len() - 1], "it ends too early");
    says(&[&whole[..], b"x"].concat(), "is damaged (bytes behind the end)");
    says(b"GIF89a and so on", "this is no RDB file");
    let mut future = whole.clone();
    future[8] = 200;
    says(&future, "it is of version 200, and this server reads versions up to 2");
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    says(&flipped, "block 0 is damaged (checksum)");
}

#[test]
fn no_flip_and_no_cut_goes_unnoticed() {
    let (dir, whole) = (Dir::new(), snapshot());
    let mut rng = Rng::new(Rng::random_seed());
    // All of them are tried without a process beside the code of the format.
    for _ in 0..15 {
        let mut bytes = whole.clone();
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        why(&dir, &bytes);
        why(&dir, &whole[..rng.below(whole.len())]);
    }
}

/// A snapshot of version 1, of one block with these entries, with all its checksums right.
fn forged(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"DUNLIN\r\n".to_vec();
    file.extend(1_u32.to_le_bytes());
    file.extend(16_u32.to_le_bytes());
    file.extend([0; 16]);
    let mut sums = xxh3_64(&file).to_le_bytes().to_vec();
    file.extend_from_slice(&sums);
    let mut block = |kind: u8, number: u32, body: &[u8], sums: &mut Vec<u8>| {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        let head = [&[kind, 0, 0, 0][..], &number.to_le_bytes(), &length, &length].concat();
        let sum = xxh3_64(&[&head[..], body].concat()).to_le_bytes();
        sums.extend(sum);
        file.extend([&head[..], &sum, body].concat());
    };
    block(1, 0, &entries.concat(), &mut sums);
    let all = xxh3_64(&sums).to_le_bytes();
    let count = entries.len() as u64;
    let end = [&count.to_le_bytes()[..], &1_u64.to_le_bytes(), &all].concat();
    block(4, 1, &end, &mut sums);
    file
}

fn entry(what: u8, db: u8, key_length: u32, value_length: u64, rest: &[u8]) -> Vec<u8> {
    let lengths = [&key_length.to_le_bytes()[..], b"k", &value_length.to_le_bytes()].concat();
    [&[what, db][..], &lengths, rest].concat()
}

#[test]
fn wrong_contents_with_right_checksums_are_refused() {
    let dir = Dir::new();
    // What is right loads, so the others are refused for what is wrong with them.
    let good = forged(&[entry(1, 0, 1, 3, b"\x00\x01v")]);
    fs::write(dir.file(), &good).expect("the file");
    let server = start(&dir, &[]);
    assert_eq!(server.client().run("GET k"), Value::bulk("v"));
    drop(server);
    let malformed = "an entry is malformed";
    let cases: [(Vec<u8>, &str); 9] = [
        (entry(1, 0, 1, 1 << 63, b"\x00\x01v"), malformed),
        (entry(1, 0, u32::MAX, 3, b"\x00\x01v"), malformed),
        (entry(9, 0, 1, 3, b"\x00\x01v"), malformed),
        (entry(1, 200, 1, 3, b"\x00\x01v"), "keys in database 200, and there are 16"),
        (entry(1, 0, 1, 3, b"\x63\x01v"), "a value of type 99 is malformed"),
        (entry(1, 0, 1, 11, b"\x02\x81\x80\0\0\0\0\0\0\0v"), "a value of type 2 is malformed"),
        (entry(1, 0, 1, 0, b""), "a value has no type"),
        (entry(2, 0, 1, 3, b"\x00\x01v"), "a part of a collection is malformed"),
        (entry(4, 0, 1, 3, b"lua"), "Missing library metadata"),
    ];
    for (entry, text) in cases {
        let why = why(&dir, &forged(&[entry]));
        assert!(why.contains(text), "{why}: {text}");
    }
}

#[test]
fn parts_of_version_1_are_put_together() {
    let dir = Dir::new();
    let part = |members: &[u8]| entry(2, 0, 1, members.len() as u64, members);
    // A part with an expiry, as all parts had it then: far away, and long ago.
    let expiring = |key: u8, at: i64| {
        let head = [&[0x82, 0][..], &at.to_le_bytes(), &1_u32.to_le_bytes(), &[key]].concat();
        [&head[..], &4_u64.to_le_bytes(), b"\x02\x01\x01a"].concat()
    };
    let entries = [
        part(b"\x02\x02\x01a\x01b"),
        part(b"\x02\x01\x01c"),
        expiring(b'e', 9_000_000_000_000),
        expiring(b'o', 1_000_000_000_000),
    ];
    fs::write(dir.file(), forged(&entries)).expect("the file");
    let server = start(&dir, &[]);
    let mut client = server.client();
    assert_eq!((client.run("SCARD k"), client.run("PTTL k")), (Value::Int(3), Value::Int(-1)));
    let Value::Int(left) = client.run("PTTL e") else { panic!("a number") };
    assert!(left > 1_000_000_000_000, "{left}");
    assert_eq!(client.run("DBSIZE"), Value::Int(2));
}

#[test]
fn a_damaged_file_is_put_aside_if_that_is_wanted() {
    let (dir, mut bytes) = (Dir::new(), snapshot());
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(dir.file(), &bytes).expect("the file");
    let server = start(&dir, &["--load-on-corrupt", "ignore"]);
    let mut client = server.client();
    assert_eq!(client.run("DBSIZE"), Value::Int(0), "nothing of it is there");
    let names = dir.names();
    assert!(names.len() == 1 && names[0].starts_with("dump.dunlin.corrupt-"), "{names:?}");
    assert_eq!(fs::read(dir.path().join(&names[0])).expect("it is kept"), bytes);
    assert!(server.log().contains("starting empty"), "{}", server.log());
    client.run("SET key value");
    assert_eq!(client.run("SAVE"), Value::ok());
    drop(server);
    let server = start(&dir, &[]);
    assert_eq!(server.client().run("GET key"), Value::bulk("value"));
}
