//! RENAME, RENAMENX, COPY, MOVE: the same value under another key or in another database.
//!
//! Values are immutable, so all of them are a read, a write and a removal under the roles of both
//! keys; of a big value only references to its chunks are copied.

use super::{database, not_in_cluster};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;

const SAME_OBJECT: ReplyError = ReplyError::new("ERR source and destination objects are the same");

const TAKEN: KeySpec =
    KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::ACCESS).with(KeyFlags::DELETE);
const OLD_AND_NEW: &[Arg] = &[Arg::key("key", 0), Arg::key("newkey", 1)];

pub(super) const RENAME: Command = Command::new("rename", Arity::exactly(3), rename)
    .flags(flag_set!(WRITE | CHEAP))
    .keys(&[TAKEN, KeySpec::one(2).overwrite()])
    .docs(
        Docs::new(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Gives a key another name, replacing what had that name.",
        )
        .args(OLD_AND_NEW),
    );

pub(super) const RENAMENX: Command = Command::new("renamenx", Arity::exactly(3), renamenx)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[TAKEN, KeySpec::one(2).with(KeyFlags::OW).with(KeyFlags::INSERT)])
    .docs(
        Docs::new(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Gives a key another name if that name is free.",
        )
        .args(OLD_AND_NEW)
        .history(&[(
            "3.2.0",
            "The command no longer returns an error when source and destination names are the same.",
        )]),
    );

pub(super) const COPY: Command = Command::new("copy", Arity::at_least(3), copy)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::one(1).read(), KeySpec::one(2).overwrite()])
    .docs(
        Docs::new(
            Group::Generic,
            "6.2.0",
            "O(1) for strings, O(N) in the number of elements for collections.",
            "Stores the value of a key under another key too.",
        )
        .args(&[
            Arg::key("source", 0),
            Arg::key("destination", 1),
            Arg::integer("destination-db").token("DB").optional(),
            Arg::flag("replace", "REPLACE").optional(),
        ]),
    );

pub(super) const MOVE: Command = Command::new("move", Arity::exactly(3), move_key)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::ACCESS).with(KeyFlags::UPDATE)])
    .docs(
        Docs::new(Group::Generic, "1.0.0", "O(1)", "Moves a key to another database.")
            .args(&[Arg::key("key", 0), Arg::integer("db")]),
    );

/// Renames argument 1 to argument 2; false: `only_free` and the new name is taken.
fn rename_key(call: &mut Call<'_, '_>, only_free: bool) -> Result<bool, ReplyError> {
    let (old, new) = (call.key(1), call.key(2));
    call.peek(&old).ok_or(error::NO_KEY)?;
    if old.bytes == new.bytes {
        return Ok(!only_free);
    }
    if only_free && call.peek(&new).is_some() {
        return Ok(false);
    }
    let db = call.db();
    if !call.rename((db, &old), (db, &new)) {
        return Ok(false);
    }
    call.notify(Class::GENERIC, "rename_from", &old);
    call.notify(Class::GENERIC, "rename_to", &new);
    Ok(true)
}

fn rename(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    rename_key(call, false)?;
    call.reply.ok();
    Ok(Outcome::Done)
}

fn renamenx(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let renamed = rename_key(call, true)?;
    call.reply.int(renamed.into());
    Ok(Outcome::Done)
}

fn copy(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (mut db, mut elsewhere, mut replace) = (call.db(), false, false);
    let mut at = 3;
    while at < call.argc() {
        if call.is(at, "replace") {
            replace = true;
        } else if call.is(at, "db") && at + 1 < call.argc() {
            at += 1;
            match is_elsewhere(call, at) {
                true => elsewhere = true,
                false => (db, elsewhere) = (database(call, at)?, false),
            }
        } else {
            return Err(error::SYNTAX);
        }
        at += 1;
    }
    if elsewhere {
        not_in_cluster(call, "ERR Copying to another database is not allowed in cluster mode")?;
    }
    let (source, target) = (call.key(1), call.key(2));
    if db == call.db() && source.bytes == target.bytes {
        return Err(SAME_OBJECT);
    }
    let copied = match call.lookup(&source) {
        Some(entry) if replace || call.peek_in(db, &target).is_none() => {
            let value = call.copy_of(&entry)?;
            call.put_anew_in(db, &target, value, entry.expire_at());
            call.notify_in(db, Class::GENERIC, "copy_to", &target);
            true
        }
        _ => false,
    };
    call.reply.int(copied.into());
    Ok(Outcome::Done)
}

/// Whether argument `at` is a database that would be there if the server were no node of a cluster.
fn is_elsewhere(call: &Call<'_, '_>, at: usize) -> bool {
    let databases = i64::from(call.server.settings().databases);
    call.server.cluster.is_some() && call.int(at).is_ok_and(|db| (1..databases).contains(&db))
}

fn move_key(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    not_in_cluster(call, "ERR MOVE is not allowed in cluster mode")?;
    let db = database(call, 2)?;
    if db == call.db() {
        return Err(SAME_OBJECT);
    }
    let key = call.key(1);
    let moved = match call.peek(&key) {
        Some(_) if call.peek_in(db, &key).is_none() => {
            let from = call.db();
            call.rename((from, &key), (db, &key));
            call.notify(Class::GENERIC, "move_from", &key);
            call.notify_in(db, Class::GENERIC, "move_to", &key);
            true
        }
        _ => false,
    };
    call.reply.int(moved.into());
    Ok(Outcome::Done)
}
