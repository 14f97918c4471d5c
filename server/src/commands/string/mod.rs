//! Strings.
//!
//! A small string lives in its entry; one beyond 8 KB is a rope of shared chunks of up to 32 KiB, from which
//! it is replied. Arguments beyond that come in chunks of the same size and are stored without a copy.
//! Updates of a rope copy the chunks they touch.
//!
//! A string that was updated in place keeps the mark `raw`, because clients see it in OBJECT
//! ENCODING.

mod compare;
mod counter;
mod docs;
mod get;
mod increx;
mod lcs;
mod multi;
mod range;
mod set;

use super::call::{Call, string_of};
use super::error::{ReplyError, TOO_LONG};
use super::spec::Command;
use crate::notify::Class;
pub(super) use range::{clamp, rope_of, write_at};

use dunlin_protocol::{ArgValue, Reply};
use dunlin_storage::{Key, Millis, NewValue, Rope, Str};

pub(super) static COMMANDS: &[Command] = &[
    get::GET,
    get::GETDEL,
    get::GETEX,
    get::STRLEN,
    set::SET,
    set::SETNX,
    set::SETEX,
    set::PSETEX,
    set::GETSET,
    compare::DELEX,
    compare::DELIFEQ,
    compare::DIGEST,
    counter::INCR,
    counter::DECR,
    counter::INCRBY,
    counter::DECRBY,
    counter::INCRBYFLOAT,
    increx::INCREX,
    multi::MGET,
    multi::MSET,
    multi::MSETNX,
    multi::MSETEX,
    range::APPEND,
    range::SETRANGE,
    range::GETRANGE,
    range::SUBSTR,
    lcs::LCS,
];

/// A string up to this length is one chunk, if not in its entry, and made anew as a whole.
pub(super) const ONE_CHUNK: usize = dunlin_protocol::limits::CHUNK;

/// `proto-max-bulk-len` cannot be set lower, so shorter strings need no look at the settings.
const LEAST_MAX_LEN: usize = 1024 * 1024;

/// The value to store for an argument: big ones as the chunks they came in.
#[inline]
fn new_value(arg: ArgValue<'_>) -> NewValue<'_> {
    match arg {
        ArgValue::Slice(bytes) => NewValue::Bytes(bytes),
        ArgValue::Chunks { chunks, .. } => NewValue::Rope(Rope::from_chunks(chunks.to_vec())),
    }
}

/// Replies a whole string.
#[inline]
pub(super) fn reply_str(reply: &mut Reply, value: Str<'_>) {
    match value {
        Str::Inline { bytes, .. } => reply.bulk(bytes),
        Str::Rope(rope) => reply.bulk_chunks(rope.len(), rope.chunks().cloned()),
    }
}

/// Replies a string or null.
#[inline]
fn reply_opt(reply: &mut Reply, value: Option<Str<'_>>) {
    match value {
        Some(value) => reply_str(reply, value),
        None => reply.null(),
    }
}

/// The string at `key` and the expire time of its entry, for commands that will replace it.
#[inline]
pub(super) fn for_update<'g>(
    call: &Call<'_, 'g>,
    key: &Key<'_>,
) -> Result<Option<(Str<'g>, Option<Millis>)>, ReplyError> {
    match call.find(key) {
        Some(entry) => Ok(Some((string_of(&entry)?, entry.expire_at()))),
        None => Ok(None),
    }
}

/// Stores `value` with the deadline and tells of it as `event`, and of a deadline that is `given`
/// with the command. One in the past removes the key: set, and expired at once.
fn store(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    value: NewValue<'_>,
    at: Option<Millis>,
    (event, given): (&str, bool),
) {
    let past = at.is_some_and(|at| at <= call.now);
    if !past {
        call.put(key, value, at);
    } else if !call.take(key) {
        call.notify(Class::NEW, "new", key);
    }
    call.notify(Class::STRING, event, key);
    if given {
        call.notify(Class::GENERIC, "expire", key);
    }
    if past {
        call.notify(Class::EXPIRED, "expired", key);
    }
}

/// Refuses strings longer than `proto-max-bulk-len`; `None` is a length that overflowed.
#[inline]
fn check_len(call: &Call<'_, '_>, len: Option<usize>) -> Result<usize, ReplyError> {
    match len {
        Some(len) if len <= LEAST_MAX_LEN => Ok(len),
        Some(len) if len <= max_len(call) => Ok(len),
        _ => Err(TOO_LONG),
    }
}

/// Longest string in bytes.
pub(super) fn max_len(call: &Call<'_, '_>) -> usize {
    call.server.settings().proto_max_bulk_len
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_protocol::{Decoder, Limits};

    /// The arguments that are keys according to the row of the command in `line`.
    fn keys(line: &str) -> Option<Vec<usize>> {
        let name = line.split(' ').next()?;
        let rows = COMMANDS.iter().chain(crate::commands::bitmap::COMMANDS);
        let row = rows.into_iter().find(|row| row.name == name)?;
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(format!("{line}\r\n").as_bytes());
        assert_eq!(decoder.parse(1), 1);
        let mut found = Vec::new();
        row.each_key(&decoder.request(0), &mut |i| found.push(i)).then_some(found)
    }

    #[test]
    fn rows_find_their_keys() {
        assert_eq!(keys("get a"), Some(vec![1]));
        assert_eq!(keys("set a b ex 1"), Some(vec![1]));
        assert_eq!(keys("lcs a b"), Some(vec![1, 2]));
        assert_eq!(keys("lcs a b idx"), Some(vec![1, 2]));
        assert_eq!(keys("mget a b c"), Some(vec![1, 2, 3]));
        assert_eq!(keys("mset a 1 b 2"), Some(vec![1, 3]));
        assert_eq!(keys("msetnx a 1"), Some(vec![1]));
        assert_eq!(keys("msetex 2 a 1 b 2 nx ex 1"), Some(vec![2, 4]));
        assert_eq!(keys("msetex 9 a 1 b 2"), None);
        assert_eq!(keys("bitop and d a b"), Some(vec![2, 3, 4]));
        assert_eq!(keys("bitfield a get u8 0"), Some(vec![1]));
    }
}
