//! What one row of the command table says: name, arity, flags, key specifications, documentation.
//!
//! A row is declared beside its handler with `const` builders, so a whole family reads like a
//! specification. Everything else about a command (COMMAND replies, ACL categories, routing of
//! keys to shards, refusal when memory is short, statistics) is derived from its row and never
//! stated again.

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

/// Set of command flags. The first block are Redis's own, the second Dunlin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(u64);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $text:expr;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*
            /// Every flag that COMMAND prints, in Redis's order.
            pub const PRINTED: &'static [(Flags, &'static str)] = &[$((Flags::$name, $text),)*];
        }
    };
}

flags! {
    /// Changes the keyspace.
    WRITE = 0, "write";
    /// Only reads keys.
    READONLY = 1, "readonly";
    /// Refused when memory is short and nothing can be evicted.
    DENYOOM = 2, "denyoom";
    /// Administrative.
    ADMIN = 3, "admin";
    /// Publish/subscribe.
    PUBSUB = 4, "pubsub";
    /// Not from scripts.
    NOSCRIPT = 5, "noscript";
    /// May block the client.
    BLOCKING = 6, "blocking";
    /// Allowed while a snapshot is loading.
    LOADING = 7, "loading";
    /// Allowed on a stale replica.
    STALE = 8, "stale";
    /// Not shown to MONITOR.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Never in the slow log.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Accepted while a slot is being imported.
    ASKING = 11, "asking";
    /// Constant or logarithmic time.
    FAST = 12, "fast";
    /// Allowed before authentication.
    NO_AUTH = 13, "no_auth";
    /// Not inside MULTI.
    NO_MULTI = 15, "no_multi";
    /// Keys depend on the arguments.
    MOVABLEKEYS = 16, "movablekeys";
    /// Allowed while a script is busy.
    ALLOW_BUSY = 17, "allow_busy";
    /// Not while loading asynchronously.
    NO_ASYNC_LOADING = 18, "no_async_loading";
    /// The command may name no key at all although it has key specifications.
    NO_MANDATORY_KEYS = 19, "no_mandatory_keys";
}

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// May replicate although it is no write: waits for CLIENT PAUSE WRITE. Redis does not show it.
    pub const MAY_REPLICATE: Flags = Flags(1 << 14);
    /// Refused unless `enable-debug-command` allows it to the client.
    pub const PROTECTED: Flags = Flags(1 << 20);
    /// Runs at once after MULTI, where other commands are queued.
    pub const UNQUEUED: Flags = Flags(1 << 22);
    /// Ends WATCH for all keys: needs the roles of the watched ones.
    pub const UNWATCHES: Flags = Flags(1 << 21);
    /// Runs the queued commands: their flags and keys count, not its own.
    pub const EXEC: Flags = Flags(1 << 23);
    /// A write that needs the roles of every shard.
    pub const ALL_SHARDS: Flags = Flags(1 << 25);
    /// Constant time although not marked FAST: timed per run of commands, not one by one.
    pub const CHEAP: Flags = Flags(1 << 26);
    /// Arguments are secrets: redacted in the slow log and MONITOR.
    pub const SENSITIVE: Flags = Flags(1 << 27);
    /// May look into any shard, and outside of EXEC into several at different instants (KEYS, SCAN,
    /// RANDOMKEY).
    pub const ANY_SHARD: Flags = Flags(1 << 28);
    /// Allowed to a RESP2 connection that has subscribed to something.
    pub const SUBSCRIBER: Flags = Flags(1 << 29);
    /// Answers with messages, which CLIENT REPLY does not suppress: SUBSCRIBE and its relatives.
    pub const ANSWERS_BY_PUSH: Flags = Flags(1 << 30);

    /// Runs a script: the keys that it names are those which it promises to keep to.
    pub const SCRIPT: Flags = Flags(1 << 31);
    /// Takes long, whatever its arguments: runs on the pool and not in front of a worker's connections.
    pub const LONG: Flags = Flags(1 << 32);
    /// Looks at every key of the database.
    pub const WALKS: Flags = Flags(1 << 33);

    /// Union, usable in constants.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether at least one flag of `other` is set.
    pub const fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }
}

