//! Which arguments are secrets: the slow log and MONITOR show `(redacted)` in their place.

use crate::commands::spec::Flags;
use crate::commands::table::Entry;
use crate::migrate::options::{Word, options};
use dunlin_protocol::Request;

/// What is shown instead of a secret.
pub const REDACTED: &str = "(redacted)";

/// The secret arguments of one command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// None.
    None,
    /// Every argument from this index on.
    From(usize),
    /// User name and password after `AUTH` at this index less one.
    Pair(usize),
    /// What follows AUTH and AUTH2 among the options of MIGRATE.
    Logins,
    /// Values of a `name value ...` list where the name is that of a secret.
    Settings,
}

impl Secrets {
    /// Finds the secrets of `request`.
    pub fn of(entry: &Entry, request: &Request<'_>) -> Secrets {
        match entry.full_name.as_str() {
            "auth" => Secrets::From(1),
            "hello" => (2..request.len())
                .find(|i| is_word(request, *i, b"auth"))
                .map_or(Secrets::None, |i| Secrets::Pair(i + 1)),
            "config|set" => Secrets::Settings,
            "migrate" => Secrets::Logins,
            "acl|setuser" | "acl|getuser" | "acl|deluser" => Secrets::From(2),
            _ if entry.has(Flags::SENSITIVE) => Secrets::From(1),
            _ => Secrets::None,
        }
    }

    /// Whether argument `i` is one of them.
    pub fn hide(self, request: &Request<'_>, i: usize) -> bool {
        match self {
            Secrets::None => false,
            Secrets::From(first) => i >= first,
            Secrets::Pair(first) => i == first || i == first + 1,
            Secrets::Logins => options(request).any(|(at, word)| match word {
                Word::Auth => i == at + 1,
                Word::Auth2 => i == at + 1 || i == at + 2,
                _ => false,
            }),
            Secrets::Settings => {
                i >= 3 && i % 2 == 1 && request.get(i - 1).is_some_and(is_secret_setting)
            }
        }
    }
}

fn is_word(request: &Request<'_>, i: usize, word: &[u8]) -> bool {
    request.get(i).is_some_and(|arg| arg.eq_ignore_ascii_case(word))
}

fn is_secret_setting(name: &[u8]) -> bool {
    crate::config::directives::find(name)
        .is_some_and(|row| crate::config::directives::DIRECTIVES[row].flags.sensitive)
}
