//! What is in a hash: HGET, HMGET, HGETALL, HKEYS, HVALS, HLEN, HSTRLEN, HEXISTS.

use super::docs::{FIELD, KEY, LOOK, ONLY_KEY, READ};
use super::{number, reply_opt, reply_text};
use crate::commands::call::Call;
use crate::commands::docs::{Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Handler, Outcome};
use dunlin_storage::value::listpack::Element;
use std::ops::Range;

pub(super) const HGET: Command = Command::new("hget", Arity::exactly(3), hget)
    .flags(flag_set!(READONLY | FAST))
    .keys(READ)
    .docs(
        Docs::new(Group::Hash, "2.0.0", "O(1)", "Returns the value of a field.")
            .args(&[KEY, FIELD]),
    );

fn hget(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let value = value(call)?;
    reply_opt(call.reply, value);
    Ok(Outcome::Done)
}

/// The value of the field in argument 2.
fn value<'g>(call: &mut Call<'_, 'g>) -> Result<Option<Element<'g>>, ReplyError> {
    let (key, field, now) = (call.key(1), call.arg(2), call.now);
    Ok(call.read_hash(&key)?.and_then(|hash| hash.get(field, now)))
}

pub(super) const HMGET: Command = Command::new("hmget", Arity::at_least(3), hmget)
    .flags(flag_set!(READONLY | FAST))
    .keys(READ)
    .docs(
        Docs::new(
            Group::Hash,
            "2.0.0",
            "O(N) where N is the number of fields being requested.",
            "Returns the values of several fields.",
        )
        .args(&[KEY, FIELD.multiple()]),
    );

fn hmget(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_values(call, 2..call.argc())?;
    Ok(Outcome::Done)
}

/// Replies the values of the fields in these arguments.
pub(super) fn reply_values(
    call: &mut Call<'_, '_>,
    fields: Range<usize>,
) -> Result<(), ReplyError> {
    let (key, now) = (call.key(1), call.now);
    let hash = call.read_hash(&key)?;
    call.reply.array(fields.len());
    for i in fields {
        reply_opt(call.reply, hash.and_then(|hash| hash.get(call.request.arg(i), now)));
    }
    Ok(())
}

const fn row(name: &'static str, summary: &'static str, handler: Handler) -> Command {
    Command::new(name, Arity::exactly(2), handler)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .tips(&["nondeterministic_output_order"])
        .docs(
            Docs::new(Group::Hash, "2.0.0", "O(N) where N is the size of the hash.", summary)
                .args(ONLY_KEY),
        )
}

pub(super) const HGETALL: Command =
    row("hgetall", "Returns all fields of a hash with their values.", hgetall);

pub(super) const HKEYS: Command = row("hkeys", "Returns all fields of a hash.", hkeys);

pub(super) const HVALS: Command = row("hvals", "Returns the values of all fields.", hvals);

fn hgetall(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    let hash = call.read_hash(&key)?;
    call.reply.map(hash.map_or(0, |hash| hash.len(now)));
    for pair in hash.into_iter().flat_map(|hash| hash.iter(now)) {
        reply_text(call.reply, pair.field);
        reply_text(call.reply, pair.value);
    }
    Ok(Outcome::Done)
}

fn hkeys(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    let hash = call.read_hash(&key)?;
    call.reply.array(hash.map_or(0, |hash| hash.len(now)));
    for pair in hash.into_iter().flat_map(|hash| hash.iter(now)) {
        reply_text(call.reply, pair.field);
    }
    Ok(Outcome::Done)
}

fn hvals(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    let hash = call.read_hash(&key)?;
    call.reply.array(hash.map_or(0, |hash| hash.len(now)));
    for pair in hash.into_iter().flat_map(|hash| hash.iter(now)) {
        reply_text(call.reply, pair.value);
    }
    Ok(Outcome::Done)
}

pub(super) const HLEN: Command = Command::new("hlen", Arity::exactly(2), hlen)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOK)
    .docs(
        Docs::new(Group::Hash, "2.0.0", "O(1)", "Returns the number of fields of a hash.")
            .args(ONLY_KEY),
    );

fn hlen(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    let count = call.read_hash(&key)?.map_or(0, |hash| hash.len(now));
    call.reply.int(number(count));
    Ok(Outcome::Done)
}

pub(super) const HSTRLEN: Command = Command::new("hstrlen", Arity::exactly(3), hstrlen)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOK)
    .docs(
        Docs::new(Group::Hash, "3.2.0", "O(1)", "Returns the length of the value of a field.")
            .args(&[KEY, FIELD]),
    );

fn hstrlen(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let len = value(call)?.map_or(0, |value| value.len());
    call.reply.int(number(len));
    Ok(Outcome::Done)
}

pub(super) const HEXISTS: Command = Command::new("hexists", Arity::exactly(3), hexists)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOK)
    .docs(
        Docs::new(Group::Hash, "2.0.0", "O(1)", "Tells whether a field exists.")
            .args(&[KEY, FIELD]),
    );

fn hexists(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let found = value(call)?.is_some();
    call.reply.int(found.into());
    Ok(Outcome::Done)
}