/// Combines flags in a `const` context: `flags!` needs an expression, `|` is not `const`.
#[macro_export]
macro_rules! flag_set {
    ($($flag:ident)|+) => {
        $crate::commands::spec::Flags::NONE$(.with($crate::commands::spec::Flags::$flag))+
    };
}

/// Where the keys of one specification begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At a fixed argument.
    Index(i32),
    /// After a keyword, searched from an argument (negative: from the end).
    Keyword(&'static str, i32),
    /// Cannot be described.
    Unknown,
}

/// Which arguments from the beginning on are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// `last` relative to the first (negative: from the end), every `step`, `limit` as in Redis.
    Range {
        /// Last key relative to the first, or from the end if negative.
        last: i32,
        /// Distance of two keys.
        step: i32,
        /// Divisor of the remaining arguments when `last` is -1.
        limit: i32,
    },
    /// A count at `index`, keys from `first` on, both relative to the beginning.
    KeyNum {
        /// Argument with the number of keys.
        index: i32,
        /// First key.
        first: i32,
        /// Distance of two keys.
        step: i32,
    },
    /// Cannot be described.
    Unknown,
}

/// What a command does with the keys of one specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KeyFlags(u16);

impl KeyFlags {
    /// Read only.
    pub const RO: KeyFlags = KeyFlags(1);
    /// Read and written.
    pub const RW: KeyFlags = KeyFlags(2);
    /// Overwritten.
    pub const OW: KeyFlags = KeyFlags(4);
    /// Removed.
    pub const RM: KeyFlags = KeyFlags(8);
    /// The value is returned, copied or compared.
    pub const ACCESS: KeyFlags = KeyFlags(16);
    /// The value is updated from its old one.
    pub const UPDATE: KeyFlags = KeyFlags(32);
    /// Data is added, nothing is modified or removed.
    pub const INSERT: KeyFlags = KeyFlags(64);
    /// Content is removed.
    pub const DELETE: KeyFlags = KeyFlags(128);
    /// The specification does not find every key.
    pub const INCOMPLETE: KeyFlags = KeyFlags(256);
    /// The flags depend on the arguments.
    pub const VARIABLE: KeyFlags = KeyFlags(512);
    /// No key, but something that belongs to a slot of a cluster: a sharded channel.
    pub const NOT_KEY: KeyFlags = KeyFlags(1024);

    /// Union, usable in constants.
    pub const fn with(self, other: KeyFlags) -> KeyFlags {
        KeyFlags(self.0 | other.0)
    }

    /// The flags as COMMAND prints them.
    pub const PRINTED: &'static [(KeyFlags, &'static str)] = &[
        (KeyFlags::RO, "RO"),
        (KeyFlags::RW, "RW"),
        (KeyFlags::OW, "OW"),
        (KeyFlags::RM, "RM"),
        (KeyFlags::ACCESS, "access"),
        (KeyFlags::UPDATE, "update"),
        (KeyFlags::INSERT, "insert"),
        (KeyFlags::DELETE, "delete"),
        (KeyFlags::NOT_KEY, "not_key"),
        (KeyFlags::INCOMPLETE, "incomplete"),
        (KeyFlags::VARIABLE, "variable_flags"),
    ];

    /// Whether `other` is included.
    pub const fn has(self, other: KeyFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// All but `other`.
    pub const fn without(self, other: KeyFlags) -> KeyFlags {
        KeyFlags(self.0 & !other.0)
    }
}

/// One key specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the search begins.
    pub begin: Begin,
    /// Which arguments are keys.
    pub find: Find,
    /// What is done with them.
    pub flags: KeyFlags,
    /// Remark printed by COMMAND.
    pub notes: &'static str,
}

impl KeySpec {
    const fn range(first: i32, last: i32, step: i32, limit: i32) -> Self {
        KeySpec {
            begin: Begin::Index(first),
            find: Find::Range { last, step, limit },
            flags: KeyFlags(0),
            notes: "",
        }
    }

    /// One key at argument `index`.
    pub const fn one(index: i32) -> Self {
        Self::range(index, 0, 1, 0)
    }

    /// Keys from `first` to `last`, every `step`; `last` counts from `first`, or from the end if
    /// it is negative.
    pub const fn span(first: i32, last: i32, step: i32) -> Self {
        Self::range(first, last, step, 0)
    }

