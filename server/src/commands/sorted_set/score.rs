//! ZCARD, ZSCORE, ZMSCORE: how many members there are, and what their scores are.

use super::docs::{KEY, LOOK, MEMBER, READ};
use super::number;
use crate::commands::call::Call;
use crate::commands::docs::{Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};

pub(super) const ZCARD: Command = Command::new("zcard", Arity::exactly(2), zcard)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOK)
    .docs(
        Docs::new(Group::SortedSet, "1.2.0", "O(1)", "Counts the members of a sorted set.")
            .args(&[KEY]),
    );

fn zcard(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (reader, reply) = call.split();
    let len = reader.sorted_set(&key)?.map_or(0, |set| set.len());
    reply.int(number(len));
    Ok(Outcome::Done)
}

pub(super) const ZSCORE: Command = Command::new("zscore", Arity::exactly(3), zscore)
    .flags(flag_set!(READONLY | FAST))
    .keys(READ)
    .docs(
        Docs::new(Group::SortedSet, "1.2.0", "O(1)", "Returns the score of a member.")
            .args(&[KEY, MEMBER]),
    );

fn zscore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, member) = (call.key(1), call.arg(2));
    let (reader, reply) = call.split();
    match reader.sorted_set(&key)?.and_then(|set| set.score(member)) {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

pub(super) const ZMSCORE: Command = Command::new("zmscore", Arity::at_least(3), zmscore)
    .flags(flag_set!(READONLY | FAST))
    .keys(READ)
    .docs(
        Docs::new(
            Group::SortedSet,
            "6.2.0",
            "O(N) where N is the number of members being requested.",
            "Returns the scores of members.",
        )
        .args(&[KEY, MEMBER.multiple()]),
    );

fn zmscore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, request) = (call.key(1), call.request);
    let (reader, reply) = call.split();
    let set = reader.sorted_set(&key)?;
    reply.array(request.len() - 2);
    for member in request.iter().skip(2) {
        match set.and_then(|set| set.score(member)) {
            Some(score) => reply.double(score),
            None => reply.null(),
        }
    }
    Ok(Outcome::Done)
}
