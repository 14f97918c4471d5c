//! What one row of the command table says: name, arity, flags, key specifications, documentation.
//!
//! A row is declared beside its handler with `const` builders, so a whole family reads like a
//! specification. Everything else about a command (COMMAND replies, ACL categories, routing of
//! keys to shards, refusal when memory is short, statistics) is derived from its row and never
//! stated again.

#[macro_use]
mod flags;
mod keys;

pub use self::flags::Flags;
pub use self::keys::{Begin, Find, KeyFlags, KeySpec};
use super::call::Call;
use super::docs::Docs;
use super::error::ReplyError;
use crate::blocking::Wait;
use dunlin_protocol::Request;

/// What a handler leaves to its connection.
#[derive(Debug)]
pub enum Outcome {
    /// The reply is written.
    Done,
    /// The reply is written; close the connection once it is flushed.
    Close,
    /// No reply yet: the connection waits.
    Block(Wait),
}

/// A command's body. `Err` becomes the error reply.
pub type Handler = fn(&mut Call<'_, '_>) -> Result<Outcome, ReplyError>;

/// A function that finds the keys which no key specification can describe.
pub type KeyFinder = fn(&Request<'_>) -> Option<Vec<usize>>;

/// Whether such a request may take long.
pub type Grows = fn(&Request<'_>) -> bool;

/// A request with so many arguments may take long although each takes constant time: with fewer it does not.
pub const MANY: usize = 17;

/// Number of arguments, the name included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity(i32);

impl Arity {
    /// Exactly `n` arguments.
    pub const fn exactly(n: i32) -> Self {
        Arity(n)
    }

    /// `n` arguments or more.
    pub const fn at_least(n: i32) -> Self {
        Arity(-n)
    }

    /// Whether a command line of `argc` arguments fits.
    pub const fn accepts(self, argc: usize) -> bool {
        if self.0 >= 0 {
            argc == self.0.unsigned_abs() as usize
        } else {
            argc >= self.0.unsigned_abs() as usize
        }
    }

    /// The number as COMMAND prints it: negative for "at least".
    pub const fn code(self) -> i64 {
        self.0 as i64
    }
}

/// Which arguments are channels of publish/subscribe that the user needs a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Channels {
    /// None; also of commands that only give channels up.
    #[default]
    None,
    /// The first argument, which is published to.
    First,
    /// Every argument.
    All,
    /// Every argument, each a pattern of channels.
    Patterns,
}

/// One row of the command table.
#[derive(Debug)]
pub struct Command {
    /// Lower-case name; of a subcommand without its container.
    pub name: &'static str,
    /// Number of arguments (of a subcommand with the container's name).
    pub arity: Arity,
    /// Flags.
    pub flags: Flags,
    /// Key specifications.
    pub keys: &'static [KeySpec],
    /// Finds keys where the specifications cannot.
    pub keys_by: Option<KeyFinder>,
    /// Channels.
    pub channels: Channels,
    /// From how many arguments on a request may take long, if flags and arity do not tell; 0: any.
    pub grows_from: Option<usize>,
    /// Which of these may.
    pub grows_if: Option<Grows>,
    /// Whether an argument may reach the handler in chunks when it is big (it reads it with `value_arg`).
    pub takes_chunks: Option<fn(usize) -> bool>,
    /// The body.
    pub handler: Handler,
    /// Documentation.
    pub docs: Docs,
    /// Subcommands of a container.
    pub subcommands: &'static [Command],
    /// ACL categories beside the derived ones (without `@`).
    pub categories: &'static [&'static str],
    /// Command tips.
    pub tips: &'static [&'static str],
}

impl Command {
    /// A row with its obligatory parts.
    pub const fn new(name: &'static str, arity: Arity, handler: Handler) -> Self {
        Command {
            name,
            arity,
            flags: Flags::NONE,
            keys: &[],
            keys_by: None,
            channels: Channels::None,
            grows_from: None,
            grows_if: None,
            takes_chunks: None,
            handler,
            docs: Docs::NONE,
            subcommands: &[],
            categories: &[],
            tips: &[],
        }
    }

    /// Sets the flags.
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the key specifications.
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self
    }

    /// Sets the function that finds the keys.
    pub const fn keys_by(mut self, finder: KeyFinder) -> Self {
        self.keys_by = Some(finder);
        self
    }

    /// Says which arguments are channels.
    pub const fn channels(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    /// Says from how many arguments on a request may take long although the command is FAST or may wait.
    pub const fn grows_from(mut self, arguments: usize) -> Self {
        self.grows_from = Some(arguments);
        self
    }

    /// Says which requests with so many arguments may take long.
    pub const fn grows_if(mut self, grows: Grows) -> Self {
        self.grows_if = Some(grows);
        self
    }

    /// Says which arguments may be in chunks.
    pub const fn takes_chunks(mut self, at: fn(usize) -> bool) -> Self {
        self.takes_chunks = Some(at);
        self
    }

    /// Sets the documentation.
    pub const fn docs(mut self, docs: Docs) -> Self {
        self.docs = docs;
        self
    }

    /// Makes the row a container.
    pub const fn subcommands(mut self, subcommands: &'static [Command]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// Adds ACL categories that flags and group do not imply.
    pub const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories;
        self
    }

    /// Sets the command tips.
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// The specifications of what really are keys.
    pub fn key_specs(&self) -> impl Iterator<Item = &'static KeySpec> {
        self.keys.iter().filter(|spec| !spec.flags.has(KeyFlags::NOT_KEY))
    }

    /// Calls `visit` with the argument index of every key; false: the arguments do not fit.
    pub fn each_key(&self, request: &Request<'_>, visit: &mut dyn FnMut(usize)) -> bool {
        if let Some(finder) = self.keys_by {
            return match finder(request) {
                Some(keys) => {
                    keys.into_iter().for_each(visit);
                    true
                }
                None => false,
            };
        }
        let mut fits = true;
        for spec in self.key_specs() {
            fits &= spec.each(request, visit);
        }
        fits
    }
}
