//! LSET, LINSERT, LREM, LTRIM: changes in the middle of a list.

use super::docs::{DELETE, ELEMENT, INSERT, KEY};
use super::{index, number};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NO_KEY, NOT_INTEGER, ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number::parse_i64;
use dunlin_storage::value::index_range::IndexRange;
use dunlin_storage::value::list::{End, List, Side};

const OUT_OF_RANGE: ReplyError = ReplyError::new("ERR index out of range");

pub(super) const LSET: Command = Command::new("lset", Arity::exactly(4), lset)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::one(1).update()])
    .docs(
        Docs::new(
            Group::List,
            "1.0.0",
            "O(N) where N is the length of the list. Setting either the first or the last \
             element of the list is O(1).",
            "Puts an element in the place of the one at an index of a list.",
        )
        .args(&[KEY, Arg::integer("index"), ELEMENT]),
    );

fn lset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, text, element) = (call.key(1), call.arg(2), call.arg(3));
    let (reader, _) = call.split_to_change();
    let len = reader.list(&key)?.ok_or(NO_KEY)?.len();
    let wanted = parse_i64(text).ok_or(NOT_INTEGER)?;
    let index = index(wanted, len).filter(|index| *index < len).ok_or(OUT_OF_RANGE)?;
    call.edit(&key, |list: &mut List, limits| {
        list.prepare(1, element.len(), &limits.list);
        list.set(index, element, &limits.list);
        list.settle(&limits.list);
    })?;
    call.notify(Class::LIST, "lset", &key);
    call.reply.ok();
    Ok(Outcome::Done)
}

pub(super) const LINSERT: Command = Command::new("linsert", Arity::exactly(5), linsert)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(INSERT)
    .docs(
        Docs::new(
            Group::List,
            "2.2.0",
            "O(N) where N is the number of elements to traverse before seeing the value pivot. \
             This means that inserting somewhere on the left end on the list (head) can be \
             considered O(1) and inserting somewhere on the right end (tail) is O(N).",
            "Adds an element beside another one of a list.",
        )
        .args(&[
            KEY,
            Arg::one_of("where", &[Arg::flag("before", "BEFORE"), Arg::flag("after", "AFTER")]),
            Arg::string("pivot"),
            ELEMENT,
        ]),
    );

fn linsert(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let side = match 2 {
        at if call.is(at, "before") => Side::Before,
        at if call.is(at, "after") => Side::After,
        _ => return Err(SYNTAX),
    };
    let (key, pivot, element) = (call.key(1), call.arg(3), call.arg(4));
    let (reader, reply) = call.split_to_change();
    let Some(list) = reader.list(&key)? else {
        reply.int(0);
        return Ok(Outcome::Done);
    };
    let Some(index) = list.find(pivot, 0..list.len(), End::Head).next() else {
        reply.int(-1);
        return Ok(Outcome::Done);
    };
    let len = call.edit(&key, |list: &mut List, limits| {
        list.prepare(1, element.len(), &limits.list);
        list.insert(index, side, element, &limits.list);
        list.len()
    })?;
    call.notify(Class::LIST, "linsert", &key);
    call.reply.int(number(len.unwrap_or(0)));
    Ok(Outcome::Done)
}

pub(super) const LREM: Command =
    Command::new("lrem", Arity::exactly(4), lrem).flags(flag_set!(WRITE)).keys(DELETE).docs(
        Docs::new(
            Group::List,
            "1.0.0",
            "O(N+M) where N is the length of the list and M is the number of elements removed.",
            "Removes the elements of a list that are equal to another one; with its last element \
             the list goes.",
        )
        .args(&[KEY, Arg::integer("count"), ELEMENT]),
    );

fn lrem(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, count, element) = (call.key(1), call.int(2)?, call.arg(3));
    let from = if count < 0 { End::Tail } else { End::Head };
    let most = match count.unsigned_abs() {
        0 => usize::MAX,
        count => usize::try_from(count).unwrap_or(usize::MAX),
    };
    let removed = call.edit(&key, |list: &mut List, limits| {
        let removed = list.remove_equal(element, from, most);
        if removed > 0 {
            list.settle(&limits.list);
        }
        removed
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        call.notify_taken(Class::LIST, "lrem", &key);
    }
    call.reply.int(number(removed));
    Ok(Outcome::Done)
}

pub(super) const LTRIM: Command =
    Command::new("ltrim", Arity::exactly(4), ltrim).flags(flag_set!(WRITE)).keys(DELETE).docs(
        Docs::new(
            Group::List,
            "1.0.0",
            "O(N) where N is the number of elements to be removed by the operation.",
            "Removes what is outside of a range of a list; with its last element the list goes.",
        )
        .args(&[KEY, Arg::integer("start"), Arg::integer("stop")]),
    );

fn ltrim(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let range = IndexRange { start: call.int(2)?, stop: call.int(3)? };
    let key = call.key(1);
    let (reader, _) = call.split_to_change();
    if let Some(list) = reader.list(&key)? {
        let len = list.len();
        let kept = range.within(len);
        if kept.is_empty() {
            // The list as a whole is freed in its own time.
            call.take(&key);
        } else {
            call.edit(&key, |list: &mut List, limits| {
                list.remove(kept.end..len);
                list.remove(0..kept.start);
                list.settle(&limits.list);
            })?;
        }
        call.notify_taken(Class::LIST, "ltrim", &key);
    }
    call.reply.ok();
    Ok(Outcome::Done)
}
