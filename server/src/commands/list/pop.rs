//! LPOP, RPOP, LMPOP: elements are taken from one end.

use super::docs::{ENDS, KEY, TAKE};
use super::{end, events, first, reply_item};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_POSITIVE, ReplyError, wrong_arity};
use crate::commands::multi_pop::MultiPop;
use crate::commands::spec::{Arity, Command, Handler, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number::parse_i64;
use dunlin_storage::Key;
use dunlin_storage::value::list::{End, List};
use std::ops::Range;

const KEYS: &[KeySpec] = &[KeySpec::one(1).with(TAKE)];
const ARGS: &[Arg] = &[KEY, Arg::integer("count").since("6.2.0").optional()];

pub(super) const LPOP: Command = row(
    "lpop",
    lpop,
    "Removes the first elements of a list and returns them; with its last element the list goes.",
);
pub(super) const RPOP: Command = row(
    "rpop",
    rpop,
    "Removes the last elements of a list and returns them; with its last element the list goes.",
);

const fn row(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, Arity::at_least(2), handler)
        .flags(flag_set!(WRITE | FAST))
        .keys(KEYS)
        .grows_from(3)
        .docs(
            Docs::new(
                Group::List,
                "1.0.0",
                "O(N) where N is the number of elements returned",
                summary,
            )
            .history(&[("6.2.0", "Added the `count` argument.")])
            .args(ARGS),
        )
}

pub(super) const LMPOP: Command = Command::new("lmpop", Arity::at_least(4), lmpop)
    .flags(flag_set!(WRITE))
    .keys(&[KeySpec::counted(1).with(TAKE)])
    .docs(
        Docs::new(
            Group::List,
            "7.0.0",
            "O(N+M) where N is the number of provided keys and M is the number of elements \
             returned.",
            "Removes elements from the first of several lists that exists, and returns them.",
        )
        .args(&[
            Arg::integer("numkeys"),
            KEY.multiple(),
            Arg::one_of("where", ENDS),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    );

/// How popped elements are replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The element.
    Single,
    /// The elements.
    List,
    /// The key, then the element.
    Pair,
    /// The key, then the elements.
    Keyed,
}

fn lpop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    pop_one_key(call, End::Head)
}

fn rpop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    pop_one_key(call, End::Tail)
}

fn pop_one_key(call: &mut Call<'_, '_>, end: End) -> Result<Outcome, ReplyError> {
    let (count, answer) = match call.argc() {
        2 => (1, Answer::Single),
        3 => {
            let count = parse_i64(call.arg(2)).and_then(|count| usize::try_from(count).ok());
            (count.ok_or(NOT_POSITIVE)?, Answer::List)
        }
        _ => return Err(wrong_arity(&call.entry.full_name)),
    };
    if !pop_first(call, 1..2, end, count, answer)? {
        match answer {
            Answer::Single => call.reply.null(),
            Answer::List | Answer::Pair | Answer::Keyed => call.reply.null_array(),
        }
    }
    Ok(Outcome::Done)
}

fn lmpop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let MultiPop { keys, end, count } = MultiPop::parse(call, 1, end)?;
    if !pop_first(call, keys, end, count, Answer::Keyed)? {
        call.reply.null_array();
    }
    Ok(Outcome::Done)
}

/// Pops from the first of several lists that exists, and replies; false, and no reply, if there is
/// none.
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

/// Pops from one list and replies; false, and no reply, if it does not exist.
pub(super) fn pop(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    end: End,
    count: usize,
    answer: Answer,
) -> Result<bool, ReplyError> {
    let (reader, reply) = call.split_to_change();
    let Some(list) = reader.list(key)? else { return Ok(false) };
    let len = list.len();
    let range = first(end, count, len);
    if matches!(answer, Answer::Pair | Answer::Keyed) {
        reply.array(2);
        reply.bulk(key.bytes);
    }
    if matches!(answer, Answer::List | Answer::Keyed) {
        reply.array(range.len());
    }
    let items = list.range(range.clone());
    match end {
        End::Head => items.for_each(|item| reply_item(reply, item)),
        End::Tail => items.rev().for_each(|item| reply_item(reply, item)),
    }
    if !range.is_empty() {
        remove(call, key, range, len)?;
        call.notify_taken(Class::LIST, events(end).pop, key);
    }
    Ok(true)
}

/// Removes a range from a list of `len` elements; if that is all, the list as a whole, which is
/// freed in its own time. Whoever calls tells of it.
pub(super) fn remove(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    range: Range<usize>,
    len: usize,
) -> Result<(), ReplyError> {
    if range.len() == len {
        call.take(key);
        return Ok(());
    }
    call.edit(key, |list: &mut List, limits| {
        list.remove(range);
        list.settle(&limits.list);
    })?;
    Ok(())
}
