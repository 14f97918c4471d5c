//! One set and some of its members: SADD, SREM, SMOVE, SISMEMBER, SMISMEMBER, SCARD, SMEMBERS.

use super::docs::{DELETE, INSERT, KEY, LOOK, MEMBER, ONLY_KEY, READ, TAKE};
use super::{number, reply_member};
use crate::commands::call::Call;
use crate::commands::collection::Limits;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::value::set::Set;

/// The first member of SADD and SREM.
const FIRST: usize = 2;

const HISTORY: &[(&str, &str)] = &[("2.4.0", "Accepts multiple `member` arguments.")];

pub(super) const SADD: Command = Command::new("sadd", Arity::at_least(3), sadd)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1).with(INSERT)])
    .docs(
        Docs::new(
            Group::Set,
            "1.0.0",
            "O(1) for each element added, so O(N) to add N elements when the command is called \
             with multiple arguments.",
            "Adds members to a set, which is made if it does not exist.",
        )
        .history(HISTORY)
        .args(&[KEY, MEMBER.multiple()]),
    );

fn sadd(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, request) = (call.key(1), call.request);
    let added = call.edit_or_new(&key, |set: &mut Set, limits| {
        let limits = &limits.set;
        set.prepare(request.arg(FIRST), request.len() - FIRST, limits);
        request.iter().skip(FIRST).filter(|member| set.add(member, limits)).count()
    })?;
    if added > 0 {
        call.notify(Class::SET, "sadd", &key);
    }
    call.reply.int(number(added));
    Ok(Outcome::Done)
}

pub(super) const SREM: Command = Command::new("srem", Arity::at_least(3), srem)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(DELETE)])
    .docs(
        Docs::new(
            Group::Set,
            "1.0.0",
            "O(N) where N is the number of members to be removed.",
            "Removes members from a set; with its last member the set goes.",
        )
        .history(HISTORY)
        .args(&[KEY, MEMBER.multiple()]),
    );

fn srem(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, request) = (call.key(1), call.request);
    let removed = call.edit(&key, |set: &mut Set, _| {
        request.iter().skip(FIRST).filter(|member| set.remove(member)).count()
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        call.notify_taken(Class::SET, "srem", &key);
    }
    call.reply.int(number(removed));
    Ok(Outcome::Done)
}

pub(super) const SMOVE: Command =
    Command::new("smove", Arity::exactly(4), smove)
        .flags(flag_set!(WRITE | FAST))
        .keys(&[KeySpec::one(1).with(TAKE), KeySpec::one(2).with(INSERT)])
        .docs(
            Docs::new(Group::Set, "1.0.0", "O(1)", "Moves a member from one set to another.")
                .args(&[Arg::key("source", 0), Arg::key("destination", 1), MEMBER]),
        );

fn smove(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (source, destination, member) = (call.key(1), call.key(2), call.arg(3));
    // Without a source the destination's type does not matter.
    let mut moved = false;
    if call.has::<Set>(&source)? {
        call.has::<Set>(&destination)?;
        let stays = source.bytes == destination.bytes;
        let take = |set: &mut Set, _: &Limits| {
            if stays { set.view().contains(member) } else { set.remove(member) }
        };
        moved = call.edit(&source, take)?.unwrap_or(false);
        if moved && !stays {
            call.notify_taken(Class::SET, "srem", &source);
            let add = |set: &mut Set, limits: &Limits| set.add(member, &limits.set);
            if call.edit_or_new(&destination, add)? {
                call.notify(Class::SET, "sadd", &destination);
            }
        }
    }
    call.reply.int(moved.into());
    Ok(Outcome::Done)
}

pub(super) const SISMEMBER: Command = Command::new("sismember", Arity::exactly(3), sismember)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOK)
    .docs(
        Docs::new(Group::Set, "1.0.0", "O(1)", "Tells whether something is a member of a set.")
            .args(&[KEY, MEMBER]),
    );

fn sismember(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, member) = (call.key(1), call.arg(2));
    let (reader, reply) = call.split();
    let found = reader.set(&key)?.is_some_and(|set| set.contains(member));
    reply.int(found.into());
    Ok(Outcome::Done)
}

pub(super) const SMISMEMBER: Command = Command::new("smismember", Arity::at_least(3), smismember)
    .flags(flag_set!(READONLY | FAST))
    .keys(READ)
    .docs(
        Docs::new(
            Group::Set,
            "6.2.0",
            "O(N) where N is the number of elements being checked for membership",
            "Tells of several things whether they are members of a set.",
        )
        .args(&[KEY, MEMBER.multiple()]),
    );

fn smismember(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, request) = (call.key(1), call.request);
    let (reader, reply) = call.split();
    let set = reader.set(&key)?;
    reply.array(request.len() - FIRST);
    for member in request.iter().skip(FIRST) {
        let found = set.is_some_and(|set| set.contains(member));
        reply.int(found.into());
    }
    Ok(Outcome::Done)
}

pub(super) const SCARD: Command = Command::new("scard", Arity::exactly(2), scard)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOK)
    .docs(
        Docs::new(Group::Set, "1.0.0", "O(1)", "Returns the number of members of a set.")
            .args(ONLY_KEY),
    );

fn scard(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (reader, reply) = call.split();
    reply.int(reader.set(&key)?.map_or(0, |set| number(set.len())));
    Ok(Outcome::Done)
}

pub(super) const SMEMBERS: Command = Command::new("smembers", Arity::exactly(2), smembers)
    .flags(flag_set!(READONLY))
    .keys(READ)
    .tips(&["nondeterministic_output_order"])
    .docs(
        Docs::new(
            Group::Set,
            "1.0.0",
            "O(N) where N is the set cardinality.",
            "Returns all members of a set.",
        )
        .args(ONLY_KEY),
    );

fn smembers(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (reader, reply) = call.split();
    let set = reader.set(&key)?;
    reply.set(set.map_or(0, |set| set.len()));
    set.into_iter().flatten().for_each(|member| reply_member(reply, member));
    Ok(Outcome::Done)
}
