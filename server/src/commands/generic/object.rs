//! OBJECT: what the store knows about a value beside its content.
//!
//! Redis keeps a clock or an eight-bit counter per key; here it is a use frequency of two bits:
//! 0 for a key that has not been read since it was written (or since eviction last passed by), up
//! to 3. FREQ and IDLETIME tell that much and no more:
//!
//! - FREQ is 5 plus the frequency, so 5 to 8. Redis's logarithmic counter starts at 5 too and
//!   counts the first reads nearly one by one.
//! - IDLETIME is always 0, "not known to be idle".

use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Arity, Command, Handler, KeySpec, Outcome};
use dunlin_storage::{Encoding, Entry, Policy, Value};

/// Redis's counter of a key that has never been read.
const FRESH_FREQUENCY: i64 = 5;
/// Integers from 0 up to this one are shared objects in Redis, which OBJECT REFCOUNT shows.
const SHARED_INTEGERS: i64 = 10_000;
/// The reference count of a shared object.
const SHARED: i64 = i32::MAX as i64;

const NOT_LFU: ReplyError = ReplyError::new(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that \
     when switching between policies at runtime LRU and LFU data will take some time to adjust.",
);
const IS_LFU: ReplyError = ReplyError::new(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
     switching between policies at runtime LRU and LFU data will take some time to adjust.",
);

const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Print this help.",
];

pub(super) const OBJECT: Command = Command::new("object", Arity::at_least(2), container)
    .subcommands(&[
        row("encoding", "2.2.3", "Returns how the value of a key is represented.", encoding),
        row("freq", "4.0.0", "Returns how often a key is used, on a logarithmic scale.", freq),
        row("idletime", "2.2.3", "Returns for how long a key has not been used.", idletime),
        row("refcount", "2.2.3", "Returns how many references a value has.", refcount),
        Command::new("help", Arity::exactly(2), help)
            .flags(flag_set!(LOADING | STALE | CHEAP))
            .categories(&["keyspace"])
            .docs(Docs::new(Group::Generic, "6.2.0", "O(1)", "Explains the subcommands.")),
    ])
    .docs(Docs::new(
        Group::Generic,
        "2.2.3",
        "Depends on subcommand.",
        "Container of commands that look into a value's representation.",
    ));

const LOOKED_AT: &[KeySpec] = &[KeySpec::one(2).look()];
const KEY: &[Arg] = &[Arg::key("key", 0)];
const CATEGORIES: &[&str] = &["keyspace"];
const TIPS: &[&str] = &["nondeterministic_output"];

const fn row(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Command {
    Command::new(name, Arity::exactly(3), handler)
        .flags(flag_set!(READONLY | CHEAP))
        .keys(LOOKED_AT)
        .categories(CATEGORIES)
        .tips(TIPS)
        .docs(Docs::new(Group::Generic, since, "O(1)", summary).args(KEY))
}

/// Never reached by a command line that fits: dispatch resolves the subcommand first.
fn container(_: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    Err(error::SYNTAX)
}

/// Replies what `tell` says about the key's entry, or null without one.
fn answer(
    call: &mut Call<'_, '_>,
    tell: impl FnOnce(&mut Call<'_, '_>, Entry<'_>) -> Result<(), ReplyError>,
) -> Result<Outcome, ReplyError> {
    match call.look_silently(&call.key(2)) {
        Some(entry) => tell(call, entry)?,
        None => call.reply.null(),
    }
    Ok(Outcome::Done)
}

/// The entry's use frequency on Redis's scale.
pub(super) fn shown_frequency(entry: &Entry<'_>) -> i64 {
    FRESH_FREQUENCY + i64::from(entry.frequency())
}

fn is_lfu(call: &Call<'_, '_>) -> bool {
    matches!(call.keyspace().policy(), Policy::AllKeysLfu | Policy::VolatileLfu)
}

fn encoding(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    answer(call, |call, entry| {
        let name = call.encoding_of(&entry)?;
        call.reply.bulk(name.as_bytes());
        Ok(())
    })
}

fn freq(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    answer(call, |call, entry| {
        if !is_lfu(call) {
            return Err(NOT_LFU);
        }
        call.reply.int(shown_frequency(&entry));
        Ok(())
    })
}

fn idletime(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    answer(call, |call, _| {
        if is_lfu(call) {
            return Err(IS_LFU);
        }
        call.reply.int(0);
        Ok(())
    })
}

/// Every value has one owner. Small integers answer what Redis's shared ones do, under the same
/// condition: nothing has to be known about single keys because no policy ranks them.
fn refcount(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    answer(call, |call, entry| {
        let ranks = matches!(
            call.keyspace().policy(),
            Policy::AllKeysAuto
                | Policy::AllKeysLru
                | Policy::AllKeysLfu
                | Policy::VolatileLru
                | Policy::VolatileLfu
        );
        let shares = !ranks || call.server.settings().maxmemory == 0;
        let shared = shares && is_small_integer(&entry);
        call.reply.int(if shared { SHARED } else { 1 });
        Ok(())
    })
}

fn is_small_integer(entry: &Entry<'_>) -> bool {
    let integer = match entry.value() {
        Value::Str(string) if string.encoding() == Encoding::Int => string.as_i64(),
        _ => None,
    };
    integer.is_some_and(|value| (0..SHARED_INTEGERS).contains(&value))
}

fn help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.array(HELP.len());
    for line in HELP {
        call.reply.simple(line);
    }
    Ok(Outcome::Done)
}
