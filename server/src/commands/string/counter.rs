//! Counters: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.

use super::docs::{KEY, ONLY_KEY};
use super::for_update;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_FLOAT, NOT_INTEGER, ReplyError};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number;
use dunlin_storage::NewValue;

const OVERFLOW: ReplyError = ReplyError::new("ERR increment or decrement would overflow");

const KEYS: &[KeySpec] = &[KeySpec::one(1).update().with(KeyFlags::ACCESS)];

pub(super) const INCR: Command = Command::new("incr", Arity::exactly(2), incr)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::String,
            "1.0.0",
            "O(1)",
            "Adds one to the integer at a key; a missing key counts as 0.",
        )
        .args(ONLY_KEY),
    );

fn incr(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    add(call, 1)
}

pub(super) const DECR: Command = Command::new("decr", Arity::exactly(2), decr)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::String,
            "1.0.0",
            "O(1)",
            "Subtracts one from the integer at a key; a missing key counts as 0.",
        )
        .args(ONLY_KEY),
    );

fn decr(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    add(call, -1)
}

pub(super) const INCRBY: Command = Command::new("incrby", Arity::exactly(3), incrby)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::String,
            "1.0.0",
            "O(1)",
            "Adds a number to the integer at a key; a missing key counts as 0.",
        )
        .args(&[KEY, Arg::integer("increment")]),
    );

fn incrby(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let delta = call.int(2)?;
    add(call, delta)
}

pub(super) const DECRBY: Command = Command::new("decrby", Arity::exactly(3), decrby)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::String,
            "1.0.0",
            "O(1)",
            "Subtracts a number from the integer at a key; a missing key counts as 0.",
        )
        .args(&[KEY, Arg::integer("decrement")]),
    );

fn decrby(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let delta = call.int(2)?;
    let delta = delta.checked_neg().ok_or("ERR decrement would overflow")?;
    add(call, delta)
}

fn add(call: &mut Call<'_, '_>, delta: i64) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (old, expire_at) = match for_update(call, &key)? {
        Some((value, expire_at)) => (value.as_i64().ok_or(NOT_INTEGER)?, expire_at),
        None => (0, None),
    };
    let new = old.checked_add(delta).ok_or(OVERFLOW)?;
    let mut text = itoa::Buffer::new();
    call.put(&key, NewValue::Bytes(text.format(new).as_bytes()), expire_at);
    call.notify(Class::STRING, "incrby", &key);
    call.reply.int(new);
    Ok(Outcome::Done)
}

pub(super) const INCRBYFLOAT: Command = Command::new("incrbyfloat", Arity::exactly(3), incrbyfloat)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(KEYS)
    .docs(
        Docs::new(
            Group::String,
            "2.6.0",
            "O(1)",
            "Adds a floating point number to the one at a key; a missing key counts as 0.",
        )
        .args(&[KEY, Arg::double("increment")]),
    );

fn incrbyfloat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let (old, expire_at) = match for_update(call, &key)? {
        // No number is as long as a rope.
        Some((value, expire_at)) => (value.as_slice().ok_or(NOT_FLOAT)?, expire_at),
        None => (&b"0"[..], None),
    };
    let text = number::incr_by_float(old, call.arg(2)).map_err(|error| error.to_string())?;
    call.put(&key, NewValue::Bytes(&text), expire_at);
    call.notify(Class::STRING, "incrbyfloat", &key);
    call.reply.bulk(&text);
    Ok(Outcome::Done)
}
