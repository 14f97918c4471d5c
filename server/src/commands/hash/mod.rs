//! Hashes, and their fields that expire.
//!
//! Small hashes are packed into their entries and read like strings; large ones are tables behind
//! them (see [`dunlin_storage::value::hash`]). The handlers do not know the difference.
//!
//! A field that has expired is not there for any command, whether or not it was removed yet, and a
//! hash that has no other fields is not there either.

mod docs;
mod expire;
mod get;
mod getex;
mod incr;
mod random;
mod scan;
mod set;
mod setex;
mod ttl;

use super::call::Call;
use super::collection::Reader;
use super::error::ReplyError;
use super::spec::Command;
use dunlin_protocol::Reply;
use dunlin_protocol::number::parse_i64;
use dunlin_storage::value::hash::HashRef;
use dunlin_storage::value::listpack::Element;
use dunlin_storage::{Key, Millis};
use std::ops::Range;

pub(super) static COMMANDS: &[Command] = &[
    set::HSET,
    set::HMSET,
    set::HSETNX,
    set::HDEL,
    get::HGET,
    get::HMGET,
    get::HGETALL,
    get::HKEYS,
    get::HVALS,
    get::HLEN,
    get::HSTRLEN,
    get::HEXISTS,
    incr::HINCRBY,
    incr::HINCRBYFLOAT,
    random::HRANDFIELD,
    scan::HSCAN,
    expire::HEXPIRE,
    expire::HPEXPIRE,
    expire::HEXPIREAT,
    expire::HPEXPIREAT,
    expire::HPERSIST,
    ttl::HTTL,
    ttl::HPTTL,
    ttl::HEXPIRETIME,
    ttl::HPEXPIRETIME,
    getex::HGETEX,
    getex::HGETDEL,
    setex::HSETEX,
];

/// Reply for a field that does not exist, of the commands about expiries.
const NO_FIELD: i64 = -2;

/// The hash at `key`, unless all its fields have expired.
fn read<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    key: &Key<'_>,
    now: Millis,
) -> Result<Option<HashRef<'r>>, ReplyError> {
    Ok(reader.hash(key)?.filter(|hash| !hash.is_empty(now)))
}

/// Replies a field or a value.
fn reply_text(reply: &mut Reply, text: Element<'_>) {
    match text {
        Element::Int(value) => reply.bulk_int(value),
        Element::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Replies a value or null.
fn reply_opt(reply: &mut Reply, value: Option<Element<'_>>) {
    match value {
        Some(value) => reply_text(reply, value),
        None => reply.null(),
    }
}

/// A number of fields or bytes as a reply.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The text for a number of fields that is none, where the fields expire.
const NUM_FIELDS: ReplyError =
    ReplyError::new("ERR Parameter `numFields` should be greater than 0");
/// The same where they are only looked at.
const NUMBER_OF_FIELDS: ReplyError =
    ReplyError::new("ERR Number of fields must be a positive integer");

/// The arguments that are fields in `FIELDS numfields field [field ...]`, which begins at argument
/// `at` and ends the command line. `bad_number` is the error for a number that is none.
fn fields(
    call: &Call<'_, '_>,
    at: usize,
    bad_number: ReplyError,
) -> Result<Range<usize>, ReplyError> {
    if at >= call.argc() || !call.is(at, "fields") {
        let text = "ERR Mandatory argument FIELDS is missing or not at the right position";
        return Err(text.into());
    }
    let first = at + 2;
    if first > call.argc() {
        return Err(super::error::wrong_arity(&call.entry.full_name));
    }
    let count = parse_i64(call.arg(at + 1)).filter(|count| *count > 0).ok_or(bad_number)?;
    if usize::try_from(count).ok() != Some(call.argc() - first) {
        return Err("ERR The `numfields` parameter must match the number of arguments".into());
    }
    Ok(first..call.argc())
}