    /// A count at `index`, keys right after it.
    pub const fn counted(index: i32) -> Self {
        Self::counted_step(index, 1)
    }

    /// A count at `index`, keys right after it, every `step` arguments.
    pub const fn counted_step(index: i32, step: i32) -> Self {
        KeySpec {
            begin: Begin::Index(index),
            find: Find::KeyNum { index: 0, first: 1, step },
            flags: KeyFlags(0),
            notes: "",
        }
    }

    /// One key after the keyword `word`, searched from argument `from`.
    pub const fn keyword(word: &'static str, from: i32) -> Self {
        KeySpec {
            begin: Begin::Keyword(word, from),
            find: Find::Range { last: 0, step: 1, limit: 0 },
            flags: KeyFlags(0),
            notes: "",
        }
    }

    /// A specification which only says that there are keys it cannot find.
    pub const fn unknown() -> Self {
        KeySpec { begin: Begin::Unknown, find: Find::Unknown, flags: KeyFlags(0), notes: "" }
    }

    /// Adds key flags.
    pub const fn with(mut self, flags: KeyFlags) -> Self {
        self.flags = KeyFlags(self.flags.0 | flags.0);
        self
    }

    /// Adds a remark.
    pub const fn notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// RO, access: a plain read.
    pub const fn read(self) -> Self {
        self.with(KeyFlags::RO).with(KeyFlags::ACCESS)
    }

    /// RO: only existence or metadata.
    pub const fn look(self) -> Self {
        self.with(KeyFlags::RO)
    }

    /// RW, update.
    pub const fn update(self) -> Self {
        self.with(KeyFlags::RW).with(KeyFlags::UPDATE)
    }

    /// OW, update.
    pub const fn overwrite(self) -> Self {
        self.with(KeyFlags::OW).with(KeyFlags::UPDATE)
    }

    /// Calls `visit` with the argument index of every key in `request`; false: the arguments
    /// do not fit the specification.
    pub fn each(&self, request: &Request<'_>, visit: &mut dyn FnMut(usize)) -> bool {
        let argc = i64::try_from(request.len()).unwrap_or(i64::MAX);
        let Some(begin) = self.begin_at(request, argc) else {
            // A keyword that is absent means no key, and all arguments from the end on are none; any
            // other index past the end is a misfit.
            return match (self.begin, self.find) {
                (Begin::Index(at), Find::Range { last: ..0, .. }) => i64::from(at) == argc,
                (begin, _) => matches!(begin, Begin::Keyword(..) | Begin::Unknown),
            };
        };
        let (first, last, step) = match self.find {
            Find::Range { last, step, limit } => {
                let last = if last >= 0 {
                    begin + i64::from(last)
                } else if limit <= 1 {
                    argc + i64::from(last)
                } else {
                    begin + (argc - begin) / i64::from(limit) + i64::from(last)
                };
                (begin, last, i64::from(step))
            }
            Find::KeyNum { index, first, step } => {
                let at = begin + i64::from(index);
                let count = usize::try_from(at)
                    .ok()
                    .and_then(|at| request.get(at))
                    .and_then(dunlin_protocol::number::parse_i64);
                let Some(count) = count.filter(|n| (1..=argc).contains(n)) else {
                    return false;
                };
                let first = begin + i64::from(first);
                (first, first + (count - 1) * i64::from(step), i64::from(step))
            }
            Find::Unknown => return true,
        };
        if last >= argc || first > last || step < 1 {
            return false;
        }
        let mut at = first;
        while at <= last {
            if let Ok(index) = usize::try_from(at) {
                visit(index);
            }
            at += step;
        }
        true
    }

    fn begin_at(&self, request: &Request<'_>, argc: i64) -> Option<i64> {
        match self.begin {
            Begin::Index(index) => Some(i64::from(index)).filter(|i| *i < argc),
            Begin::Keyword(word, from) => {
                let matches = |i: &usize| {
                    request.get(*i).is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()))
                };
                let found = if from >= 0 {
                    (from.unsigned_abs() as usize..request.len()).find(matches)
                } else {
                    let start = request.len().checked_sub(from.unsigned_abs() as usize)?;
                    (1..=start).rev().find(matches)
                };
                found.and_then(|i| i64::try_from(i + 1).ok()).filter(|i| *i < argc)
            }
            Begin::Unknown => None,
        }
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
