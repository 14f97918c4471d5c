//! Snapshots: that what is saved comes back, that nothing else does, and that no fault of a disk or a
//! process takes the last snapshot away or stops the service.

mod commands;
mod damage;
mod faults;
mod loading;
mod rdb;
#[path = "../support/mod.rs"]
mod support;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Client, Rng, Server, Value, eventually, process};

/// Limit of everything that takes seconds at most.
const LIMIT: Duration = Duration::from_secs(60);

/// A directory of snapshots; removed when dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Dir(process::scratch_dir("snapshots"))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn file(&self) -> PathBuf {
        self.0.join("dump.dunlin")
    }

    /// The names of the files.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the directory is there").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server on the directory, with DEBUG and what else is said; it has loaded what is there.
fn start(dir: &Dir, args: &[&str]) -> Server {
    let path = dir.path().to_str().expect("a path in UTF-8");
    let mut all = vec!["--dir", path, "--enable-debug-command", "yes", "--shards", "16"];
    all.extend(args);
    let server = Server::dunlin(&all);
    loaded(&server);
    server
}

/// Waits until the server serves.
fn loaded(server: &Server) {
    let mut client = server.client();
    assert!(eventually(LIMIT, || client.run("PING") == simple("PONG")), "it loads");
}

fn simple(text: &str) -> Value {
    Value::Simple(text.as_bytes().to_vec())
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Verbatim(_, bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

/// A field of INFO persistence.
fn info(client: &mut Client, field: &str) -> String {
    let info = text(&client.run("INFO persistence"));
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{field} in {info}")).trim().to_owned()
}

fn digest(client: &mut Client) -> String {
    format!("{:?}", client.run("DEBUG DIGEST"))
}

/// Waits for the snapshot under way to end.
fn saved(client: &mut Client) {
    assert!(eventually(LIMIT, || info(client, "rdb_bgsave_in_progress") == "0"), "it ends");
}

/// Keys of every type and form in three databases, some with expiries.
fn fill(client: &mut Client, seed: u64, scale: usize) {
    fill_as(client, seed, scale, true);
}

/// `newer`: with what Redis 7.0 does not know.
fn fill_as(client: &mut Client, seed: u64, scale: usize, newer: bool) {
    let mut rng = Rng::new(seed);
    for db in [0, 3, 15] {
        assert_eq!(client.run(&format!("SELECT {db}")), Value::ok());
        for number in 0..20 * scale {
            let key = format!("{db}:{number}");
            fill_key(client, &mut rng, &key, number);
            if newer && number % 7 == 5 {
                let line = ["HPEXPIRE", &key, "90000000", "FIELDS", "1", "field 0"];
                assert!(!client.call(&line).is_error());
            }
            match rng.below(4) {
                0 => drop(client.run(&format!("PEXPIRE {key} 100000000"))),
                1 => drop(client.run(&format!("EXPIREAT {key} 99999999999"))),
                _ => {}
            }
        }
    }
    assert_eq!(client.run("SELECT 0"), Value::ok());
}

fn word(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => rng.between(-1_000_000_000_000, 1_000_000_000_000).to_string(),
        1 => "x".repeat(rng.below(100)),
        2 => rng.below(300).to_string(),
        _ => format!("word {}", rng.below(100_000)),
    }
}

fn fill_key(client: &mut Client, rng: &mut Rng, key: &str, number: usize) {
    let count = [1, 8, 60, 1500][rng.below(4)];
    let mut command = vec![String::new(), key.to_owned()];
    match number % 7 {
        0 => {
            "SET".clone_into(&mut command[0]);
            command.push(word(rng).repeat([1, 1, 300, 20_000][rng.below(4)]));
        }
        1 => {
            "RPUSH".clone_into(&mut command[0]);
            command.extend((0..count).map(|_| word(rng).repeat([1, 1, 1, 200][rng.below(4)])));
        }
        2 => {
            "SADD".clone_into(&mut command[0]);
            let only_numbers = rng.chance(1, 2);
            command.extend((0..count).map(|_| match only_numbers {
                true => rng.below(100_000).to_string(),
                false => word(rng),
            }));
        }
        3 => {
            "ZADD".clone_into(&mut command[0]);
            for _ in 0..count {
                command.extend([rng.between(-1000, 1000).to_string(), word(rng)]);
            }
        }
        4 | 5 => {
            "HSET".clone_into(&mut command[0]);
            for field in 0..count {
                command.extend([format!("field {field}"), word(rng)]);
            }
        }
        _ => return fill_stream(client, rng, key, count.min(300)),
    }
    let reply = client.call(&command);
    assert!(!reply.is_error(), "{reply:?}");
}

fn fill_stream(client: &mut Client, rng: &mut Rng, key: &str, count: usize) {
    for id in 1..=count {
        let (field, value) = (word(rng), word(rng));
        assert!(!client.call(&["XADD", key, &format!("{id}-1"), &field, &value]).is_error());
    }
    let commands: [&[&str]; 4] = [
        &["XGROUP", "CREATE", key, "group", "0"],
        &["XGROUP", "CREATE", key, "idle", "$"],
        &["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "5", "STREAMS", key, ">"],
        &["XDEL", key, "1-1"],
    ];
    for command in commands {
        assert!(!client.call(command).is_error(), "{command:?}");
    }
}
