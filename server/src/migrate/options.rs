//! The options of MIGRATE: what reads them, finds the keys among them, and hides the passwords.

use dunlin_protocol::Request;

/// The first option.
const FIRST: usize = 6;

/// A word among the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing is removed here.
    Copy,
    /// What is there is replaced.
    Replace,
    /// A password follows.
    Auth,
    /// A user and a password follow.
    Auth2,
    /// All that follows is keys.
    Keys,
    /// No option.
    Unknown,
}

impl Word {
    /// How many arguments belong to it.
    pub fn takes(self) -> usize {
        match self {
            Word::Auth => 1,
            Word::Auth2 => 2,
            Word::Copy | Word::Replace | Word::Keys | Word::Unknown => 0,
        }
    }
}

/// The options and where they stand, as far as they can be read: up to the keys.
pub fn options<'r>(request: &'r Request<'_>) -> impl Iterator<Item = (usize, Word)> + 'r {
    let mut at = FIRST;
    std::iter::from_fn(move || {
        let arg = request.get(at)?;
        let is = |word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
        let word = match () {
            () if is("copy") => Word::Copy,
            () if is("replace") => Word::Replace,
            () if is("auth") => Word::Auth,
            () if is("auth2") => Word::Auth2,
            () if is("keys") => Word::Keys,
            () => Word::Unknown,
        };
        let here = at;
        at = if word == Word::Keys { request.len() } else { at + 1 + word.takes() };
        Some((here, word))
    })
}
