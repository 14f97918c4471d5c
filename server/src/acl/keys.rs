//! Which keys a selector allows, and for reading or writing.

use super::rule::{RuleError, has_space, is};
use crate::commands::spec::KeyFlags;
use crate::glob;

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access(u8);

impl Access {
    const NONE: Access = Access(0);
    const READ: Access = Access(1);
    const WRITE: Access = Access(2);
    const BOTH: Access = Access(3);

    /// What a command needs. Whether a key exists, and how big or of what type it is, counts as
    /// neither: any right to the key allows that.
    pub(super) fn of(flags: KeyFlags) -> Access {
        let write =
            [KeyFlags::INSERT, KeyFlags::DELETE, KeyFlags::UPDATE].iter().any(|f| flags.has(*f));
        let read = if flags.has(KeyFlags::ACCESS) { Access::READ } else { Access::NONE };
        if write { read.and(Access::WRITE) } else { read }
    }

    fn and(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }

    fn has(self, other: Access) -> bool {
        self.0 & other.0 == other.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    access: Access,
    glob: Vec<u8>,
}

/// The keys a selector allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// `~*`, which unlike a pattern needs no matching.
    all: bool,
    patterns: Vec<Pattern>,
}

impl Keys {
    /// Whether every key is allowed.
    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    /// `allkeys` and `resetkeys`.
    pub(super) fn set_all(&mut self, all: bool) {
        *self = Keys { all, patterns: Vec::new() };
    }

    /// Takes a rule that begins with `~` or `%`.
    pub(super) fn add(&mut self, word: &[u8]) -> Result<(), RuleError> {
        if is(word, "~*") {
            self.set_all(true);
            return Ok(());
        }
        if self.all {
            return Err(RuleError::KeyAfterAll);
        }
        let (access, glob) = split(word)?;
        if has_space(glob) {
            return Err(RuleError::Syntax);
        }
        match self.patterns.iter_mut().find(|pattern| pattern.glob == glob) {
            Some(pattern) => pattern.access = pattern.access.and(access),
            None => self.patterns.push(Pattern { access, glob: glob.to_vec() }),
        }
        Ok(())
    }

    /// Whether `key` may be used in this way.
    pub(super) fn allow(&self, key: &[u8], access: Access) -> bool {
        self.all
            || self
                .patterns
                .iter()
                .any(|pattern| pattern.access.has(access) && glob::matches(&pattern.glob, key))
    }

    /// Whether every key may be used in this way.
    pub(super) fn allow_any(&self, access: Access) -> bool {
        let any = |pattern: &Pattern| pattern.access.has(access) && pattern.glob == b"*";
        self.all || self.patterns.iter().any(any)
    }

    /// Appends the rules, with blanks between them.
    pub(super) fn describe(&self, out: &mut Vec<u8>) {
        if self.all {
            out.extend_from_slice(b"~*");
        }
        for (i, pattern) in self.patterns.iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(match pattern.access {
                Access::READ => b"%R~",
                Access::WRITE => b"%W~",
                // `~*` would be read as `allkeys`, which forgets the others and lets none follow.
                _ if pattern.glob == b"*" && self.patterns.len() > 1 => b"%RW~",
                _ => b"~",
            });
            out.extend_from_slice(&pattern.glob);
        }
    }
}

/// Splits `~glob`, `%R~glob`, `%RW~glob` and the like.
fn split(word: &[u8]) -> Result<(Access, &[u8]), RuleError> {
    let [b'%', letters @ ..] = word else {
        return Ok((Access::BOTH, &word[1..]));
    };
    let end = letters.iter().position(|c| *c == b'~').unwrap_or(letters.len());
    let mut access = Access::NONE;
    for letter in &letters[..end] {
        let one = match letter.to_ascii_uppercase() {
            b'R' => Access::READ,
            b'W' => Access::WRITE,
            _ => return Err(RuleError::Syntax),
        };
        if access.has(one) {
            return Err(RuleError::Syntax);
        }
        access = access.and(one);
    }
    match access {
        Access::NONE => Err(RuleError::Syntax),
        // Redis lets the tilde of an empty pattern be absent.
        access => Ok((access, letters.get(end + 1..).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(words: &[&str]) -> Keys {
        let mut keys = Keys::default();
        words.iter().for_each(|word| keys.add(word.as_bytes()).expect("a rule"));
        keys
    }

    fn described(keys: &Keys) -> String {
        let mut out = Vec::new();
        keys.describe(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn patterns_are_kept_in_order_and_merged() {
        assert_eq!(
            described(&keys(&["%R~foo", "%w~foo", "%rw~bar", "~b", "%W~x"])),
            "~foo ~bar ~b %W~x"
        );
        assert_eq!(described(&keys(&["~a", "~*"])), "~*");
        assert_eq!(described(&keys(&["%R~*", "~foo", "%W~*"])), "%RW~* ~foo");
        assert_eq!(described(&keys(&["~foo", "%RW~*"])), "~foo %RW~*");
        assert_eq!(described(&keys(&["%RW~*"])), "~*");
        assert_eq!(described(&keys(&["%R", "~"])), "~");
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for word in
            ["%", "%~", "%~a", "%RR~a", "%RWR~a", "%X~a", "%Ra", "% ~a", "~a b", "~a\0", "%R~a\n"]
        {
            assert_eq!(keys(&[]).add(word.as_bytes()), Err(RuleError::Syntax), "{word:?}");
        }
        for word in ["~a", "%R~a", "%", "~a b"] {
            assert_eq!(keys(&["~*"]).add(word.as_bytes()), Err(RuleError::KeyAfterAll), "{word:?}");
        }
        assert_eq!(keys(&["~*"]).add(b"~*"), Ok(()));
    }

    #[test]
    fn a_pattern_has_to_allow_all_that_is_done() {
        let keys = keys(&["%R~r*", "%W~w*", "~rw"]);
        for (key, read, write) in
            [("r", true, false), ("w", false, true), ("rw", true, true), ("x", false, false)]
        {
            let allow = |access| keys.allow(key.as_bytes(), access);
            assert_eq!((allow(Access::READ), allow(Access::WRITE)), (read, write), "{key}");
            assert_eq!(allow(Access::BOTH), read && write, "{key}");
            assert_eq!(allow(Access::NONE), read || write, "{key}");
        }
        assert!(!keys.allow_any(Access::NONE));
    }

    #[test]
    fn flags_of_specifications_become_rights() {
        for (flags, access) in [
            (KeyFlags::RO, Access::NONE),
            (KeyFlags::ACCESS, Access::READ),
            (KeyFlags::INSERT, Access::WRITE),
            (KeyFlags::UPDATE, Access::WRITE),
            (KeyFlags::DELETE, Access::WRITE),
        ] {
            assert_eq!(Access::of(flags), access);
        }
    }
}
