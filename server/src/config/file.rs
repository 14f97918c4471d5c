//! Putting the sources together: file, environment, command line.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use super::cli::CommandLine;
use super::directives::{self, DIRECTIVES, MISSING, REFUSED};
use super::users::{Declared, USER};
use super::value::Value;
use super::{Config, LoadError, Settings, split_words};
use crate::files;

/// Largest configuration file.
const MAX_FILE: u64 = 16 << 20;
/// Deepest chain of `include`.
const MAX_INCLUDES: usize = 8;

const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";

/// A configuration while its sources are read.
pub(super) struct Draft {
    settings: Settings,
    defaults: Settings,
    /// Rows the current source has set: a further `save` line of the same source adds to them.
    seen: BTreeSet<usize>,
    pub(super) from_env: BTreeSet<usize>,
    machine_memory: u64,
    pub(super) warnings: Vec<String>,
    pub(super) users: Declared,
}

impl Draft {
    pub(super) fn new(machine_memory: u64) -> Draft {
        let defaults = Settings::defaults(machine_memory);
        Draft {
            settings: defaults.clone(),
            defaults,
            seen: BTreeSet::new(),
            from_env: BTreeSet::new(),
            machine_memory,
            warnings: Vec::new(),
            users: Declared::default(),
        }
    }

    pub(super) fn finish(mut self, file: Option<PathBuf>) -> Config {
        self.settings.project();
        let snapshot = Arc::new(self.settings);
        Config {
            snapshot: RwLock::new(Arc::clone(&snapshot)),
            generation: AtomicU64::new(0),
            change: Mutex::new(()),
            defaults: self.defaults,
            loaded: snapshot,
            from_env: self.from_env,
            file,
            machine_memory: self.machine_memory,
            warnings: self.warnings,
            users: self.users.finish(),
        }
    }

    /// Later sources replace what earlier ones accumulated.
    pub(super) fn next_source(&mut self) {
        self.seen.clear();
        self.users.next_source();
    }

    pub(super) fn load_file(&mut self, path: &Path) -> Result<(), LoadError> {
        self.next_source();
        self.load_nested(path, 0)
    }

    fn load_nested(&mut self, path: &Path, depth: usize) -> Result<(), LoadError> {
        let text = read_file(path)?;
        for (number, line) in text.split(|c| *c == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let place = Place { path, number: number + 1, line };
            let words = split_words(line)
                .ok_or_else(|| place.error("Unbalanced quotes in configuration line"))?;
            let Some((name, values)) = words.split_first() else {
                continue;
            };
            if name.eq_ignore_ascii_case(b"include") {
                let [target] = values else {
                    return Err(place.error(BAD_DIRECTIVE));
                };
                if depth >= MAX_INCLUDES {
                    return Err(place.error("too many nested includes"));
                }
                self.load_nested(Path::new(std::ffi::OsStr::from_bytes(target)), depth + 1)?;
                continue;
            }
            self.file_line(&place, name, values)?;
        }
        Ok(())
    }

    fn file_line(
        &mut self,
        place: &Place,
        name: &[u8],
        values: &[Vec<u8>],
    ) -> Result<(), LoadError> {
        if name.eq_ignore_ascii_case(USER.as_bytes()) {
            return self.users.add(values).map_err(|why| place.error(&why));
        }
        let Some(row) = directives::find(name) else {
            let why = self.missing(name, values).map_err(|why| place.error(&why))?;
            self.warnings.push(place.warning(&why));
            return Ok(());
        };
        match self.assign(row, values) {
            Ok(()) => Ok(()),
            Err(why) if DIRECTIVES[row].name == "daemonize" && DIRECTIVES[row].is_never(&why) => {
                // Packaged files say `daemonize yes`; supervisors override it anyway.
                self.warnings.push(place.warning(&why));
                Ok(())
            }
            Err(why) => Err(place.error(&why)),
        }
    }

