//! ZPOPMIN, ZPOPMAX, ZMPOP: members are taken from one end.

use super::Shape;
use super::docs::{KEY, NUMKEYS, TAKE};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_POSITIVE, ReplyError, SYNTAX};
use crate::commands::multi_pop::MultiPop;
use crate::commands::spec::{Arity, Command, Handler, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number::parse_i64;
use dunlin_protocol::{Proto, Reply};
use dunlin_storage::Key;
use dunlin_storage::value::sorted_set::SortedSet;
use std::ops::Range;

const POP_COMPLEXITY: &str = "O(log(N)*M) with N being the number of elements in the sorted set, \
                              and M being the number of elements popped.";

pub(super) const ZPOPMIN: Command = row(
    "zpopmin",
    zpopmin,
    "Removes the members with the lowest scores and returns them; with its last member the set \
     goes.",
);
pub(super) const ZPOPMAX: Command = row(
    "zpopmax",
    zpopmax,
    "Removes the members with the highest scores and returns them; with its last member the set \
     goes.",
);

const KEYS: &[KeySpec] = &[KeySpec::one(1).with(TAKE)];
const ARGS: &[Arg] = &[KEY, Arg::integer("count").optional()];

const fn row(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, Arity::at_least(2), handler)
        .flags(flag_set!(WRITE | FAST))
        .keys(KEYS)
        .grows_from(3)
        .docs(Docs::new(Group::SortedSet, "5.0.0", POP_COMPLEXITY, summary).args(ARGS))
}

pub(super) const ZMPOP: Command = Command::new("zmpop", Arity::at_least(4), zmpop)
    .flags(flag_set!(WRITE))
    .keys(&[KeySpec::counted(1).with(TAKE)])
    .docs(
        Docs::new(
            Group::SortedSet,
            "7.0.0",
            "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of \
             elements in the sorted set, and M being the number of elements popped.",
            "Removes members from the first of several sorted sets that exists, and returns them.",
        )
        .args(&[
            NUMKEYS,
            KEY.multiple(),
            Arg::one_of("where", &[Arg::flag("min", "MIN"), Arg::flag("max", "MAX")]),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    );

/// Which members go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Those with the lowest scores.
    Min,
    /// Those with the highest scores.
    Max,
}

impl End {
    /// MIN or MAX in argument `at`.
    pub(super) fn parse(call: &Call<'_, '_>, at: usize) -> Result<Self, ReplyError> {
        match at {
            at if call.is(at, "min") => Ok(End::Min),
            at if call.is(at, "max") => Ok(End::Max),
            _ => Err(SYNTAX),
        }
    }

    fn event(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }
}

/// How popped members are replied.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// As a list in this shape.
    List(Shape),
    /// The key, the member and its score.
    Triple,
    /// The key, then a list of pairs.
    Keyed,
}

impl Answer {
    /// The header of `count` members; the shape in which they follow.
    fn header(self, reply: &mut Reply, key: &Key<'_>, count: usize) -> Shape {
        let shape = match self {
            Answer::List(shape) => shape,
            Answer::Triple => {
                reply.array(3);
                reply.bulk(key.bytes);
                return Shape::Flat;
            }
            Answer::Keyed => {
                reply.array(2);
                reply.bulk(key.bytes);
                Shape::Pairs
            }
        };
        shape.header(reply, count);
        shape
    }
}

fn zpopmin(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    zpop(call, End::Min)
}

fn zpopmax(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    zpop(call, End::Max)
}

fn zpop(call: &mut Call<'_, '_>, end: End) -> Result<Outcome, ReplyError> {
    let count = match call.argc() {
        2 => None,
        3 => Some(parse_i64(call.arg(2)).and_then(|count| usize::try_from(count).ok())),
        _ => return Err(SYNTAX),
    };
    // Only a count makes RESP3 answer with pairs.
    let shape = match (count, call.reply.proto()) {
        (Some(_), Proto::Resp3) => Shape::Pairs,
        _ => Shape::Flat,
    };
    let count = count.map_or(Ok(1), |count| count.ok_or(NOT_POSITIVE))?;
    if !pop_first(call, 1..2, end, count, Answer::List(shape))? {
        call.reply.array(0);
    }
    Ok(Outcome::Done)
}

fn zmpop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let MultiPop { keys, end, count } = MultiPop::parse(call, 1, End::parse)?;
    if !pop_first(call, keys, end, count, Answer::Keyed)? {
        call.reply.null_array();
    }
    Ok(Outcome::Done)
}

/// Pops from the first of several sorted sets that exists, and replies; false, and no reply, if
/// there is none.
pub(super) fn pop_first(
    call: &mut Call<'_, '_>,
    keys: Range<usize>,
    end: End,
    count: usize,
    answer: Answer,
) -> Result<bool, ReplyError> {
    for at in keys {
        let key = call.key(at);
        if pop(call, &key, end, count, answer)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Pops from one sorted set and replies; false, and no reply, if it does not exist.
pub(super) fn pop(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    end: End,
    count: usize,
    answer: Answer,
) -> Result<bool, ReplyError> {
    let (reader, reply) = call.split_to_change();
    let Some(set) = reader.sorted_set(key)? else { return Ok(false) };
    let len = set.len();
    let taken = count.min(len);
    let ranks = match end {
        End::Min => 0..taken,
        End::Max => len - taken..len,
    };
    let shape = answer.header(reply, key, taken);
    let members = set.range(ranks.clone());
    let mut reply_member = |(member, score)| shape.member(reply, member, score);
    match end {
        End::Min => members.for_each(&mut reply_member),
        End::Max => members.rev().for_each(&mut reply_member),
    }
    if taken == len {
        // The set as a whole is freed in its own time.
        call.take(key);
    } else if taken > 0 {
        call.edit(key, |set: &mut SortedSet, _| set.remove_ranks(ranks))?;
    }
    if taken > 0 {
        call.notify_taken(Class::ZSET, end.event(), key);
    }
    Ok(true)
}
