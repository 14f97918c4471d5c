//! The first line of a script or library: `#!lua name=value ...`.

use crate::config::split_words;

/// The first line in words, and what follows it, its line end included (so that lines keep their
/// numbers).
pub(super) struct Header<'t> {
    /// `#!lua`, then the options.
    pub(super) words: Vec<Vec<u8>>,
    /// The code.
    pub(super) code: &'t [u8],
}

/// Why there is no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// The text does not begin with `#!`.
    Absent,
    /// The first line has no end.
    Unended,
    /// Nothing in it, or quotes that do not match.
    Empty,
}

/// Reads the first line.
pub(super) fn parse(text: &[u8]) -> Result<Header<'_>, NoHeader> {
    if !text.starts_with(b"#!") {
        return Err(NoHeader::Absent);
    }
    let end = memchr::memchr(b'\n', text).ok_or(NoHeader::Unended)?;
    let (line, code) = text.split_at(end);
    match split_words(line) {
        Some(words) if !words.is_empty() => Ok(Header { words, code }),
        _ => Err(NoHeader::Empty),
    }
}
