//! Members by chance: SPOP and SRANDMEMBER.

use super::docs::{KEY, READ, TAKE};
use super::reply_member;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::draw::{self, Wanted};
use crate::commands::error::{NOT_POSITIVE, ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::value::set::Set;

pub(super) const SPOP: Command = Command::new("spop", Arity::at_least(2), spop)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(TAKE)])
    .grows_from(3)
    .tips(&["nondeterministic_output"])
    .docs(
        Docs::new(
            Group::Set,
            "1.0.0",
            "Without the count argument O(1), otherwise O(N) where N is the value of the passed \
             count.",
            "Removes random members from a set and returns them; with its last member the set \
             goes.",
        )
        .history(&[("3.2.0", "Added the `count` argument.")])
        .args(&[KEY, Arg::integer("count").optional().since("3.2.0")]),
    );

fn spop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    match call.argc() {
        2 => {}
        3 => return spop_count(call),
        _ => return Err(SYNTAX),
    }
    let (key, server) = (call.key(1), call.server);
    match call.edit(&key, |set: &mut Set, _| set.pop(server.random()))?.flatten() {
        Some(member) => {
            call.notify_taken(Class::SET, "spop", &key);
            call.reply.bulk(&member);
        }
        None => call.reply.null(),
    }
    Ok(Outcome::Done)
}

fn spop_count(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let count = call.int(2).ok().and_then(|count| usize::try_from(count).ok());
    let (key, server, count) = (call.key(1), call.server, count.ok_or(NOT_POSITIVE)?);
    let (reader, reply) = call.split_to_change();
    let set = reader.set(&key)?;
    let len = set.map_or(0, |set| set.len());
    reply.set(len.min(count));
    if len <= count {
        // The set as a whole: nothing has to be chosen, and it is freed in its own time.
        set.into_iter().flatten().for_each(|member| reply_member(reply, member));
        if call.take(&key) {
            call.notify_taken(Class::SET, "spop", &key);
        }
        return Ok(Outcome::Done);
    }
    let mut popped = Vec::new();
    call.edit(&key, |set: &mut Set, limits| {
        let random = &mut || server.random();
        set.pop_many(count, &limits.set, random, &mut |member| popped.push(member.to_vec()));
    })?;
    if count > 0 {
        call.notify_taken(Class::SET, "spop", &key);
    }
    popped.iter().for_each(|member| call.reply.bulk(member));
    Ok(Outcome::Done)
}

pub(super) const SRANDMEMBER: Command = Command::new(
    "srandmember",
    Arity::at_least(2),
    srandmember,
)
.flags(flag_set!(READONLY))
.keys(READ)
.tips(&["nondeterministic_output"])
.docs(
    Docs::new(
        Group::Set,
        "1.0.0",
        "Without the count argument O(1), otherwise O(N) where N is the absolute value of the \
             passed count.",
        "Returns random members of a set; the same ones again if a negative number is wanted.",
    )
    .history(&[("2.6.0", "Added the optional `count` argument.")])
    .args(&[KEY, Arg::integer("count").optional().since("2.6.0")]),
);

fn srandmember(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    match call.argc() {
        2 => {}
        3 => return srandmember_count(call),
        _ => return Err(SYNTAX),
    }
    let (key, server) = (call.key(1), call.server);
    let (reader, reply) = call.split();
    match reader.set(&key)?.and_then(|set| set.random(server.random())) {
        Some(member) => reply_member(reply, member),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

fn srandmember_count(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let wanted = Wanted::parse(call, 2, false)?;
    let (key, server) = (call.key(1), call.server);
    let most = draw::most(call);
    let (reader, reply) = call.split();
    let Some(set) = reader.set(&key)? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    match wanted {
        Wanted::Different(count) => {
            reply.array(count.min(set.len()));
            let random = &mut || server.random();
            set.sample(count, random, &mut |member| reply_member(reply, member));
            Ok(Outcome::Done)
        }
        Wanted::Draws(draws) => {
            reply.array(draws);
            Ok(draw::repeat(draws, most, reply, |reply| {
                if let Some(member) = set.random(server.random()) {
                    reply_member(reply, member);
                }
            }))
        }
    }
}
