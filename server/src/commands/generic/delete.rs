//! DEL, UNLINK, EXISTS, TOUCH, TYPE: is a key there, and away with it.
//!
//! DEL and UNLINK are the same: removing unlinks the entry, and memory of big values is given
//! back in slices after the readers that may still send it are done.

use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use dunlin_storage::Touch;

const EVERY_KEY: &[Arg] = &[Arg::key("key", 0).multiple()];
const REMOVED: &[KeySpec] = &[KeySpec::span(1, -1, 1).with(KeyFlags::RM).with(KeyFlags::DELETE)];
const LOOKED_AT: &[KeySpec] = &[KeySpec::span(1, -1, 1).look()];
const SUMMED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

pub(super) const DEL: Command = Command::new("del", Arity::at_least(2), delete)
    .flags(flag_set!(WRITE | CHEAP))
    .keys(REMOVED)
    .tips(SUMMED)
    .docs(
        Docs::new(Group::Generic, "1.0.0", "O(N) in the number of keys.", "Removes keys.")
            .args(EVERY_KEY),
    );

pub(super) const UNLINK: Command = Command::new("unlink", Arity::at_least(2), delete)
    .flags(flag_set!(WRITE | FAST))
    .keys(REMOVED)
    .tips(SUMMED)
    .docs(
        Docs::new(
            Group::Generic,
            "4.0.0",
            "O(1) for each key; the memory is given back in the background.",
            "Removes keys without waiting for their memory.",
        )
        .args(EVERY_KEY),
    );

pub(super) const EXISTS: Command = Command::new("exists", Arity::at_least(2), exists)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOKED_AT)
    .tips(SUMMED)
    .docs(
        Docs::new(
            Group::Generic,
            "1.0.0",
            "O(N) in the number of keys.",
            "Counts how many of the given keys exist.",
        )
        .args(EVERY_KEY)
        .history(&[("3.0.3", "Accepts multiple `key` arguments.")]),
    );

pub(super) const TOUCH: Command = Command::new("touch", Arity::at_least(2), touch)
    .flags(flag_set!(READONLY | FAST))
    .keys(LOOKED_AT)
    .tips(SUMMED)
    .docs(
        Docs::new(
            Group::Generic,
            "3.2.1",
            "O(N) in the number of keys.",
            "Marks keys as used and counts how many of them exist.",
        )
        .args(EVERY_KEY),
    );

pub(super) const TYPE: Command = Command::new("type", Arity::exactly(2), kind)
    .flags(flag_set!(READONLY | FAST))
    .keys(&[KeySpec::one(1).look()])
    .docs(
        Docs::new(Group::Generic, "1.0.0", "O(1)", "Returns the type of the value of a key.")
            .args(&[Arg::key("key", 0)]),
    );

/// Replies the number of keys for which `test` holds.
fn count(call: &mut Call<'_, '_>, mut test: impl FnMut(&mut Call<'_, '_>, usize) -> bool) {
    let mut total = 0;
    for at in 1..call.argc() {
        total += i64::from(test(call, at));
    }
    call.reply.int(total);
}

fn delete(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    count(call, |call, at| {
        let key = call.key(at);
        call.remove(&key)
    });
    Ok(Outcome::Done)
}

fn exists(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    count(call, |call, at| {
        let key = call.key(at);
        call.look(&key).is_some()
    });
    Ok(Outcome::Done)
}

/// The one command that marks keys as used even under CLIENT NO-TOUCH.
fn touch(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    count(call, |call, at| {
        let key = call.key(at);
        call.keyspace().get(call.db(), &key, call.now, Touch::Yes, call.guard);
        call.look(&key).is_some()
    });
    Ok(Outcome::Done)
}

fn kind(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let found = call.look(&key);
    call.reply.simple(found.map_or("none", |entry| entry.kind().name()));
    Ok(Outcome::Done)
}
