//! COMMAND GETKEYS and GETKEYSANDFLAGS: which arguments of a command line are keys.

use super::super::docs;
use super::{CONNECTION, FLAGS};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::keys;
use crate::commands::spec::{Arity, Command, Flags, KeyFlags, Outcome};
use crate::commands::table::{Entry, table};
use dunlin_protocol::Request;

const NO_COMMAND: ReplyError = ReplyError::new("ERR Invalid command specified");
const NO_KEYS: ReplyError = ReplyError::new("ERR The command has no key arguments");
const WRONG_NUMBER: ReplyError =
    ReplyError::new("ERR Invalid number of arguments specified for command");
const MISFIT: ReplyError = ReplyError::new("ERR Invalid arguments specified for command");

const ARGS: &[Arg] = &[Arg::string("command"), Arg::string("arg").optional().multiple()];
const COMPLEXITY: &str = "O(N) where N is the number of arguments to the command";

pub(super) const GETKEYS: Command = Command::new("getkeys", Arity::at_least(3), getkeys)
    .flags(FLAGS)
    .categories(CONNECTION)
    .docs(docs("2.8.13", COMPLEXITY, "Finds the keys in a command line.").args(ARGS));

fn getkeys(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (request, keys) = find(call)?;
    call.reply.array(keys.len());
    keys.iter().for_each(|(at, _)| call.reply.bulk(request.arg(*at)));
    Ok(Outcome::Done)
}

pub(super) const GETKEYSANDFLAGS: Command =
    Command::new("getkeysandflags", Arity::at_least(3), getkeysandflags)
        .flags(FLAGS)
        .categories(CONNECTION)
        .docs(
            docs(
                "7.0.0",
                COMPLEXITY,
                "Finds the keys in a command line and says what is done with them.",
            )
            .args(ARGS),
        );

fn getkeysandflags(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (request, keys) = find(call)?;
    call.reply.array(keys.len());
    for (at, flags) in keys {
        call.reply.array(2);
        call.reply.bulk(request.arg(at));
        super::details::write_key_flags(call.reply, flags);
    }
    Ok(Outcome::Done)
}

/// The command line in the arguments, and its keys.
#[allow(clippy::type_complexity, reason = "a pair for two callers")]
fn find<'a>(call: &Call<'a, '_>) -> Result<(Request<'a>, Vec<(usize, KeyFlags)>), ReplyError> {
    let request = call.request.tail(2).ok_or(NO_COMMAND)?;
    let entry = lookup(&request).ok_or(NO_COMMAND)?;
    if entry.command.key_specs().next().is_none() && entry.command.keys_by.is_none() {
        return Err(NO_KEYS);
    }
    if !entry.command.arity.accepts(request.len()) {
        return Err(WRONG_NUMBER);
    }
    match keys::of(entry.command, &request) {
        Some(keys) if !keys.is_empty() => Ok((request, keys)),
        // A command that needs no key is not asked how many it wants.
        _ if entry.has(Flags::NO_MANDATORY_KEYS) => Ok((request, Vec::new())),
        _ => Err(MISFIT),
    }
}

fn lookup(request: &Request<'_>) -> Option<&'static Entry> {
    let entry = table().get(request.get(0)?)?;
    match request.get(1) {
        Some(name) if !entry.subcommands.is_empty() => table().sub(entry, name),
        _ => Some(entry),
    }
}
