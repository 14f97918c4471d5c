//! Values are returned and something happens to their fields: HGETEX and HGETDEL.

use super::docs::{EX, EXAT, FIELDS, KEY, PX, PXAT};
use super::expire::deadline;
use super::get::reply_values;
use super::{NUMBER_OF_FIELDS, fields};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::expiry::{Base, Unit};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::Millis;
use dunlin_storage::value::hash::Hash;
use std::ops::Range;

const COMPLEXITY: &str = "O(N) where N is the number of specified fields";

pub(super) const HGETEX: Command = Command::new("hgetex", Arity::at_least(5), hgetex)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1)
        .update()
        .with(KeyFlags::ACCESS)
        .notes("RW and UPDATE because it changes the TTL")])
    .docs(
        Docs::new(
            Group::Hash,
            "8.0.0",
            COMPLEXITY,
            "Returns the values of fields and sets or takes away their expiries.",
        )
        .args(&[
            KEY,
            Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, Arg::flag("persist", "PERSIST")])
                .optional(),
            FIELDS,
        ]),
    );

/// What HGETEX does to the fields that it returns.
#[derive(Clone, Copy)]
enum Change {
    Expire(Millis),
    Persist,
}

impl Change {
    /// The option at argument 2, and the argument after it.
    fn parse(call: &Call<'_, '_>) -> Result<(Option<Change>, usize), ReplyError> {
        const TIMES: [(&str, Unit, Base); 4] = [
            ("EX", Unit::Seconds, Base::Now),
            ("PX", Unit::Millis, Base::Now),
            ("EXAT", Unit::Seconds, Base::Epoch),
            ("PXAT", Unit::Millis, Base::Epoch),
        ];
        if call.is(2, "persist") {
            return Ok((Some(Change::Persist), 3));
        }
        match TIMES.into_iter().find(|(word, ..)| call.is(2, word)) {
            Some((_, unit, base)) => Ok((Some(Change::Expire(deadline(call, 3, unit, base)?)), 4)),
            None => Ok((None, 2)),
        }
    }

    /// The event that tells of it.
    fn event(self, now: Millis) -> &'static str {
        match self {
            Change::Expire(at) if at <= now => "hdel",
            Change::Expire(_) => "hexpire",
            Change::Persist => "hpersist",
        }
    }

    /// Whether something was changed.
    fn apply(self, hash: &mut Hash, field: &[u8], expire_at: Option<Millis>, now: Millis) -> bool {
        match self {
            Change::Expire(at) if at <= now => hash.remove(field, now),
            Change::Expire(at) => hash.set_expiry(field, Some(at), now),
            Change::Persist => expire_at.is_some() && hash.set_expiry(field, None, now),
        }
    }
}

fn hgetex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    call.has::<Hash>(&key)?;
    let (change, at) = Change::parse(call)?;
    let fields = fields(call, at, NUMBER_OF_FIELDS)?;
    match change {
        None => reply_values(call, fields)?,
        Some(change) => {
            let apply = |hash: &mut Hash, field: &[u8], expire_at| {
                change.apply(hash, field, expire_at, now)
            };
            if take(call, fields, apply)? {
                call.notify_taken(Class::HASH, change.event(now), &key);
            }
        }
    }
    Ok(Outcome::Done)
}

pub(super) const HGETDEL: Command = Command::new("hgetdel", Arity::at_least(5), hgetdel)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::ACCESS).with(KeyFlags::DELETE)])
    .docs(
        Docs::new(
            Group::Hash,
            "8.0.0",
            COMPLEXITY,
            "Returns the values of fields and removes the fields; with its last field the hash \
             goes.",
        )
        .args(&[KEY, FIELDS]),
    );

fn hgetdel(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    call.has::<Hash>(&key)?;
    let fields = fields(call, 2, NUMBER_OF_FIELDS)?;
    if take(call, fields, |hash, field, _| hash.remove(field, now))? {
        call.notify_taken(Class::HASH, "hdel", &key);
    }
    Ok(Outcome::Done)
}

/// Replies the value of each of the fields in these arguments and then changes the field, so that
/// one which is named twice may be gone the second time. Whether something was changed.
fn take(
    call: &mut Call<'_, '_>,
    fields: Range<usize>,
    mut change: impl FnMut(&mut Hash, &[u8], Option<Millis>) -> bool,
) -> Result<bool, ReplyError> {
    let (key, request, now) = (call.key(1), call.request, call.now);
    let count = fields.len();
    let mut changed = false;
    let values = call.edit(&key, |hash: &mut Hash, _| {
        let values = fields.map(|i| {
            let field = request.arg(i);
            let pair = hash.view().find(field, now)?;
            let (value, expire_at) = (pair.value.to_vec(), pair.expire_at);
            changed |= change(hash, field, expire_at);
            Some(value)
        });
        values.collect::<Vec<Option<Vec<u8>>>>()
    })?;
    call.reply.array(count);
    for value in values.unwrap_or_else(|| vec![None; count]) {
        match value {
            Some(value) => call.reply.bulk(&value),
            None => call.reply.null(),
        }
    }
    Ok(changed)
}
