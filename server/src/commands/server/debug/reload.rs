//! DEBUG RELOAD: every value is written in the format of files and read from it again.
//!
//! Tests use it to see that a value survives, and in which encoding it comes back. It works key by
//! key and in memory, so at no time is anything missing; the options that say what to do with the
//! keys that are there while a file is read change nothing about that.

use crate::commands::call::Call;
use crate::commands::error::{NEEDS_ROLE, ReplyError};
use crate::commands::generic::payload::{self, Loaded};
use crate::commands::spec::Outcome;
use dunlin_storage::{DbId, NewValue};

/// Buckets of one step of the walk.
const SCAN_BUCKETS: usize = 1024;

const BAD_OPTION: ReplyError =
    ReplyError::new("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
const NO_FILE: ReplyError = ReplyError::new("ERR DEBUG RELOAD NOSAVE: there is no file to load");
const FAILED: ReplyError =
    ReplyError::new("ERR Error trying to load the RDB dump, check server logs.");

pub(super) fn run(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (mut flush, mut merge) = (true, false);
    for i in 2..call.argc() {
        match () {
            () if call.is(i, "MERGE") => merge = true,
            () if call.is(i, "NOFLUSH") => flush = false,
            () if call.is(i, "NOSAVE") => return Err(NO_FILE),
            () => return Err(BAD_OPTION),
        }
    }
    let keyspace = call.keyspace();
    let shards = keyspace.shards();
    if call.writer.as_ref().is_none_or(|writer| writer.shards().len() < shards) {
        return Err(NEEDS_ROLE);
    }
    for db in (0..keyspace.databases()).map(DbId) {
        let names = names(call, db);
        if !names.is_empty() && !flush && !merge {
            tracing::error!("DEBUG RELOAD NOFLUSH without MERGE: the keys exist already");
            return Err(FAILED);
        }
        for name in names {
            reload(call, db, name)?;
        }
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

/// The names of the keys of a database; of some twice, if a table grows.
fn names<'g>(call: &Call<'_, 'g>, db: DbId) -> Vec<&'g [u8]> {
    let mut names = Vec::new();
    let mut cursor = 0;
    loop {
        let visit = &mut |entry: dunlin_storage::Entry<'g>| names.push(entry.key());
        cursor = call.keyspace().scan(db, cursor, SCAN_BUCKETS, call.now, call.guard, visit);
        if cursor == 0 {
            return names;
        }
    }
}

fn reload(call: &mut Call<'_, '_>, db: DbId, name: &[u8]) -> Result<(), ReplyError> {
    let key = call.keyspace().key(name);
    let Some(entry) = call.peek_in(db, &key) else { return Ok(()) };
    let (limits, now) = (call.server.limits(), call.now);
    let payload = payload::dump(&call.split().0, &entry, &limits, now)?;
    let loaded = payload::load(&payload, &limits, now).map_err(|refused| {
        tracing::error!(key = %String::from_utf8_lossy(name), ?refused, "DEBUG RELOAD");
        FAILED
    })?;
    // A hash may have lost its last field to the clock since it was looked up.
    let Some(loaded) = loaded else { return Ok(()) };
    let expire_at = entry.expire_at();
    match loaded {
        Loaded::String(string) => call.put_in(db, &key, NewValue::Bytes(&string), expire_at),
        Loaded::Object(object) => call.put_in(db, &key, NewValue::Object(object), expire_at),
    };
    Ok(())
}
