//! Parts of strings: APPEND, SETRANGE, GETRANGE, SUBSTR.

use super::docs::KEY;
use super::{check_len, for_update};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Flags, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::value::rope::CHUNK;
use dunlin_storage::{BIG_VALUE, Key, Millis, NewValue, Rope, Str};

/// Ranges of this length are sent from where they are: they hold at most twice as much as they send.
const MIN_SHARED: usize = 2 * CHUNK;

pub(super) const APPEND: Command = Command::new("append", Arity::exactly(3), append)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::INSERT)])
    .docs(
        Docs::new(
            Group::String,
            "2.0.0",
            "O(1) for short strings; of a long one at most the last 32 KiB are copied.",
            "Adds bytes at the end of a string; a missing key counts as empty.",
        )
        .args(&[KEY, Arg::string("value")]),
    );

fn append(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let tail = call.arg(2);
    let len = match for_update(call, &key)? {
        // A new string is as if it had been SET: 12 is an integer.
        None => {
            call.put(&key, NewValue::Bytes(tail), None);
            tail.len()
        }
        Some((old, expire_at)) => {
            let len = check_len(call, old.len().checked_add(tail.len()))?;
            if let Some(bytes) = old.as_slice().filter(|_| len <= BIG_VALUE) {
                let mut new = Vec::with_capacity(len);
                new.extend_from_slice(bytes);
                new.extend_from_slice(tail);
                call.put(&key, NewValue::Raw(&new), expire_at);
            } else {
                call.put(&key, NewValue::Rope(rope_of(old).append(tail)), expire_at);
            }
            len
        }
    };
    call.notify(Class::STRING, "append", &key);
    call.reply.int(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

/// The string as a rope: a reference, or a copy of a short one.
pub(in crate::commands) fn rope_of(value: Str<'_>) -> Rope {
    match value {
        Str::Inline { bytes, .. } => Rope::from_bytes(bytes),
        Str::Rope(rope) => rope.clone(),
    }
}

pub(super) const SETRANGE: Command = Command::new("setrange", Arity::exactly(4), setrange)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::one(1).update()])
    .docs(
        Docs::new(
            Group::String,
            "2.2.0",
            "O(M) with M being the length of the value; of a long string the 32 KiB around it are \
             copied.",
            "Overwrites part of a string; it grows as needed, gaps are zero bytes.",
        )
        .args(&[KEY, Arg::integer("offset"), Arg::string("value")]),
    );

fn setrange(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let offset = call.int(2)?;
    let offset = usize::try_from(offset).map_err(|_| "ERR offset is out of range")?;
    let part = call.arg(3);
    let key = call.key(1);
    let (old, expire_at) = match for_update(call, &key)? {
        Some((old, expire_at)) => (old, expire_at),
        None => (Str::Inline { bytes: b"", raw: true }, None),
    };
    let mut len = old.len();
    if !part.is_empty() {
        len = len.max(check_len(call, offset.checked_add(part.len()))?);
        write_at(call, &key, (old, expire_at), offset, part);
        call.notify(Class::STRING, "setrange", &key);
    }
    call.reply.int(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

/// Stores `old` with `part` written at `offset`, zeros before it where there was nothing. The
/// caller tells of it.
pub(in crate::commands) fn write_at(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    (old, expire_at): (Str<'_>, Option<Millis>),
    offset: usize,
    part: &[u8],
) {
    let end = offset + part.len();
    let len = old.len().max(end);
    if let Some(bytes) = old.as_slice().filter(|_| len <= BIG_VALUE) {
        let mut new = Vec::with_capacity(len);
        new.extend_from_slice(bytes);
        new.resize(len, 0);
        new[offset..end].copy_from_slice(part);
        call.put(key, NewValue::Raw(&new), expire_at);
    } else {
        call.put(key, NewValue::Rope(rope_of(old).write_at(offset, part)), expire_at);
    }
}

const RANGE_KEYS: &[KeySpec] = &[KeySpec::one(1).read()];
const RANGE_ARGS: &[Arg] = &[KEY, Arg::integer("start"), Arg::integer("end")];
const RANGE_COMPLEXITY: &str = "O(N) where N is the length of the returned string; parts of long \
                                strings are not copied.";

pub(super) const GETRANGE: Command = Command::new("getrange", Arity::exactly(4), getrange)
    .flags(Flags::READONLY)
    .keys(RANGE_KEYS)
    .docs(
        Docs::new(Group::String, "2.4.0", RANGE_COMPLEXITY, "Replies part of a string.")
            .args(RANGE_ARGS),
    );

pub(super) const SUBSTR: Command = Command::new("substr", Arity::exactly(4), getrange)
    .flags(Flags::READONLY)
    .keys(RANGE_KEYS)
    .docs(
        Docs::new(Group::String, "1.0.0", RANGE_COMPLEXITY, "Replies part of a string.")
            .args(RANGE_ARGS)
            .deprecated("2.0.0", "`GETRANGE`"),
    );

fn getrange(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let key = call.key(1);
    let Some(value) = call.lookup_str(&key)? else {
        call.reply.bulk(b"");
        return Ok(Outcome::Done);
    };
    let (start, end) = clamp(start, end, value.len());
    match value {
        Str::Inline { bytes, .. } => call.reply.bulk(&bytes[start..end]),
        // A chunk that is sent from where it is stays in memory as a whole until it is sent.
        Str::Rope(rope) if end - start < MIN_SHARED => {
            call.reply.bulk_pieces(end - start, rope.slices(start, end));
        }
        Str::Rope(rope) => call.reply.bulk_chunks(end - start, rope.slice(start, end)),
    }
    Ok(Outcome::Done)
}

/// The half-open range of `len` bytes (or bits) between `start` and `end`, which is included.
/// Negative ones count from the end.
pub(in crate::commands) fn clamp(start: i64, end: i64, len: usize) -> (usize, usize) {
    if start < 0 && end < 0 && start > end {
        return (0, 0);
    }
    let total = i64::try_from(len).unwrap_or(i64::MAX);
    let absolute = |i: i64| {
        if i < 0 { total.saturating_add(i).max(0) } else { i }
    };
    let (start, end) = (absolute(start), absolute(end).min(total - 1));
    if start > end {
        return (0, 0);
    }
    let index = |i: i64| usize::try_from(i).unwrap_or(0).min(len);
    (index(start), index(end) + 1)
}

#[cfg(test)]
mod tests {
    use super::clamp;

    #[test]
    fn ranges_as_redis_reads_them() {
        let part = |start, end| {
            let (start, end) = clamp(start, end, 11);
            &"Hello World"[start..end]
        };
        assert_eq!(part(0, 3), "Hell");
        assert_eq!(part(0, -1), "Hello World");
        assert_eq!(part(-4, -1), "orld");
        assert_eq!(part(5, 3), "");
        assert_eq!(part(5, 5000), " World");
        assert_eq!(part(-5000, 10000), "Hello World");
        // A range before the start: clamped to the first byte unless it is reversed.
        assert_eq!(part(0, -100), "H");
        assert_eq!(part(-100, -99), "H");
        assert_eq!(part(-100, -101), "");
        assert_eq!(part(1, -100), "");
        assert_eq!(part(i64::MAX, i64::MIN), "");
        assert_eq!(part(i64::MIN, i64::MAX), "Hello World");
        assert_eq!(clamp(0, -1, 0), (0, 0));
    }
}
