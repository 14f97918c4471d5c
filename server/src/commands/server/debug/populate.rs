//! DEBUG POPULATE: many keys at once.

use crate::commands::call::Call;
use crate::commands::error::{NEEDS_ROLE, NOT_POSITIVE, OUT_OF_RANGE, ReplyError};
use crate::commands::spec::Outcome;
use dunlin_storage::{NewValue, ShardSet};

/// Keys of one command: until it is done nobody else writes.
const MAX_KEYS: i64 = 1 << 24;
/// Length of a value.
const MAX_SIZE: usize = 1 << 20;

/// POPULATE count [prefix [size]]: strings `prefix:0`, `prefix:1`, ... where there is no key yet.
pub(super) fn run(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let count = positive(call, 2)?;
    let prefix = if call.argc() > 3 { call.arg(3) } else { b"key" };
    let size = match call.argc() {
        5 => usize::try_from(positive(call, 4)?).unwrap_or(usize::MAX),
        _ => 0,
    };
    if count > MAX_KEYS || size > MAX_SIZE {
        return Err(OUT_OF_RANGE);
    }
    // The row names no keys, so dispatch has to be asked for all roles.
    let all = ShardSet::all(call.keyspace());
    if !call.writer.as_ref().is_some_and(|writer| all.iter().all(|shard| writer.holds(shard))) {
        return Err(NEEDS_ROLE);
    }
    for number in 0..count {
        let number = number.to_string();
        let name = [prefix, b":", number.as_bytes()].concat();
        let key = call.keyspace().key(&name);
        if call.find(&key).is_some() {
            continue;
        }
        let mut value = [b"value:", number.as_bytes()].concat();
        if size > 0 {
            value.resize(size, 0);
        }
        call.put(&key, NewValue::Bytes(&value), None);
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

fn positive(call: &Call<'_, '_>, at: usize) -> Result<i64, ReplyError> {
    call.int(at).ok().filter(|number| *number >= 0).ok_or(NOT_POSITIVE)
}
