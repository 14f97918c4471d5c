//! Libraries of functions: what FUNCTION LOAD takes, and the set of them.
//!
//! The set is immutable and published as a whole; a change makes a new one. Readers compare its
//! generation with the one they know, so a call of a function takes no lock while nothing changes.

use super::cost::Cost;
use super::flags::ScriptFlags;
use super::header::{self, NoHeader};
use super::reach::Reach;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The only engine.
pub const ENGINE: &str = "LUA";

const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and \
                        must be at least one character long";

/// Whether a library or function may be called so.
///
/// # Errors
/// The text for the user.
pub(super) fn check_name(name: &[u8]) -> Result<(), String> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if name.is_empty() || !name.iter().all(fits) { Err(BAD_NAME.into()) } else { Ok(()) }
}

/// A function as it was registered.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<Vec<u8>>,
    /// What it declares.
    pub flags: ScriptFlags,
    /// Whether it keeps to its keys.
    pub reach: Reach,
    /// What its runs cost.
    pub cost: Cost,
}

impl Function {
    /// A function as it is registered, before anything has run.
    #[must_use]
    pub fn new(name: String, description: Option<Vec<u8>>, flags: ScriptFlags) -> Function {
        let (reach, cost) = (Reach::default(), Cost::default());
        Function { name, description, flags, reach, cost }
    }
}

/// A library. Its functions are known once an engine has loaded it.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// The whole text.
    pub body: Bytes,
    /// Its functions, as they were registered.
    pub functions: Vec<Function>,
    /// What it costs to load it, which each thread does that calls one of them.
    pub cost: Cost,
    header: usize,
}

impl Library {
    /// Reads the first line of a text; the functions are still missing.
    ///
    /// # Errors
    /// The text for the user, without a code.
    pub fn parse(body: &[u8]) -> Result<Library, String> {
        let header = match header::parse(body) {
            Ok(header) => header,
            Err(NoHeader::Absent) => return Err("Missing library metadata".into()),
            Err(NoHeader::Unended | NoHeader::Empty) => {
                return Err("Invalid library metadata".into());
            }
        };
        let shown = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        let Some((engine, options)) = header.words.split_first() else {
            return Err("Invalid library metadata".into());
        };
        let mut name = None;
        for option in options {
            match option.split_at_checked(5) {
                Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => {
                    if name.replace(value).is_some() {
                        return Err(
                            "Invalid metadata value, name argument was given multiple times".into(),
                        );
                    }
                }
                _ => return Err(format!("Invalid metadata value given: {}", shown(option))),
            }
        }
        let name = name.ok_or("Library name was not given")?;
        check_name(name)?;
        let engine = engine.get(2..).unwrap_or_default();
        if !engine.eq_ignore_ascii_case(ENGINE.as_bytes()) {
            return Err(format!("Engine '{}' not found", shown(engine)));
        }
        Ok(Library {
            name: shown(name),
            body: Bytes::copy_from_slice(body),
            functions: Vec::new(),
            cost: Cost::default(),
            header: body.len() - header.code.len(),
        })
    }

    /// What Lua compiles.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        self.body.get(self.header..).unwrap_or_default()
    }

    /// The function of that name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}

/// All libraries at one moment.
#[derive(Clone, Debug, Default)]
pub struct LibrarySet {
    /// By name.
    pub libraries: BTreeMap<String, Arc<Library>>,
    /// Which library has a function; names are compared in lower case.
    functions: BTreeMap<String, (Arc<Library>, usize)>,
}

impl LibrarySet {
    /// The function of that name, in any case, and its library.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<(&Arc<Library>, &Function)> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        let (library, index) = self.functions.get(&name)?;
        Some((library, library.functions.get(*index)?))
    }

    /// Bytes of all texts.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.libraries.values().map(|library| library.body.len() + size_of::<Library>()).sum()
    }

    /// Number of functions.
    #[must_use]
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Adds a library.
    ///
    /// # Errors
    /// One of that name is there and is not to be replaced, or another library has a function of
    /// the same name: the text for the user. Then nothing has changed.
    pub fn add(&mut self, library: Arc<Library>, replace: bool) -> Result<(), String> {
        if !replace && self.libraries.contains_key(&library.name) {
            return Err(format!("Library '{}' already exists", library.name));
        }
        self.check_functions(&library)?;
        self.remove(&library.name);
        self.link(library);
        Ok(())
    }

    fn check_functions(&self, library: &Library) -> Result<(), String> {
        for function in &library.functions {
            let owner = self.functions.get(&function.name.to_ascii_lowercase());
            if owner.is_some_and(|(owner, _)| owner.name != library.name) {
                return Err(format!("Function {} already exists", function.name));
            }
        }
        Ok(())
    }

    fn link(&mut self, library: Arc<Library>) {
        for (index, function) in library.functions.iter().enumerate() {
            let key = function.name.to_ascii_lowercase();
            self.functions.insert(key, (Arc::clone(&library), index));
        }
        self.libraries.insert(library.name.clone(), library);
    }

    /// Removes a library; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(library) = self.libraries.remove(name) else {
            return false;
        };
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        true
    }

    /// Adds all libraries of another set, or none.
    ///
    /// # Errors
    /// As [`LibrarySet::add`], in the words of FUNCTION RESTORE.
    pub fn join(&mut self, other: &LibrarySet, replace: bool) -> Result<(), String> {
        let mut joined = self.clone();
        for library in other.libraries.values() {
            if joined.remove(&library.name) && !replace {
                return Err(format!("Library {} already exists", library.name));
            }
        }
        for library in other.libraries.values() {
            joined.check_functions(library)?;
            joined.link(Arc::clone(library));
        }
        *self = joined;
        Ok(())
    }
}

