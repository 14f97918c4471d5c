//! Fields that count: HINCRBY and HINCRBYFLOAT. The expiry of the field stays.

use super::docs::{FIELD, KEY, READ_AND_UPDATE};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_FLOAT, ReplyError};
use crate::commands::spec::{Arity, Command, Outcome};
use crate::notify::Class;
use dunlin_protocol::number::{Extended, IntText};
use dunlin_storage::value::hash::{Hash, Ttl};

pub(super) const HINCRBY: Command = Command::new("hincrby", Arity::exactly(4), hincrby)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(READ_AND_UPDATE)
    .docs(
        Docs::new(
            Group::Hash,
            "2.0.0",
            "O(1)",
            "Adds a number to the integer in a field; a missing field counts as 0.",
        )
        .args(&[KEY, FIELD, Arg::integer("increment")]),
    );

fn hincrby(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, field, now) = (call.key(1), call.arg(2), call.now);
    let delta = call.int(3)?;
    let new = call.edit_or_new(&key, |hash: &mut Hash, limits| {
        let old = match hash.view().get(field, now) {
            Some(value) => value.as_i64().ok_or("ERR hash value is not an integer")?,
            None => 0,
        };
        let new = old.checked_add(delta).ok_or("ERR increment or decrement would overflow")?;
        hash.set(field, IntText::new().i64(new), Ttl::Keep, now, &limits.hash);
        Ok::<_, ReplyError>(new)
    })??;
    call.notify(Class::HASH, "hincrby", &key);
    call.reply.int(new);
    Ok(Outcome::Done)
}

pub(super) const HINCRBYFLOAT: Command =
    Command::new("hincrbyfloat", Arity::exactly(4), hincrbyfloat)
        .flags(flag_set!(WRITE | DENYOOM | FAST))
        .keys(READ_AND_UPDATE)
        .docs(
            Docs::new(
                Group::Hash,
                "2.6.0",
                "O(1)",
                "Adds a floating point number to the one in a field; a missing field counts as 0.",
            )
            .args(&[KEY, FIELD, Arg::double("increment")]),
        );

fn hincrbyfloat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, field, now) = (call.key(1), call.arg(2), call.now);
    let delta = Extended::parse(call.arg(3)).ok_or(NOT_FLOAT)?;
    if delta.is_infinite() {
        return Err("ERR value is NaN or Infinity".into());
    }
    let new = call.edit_or_new(&key, |hash: &mut Hash, limits| {
        let old = match hash.view().get(field, now) {
            Some(value) => value.with(Extended::parse),
            None => Some(Extended::ZERO),
        };
        let sum = old.ok_or("ERR hash value is not a float")?.plus(&delta);
        let new = sum.print().ok_or("ERR increment would produce NaN or Infinity")?;
        hash.set(field, &new, Ttl::Keep, now, &limits.hash);
        Ok::<_, ReplyError>(new)
    })??;
    call.notify(Class::HASH, "hincrbyfloat", &key);
    call.reply.bulk(&new);
    Ok(Outcome::Done)
}
