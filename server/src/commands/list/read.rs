//! LLEN, LINDEX, LRANGE: lists are read.

use super::docs::{KEY, LOOK, READ};
use super::{index, number, reply_item};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_INTEGER, ReplyError};
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::number::parse_i64;
use dunlin_storage::value::index_range::IndexRange;

pub(super) const LLEN: Command = Command::new("llen", Arity::exactly(2), llen)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOK)
    .docs(Docs::new(Group::List, "1.0.0", "O(1)", "Returns the length of a list.").args(&[KEY]));

fn llen(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (reader, reply) = call.split();
    let len = reader.list(&key)?.map_or(0, |list| list.len());
    reply.int(number(len));
    Ok(Outcome::Done)
}

pub(super) const LINDEX: Command =
    Command::new("lindex", Arity::exactly(3), lindex).flags(flag_set!(READONLY)).keys(READ).docs(
        Docs::new(
            Group::List,
            "1.0.0",
            "O(N) where N is the number of elements to traverse to get to the element at index. \
             This makes asking for the first or the last element of the list O(1).",
            "Returns the element at an index of a list.",
        )
        .args(&[KEY, Arg::integer("index")]),
    );

fn lindex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, text) = (call.key(1), call.arg(2));
    let (reader, reply) = call.split();
    // Without a list the index does not matter.
    let Some(list) = reader.list(&key)? else {
        reply.null();
        return Ok(Outcome::Done);
    };
    let wanted = parse_i64(text).ok_or(NOT_INTEGER)?;
    match index(wanted, list.len()).and_then(|index| list.get(index)) {
        Some(item) => reply_item(reply, item),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

pub(super) const LRANGE: Command =
    Command::new("lrange", Arity::exactly(4), lrange).flags(flag_set!(READONLY)).keys(READ).docs(
        Docs::new(
            Group::List,
            "1.0.0",
            "O(S+N) where S is the distance of start offset from HEAD for small lists, from \
             nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the \
             specified range.",
            "Returns the elements of a range of a list.",
        )
        .args(&[KEY, Arg::integer("start"), Arg::integer("stop")]),
    );

fn lrange(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let range = IndexRange { start: call.int(2)?, stop: call.int(3)? };
    let key = call.key(1);
    let (reader, reply) = call.split();
    let Some(list) = reader.list(&key)? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    let items = list.range(range.within(list.len()));
    reply.array(items.len());
    items.for_each(|item| reply_item(reply, item));
    Ok(Outcome::Done)
}
