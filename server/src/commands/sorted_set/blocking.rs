//! BZPOPMIN, BZPOPMAX, BZMPOP: like their namesakes without the B, but they wait for a member if
//! there is none (see [`crate::blocking`]).

use super::docs::{KEY, NUMKEYS, TAKE};
use super::pop::{Answer, End, pop};
use crate::blocking::WaitKeys;
use crate::commands::blocking::{DOUBLE_TIMEOUT, TIMEOUT, seconds, wait};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::multi_pop::MultiPop;
use crate::commands::spec::{Arity, Command, Handler, KeySpec, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::value::sorted_set::SortedSet;
use dunlin_storage::{Kind, Millis};
use std::ops::Range;

pub(super) const BZPOPMIN: Command = row(
    "bzpopmin",
    bzpopmin,
    "Removes the member with the lowest score from the first of several sorted sets that exists, and \
     returns it; waits for one if there is none.",
);
pub(super) const BZPOPMAX: Command = row(
    "bzpopmax",
    bzpopmax,
    "Removes the member with the highest score from the first of several sorted sets that exists, \
     and returns it; waits for one if there is none.",
);

const KEYS: &[KeySpec] = &[KeySpec::span(1, -2, 1).with(TAKE)];
const ARGS: &[Arg] = &[KEY.multiple(), TIMEOUT];

const fn row(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, Arity::at_least(3), handler)
        .flags(flag_set!(WRITE | FAST | BLOCKING))
        .keys(KEYS)
        .docs(
            Docs::new(
                Group::SortedSet,
                "5.0.0",
                "O(log(N)) with N being the number of elements in the sorted set.",
                summary,
            )
            .history(DOUBLE_TIMEOUT)
            .args(ARGS),
        )
}

pub(super) const BZMPOP: Command = Command::new("bzmpop", Arity::at_least(5), bzmpop)
    .flags(flag_set!(WRITE | BLOCKING))
    .keys(&[KeySpec::counted(2).with(TAKE)])
    .docs(
        Docs::new(
            Group::SortedSet,
            "7.0.0",
            "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of \
             elements in the sorted set, and M being the number of elements popped.",
            "Removes members from the first of several sorted sets that exists, and returns them; \
             waits for some if there are none.",
        )
        .args(&[
            TIMEOUT,
            NUMKEYS,
            KEY.multiple(),
            Arg::one_of("where", &[Arg::flag("min", "MIN"), Arg::flag("max", "MAX")]),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    );

fn bzpopmin(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    pop_or_wait(call, End::Min)
}

fn bzpopmax(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    pop_or_wait(call, End::Max)
}

fn pop_or_wait(call: &mut Call<'_, '_>, end: End) -> Result<Outcome, ReplyError> {
    let timeout = call.argc() - 1;
    let deadline = seconds(call, timeout)?;
    pop_first_or_wait(call, 1..timeout, end, 1, Answer::Triple, deadline)
}

fn bzmpop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let MultiPop { keys, end, count } = MultiPop::parse(call, 2, End::parse)?;
    let deadline = seconds(call, 1)?;
    pop_first_or_wait(call, keys, end, count, Answer::Keyed, deadline)
}

fn pop_first_or_wait(
    call: &mut Call<'_, '_>,
    keys: Range<usize>,
    end: End,
    count: usize,
    answer: Answer,
    deadline: Option<Millis>,
) -> Result<Outcome, ReplyError> {
    for at in keys.clone() {
        let key = call.key(at);
        let is_there = call.has::<SortedSet>(&key)?;
        if is_there && call.reaches(&key) && pop(call, &key, end, count, answer)? {
            return Ok(Outcome::Done);
        }
    }
    Ok(wait(call, deadline, WaitKeys::of(Kind::SortedSet, keys), Reply::null_array))
}
