//! HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT, HPERSIST: when shall a field expire.
//!
//! The first four differ in unit and base only. A deadline that has passed removes the field at
//! once, and that has a reply of its own.

use super::docs::{FIELDS, KEY, UPDATE};
use super::{NO_FIELD, NUM_FIELDS, NUMBER_OF_FIELDS, fields};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, invalid_expire};
use crate::commands::expiry::{self, Base, Unit};
use crate::commands::spec::{Arity, Command, Handler, Outcome};
use crate::notify::Class;
use dunlin_storage::Millis;
use dunlin_storage::value::hash::Hash;

/// Latest expiry of a field, in the year 4199: Redis keeps 46 bits.
const LATEST: Millis = (1 << 46) - 1;

/// Replies of the HEXPIRE family, beside [`NO_FIELD`].
const REFUSED: i64 = 0;
const DONE: i64 = 1;
const REMOVED: i64 = 2;
/// Reply of HPERSIST for a field that does not expire.
const NO_EXPIRY: i64 = -1;

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX"), Arg::flag("gt", "GT"), Arg::flag("lt", "LT")],
)
.optional();

const COMPLEXITY: &str = "O(N) where N is the number of specified fields";

const fn row(
    name: &'static str,
    summary: &'static str,
    args: &'static [Arg],
    handler: Handler,
) -> Command {
    Command::new(name, Arity::at_least(6), handler)
        .flags(flag_set!(WRITE | DENYOOM | FAST))
        .keys(UPDATE)
        .docs(Docs::new(Group::Hash, "7.4.0", COMPLEXITY, summary).args(args))
}

pub(super) const HEXPIRE: Command = row(
    "hexpire",
    "Lets fields expire after some seconds.",
    &[KEY, Arg::integer("seconds"), CONDITION, FIELDS],
    hexpire,
);

pub(super) const HPEXPIRE: Command = row(
    "hpexpire",
    "Lets fields expire after some milliseconds.",
    &[KEY, Arg::integer("milliseconds"), CONDITION, FIELDS],
    hpexpire,
);

pub(super) const HEXPIREAT: Command = row(
    "hexpireat",
    "Lets fields expire at a Unix time in seconds.",
    &[KEY, Arg::unix_time("unix-time-seconds"), CONDITION, FIELDS],
    hexpireat,
);

pub(super) const HPEXPIREAT: Command = row(
    "hpexpireat",
    "Lets fields expire at a Unix time in milliseconds.",
    &[KEY, Arg::unix_time("unix-time-milliseconds"), CONDITION, FIELDS],
    hpexpireat,
);

/// The deadline in argument `at`.
pub(super) fn deadline(
    call: &Call<'_, '_>,
    at: usize,
    unit: Unit,
    base: Base,
) -> Result<Millis, ReplyError> {
    let value = call.int(at)?;
    if value < 0 {
        return Err("ERR invalid expire time, must be >= 0".into());
    }
    let name = call.entry.command.name;
    let deadline = expiry::deadline(value, unit, base, call.now, name)?;
    if deadline > LATEST {
        return Err(invalid_expire(name));
    }
    Ok(expiry::server_time(call, base, deadline))
}

/// The condition under which an expiry is changed, of which a command line has one at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Condition {
    fn of(word: &[u8]) -> Self {
        match word.to_ascii_lowercase().as_slice() {
            b"nx" => Condition::Nx,
            b"xx" => Condition::Xx,
            b"gt" => Condition::Gt,
            b"lt" => Condition::Lt,
            _ => Condition::Always,
        }
    }

    /// Whether a field that expires at `current` may get the deadline `new`. No expiry counts as an
    /// endless one.
    fn allows(self, current: Option<Millis>, new: Millis) -> bool {
        match self {
            Condition::Always => true,
            Condition::Nx => current.is_none(),
            Condition::Xx => current.is_some(),
            Condition::Gt => current.is_some_and(|current| new > current),
            Condition::Lt => current.is_none_or(|current| new < current),
        }
    }
}

