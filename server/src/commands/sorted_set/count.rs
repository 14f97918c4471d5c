//! ZCOUNT, ZLEXCOUNT: how many members are in a range.

use super::docs::{KEY, READ};
use super::{bounds, number};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_storage::value::sorted_set::Part;

const COMPLEXITY: &str = "O(log(N)) with N being the number of elements in the sorted set.";

pub(super) const ZCOUNT: Command = Command::new("zcount", Arity::exactly(4), zcount)
    .flags(flag_set!(READONLY | FAST))
    .keys(READ)
    .docs(
        Docs::new(
            Group::SortedSet,
            "2.0.0",
            COMPLEXITY,
            "Counts the members with scores in a range.",
        )
        .args(&[KEY, Arg::double("min"), Arg::double("max")]),
    );

pub(super) const ZLEXCOUNT: Command = Command::new("zlexcount", Arity::exactly(4), zlexcount)
    .flags(flag_set!(READONLY | FAST))
    .keys(READ)
    .docs(
        Docs::new(
            Group::SortedSet,
            "2.8.9",
            COMPLEXITY,
            "Counts the members between two others in lexicographical order.",
        )
        .args(&[KEY, Arg::string("min"), Arg::string("max")]),
    );

fn zcount(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let part = Part::Score(bounds::scores(&call.request, 2, 3)?);
    count(call, &part)
}

fn zlexcount(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let part = Part::Lex(bounds::members(&call.request, 2, 3)?);
    count(call, &part)
}

fn count(call: &mut Call<'_, '_>, part: &Part<'_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (reader, reply) = call.split();
    let count = reader.sorted_set(&key)?.map_or(0, |set| set.window(part, false).len());
    reply.int(number(count));
    Ok(Outcome::Done)
}
