//! BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH: like their namesakes without the B, but they wait for
//! an element if there is none (see [`crate::blocking`]).

use super::docs::{ENDS, KEY, TAKE};
use super::end;
use super::move_between::{DESTINATION, KEYS, SOURCE, move_one};
use super::pop::{Answer, pop};
use crate::blocking::WaitKeys;
use crate::commands::blocking::{DOUBLE_TIMEOUT, TIMEOUT, seconds, wait};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::multi_pop::MultiPop;
use crate::commands::spec::{Arity, Command, Handler, KeySpec, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::value::list::{End, List};
use dunlin_storage::{Kind, Millis};
use std::ops::Range;

pub(super) const BLPOP: Command = row(
    "blpop",
    blpop,
    "Removes the first element of the first of several lists that exists, and returns it; waits for \
     one if there is none.",
);
pub(super) const BRPOP: Command = row(
    "brpop",
    brpop,
    "Removes the last element of the first of several lists that exists, and returns it; waits for \
     one if there is none.",
);

const KEYS_AND_TIMEOUT: &[KeySpec] = &[KeySpec::span(1, -2, 1).with(TAKE)];
const ARGS: &[Arg] = &[KEY.multiple(), TIMEOUT];

const fn row(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, Arity::at_least(3), handler)
        .flags(flag_set!(WRITE | BLOCKING))
        .keys(KEYS_AND_TIMEOUT)
        .docs(
            Docs::new(
                Group::List,
                "2.0.0",
                "O(N) where N is the number of provided keys.",
                summary,
            )
            .history(DOUBLE_TIMEOUT)
            .args(ARGS),
        )
}

pub(super) const BLMPOP: Command = Command::new("blmpop", Arity::at_least(5), blmpop)
    .flags(flag_set!(WRITE | BLOCKING))
    .keys(&[KeySpec::counted(2).with(TAKE)])
    .docs(
        Docs::new(
            Group::List,
            "7.0.0",
            "O(N+M) where N is the number of provided keys and M is the number of elements \
             returned.",
            "Removes elements from the first of several lists that exists, and returns them; waits \
             for some if there are none.",
        )
        .args(&[
            TIMEOUT,
            Arg::integer("numkeys"),
            KEY.multiple(),
            Arg::one_of("where", ENDS),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    );

pub(super) const BLMOVE: Command = Command::new("blmove", Arity::exactly(6), blmove)
    .flags(flag_set!(WRITE | DENYOOM | BLOCKING))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::List,
            "6.2.0",
            "O(1)",
            "Moves an element from one end of a list to one end of another, or of the same, and \
             returns it; waits for one if there is none.",
        )
        .args(&[
            SOURCE,
            DESTINATION,
            Arg::one_of("wherefrom", ENDS),
            Arg::one_of("whereto", ENDS),
            TIMEOUT,
        ]),
    );

pub(super) const BRPOPLPUSH: Command = Command::new("brpoplpush", Arity::exactly(4), brpoplpush)
    .flags(flag_set!(WRITE | DENYOOM | BLOCKING))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::List,
            "2.2.0",
            "O(1)",
            "Moves the last element of a list to the head of another, or of the same, and \
             returns it; waits for one if there is none.",
        )
        .history(DOUBLE_TIMEOUT)
        .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")
        .args(&[SOURCE, DESTINATION, TIMEOUT]),
    );

fn blpop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    pop_or_wait(call, End::Head)
}

fn brpop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    pop_or_wait(call, End::Tail)
}

fn pop_or_wait(call: &mut Call<'_, '_>, end: End) -> Result<Outcome, ReplyError> {
    let timeout = call.argc() - 1;
    let deadline = seconds(call, timeout)?;
    pop_first_or_wait(call, 1..timeout, end, 1, Answer::Pair, deadline)
}

fn blmpop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let MultiPop { keys, end, count } = MultiPop::parse(call, 2, end)?;
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
        if call.has::<List>(&key)? && call.reaches(&key) && pop(call, &key, end, count, answer)? {
            return Ok(Outcome::Done);
        }
    }
    Ok(wait(call, deadline, WaitKeys::of(Kind::List, keys), Reply::null_array))
}

fn blmove(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (from, to) = (end(call, 3)?, end(call, 4)?);
    let deadline = seconds(call, 5)?;
    move_or_wait(call, from, to, deadline)
}

fn brpoplpush(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let deadline = seconds(call, 3)?;
    move_or_wait(call, End::Tail, End::Head, deadline)
}

fn move_or_wait(
    call: &mut Call<'_, '_>,
    from: End,
    to: End,
    deadline: Option<Millis>,
) -> Result<Outcome, ReplyError> {
    if move_one(call, from, to)? {
        return Ok(Outcome::Done);
    }
    let keys = WaitKeys { destination: Some(2), ..WaitKeys::of(Kind::List, 1..2) };
    Ok(wait(call, deadline, keys, Reply::null))
}