    /// A name the table does not have: `Ok` says it is one of Redis's that may be ignored.
    pub(super) fn missing(&self, name: &[u8], values: &[Vec<u8>]) -> Result<String, String> {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let off = values.len() == 1 && matches!(values[0].as_slice(), b"" | b"0" | b"no")
            || values.len() == 2 && values[0] == b"no" && values[1] == b"one";
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name)
            && !off
        {
            return Err((*why).to_owned());
        }
        let known = MISSING.contains(&name.as_str()) || REFUSED.iter().any(|(n, _)| *n == name);
        if known {
            Ok("is not implemented and has no effect".to_owned())
        } else {
            Err(BAD_DIRECTIVE.to_owned())
        }
    }

    /// Sets a row from the words of a line.
    pub(super) fn assign(&mut self, row: usize, words: &[Vec<u8>]) -> Result<(), String> {
        let fresh = self.seen.insert(row);
        let old = &self.settings.values[row];
        let value = join(row, old, fresh, words, self.machine_memory)?;
        self.settings.values[row] = value;
        Ok(())
    }

    pub(super) fn load_command_line(&mut self, line: &CommandLine) -> Result<(), LoadError> {
        self.next_source();
        for (name, words) in &line.settings {
            let shown = || format!("--{name}: ");
            if *name == USER {
                self.users.add(words).map_err(|why| LoadError::new(shown() + &why))?;
                continue;
            }
            match directives::find(name.as_bytes()) {
                Some(row) => {
                    self.from_env.remove(&row);
                    self.assign_loosely(row, words)
                        .map_err(|why| LoadError::new(shown() + &why))?;
                }
                None => {
                    let why = self
                        .missing(name.as_bytes(), words)
                        .map_err(|why| LoadError::new(shown() + &why))?;
                    self.warnings.push(shown() + &why);
                }
            }
        }
        Ok(())
    }

    /// [`Draft::assign`] where several words may also come as one: `--save "60 1"`.
    pub(super) fn assign_loosely(&mut self, row: usize, words: &[Vec<u8>]) -> Result<(), String> {
        if DIRECTIVES[row].kind.takes_words()
            && let [word] = words
            && let Some(split) = split_words(word)
            && !split.is_empty()
        {
            return self.assign(row, &split);
        }
        self.assign(row, words)
    }
}

/// What a row becomes by a line with these words; `fresh`: it is the first such line.
pub(super) fn join(
    row: usize,
    old: &Value,
    fresh: bool,
    words: &[Vec<u8>],
    machine_memory: u64,
) -> Result<Value, String> {
    let mut value = DIRECTIVES[row].kind.parse(words, old, machine_memory)?;
    if let (Value::SavePoints(new), Value::SavePoints(old)) = (&mut value, old)
        && !fresh
        && !new.is_empty()
    {
        new.splice(0..0, old.iter().copied());
    }
    Ok(value)
}

fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
    files::read(path, MAX_FILE).map_err(|error| {
        let why = files::reason(&error);
        LoadError::new(format!("Fatal error, can't open config file '{}': {why}", path.display()))
    })
}

/// A line of a file, for messages.
struct Place<'a> {
    path: &'a Path,
    number: usize,
    line: &'a [u8],
}

impl Place<'_> {
    fn error(&self, why: &str) -> LoadError {
        LoadError::new(format!(
            "*** FATAL CONFIG FILE ERROR (Dunlin {}) ***\n\
             Reading the configuration file {}, at line {}\n>>> '{}'\n{why}",
            env!("CARGO_PKG_VERSION"),
            self.path.display(),
            self.number,
            self.shown(),
        ))
    }

    fn warning(&self, why: &str) -> String {
        let name = self.line.split(|c| c.is_ascii_whitespace()).next().unwrap_or_default();
        format!("{}:{}: {}: {why}", self.path.display(), self.number, String::from_utf8_lossy(name))
    }

    /// The line as it may be shown: secrets stay out of terminals and logs.
    fn shown(&self) -> String {
        let name = self.line.split(|c| c.is_ascii_whitespace()).next().unwrap_or_default();
        let secret = directives::find(name).is_some_and(|row| DIRECTIVES[row].flags.sensitive)
            || name.eq_ignore_ascii_case(USER.as_bytes())
            || [b"masterauth".as_slice(), b"primaryauth"]
                .iter()
                .any(|secret| name.eq_ignore_ascii_case(secret));
        let name = String::from_utf8_lossy(name);
        if secret { format!("{name} ...") } else { String::from_utf8_lossy(self.line).into_owned() }
    }
}
