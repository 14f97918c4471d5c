//! Fields come and go: HSET, HMSET, HSETNX, HDEL.

use super::docs::{FIELD, KEY, PAIRS, UPDATE};
use super::number;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, wrong_arity};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::Request;
use dunlin_storage::Millis;
use dunlin_storage::value::hash::{Hash, Limits, Ttl};
use std::ops::Range;

pub(super) const HSET: Command = Command::new("hset", Arity::at_least(4), hset)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(UPDATE)
    .docs(
        Docs::new(
            Group::Hash,
            "2.0.0",
            "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the \
             command is called with multiple field/value pairs.",
            "Sets fields of a hash, which is made if it does not exist.",
        )
        .history(&[("4.0.0", "Accepts multiple `field` and `value` arguments.")])
        .args(&[KEY, PAIRS]),
    );

fn hset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let created = set_all(call)?;
    call.reply.int(number(created));
    Ok(Outcome::Done)
}

pub(super) const HMSET: Command = Command::new("hmset", Arity::at_least(4), hmset)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(UPDATE)
    .docs(
        Docs::new(
            Group::Hash,
            "2.0.0",
            "O(N) where N is the number of fields being set.",
            "Sets fields of a hash, which is made if it does not exist.",
        )
        .args(&[KEY, PAIRS])
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs"),
    );

fn hmset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set_all(call)?;
    call.reply.ok();
    Ok(Outcome::Done)
}

/// Sets all pairs of the command line; how many fields are new.
fn set_all(call: &mut Call<'_, '_>) -> Result<usize, ReplyError> {
    if !call.argc().is_multiple_of(2) {
        return Err(wrong_arity(&call.entry.full_name));
    }
    let (key, request, now) = (call.key(1), call.request, call.now);
    let pairs = 2..request.len();
    let created = call.edit_or_new(&key, |hash: &mut Hash, limits| {
        set_pairs(hash, request, pairs, Ttl::Clear, now, &limits.hash)
    })?;
    call.notify(Class::HASH, "hset", &key);
    Ok(created)
}

/// Sets the pairs of field and value in the arguments `pairs`; how many fields are new.
pub(super) fn set_pairs(
    hash: &mut Hash,
    request: Request<'_>,
    pairs: Range<usize>,
    ttl: Ttl,
    now: Millis,
    limits: &Limits,
) -> usize {
    let longest = pairs.clone().map(|i| request.arg(i).len()).max().unwrap_or(0);
    hash.prepare(pairs.len() / 2, longest, limits);
    pairs
        .step_by(2)
        .filter(|i| hash.set(request.arg(*i), request.arg(i + 1), ttl, now, limits))
        .count()
}

pub(super) const HSETNX: Command = Command::new("hsetnx", Arity::exactly(4), hsetnx)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::INSERT)])
    .docs(
        Docs::new(Group::Hash, "2.0.0", "O(1)", "Sets a field of a hash if it does not exist yet.")
            .args(&[KEY, FIELD, Arg::string("value")]),
    );

fn hsetnx(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, field, value, now) = (call.key(1), call.arg(2), call.arg(3), call.now);
    let created = call.edit_or_new(&key, |hash: &mut Hash, limits| {
        let is_free = hash.view().find(field, now).is_none();
        is_free && hash.set(field, value, Ttl::Clear, now, &limits.hash)
    })?;
    if created {
        call.notify(Class::HASH, "hset", &key);
    }
    call.reply.int(created.into());
    Ok(Outcome::Done)
}

pub(super) const HDEL: Command = Command::new("hdel", Arity::at_least(3), hdel)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::DELETE)])
    .docs(
        Docs::new(
            Group::Hash,
            "2.0.0",
            "O(N) where N is the number of fields to be removed.",
            "Removes fields from a hash; with its last field the hash goes.",
        )
        .history(&[("2.4.0", "Accepts multiple `field` arguments.")])
        .args(&[KEY, FIELD.multiple()]),
    );

fn hdel(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, request, now) = (call.key(1), call.request, call.now);
    let removed = call.edit(&key, |hash: &mut Hash, _| {
        request.iter().skip(2).filter(|field| hash.remove(field, now)).count()
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        call.notify_taken(Class::HASH, "hdel", &key);
    }
    call.reply.int(number(removed));
    Ok(Outcome::Done)
}
