//! Configuration files.

use dunlin::config::{Config, Origin, Task, split_words};
use std::ffi::OsString;
use std::path::PathBuf;

/// Memory of the machine that `auto` refers to.
const MEMORY: u64 = 8 << 30;

/// In memory where that is possible: the file is replaced and flushed for each input.
fn path() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("dunlin-fuzz-{}.conf", std::process::id()))
}

/// Whether a line reads another file.
fn includes(data: &[u8]) -> bool {
    data.split(|&byte| byte == b'\n').any(|line| {
        let words = split_words(line.trim_ascii()).unwrap_or_default();
        words.first().is_some_and(|word| word.eq_ignore_ascii_case(b"include"))
    })
}

fn read(more: &[&str]) -> Result<Task, String> {
    let args = [OsString::from("dunlin"), path().into()];
    let args = args.into_iter().chain(more.iter().map(OsString::from));
    Task::read_for(args, std::iter::empty(), MEMORY).map_err(|error| error.to_string())
}

fn values(config: &Config) -> Vec<(&'static str, String)> {
    let shown = |value: Vec<u8>| value.escape_ascii().to_string();
    config.get(&["*"]).into_iter().map(|(name, value)| (name, shown(value))).collect()
}

/// Reads the data as a configuration file. What a start refuses `--check-config` finds fault with, and
/// the other way round; what is accepted can be rewritten, and is the same when it is read again. Then
/// each line is set on its own, as CONFIG SET does.
pub fn config(data: &[u8]) {
    if includes(data) {
        return;
    }
    std::fs::write(path(), data).expect("the temporary directory takes files");
    let config = read_as_a_file();
    std::fs::remove_file(path()).expect("it is there");
    set_one_by_one(&config, data);
}

fn read_as_a_file() -> Config {
    let started = read(&[]);
    match read(&["--check-config"]) {
        Ok(Task::Check { faults, .. }) => {
            assert_eq!(started.is_err(), !faults.is_empty(), "{:?}: {faults:?}", started.err());
        }
        other => panic!("{other:?}"),
    }
    match started {
        Ok(Task::Serve(config)) => {
            let before = values(&config);
            if config.users().is_empty() {
                config.rewrite(&[]).expect("the file can be written");
                match read(&[]) {
                    Ok(Task::Serve(config)) => assert_eq!(values(&config), before),
                    other => panic!("{other:?}"),
                }
            }
            config
        }
        Ok(other) => panic!("{other:?}"),
        Err(_) => Config::defaults(MEMORY),
    }
}

fn set_one_by_one(config: &Config, data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        let at = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let value = value.get(1..).unwrap_or_default();
        if config.set(&[(name, value)], Origin::Local).is_ok() {
            // What is shown may be set.
            let shown = config.get(&[name]);
            if let Some((_, value)) = shown.first().filter(|_| shown.len() == 1) {
                config.set(&[(name, value)], Origin::Local).expect("what is shown may be set");
                assert_eq!(config.get(&[name]), shown);
            }
        }
    }
}
