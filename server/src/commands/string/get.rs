//! GET and its relatives: GETDEL, GETEX, STRLEN.

use super::docs::{EXPIRE_OR_PERSIST, KEY, ONLY_KEY};
use super::{reply_opt, reply_str};
use crate::commands::call::{Call, string_of};
use crate::commands::docs::{Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::expiry::{Choice, ExpireOption};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};

pub(super) const GET: Command = Command::new("get", Arity::exactly(2), get)
    .flags(flag_set!(READONLY | FAST))
    .keys(&[KeySpec::one(1).read()])
    .docs(Docs::new(Group::String, "1.0.0", "O(1)", "Replies the string at a key.").args(ONLY_KEY));

#[inline]
fn get(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let value = call.lookup_str(&key)?;
    reply_opt(call.reply, value);
    Ok(Outcome::Done)
}

pub(super) const STRLEN: Command = Command::new("strlen", Arity::exactly(2), strlen)
    .flags(flag_set!(READONLY | FAST))
    .keys(&[KeySpec::one(1).look()])
    .docs(
        Docs::new(Group::String, "2.2.0", "O(1)", "Replies the length in bytes of a string.")
            .args(ONLY_KEY),
    );

fn strlen(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let len = call.lookup_str(&key)?.map_or(0, |value| value.len());
    call.reply.int(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

pub(super) const GETDEL: Command = Command::new("getdel", Arity::exactly(2), getdel)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::ACCESS).with(KeyFlags::DELETE)])
    .docs(
        Docs::new(Group::String, "6.2.0", "O(1)", "Replies a string and removes its key.")
            .args(ONLY_KEY),
    );

fn getdel(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let value = call.lookup_str(&key)?;
    reply_opt(call.reply, value);
    if value.is_some() {
        call.remove(&key);
    }
    Ok(Outcome::Done)
}

pub(super) const GETEX: Command = Command::new("getex", Arity::at_least(2), getex)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1)
        .update()
        .with(KeyFlags::ACCESS)
        .notes("RW and UPDATE because it changes the TTL")])
    .docs(
        Docs::new(
            Group::String,
            "6.2.0",
            "O(1)",
            "Replies a string and sets or clears the expire time of its key.",
        )
        .args(&[KEY, EXPIRE_OR_PERSIST]),
    );

fn getex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut option = ExpireOption::default();
    let mut i = 2;
    while i < call.argc() {
        let used = option.take(call.arg(i), i, call.argc())?;
        if used == 0 {
            return Err(SYNTAX);
        }
        i += used;
    }
    if option.choice() == Choice::Keep {
        return Err(SYNTAX);
    }
    let key = call.key(1);
    // A missing key is answered before the expire time is looked at.
    let Some(entry) = call.lookup(&key) else {
        call.reply.null();
        return Ok(Outcome::Done);
    };
    let value = string_of(&entry)?;
    let deadline = option.deadline(call)?;
    reply_str(call.reply, value);
    match deadline {
        Some(at) if at <= call.now => {
            call.remove(&key);
        }
        Some(at) => {
            call.set_expiry(&key, Some(at));
        }
        None if option.choice() == Choice::Persist && entry.expire_at().is_some() => {
            call.set_expiry(&key, None);
        }
        None => {}
    }
    Ok(Outcome::Done)
}
