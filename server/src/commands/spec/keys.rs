//! Key specifications: which arguments of a command are keys, and what is done with these.

use dunlin_protocol::Request;

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
