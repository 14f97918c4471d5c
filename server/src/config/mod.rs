//! Configuration: one table of directives, four sources, one published snapshot.
//!
//! **Sources.** Defaults, then the configuration file (redis.conf's grammar, with `include`), then
//! the environment (`DUNLIN_MAXMEMORY=1gb`), then the command line (`--maxmemory 1gb`): the later
//! one wins. [`directives::DIRECTIVES`] is the only place that knows a directive.
//!
//! **Publication.** The current values are an immutable [`Settings`] behind an `Arc`. A reader
//! keeps its own `Arc` and compares [`Config::generation`] (one relaxed load of a line that only
//! `CONFIG SET` writes) with the number it copied; [`Cached`] does exactly that. No lock is taken
//! on the way of a request.
//!
//! **Change.** [`Config::set_with`] validates every pair before anything changes, lets the caller
//! apply side effects that may fail, and publishes all values at once.

mod cli;
pub mod directives;
mod env;
mod exposure;
mod file;
mod rewrite;
mod settings;
mod split;
mod task;
#[cfg(test)]
mod tests;
mod users;
mod value;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use directives::{DIRECTIVES, Directive, Flags};
pub use exposure::{check_exposure, is_loopback};
pub use settings::{
    Access, ClusterSettings, LoadOnCorrupt, LogFormat, LogLevel, Replication, Settings,
    Supervision, TlsAuthClients, TlsSettings,
};
pub use split::{quote, split_words};
pub use task::Task;
pub use users::Declaration;
pub(crate) use value::EVENT_CLASSES;
pub use value::{Kind, OutputLimit, OutputLimits, Value, parse_memory};

use crate::acl::User;
use crate::files;
use crate::glob;
use file::Draft;

/// Where a `CONFIG SET` comes from; protected settings may be reserved to local connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A connection over loopback or the unix socket.
    Local,
    /// Any other connection.
    Remote,
}

/// Why the server cannot start, or should not: `--help` and `--version` end here too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    text: String,
    code: u8,
}

impl LoadError {
    fn new(text: impl Into<String>) -> Self {
        LoadError { text: text.into(), code: 1 }
    }

    /// Exit code: 0 when the text is what was asked for and belongs on standard output.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.code
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for LoadError {}

/// Name of a setting which a `CONFIG SET` changed, or a volatile one which it set again.
pub type Applied = &'static str;

/// The configuration of a running server.
#[derive(Debug)]
pub struct Config {
    snapshot: RwLock<Arc<Settings>>,
    generation: AtomicU64,
    /// Serialises changes and rewrites; readers never take it.
    change: Mutex<()>,
    defaults: Settings,
    loaded: Arc<Settings>,
    from_env: BTreeSet<usize>,
    file: Option<PathBuf>,
    machine_memory: u64,
    warnings: Vec<String>,
    users: Vec<Declaration>,
}

impl Config {
    /// The defaults, for tests and tools.
    #[must_use]
    pub fn defaults(machine_memory: u64) -> Config {
        Draft::new(machine_memory).finish(None)
    }

    /// What the server acts on now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes whenever [`Config::settings`] would return something else than before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A reader's own copy.
    #[must_use]
    pub fn cached(&self) -> Cached {
        let generation = self.generation();
        Cached { generation, settings: self.settings() }
    }

    /// The configuration file, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the operator should know about the sources, one line each; to be logged.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The users that the sources declare.
    #[must_use]
    pub fn users(&self) -> &[Declaration] {
        &self.users
    }

    /// Memory of the machine or container that `auto` refers to.
    #[must_use]
    pub fn machine_memory(&self) -> u64 {
        self.machine_memory
    }

    /// Names (older ones too) that match one of the glob patterns, and their values.
    #[must_use]
    pub fn get<P: AsRef<[u8]>>(&self, patterns: &[P]) -> Vec<(&'static str, Vec<u8>)> {
        let settings = self.settings();
        let wanted =
            |name: &str| patterns.iter().any(|p| glob::matches_nocase(p.as_ref(), name.as_bytes()));
        let mut found = Vec::new();
        for (row, value) in DIRECTIVES.iter().zip(&settings.values) {
            for name in std::iter::once(&row.name).chain(row.aliases) {
                if wanted(name) {
                    found.push((*name, value.print()));
                }
            }
        }
        found
    }

    /// Changes settings, all or none. Returns the names of those whose value is now another one, or
    /// names a file that may hold something else now.
    ///
    /// # Errors
    /// The whole error reply, as Redis words it.
    pub fn set<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: &[(N, V)],
        origin: Origin,
    ) -> Result<Vec<Applied>, String> {
        self.set_with(pairs, origin, |_, _, _| Ok(()))
    }

