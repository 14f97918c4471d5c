//! LMOVE, RPOPLPUSH: an element goes from one list to another.

use super::docs::{ENDS, TAKE};
use super::pop::remove;
use super::{end, events, first};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::value::list::{End, List};

pub(super) const KEYS: &[KeySpec] =
    &[KeySpec::one(1).with(TAKE), KeySpec::one(2).with(KeyFlags::RW.with(KeyFlags::INSERT))];
pub(super) const SOURCE: Arg = Arg::key("source", 0);
pub(super) const DESTINATION: Arg = Arg::key("destination", 1);

pub(super) const LMOVE: Command = Command::new("lmove", Arity::exactly(5), lmove)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::List,
            "6.2.0",
            "O(1)",
            "Moves an element from one end of a list to one end of another, or of the same, and \
             returns it.",
        )
        .args(&[
            SOURCE,
            DESTINATION,
            Arg::one_of("wherefrom", ENDS),
            Arg::one_of("whereto", ENDS),
        ]),
    );

pub(super) const RPOPLPUSH: Command = Command::new("rpoplpush", Arity::exactly(3), rpoplpush)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::List,
            "1.2.0",
            "O(1)",
            "Moves the last element of a list to the head of another, or of the same, and \
             returns it.",
        )
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")
        .args(&[SOURCE, DESTINATION]),
    );

fn lmove(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (from, to) = (end(call, 3)?, end(call, 4)?);
    move_or_null(call, from, to)
}

fn rpoplpush(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    move_or_null(call, End::Tail, End::Head)
}

fn move_or_null(call: &mut Call<'_, '_>, from: End, to: End) -> Result<Outcome, ReplyError> {
    if !move_one(call, from, to)? {
        call.reply.null();
    }
    Ok(Outcome::Done)
}

/// Moves an element from the list at argument 1 to the one at argument 2, and replies it; false,
/// and no reply, if there is none.
pub(super) fn move_one(call: &mut Call<'_, '_>, from: End, to: End) -> Result<bool, ReplyError> {
    let (source, destination) = (call.key(1), call.key(2));
    let (reader, reply) = call.split_to_change();
    let Some(list) = reader.list(&source)? else { return Ok(false) };
    reader.list(&destination)?;
    let len = list.len();
    let range = first(from, 1, len);
    let Some(item) = list.get(range.start) else { return Ok(false) };
    super::reply_item(reply, item);
    let element = item.to_bytes();
    if source.bytes == destination.bytes {
        call.edit(&source, |list: &mut List, limits| {
            list.remove(range);
            list.prepare(1, element.len(), &limits.list);
            list.push(to, &element, &limits.list);
            list.settle(&limits.list);
        })?;
        call.notify(Class::LIST, events(to).push, &destination);
        call.notify_taken(Class::LIST, events(from).pop, &source);
        return Ok(true);
    }
    call.edit_or_new(&destination, |list: &mut List, limits| {
        list.prepare(1, element.len(), &limits.list);
        list.push(to, &element, &limits.list);
    })?;
    remove(call, &source, range, len)?;
    call.notify(Class::LIST, events(to).push, &destination);
    call.notify_taken(Class::LIST, events(from).pop, &source);
    let shard = call.server.keyspace.shard_of(destination.hash);
    call.writer().count_as_one(shard);
    Ok(true)
}
