//! What is in a hash: HGET, HMGET, HGETALL, HKEYS, HVALS, HLEN, HSTRLEN, HEXISTS.

use super::docs::{FIELD, KEY, LOOK, ONLY_KEY, READ};
use super::{number, reply_opt, reply_text};
use crate::commands::call::Call;
use crate::commands::docs::{Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Handler, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::value::hash::Pair;
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
    with_value(call, reply_opt)
}

/// Replies something about the value of the field in argument 2.
fn with_value(
    call: &mut Call<'_, '_>,
    show: impl FnOnce(&mut Reply, Option<Element<'_>>),
) -> Result<Outcome, ReplyError> {
    let (key, field, now) = (call.key(1), call.arg(2), call.now);
    let (reader, reply) = call.split();
    show(reply, reader.hash(&key)?.and_then(|hash| hash.get(field, now)));
    Ok(Outcome::Done)
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
    let (key, request, now) = (call.key(1), call.request, call.now);
    let (reader, reply) = call.split();
    let hash = reader.hash(&key)?;
    reply.array(fields.len());
    for i in fields {
        reply_opt(reply, hash.and_then(|hash| hash.get(request.arg(i), now)));
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
    reply_all(call, Reply::map, |reply, pair| {
        reply_text(reply, pair.field);
        reply_text(reply, pair.value);
    })
}

fn hkeys(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_all(call, Reply::array, |reply, pair| reply_text(reply, pair.field))
}

fn hvals(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_all(call, Reply::array, |reply, pair| reply_text(reply, pair.value))
}

/// Replies all fields, each as `show` does, after a `header` with their number.
fn reply_all(
    call: &mut Call<'_, '_>,
    header: fn(&mut Reply, usize),
    show: impl Fn(&mut Reply, Pair<'_>),
) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    let (reader, reply) = call.split();
    let hash = reader.hash(&key)?;
    header(reply, hash.map_or(0, |hash| hash.len(now)));
    for pair in hash.into_iter().flat_map(|hash| hash.iter(now)) {
        show(reply, pair);
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
    let (reader, reply) = call.split();
    reply.int(reader.hash(&key)?.map_or(0, |hash| number(hash.len(now))));
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
    with_value(call, |reply, value| reply.int(value.map_or(0, |value| number(value.len()))))
}

pub(super) const HEXISTS: Command = Command::new("hexists", Arity::exactly(3), hexists)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOK)
    .docs(
        Docs::new(Group::Hash, "2.0.0", "O(1)", "Tells whether a field exists.")
            .args(&[KEY, FIELD]),
    );

fn hexists(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    with_value(call, |reply, value| reply.int(value.is_some().into()))
}