    /// [`Config::set`] with side effects: `apply(old, new, changed)` runs after every value was
    /// found valid and before they are published. When it refuses, by the name of the setting and
    /// the reason, nothing is published; it must then have left everything as it was.
    ///
    /// # Errors
    /// The whole error reply, as Redis words it.
    pub fn set_with<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: &[(N, V)],
        origin: Origin,
        apply: impl FnOnce(&Settings, &Settings, &[Applied]) -> Result<(), (Applied, String)>,
    ) -> Result<Vec<Applied>, String> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.settings();
        let rows = self.check_names(pairs, &old, origin)?;
        let mut new = Settings::clone(&old);
        let mut changed = Vec::new();
        for (row, (_, text)) in rows.iter().zip(pairs) {
            let directive = &DIRECTIVES[*row];
            let value = parse_one(directive, text.as_ref(), &new.values[*row], self.machine_memory)
                .map_err(|why| failed(directive.name.as_bytes(), &why))?;
            if new.values[*row] != value || directive.flags.volatile {
                new.values[*row] = value;
                changed.push(directive.name);
            }
        }
        new.project();
        apply(&old, &new, &changed).map_err(|(name, why)| failed(name.as_bytes(), &why))?;
        if !changed.is_empty() {
            self.publish(new);
        }
        Ok(changed)
    }

    fn publish(&self, settings: Settings) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        // After the snapshot: whoever sees the new generation finds the new settings.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Finds the rows of the names, in the order of Redis's checks.
    fn check_names<N: AsRef<[u8]>, V>(
        &self,
        pairs: &[(N, V)],
        settings: &Settings,
        origin: Origin,
    ) -> Result<Vec<usize>, String> {
        let mut rows = Vec::with_capacity(pairs.len());
        let mut refused = None;
        for (name, _) in pairs {
            let name = name.as_ref();
            let Some(row) = directives::find(name) else {
                return Err(refused.unwrap_or_else(|| unknown(name)));
            };
            let flags = DIRECTIVES[row].flags;
            let locked = flags.protected
                && !settings.enable_protected_configs.allows(origin == Origin::Local);
            let why = if flags.immutable {
                Some("can't set immutable config")
            } else if locked {
                Some("can't set protected config")
            } else if rows.contains(&row) {
                Some("duplicate parameter")
            } else {
                None
            };
            if let Some(why) = why
                && refused.is_none()
            {
                refused = Some(failed(name, why));
            }
            rows.push(row);
        }
        refused.map_or(Ok(rows), Err)
    }

    /// Writes the current values and these users into the configuration file, keeping its comments
    /// and order.
    ///
    /// # Errors
    /// The whole error reply, as Redis words it.
    pub fn rewrite(&self, users: &[Arc<User>]) -> Result<(), String> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.file else {
            return Err("ERR The server is running without a config file".into());
        };
        rewrite::rewrite(path, &self.rewrite_plan(users))
            .map_err(|e| format!("ERR Rewriting config file: {}", files::reason(&e)))
    }

    fn rewrite_plan(&self, users: &[Arc<User>]) -> rewrite::Plan {
        let settings = self.settings();
        // A value that only the environment gave comes from there again at the next start;
        // writing it down would put secrets into a file they were kept out of.
        let keep_out = self
            .from_env
            .iter()
            .copied()
            .filter(|row| settings.values[*row] == self.loaded.values[*row])
            .collect();
        rewrite::Plan {
            current: settings.values.clone(),
            defaults: self.defaults.values.clone(),
            keep_out,
            machine_memory: self.machine_memory,
            users: users.to_vec(),
            all_channels: settings.acl_all_channels,
        }
    }
}

/// A reader's copy of the settings: refreshing costs one load unless something changed.
#[derive(Debug, Clone)]
pub struct Cached {
    generation: u64,
    settings: Arc<Settings>,
}

impl Cached {
    /// Takes over newer settings; true if there were any.
    pub fn refresh(&mut self, config: &Config) -> bool {
        if self.generation == config.generation() {
            return false;
        }
        *self = config.cached();
        true
    }

    /// The settings as of the last refresh.
    #[must_use]
    pub fn get(&self) -> &Arc<Settings> {
        &self.settings
    }
}

impl std::ops::Deref for Cached {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

/// Reads a value given as one text: `CONFIG SET`, environment.
fn parse_one(
    directive: &Directive,
    text: &[u8],
    old: &Value,
    machine_memory: u64,
) -> Result<Value, String> {
    if !directive.kind.takes_words() {
        return directive.kind.parse(&[text], old, machine_memory);
    }
    match split_words(text) {
        // `save ""` and the like: nothing, rather than no argument.
        Some(words) if words.is_empty() => directive.kind.parse(&[b""], old, machine_memory),
        Some(words) => directive.kind.parse(&words, old, machine_memory),
        None => Err("Unbalanced quotes in configuration line".into()),
    }
}

fn failed(name: &[u8], why: &str) -> String {
    let name = shown(name);
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
}

fn unknown(name: &[u8]) -> String {
    let name = shown(name);
    format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
}

/// The name as C's `%s` prints it: up to a NUL.
fn shown(name: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(name.split(|c| *c == 0).next().unwrap_or_default())
}
