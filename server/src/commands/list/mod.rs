//! Lists.
//!
//! Small ones are packed into their entries and read like strings; large ones are quicklists behind
//! them (see [`dunlin_storage::value::list`]). The handlers do not know the difference, but tell a
//! list what is to come ([`List::prepare`]) and that something has gone ([`List::settle`]), as that
//! is when Redis changes the form.
//!
//! [`List::prepare`]: dunlin_storage::value::list::List::prepare
//! [`List::settle`]: dunlin_storage::value::list::List::settle

mod blocking;
mod docs;
mod edit;
mod find;
mod move_between;
mod pop;
mod push;
mod read;

use super::call::Call;
use super::error::{ReplyError, SYNTAX};
use super::spec::Command;
use dunlin_protocol::Reply;
use dunlin_storage::value::list::{End, Item};
use dunlin_storage::value::listpack::Element;
use std::ops::Range;

pub(super) static COMMANDS: &[Command] = &[
    push::LPUSH,
    push::RPUSH,
    push::LPUSHX,
    push::RPUSHX,
    pop::LPOP,
    pop::RPOP,
    pop::LMPOP,
    read::LLEN,
    read::LINDEX,
    read::LRANGE,
    find::LPOS,
    edit::LSET,
    edit::LINSERT,
    edit::LREM,
    edit::LTRIM,
    move_between::LMOVE,
    move_between::RPOPLPUSH,
    blocking::BLPOP,
    blocking::BRPOP,
    blocking::BLMPOP,
    blocking::BLMOVE,
    blocking::BRPOPLPUSH,
];

/// Replies an element; a large one is sent from where it is.
fn reply_item(reply: &mut Reply, item: Item<'_>) {
    match item {
        Item::Packed(Element::Int(value)) => reply.bulk_int(value),
        Item::Packed(Element::Bytes(bytes)) => reply.bulk(bytes),
        Item::Plain(bytes) => reply.bulk_chunks(bytes.len(), std::iter::once(bytes.clone())),
    }
}

/// LEFT or RIGHT in argument `at`.
fn end(call: &Call<'_, '_>, at: usize) -> Result<End, ReplyError> {
    match at {
        at if call.is(at, "left") => Ok(End::Head),
        at if call.is(at, "right") => Ok(End::Tail),
        _ => Err(SYNTAX),
    }
}

/// The events of an end.
fn events(end: End) -> Events {
    match end {
        End::Head => Events { push: "lpush", pop: "lpop" },
        End::Tail => Events { push: "rpush", pop: "rpop" },
    }
}

/// What happens at an end of a list, by its name.
struct Events {
    push: &'static str,
    pop: &'static str,
}

/// The first `count` indices from an end of a list of `len` elements.
fn first(end: End, count: usize, len: usize) -> Range<usize> {
    let count = count.min(len);
    match end {
        End::Head => 0..count,
        End::Tail => len - count..len,
    }
}

/// An index that may be counted from the end: -1 is the last element.
fn index(index: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let index = if index < 0 { index.saturating_add(len) } else { index };
    usize::try_from(index).ok()
}

/// A number of elements as a reply.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_from_both_ends() {
        assert_eq!((index(0, 5), index(4, 5), index(9, 5)), (Some(0), Some(4), Some(9)));
        assert_eq!((index(-1, 5), index(-5, 5), index(-6, 5)), (Some(4), Some(0), None));
        assert_eq!(index(i64::MIN, 5), None);
        assert_eq!(first(End::Head, 2, 5), 0..2);
        assert_eq!(first(End::Tail, 2, 5), 3..5);
        assert_eq!(first(End::Tail, 9, 5), 0..5);
    }
}
