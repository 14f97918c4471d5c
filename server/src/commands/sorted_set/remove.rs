//! ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX: members go.

use super::docs::{DELETE, KEY, MEMBER};
use super::{bounds, number};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::notify::Class;
use dunlin_storage::value::sorted_set::{Part, SortedSet};

const RANGE_COMPLEXITY: &str = "O(log(N)+M) with N being the number of elements in the sorted set \
                                and M the number of elements removed by the operation.";

pub(super) const ZREM: Command = Command::new("zrem", Arity::at_least(3), zrem)
    .flags(flag_set!(WRITE | FAST))
    .keys(DELETE)
    .docs(
        Docs::new(
            Group::SortedSet,
            "1.2.0",
            "O(M*log(N)) with N being the number of elements in the sorted set and M the number \
             of elements to be removed.",
            "Removes members from a sorted set; with its last member the set goes.",
        )
        .history(&[("2.4.0", "Accepts multiple elements.")])
        .args(&[KEY, MEMBER.multiple()]),
    );

fn zrem(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, request) = (call.key(1), call.request);
    let removed = call.edit(&key, |set: &mut SortedSet, _| {
        request.iter().skip(2).filter(|member| set.remove(member)).count()
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        call.notify_taken(Class::ZSET, "zrem", &key);
    }
    call.reply.int(number(removed));
    Ok(Outcome::Done)
}

pub(super) const ZREMRANGEBYRANK: Command =
    Command::new("zremrangebyrank", Arity::exactly(4), zremrangebyrank)
        .flags(flag_set!(WRITE))
        .keys(DELETE)
        .docs(
            Docs::new(
                Group::SortedSet,
                "2.0.0",
                RANGE_COMPLEXITY,
                "Removes the members with ranks in a range; with the last member the set goes.",
            )
            .args(&[KEY, Arg::integer("start"), Arg::integer("stop")]),
        );

pub(super) const ZREMRANGEBYSCORE: Command =
    Command::new("zremrangebyscore", Arity::exactly(4), zremrangebyscore)
        .flags(flag_set!(WRITE))
        .keys(DELETE)
        .docs(
            Docs::new(
                Group::SortedSet,
                "1.2.0",
                RANGE_COMPLEXITY,
                "Removes the members with scores in a range; with the last member the set goes.",
            )
            .args(&[KEY, Arg::double("min"), Arg::double("max")]),
        );

pub(super) const ZREMRANGEBYLEX: Command =
    Command::new("zremrangebylex", Arity::exactly(4), zremrangebylex)
        .flags(flag_set!(WRITE))
        .keys(DELETE)
        .docs(
            Docs::new(
                Group::SortedSet,
                "2.8.9",
                RANGE_COMPLEXITY,
                "Removes the members between two others in lexicographical order; with the last \
                 member the set goes.",
            )
            .args(&[KEY, Arg::string("min"), Arg::string("max")]),
        );

fn zremrangebyrank(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let part = Part::Rank(bounds::ranks(&call.request, 2, 3)?);
    remove_range(call, &part)
}

fn zremrangebyscore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let part = Part::Score(bounds::scores(&call.request, 2, 3)?);
    remove_range(call, &part)
}

fn zremrangebylex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let part = Part::Lex(bounds::members(&call.request, 2, 3)?);
    remove_range(call, &part)
}

fn remove_range(call: &mut Call<'_, '_>, part: &Part<'_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (reader, _) = call.split_to_change();
    let found = reader.sorted_set(&key)?.map(|set| (set.window(part, false), set.len()));
    let (ranks, len) = found.unwrap_or_default();
    let removed = ranks.len();
    if removed > 0 {
        if removed == len {
            // The set as a whole is freed in its own time.
            call.take(&key);
        } else {
            call.edit(&key, |set: &mut SortedSet, _| set.remove_ranks(ranks))?;
        }
        call.notify_taken(Class::ZSET, call.entry.command.name, &key);
    }
    call.reply.int(number(removed));
    Ok(Outcome::Done)
}
