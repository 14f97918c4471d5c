//! Putting the sources together: file, environment, command line.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
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
    /// Where errors are kept if reading is to go on after them.
    faults: Option<Vec<String>>,
}

impl Draft {
    /// Ends at the first error.
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
            faults: None,
        }
    }

    /// Goes on after errors, to find all of them.
    pub(super) fn lenient(machine_memory: u64) -> Draft {
        Draft { faults: Some(Vec::new()), ..Draft::new(machine_memory) }
    }

    /// Reads all sources. A lenient draft gives its errors back, others end with the first one.
    pub(super) fn load(
        mut self,
        line: &CommandLine,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Config, Vec<String>), LoadError> {
        let mut file = None;
        if let Some(path) = &line.file {
            self.load_file(path)?;
            file = Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        }
        self.load_env(env)?;
        self.load_command_line(line)?;
        let faults = self.faults.take().unwrap_or_default();
        Ok((self.finish(file), faults))
    }

    /// An error, in one line if more may follow: kept or returned.
    fn fail_at(&mut self, place: &Place<'_>, why: &str) -> Result<(), LoadError> {
        match &mut self.faults {
            Some(faults) => {
                faults.push(place.warning(why));
                Ok(())
            }
            None => Err(place.error(why)),
        }
    }

    /// An error that names its place: kept or returned.
    pub(super) fn fail(&mut self, error: LoadError) -> Result<(), LoadError> {
        match &mut self.faults {
            Some(faults) => {
                faults.push(error.text);
                Ok(())
            }
            None => Err(error),
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

    fn load_file(&mut self, path: &Path) -> Result<(), LoadError> {
        self.next_source();
        self.load_nested(path, 0)
    }

    fn load_nested(&mut self, path: &Path, depth: usize) -> Result<(), LoadError> {
        let text = match read_file(path) {
            Ok(text) => text,
            Err(error) => return self.fail(error),
        };
        for (number, line) in text.split(|c| *c == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let place = Place { path, number: number + 1, line };
            let Some(words) = split_words(line) else {
                self.fail_at(&place, "Unbalanced quotes in configuration line")?;
                continue;
            };
            let Some((name, values)) = words.split_first() else {
                continue;
            };
            if name.eq_ignore_ascii_case(b"include") {
                match values {
                    [_] if depth >= MAX_INCLUDES => {
                        self.fail_at(&place, "too many nested includes")?;
                    }
                    [target] => {
                        let target = Path::new(OsStr::from_bytes(target));
                        self.load_nested(target, depth + 1)?;
                    }
                    _ => self.fail_at(&place, BAD_DIRECTIVE)?,
                }
                continue;
            }
            if let Err(why) = self.file_line(&place, name, values) {
                self.fail_at(&place, &why)?;
            }
        }
        Ok(())
    }

    fn file_line(
        &mut self,
        place: &Place<'_>,
        name: &[u8],
        values: &[Vec<u8>],
    ) -> Result<(), String> {
        if name.eq_ignore_ascii_case(USER.as_bytes()) {
            return self.users.add(values);
        }
        let Some(row) = directives::find(name) else {
            let why = self.missing(name, values)?;
            self.warnings.push(place.warning(&why));
            return Ok(());
        };
        match self.assign(row, values) {
            Err(why) if DIRECTIVES[row].name == "daemonize" && DIRECTIVES[row].is_never(&why) => {
                // Packaged files say `daemonize yes`; supervisors override it anyway.
                self.warnings.push(place.warning(&why));
                Ok(())
            }
            done => done,
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

    fn load_command_line(&mut self, line: &CommandLine) -> Result<(), LoadError> {
        self.next_source();
        for (name, words) in &line.settings {
            if let Err(why) = self.option(name, words) {
                self.fail(LoadError::new(format!("--{name}: {why}")))?;
            }
        }
        Ok(())
    }

    fn option(&mut self, name: &str, words: &[Vec<u8>]) -> Result<(), String> {
        if name == USER {
            return self.users.add(words);
        }
        match directives::find(name.as_bytes()) {
            Some(row) => {
                self.from_env.remove(&row);
                self.assign_loosely(row, words)
            }
            None => {
                let why = self.missing(name.as_bytes(), words)?;
                self.warnings.push(format!("--{name}: {why}"));
                Ok(())
            }
        }
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
