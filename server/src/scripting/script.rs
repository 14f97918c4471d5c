//! The text that EVAL runs.

use super::cost::Cost;
use super::flags::ScriptFlags;
use super::header::{self, NoHeader};
use super::reach::Reach;
use bytes::Bytes;
use sha1::{Digest as _, Sha1 as Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A script's name: its SHA-1 in lower-case hexadecimal digits.
pub type Sha1 = [u8; 40];

/// The SHA-1 of some bytes, in digits.
#[must_use]
pub fn sha1_hex(bytes: &[u8]) -> Sha1 {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 40];
    for (pair, byte) in text.chunks_exact_mut(2).zip(Hasher::digest(bytes)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// A script.
#[derive(Debug)]
pub struct Script {
    /// Its name.
    pub sha1: Sha1,
    /// The whole text.
    pub body: Bytes,
    /// What its first line declares; `None` without one: the rules from before there were flags.
    pub flags: Option<ScriptFlags>,
    /// Whether it keeps to its keys.
    pub reach: Reach,
    /// What its runs cost.
    pub cost: Cost,
    /// Bytes of the first line.
    header: usize,
    /// In the cache. A script that has left it is not found any more, wherever it was compiled.
    cached: AtomicBool,
    /// SCRIPT LOAD has kept it: it is not evicted.
    kept: AtomicBool,
    /// When it was last used, in uses of the cache.
    used: AtomicU64,
}

impl Script {
    /// Reads a text.
    ///
    /// # Errors
    /// Its first line is wrong: the text without a code.
    pub fn parse(body: &[u8]) -> Result<Script, String> {
        let (flags, header) = declared(body)?;
        Ok(Script {
            sha1: sha1_hex(body),
            body: Bytes::copy_from_slice(body),
            flags,
            reach: Reach::of(body),
            cost: Cost::default(),
            header,
            cached: AtomicBool::new(true),
            kept: AtomicBool::new(false),
            used: AtomicU64::new(0),
        })
    }

    /// The name as text.
    #[must_use]
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.sha1).unwrap_or_default()
    }

    /// What Lua compiles.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        self.body.get(self.header..).unwrap_or_default()
    }

    /// Whether the cache still has it.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.cached.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self) {
        self.cached.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn use_at(&self, tick: u64) {
        self.used.store(tick, Ordering::Relaxed);
    }
}

/// The flags that a text declares, and the length of the line that does.
///
/// # Errors
/// The line is wrong: the text of the error without a code.
fn declared(body: &[u8]) -> Result<(Option<ScriptFlags>, usize), String> {
    let header = match header::parse(body) {
        Ok(header) => header,
        Err(NoHeader::Absent) => return Ok((None, 0)),
        Err(NoHeader::Unended) => return Err("Invalid script shebang".into()),
        Err(NoHeader::Empty) => return Err("Invalid engine in script shebang".into()),
    };
    let shown = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let Some((engine, options)) = header.words.split_first() else {
        return Err("Invalid engine in script shebang".into());
    };
    if engine != b"#!lua" {
        return Err(format!("Unexpected engine in script shebang: {}", shown(engine)));
    }
    let mut flags = ScriptFlags::NONE;
    for option in options {
        let Some(list) = option.strip_prefix(b"flags=") else {
            return Err(format!("Unknown lua shebang option: {}", shown(option)));
        };
        for name in list.split(|byte| *byte == b',').filter(|_| !list.is_empty()) {
            let known = ScriptFlags::NAMES.iter().find(|(_, known)| known.as_bytes() == name);
            let Some((flag, _)) = known else {
                return Err(format!("Unexpected flag in script shebang: {}", shown(name)));
            };
            flags = flags.with(*flag);
        }
    }
    Ok((Some(flags), body.len() - header.code.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sha1() {
        let script = Script::parse(b"return 1").expect("a script");
        assert_eq!(script.name(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(script.code(), b"return 1");
        assert_eq!(script.flags, None);
    }

    #[test]
    fn first_lines_declare_flags() {
        let flags = |body: &str| Script::parse(body.as_bytes()).map(|script| script.flags);
        assert_eq!(flags("#!lua\nreturn 1"), Ok(Some(ScriptFlags::NONE)));
        let both = ScriptFlags::NO_WRITES.with(ScriptFlags::ALLOW_STALE);
        assert_eq!(flags("#!lua flags=no-writes,allow-stale\n"), Ok(Some(both)));
        assert_eq!(flags("#!lua flags=\n"), Ok(Some(ScriptFlags::NONE)));
        for (body, why) in [
            ("#!lua", "Invalid script shebang"),
            ("#!\"\n", "Invalid engine in script shebang"),
            ("#!luajit\n", "Unexpected engine in script shebang: #!luajit"),
            ("#!lua name=x\n", "Unknown lua shebang option: name=x"),
            ("#!lua flags=x\n", "Unexpected flag in script shebang: x"),
            ("#!lua flags=no-writes,\n", "Unexpected flag in script shebang: "),
        ] {
            assert_eq!(flags(body), Err(why.to_owned()), "{body}");
        }
        let script = Script::parse(b"#!lua\nreturn 1").expect("a script");
        assert_eq!(script.code(), b"\nreturn 1", "lines keep their numbers");
    }
}
