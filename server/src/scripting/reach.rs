//! Whether a script keeps to the keys that it names.
//!
//! A script may use any key; those that its caller names are a promise which Redis without a cluster
//! does not ask it to keep. Dispatch needs to know: a script that keeps to its keys needs only their
//! roles, and others run beside it; one that does not needs all. Its text tells who makes names of
//! keys: that takes an operator or a function that makes strings. Such a script is not believed
//! whatever its runs do, because they may tell nothing of the next: as long as a queue is empty, the
//! script that takes a job from it keeps to its keys, and with the first job it wants one more after
//! it has written. Of all others the first run is under all roles, and what it does is believed from
//! then on. The belief is no matter of safety: a script that turns out to go further is noticed
//! before it does.

use std::sync::atomic::{AtomicU8, Ordering};

/// What is known of a script; see the [module documentation](self).
#[derive(Debug, Default)]
pub struct Reach(AtomicU8);

const UNKNOWN: u8 = 0;
const KEEPS: u8 = 1;
const EXCEEDS: u8 = 2;

/// What makes a name that was not given: an operator is looked for by itself, these are functions.
const MAKE_STRINGS: &[&[u8]] = &[b"concat", b"format", b"gsub", b"char", b"rep"];

impl Reach {
    /// What the text of a script tells.
    #[must_use]
    pub fn of(code: &[u8]) -> Reach {
        Reach(AtomicU8::new(if makes_strings(code) { EXCEEDS } else { UNKNOWN }))
    }

    /// It has run, and whenever it has it kept to its keys.
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
    joins || MAKE_STRINGS.iter().any(|name| code.windows(name.len()).any(|word| word == *name))
}

#[cfg(test)]
mod tests {
    use super::Reach;

    #[test]
    fn who_makes_strings_is_never_believed() {
        for (code, may_keep) in [
            ("return redis.call('get', KEYS[1])", true),
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
