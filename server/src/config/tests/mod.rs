//! Tests of the configuration as a whole: sources, CONFIG GET/SET/REWRITE, and the table itself.

mod command_line;
mod get_set;
mod rewriting;
mod sources;
mod table;

use super::*;
use std::ffi::OsString;
use std::fs;

const MEMORY: u64 = 1000 << 20;

fn load_with(args: &[&str], env: &[(&str, &str)]) -> Result<Config, LoadError> {
    let args = std::iter::once("dunlin").chain(args.iter().copied()).map(OsString::from);
    let env = env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
    match Task::read_for(args, env, MEMORY)? {
        Task::Serve(config) => Ok(config),
        other => panic!("{other:?}"),
    }
}

fn load(args: &[&str]) -> Config {
    load_with(args, &[]).unwrap()
}

fn refused(args: &[&str]) -> String {
    load_with(args, &[]).unwrap_err().to_string()
}

fn value(config: &Config, name: &str) -> String {
    let found = config.get(&[name]);
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    String::from_utf8(found[0].1.clone()).unwrap()
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Vec<Applied>, String> {
    config.set(pairs, Origin::Remote)
}

/// A directory of its own for each test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let dir = std::env::temp_dir().join(format!("dunlin-config-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Directory(dir)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