/// Gives the field a deadline, if the condition holds; the reply.
fn set_one(
    hash: &mut Hash,
    field: &[u8],
    deadline: Millis,
    condition: Condition,
    now: Millis,
) -> i64 {
    match hash.view().find(field, now) {
        None => NO_FIELD,
        Some(pair) if !condition.allows(pair.expire_at, deadline) => REFUSED,
        Some(_) if deadline <= now => {
            hash.remove(field, now);
            REMOVED
        }
        Some(_) => {
            hash.set_expiry(field, Some(deadline), now);
            DONE
        }
    }
}

fn set(call: &mut Call<'_, '_>, unit: Unit, base: Base) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    call.has::<Hash>(&key)?;
    let deadline = deadline(call, 2, unit, base)?;
    let condition = Condition::of(call.arg(3));
    let at = if condition == Condition::Always { 3 } else { 4 };
    let fields = fields(call, at, NUM_FIELDS)?;
    let replies = each(call, fields, |hash, field| set_one(hash, field, deadline, condition, now))?;
    if replies.contains(&REMOVED) {
        call.notify_taken(Class::HASH, "hdel", &key);
    }
    if replies.contains(&DONE) {
        call.notify(Class::HASH, "hexpire", &key);
    }
    reply(call, &replies);
    Ok(Outcome::Done)
}

/// Does something to each of the fields in these arguments of the hash at argument 1; the replies.
fn each(
    call: &mut Call<'_, '_>,
    fields: std::ops::Range<usize>,
    mut change: impl FnMut(&mut Hash, &[u8]) -> i64,
) -> Result<Vec<i64>, ReplyError> {
    let (key, request, count) = (call.key(1), call.request, fields.len());
    let replies = call.edit(&key, |hash: &mut Hash, _| {
        fields.map(|i| change(hash, request.arg(i))).collect::<Vec<i64>>()
    })?;
    Ok(replies.unwrap_or_else(|| vec![NO_FIELD; count]))
}

fn reply(call: &mut Call<'_, '_>, replies: &[i64]) {
    call.reply.array(replies.len());
    replies.iter().for_each(|reply| call.reply.int(*reply));
}

fn hexpire(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set(call, Unit::Seconds, Base::Now)
}

fn hpexpire(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set(call, Unit::Millis, Base::Now)
}

fn hexpireat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set(call, Unit::Seconds, Base::Epoch)
}

fn hpexpireat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set(call, Unit::Millis, Base::Epoch)
}

pub(super) const HPERSIST: Command = Command::new("hpersist", Arity::at_least(5), hpersist)
    .flags(flag_set!(WRITE | FAST))
    .keys(UPDATE)
    .docs(
        Docs::new(Group::Hash, "7.4.0", COMPLEXITY, "Takes the expiries of fields away.")
            .args(&[KEY, FIELDS]),
    );

fn hpersist(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    call.has::<Hash>(&key)?;
    let fields = fields(call, 2, NUMBER_OF_FIELDS)?;
    let replies = each(call, fields, |hash, field| match hash.view().find(field, now) {
        None => NO_FIELD,
        Some(pair) if pair.expire_at.is_none() => NO_EXPIRY,
        Some(_) => {
            hash.set_expiry(field, None, now);
            DONE
        }
    })?;
    if replies.contains(&DONE) {
        call.notify(Class::HASH, "hpersist", &key);
    }
    reply(call, &replies);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let table = [
            // option, without expiry, and with one at 10: deadlines 9, 10, 11
            ("fields", true, [true, true, true]),
            ("nx", true, [false, false, false]),
            ("XX", false, [true, true, true]),
            ("gT", false, [false, false, true]),
            ("lt", true, [true, false, false]),
        ];
        for (option, without, with) in table {
            let condition = Condition::of(option.as_bytes());
            assert_eq!(condition.allows(None, 10), without, "{option}");
            let got = [9, 10, 11].map(|new| condition.allows(Some(10), new));
            assert_eq!(got, with, "{option}");
        }
    }
}
