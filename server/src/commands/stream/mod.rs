//! Streams.
//!
//! The entries and the groups are [`dunlin_storage::value::stream`]; here are the words. A command
//! first parses everything that needs no key, as its errors come first, then changes the stream, and
//! then replies from it: what a change leaves to be told are identifiers.
//!
//! A stream stays when its last entry goes; only DEL and expiry remove its key.

mod add;
mod claim;
mod delete;
mod docs;
mod group;
mod id;
mod info;
mod pending;
mod range;
mod read;
mod trim;

use super::call::Call;
use super::error::{ReplyError, quoting};
use super::spec::Command;
use crate::notify::Class;
use dunlin_protocol::Reply;
use dunlin_protocol::number::{IntText, MAX_INT_TEXT};
use dunlin_storage::Key;
use dunlin_storage::value::listpack::Element;
use dunlin_storage::value::stream::{Entry, Limits, Stream, StreamId};

pub(super) static COMMANDS: &[Command] = &[
    pending::XACK,
    add::XADD,
    claim::XAUTOCLAIM,
    claim::XCLAIM,
    delete::XDEL,
    group::XGROUP,
    info::XINFO,
    range::XLEN,
    pending::XPENDING,
    range::XRANGE,
    read::XREAD,
    read::XREADGROUP,
    range::XREVRANGE,
    delete::XSETID,
    trim::XTRIM,
];

/// Lets `write` reply from the stream at `key`; `None` if there is none.
fn reply_from<R>(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    write: impl FnOnce(&Stream, &mut Reply) -> R,
) -> Result<Option<R>, ReplyError> {
    let (reader, reply) = call.split();
    Ok(reader.stream(key)?.map(|stream| write(stream, reply)))
}

/// Changes the stream at `key`; `None` if there is none.
fn edit<R>(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    change: impl FnOnce(&mut Stream, &Limits) -> R,
) -> Result<Option<R>, ReplyError> {
    call.edit(key, |stream, limits| change(stream, &limits.stream))
}

/// Changes the stream at `key`, or a new one.
fn edit_or_new<R>(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    change: impl FnOnce(&mut Stream, &Limits) -> R,
) -> Result<R, ReplyError> {
    call.edit_or_new(key, |stream, limits| change(stream, &limits.stream))
}

/// Longest text of an identifier: two numbers and the dash between them.
const MAX_ID_TEXT: usize = 2 * MAX_INT_TEXT + 1;

/// Tells of a consumer that a command has added to a group because it was not there.
fn notify_consumer(call: &mut Call<'_, '_>, key: &Key<'_>, is_new: bool) {
    if is_new {
        call.notify(Class::STREAM, "xgroup-createconsumer", key);
    }
}

/// Replies an identifier.
fn reply_id(reply: &mut Reply, id: StreamId) {
    let (mut ms, mut seq) = (IntText::new(), IntText::new());
    let (ms, seq) = (ms.u64(id.ms), seq.u64(id.seq));
    let mut text = [b'-'; MAX_ID_TEXT];
    let len = ms.len() + 1 + seq.len();
    text[..ms.len()].copy_from_slice(ms);
    text[ms.len() + 1..len].copy_from_slice(seq);
    reply.bulk(&text[..len]);
}

/// Replies identifiers.
fn reply_ids(reply: &mut Reply, ids: &[StreamId]) {
    reply.array(ids.len());
    ids.iter().for_each(|id| reply_id(reply, *id));
}

/// Replies one entry.
fn reply_entry(reply: &mut Reply, entry: Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id());
    reply.array(2 * entry.width());
    for (name, value) in entry.fields() {
        reply_element(reply, name);
        reply_element(reply, value);
    }
}

fn reply_element(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Int(value) => reply.bulk_int(value),
        Element::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Replies entries in an array.
fn reply_entries<'s>(reply: &mut Reply, entries: impl Iterator<Item = Entry<'s>>) {
    let list = reply.deferred_array();
    let mut count = 0;
    for entry in entries {
        reply_entry(reply, entry);
        count += 1;
    }
    reply.finish_deferred(list, count);
}

/// Replies the entries with these identifiers, which are in the stream.
fn reply_found(reply: &mut Reply, stream: &Stream, ids: &[StreamId]) {
    reply_entries(reply, ids.iter().filter_map(|id| stream.log.get(*id)));
}

/// Replies an integer that cannot be negative.
fn reply_count(reply: &mut Reply, count: impl TryInto<i64>) {
    reply.int(count.try_into().unwrap_or(i64::MAX));
}

/// The error of a key or group that is not there.
fn no_group(key: &[u8], group: &[u8], after: &str) -> ReplyError {
    let before = quoting("NOGROUP No such key '", key, "' or consumer group '");
    quoting_more(&before, group, after)
}

/// The error of a group that is not there, of commands that look the key up on its own.
fn no_group_of(key: &[u8], group: &[u8]) -> ReplyError {
    let before = quoting("NOGROUP No such consumer group '", group, "' for key name '");
    quoting_more(&before, key, "'")
}

fn quoting_more(before: &ReplyError, input: &[u8], after: &str) -> ReplyError {
    let rest = quoting("", input, after);
    [before.text(), rest.text()].concat().into()
}

/// A count that takes negative numbers for nothing.
fn count_arg(call: &Call<'_, '_>, i: usize) -> Result<u64, ReplyError> {
    call.int(i).map(|count| u64::try_from(count).unwrap_or(0))
}

/// A count of which 0 stands for all.
fn at_most(count: u64) -> usize {
    match count {
        0 => usize::MAX,
        count => usize::try_from(count).unwrap_or(usize::MAX),
    }
}
