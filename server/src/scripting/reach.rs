//! Whether a script keeps to the keys that it names.
//!
//! A script may use any key; those that its caller names are a promise which Redis without a cluster
//! does not ask it to keep. Dispatch needs to know: a script that keeps to its keys needs only their
//! roles, and others run beside it; one that does not needs all. Its text tells who makes names of
//! keys: that takes an operator or a function that makes strings. Such a script is not believed
//! whatever its runs do, because they may tell nothing of the next: as long as a queue is empty, the
//! script that takes a job from it keeps to its keys, and with the first job it wants one more after
//! it has written. Others show in their text that they keep to their keys: every command is written
//! out and takes an element of `KEYS`, or no key at all. Of the rest the first run is under all roles,
//! and what it does is believed from then on. The belief is no matter of safety: a script that turns
//! out to go further is noticed before it does.

use crate::commands::table::{KeyShape, table};
use memchr::memmem;
use std::sync::atomic::{AtomicU8, Ordering};

/// What is known of a script; see the [module documentation](self).
#[derive(Debug, Default)]
pub struct Reach(AtomicU8);

const UNKNOWN: u8 = 0;
const KEEPS: u8 = 1;
const EXCEEDS: u8 = 2;

/// What makes a name that was not given: an operator is looked for by itself, these are functions.
const MAKE_STRINGS: &[&[u8]] = &[b"concat", b"format", b"gsub", b"char", b"rep"];

/// Longer texts are not looked at: it would take longer than it saves.
const MAX_READ: usize = 64 * 1024;

impl Reach {
    /// What the text of a script tells.
    #[must_use]
    pub fn of(code: &[u8]) -> Reach {
        let known = match code {
            code if code.len() > MAX_READ => UNKNOWN,
            code if makes_strings(code) => EXCEEDS,
            code if names_its_keys(code) => KEEPS,
            _ => UNKNOWN,
        };
        Reach(AtomicU8::new(known))
    }

    /// Its text says so, or it has run, and whenever it has it kept to its keys.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.load(Ordering::Relaxed) == KEEPS
    }

    /// A run has come to its end and has kept to its keys.
    pub fn note_kept(&self) {
        if self.0.load(Ordering::Relaxed) == UNKNOWN {
            // Who has seen it go further meanwhile is right.
            let _ = self.0.compare_exchange(UNKNOWN, KEEPS, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// A run wants a key that it has not named.
    pub fn note_exceeded(&self) {
        self.0.store(EXCEEDS, Ordering::Relaxed);
    }
}

/// Whether a text may put strings together. A comment that looks like it costs only time.
fn makes_strings(code: &[u8]) -> bool {
    // Three dots are the arguments of a function, or a pause in a comment.
    let joins = code.chunk_by(|a, b| a == b).any(|run| run == b"..");
    joins || MAKE_STRINGS.iter().any(|name| memmem::find(code, name).is_some())
}

/// Whether each command in a text is written out and names its key by `KEYS[...]`, or has none. A
/// function gets its keys as an argument that is mostly called so, too.
fn names_its_keys(code: &[u8]) -> bool {
    memmem::find_iter(code, b"call")
        .all(|at| names_its_key(&code[at + b"call".len()..]) == Some(()))
}

/// Looks at what follows the name of the function that runs commands.
fn names_its_key(text: &[u8]) -> Option<()> {
    let text = after(text, b"(")?.trim_ascii_start();
    let (quote, text) = text.split_first().filter(|(quote, _)| b"'\"".contains(quote))?;
    let name_end = text.iter().position(|byte| byte == quote)?;
    let entry = table().get(&text[..name_end]).filter(|entry| entry.subcommands.is_empty())?;
    let text = &text[name_end + 1..];
    match entry.shape {
        KeyShape::One(1) => {
            let text = after(text, b",")?.trim_ascii_start();
            let (name, text) = text.split_at_checked(b"KEYS".len())?;
            let text = after(text, b"[").filter(|_| name.eq_ignore_ascii_case(b"KEYS"))?;
            let text = &text[text.iter().position(|byte| !is_index(*byte))?..];
            ends_argument(after(text, b"]")?)
        }
        KeyShape::None if !entry.looks_anywhere() => ends_argument(text),
        _ => None,
    }
}

/// What comes behind `word`, if the text begins with it.
fn after<'t>(text: &'t [u8], word: &[u8]) -> Option<&'t [u8]> {
    text.trim_ascii_start().strip_prefix(word)
}

/// What a number of a key is written with.
fn is_index(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_ +-*#".contains(&byte)
}

/// Whether an argument is over here: what follows does not change it.
fn ends_argument(text: &[u8]) -> Option<()> {
    after(text, b",").or_else(|| after(text, b")")).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::Reach;

    #[test]
    fn who_writes_out_what_he_does_is_believed_at_once() {
        for (code, keeps) in [
            ("return 1", true),
            ("while true do end", true),
            ("return redis.call('get', KEYS[1])", true),
            ("return redis.pcall ( \"GET\" , KEYS[ i + 1 ] )", true),
            ("for i, k in ipairs(KEYS) do redis.call('set', KEYS[i], ARGV[1]) end", true),
            ("redis.call('ping') return redis.call('time')", true),
            ("function(keys, args) return redis.call('hget', keys[1], args[1]) end", true),
            ("return redis.call('get', ARGV[1])", false),
            ("return redis.call('get', 'x')", false),
            ("return redis.call('get', KEYS[1].x)", false),
            ("return redis.call('get', KEYS[redis.call('get', 'x')])", false),
            ("return redis.call('del', KEYS[1], 'x')", false),
            ("return redis.call('mget', unpack(KEYS))", false),
            ("return redis.call('dbsize')", false),
            ("return redis.call('keys', KEYS[1])", false),
            ("return redis.call('config', 'get', 'x')", false),
            ("return redis.call('nosuch', KEYS[1])", false),
            ("return redis.call(unpack(ARGV))", false),
            ("local call = redis.call call('get', 'x')", false),
            ("return redis.call", false),
            ("return redis.call('get', KEYS[1", false),
            ("return redis.call('get', KEYS[1])\nreturn redis.call('get', x)", false),
        ] {
            assert_eq!(Reach::of(code.as_bytes()).is_kept(), keeps, "{code}");
        }
    }

    #[test]
    fn who_makes_strings_is_never_believed() {
        for (code, may_keep) in [
            ("return redis.call('get', ARGV[1])", true),
            ("local function f(...) return redis.call(...) end return f('get', KEYS[1])", true),
            ("return redis.call('get', KEYS[1] .. ':lock')", false),
            ("return redis.call('get', KEYS[1]..ARGV[1])", false),
            ("return redis.call('get', ('%s:lock'):format(KEYS[1]))", false),
            ("return redis.call('get', table.concat({KEYS[1], 'lock'}, ':'))", false),
        ] {
            let reach = Reach::of(code.as_bytes());
            assert!(!reach.is_kept(), "{code}");
            reach.note_kept();
            assert_eq!(reach.is_kept(), may_keep, "{code}");
        }
    }

    #[test]
    fn one_run_that_goes_further_is_never_forgotten() {
        let reach = Reach::default();
        assert!(!reach.is_kept());
        reach.note_kept();
        assert!(reach.is_kept());
        reach.note_exceeded();
        reach.note_kept();
        assert!(!reach.is_kept());
    }
}