/// What FUNCTION RESTORE does with the libraries that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePolicy {
    /// They go.
    Flush,
    /// They stay; a name in both is an error.
    Append,
    /// They stay, unless one of the same name comes.
    Replace,
}

/// The libraries of the process.
#[derive(Debug, Default)]
pub struct Libraries {
    current: RwLock<Arc<LibrarySet>>,
    generation: AtomicU64,
    /// One change at a time; readers never take it.
    change: Mutex<()>,
}

impl Libraries {
    /// The set as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<LibrarySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes whenever the set does.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Publishes what `change` makes of the set, unless it refuses.
    ///
    /// # Errors
    /// What `change` says.
    pub fn change<R, E>(
        &self,
        change: impl FnOnce(&mut LibrarySet) -> Result<R, E>,
    ) -> Result<R, E> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut set = LibrarySet::clone(&self.current());
        let result = change(&mut set)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(result)
    }

    /// FUNCTION FLUSH.
    pub fn flush(&self) {
        let _ = self.change(|set| {
            *set = LibrarySet::default();
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// FUNCTION RESTORE of libraries that an engine has loaded.
    ///
    /// # Errors
    /// The text for the user.
    pub fn restore(&self, restored: LibrarySet, policy: RestorePolicy) -> Result<(), String> {
        self.change(|set| match policy {
            RestorePolicy::Flush => {
                *set = restored;
                Ok(())
            }
            RestorePolicy::Append => set.join(&restored, false),
            RestorePolicy::Replace => set.join(&restored, true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, functions: &[&str]) -> Arc<Library> {
        let body = format!("#!lua name={name}\n");
        let mut library = Library::parse(body.as_bytes()).expect("a library");
        library.functions = functions
            .iter()
            .map(|name| Function::new((*name).to_owned(), None, ScriptFlags::NONE))
            .collect();
        Arc::new(library)
    }

    #[test]
    fn first_lines_name_libraries() {
        let name = |body: &str| Library::parse(body.as_bytes()).map(|library| library.name);
        assert_eq!(name("#!lua name=lib_1\ncode"), Ok("lib_1".into()));
        assert_eq!(name("#!LUA NAME=\"x\"\n"), Ok("x".into()));
        for (body, why) in [
            ("return 1", "Missing library metadata"),
            ("#!lua name=x", "Invalid library metadata"),
            ("#!lua \"\n", "Invalid library metadata"),
            ("#!lua\n", "Library name was not given"),
            (
                "#!lua name=a name=b\n",
                "Invalid metadata value, name argument was given multiple times",
            ),
            ("#!lua x=y\n", "Invalid metadata value given: x=y"),
            ("#!lua name=a-b\n", BAD_NAME),
            ("#!lua name=\n", BAD_NAME),
            ("#!js name=a\n", "Engine 'js' not found"),
        ] {
            assert_eq!(name(body), Err(why.to_owned()), "{body}");
        }
    }

    #[test]
    fn names_are_unique_among_libraries() {
        let mut set = LibrarySet::default();
        assert_eq!(set.add(library("a", &["f", "g"]), false), Ok(()));
        let clash = set.add(library("b", &["h", "F"]), false);
        assert_eq!(clash, Err("Function F already exists".into()));
        let twice = set.add(library("a", &["f"]), false);
        assert_eq!(twice, Err("Library 'a' already exists".into()));
        assert_eq!(set.function_count(), 2);
        assert_eq!(set.add(library("a", &["f"]), true), Ok(()));
        assert!(set.find(b"F").is_some() && set.find(b"g").is_none());
        assert!(set.remove("a") && !set.remove("a"));
        assert!(set.find(b"f").is_none());
    }

    #[test]
    fn a_restore_is_whole_or_not_at_all() {
        let libraries = Libraries::default();
        let add = |library| libraries.change(|set| set.add(library, false));
        add(library("a", &["f"])).expect("added");
        add(library("b", &["g"])).expect("added");
        let generation = libraries.generation();
        let mut other = LibrarySet::default();
        other.add(library("c", &["h"]), false).expect("added");
        other.add(library("a", &["g"]), false).expect("added");
        let appended = libraries.restore(other.clone(), RestorePolicy::Append);
        assert_eq!(appended, Err("Library a already exists".into()));
        let replaced = libraries.restore(other.clone(), RestorePolicy::Replace);
        assert_eq!(replaced, Err("Function g already exists".into()));
        assert_eq!(libraries.generation(), generation);
        assert!(libraries.current().find(b"f").is_some());
        assert_eq!(libraries.restore(other, RestorePolicy::Flush), Ok(()));
        assert_ne!(libraries.generation(), generation);
        assert_eq!(libraries.current().libraries.len(), 2);
        libraries.flush();
        assert_eq!(libraries.current().function_count(), 0);
    }
}
