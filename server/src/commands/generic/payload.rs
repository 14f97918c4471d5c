//! Any value as a payload, and any payload as a value, for commands.

use crate::commands::collection::{Limits, Reader};
use crate::commands::error::ReplyError;
use crate::rdb::stream::Form;
use crate::rdb::{self, Refused, Strings, object};
use crate::runtime::clock::Skew;
use dunlin_storage::{Entry, Millis, Value};

pub(in crate::commands) use crate::rdb::object::Loaded;

/// The payload of the value of `entry`; `None` if all of it has expired.
pub(in crate::commands) fn dump<'g>(
    reader: &Reader<'_, 'g>,
    entry: &Entry<'g>,
    limits: &Limits,
    now: Millis,
    skew: Skew,
) -> Result<Option<Vec<u8>>, ReplyError> {
    let strings = Strings::Packed;
    let payload = match entry.value() {
        Value::Str(string) => rdb::dump_string(strings, &string.to_cow()),
        Value::Packed(packed) => object::dump_packed(strings, packed, &limits.list, now, skew),
        _ => {
            let object = reader.object(entry)?;
            if object.is_gone(now) {
                return Ok(None);
            }
            object::dump_object(strings, object, Form::Redis70, &limits.list, now, skew)
        }
    };
    Ok(Some(payload.seal()))
}

/// The value in a payload; `None` if all of it has expired.
pub(in crate::commands) fn load<'p>(
    payload: &'p [u8],
    limits: &Limits,
    now: Millis,
    skew: Skew,
) -> Result<Option<Loaded<'p>>, Refused> {
    object::load(rdb::load(payload)?, limits, now, skew)
}
