//! Commands that work on keys of any type, and on whole databases.

mod delete;
mod dump;
mod expire;
mod flush;
mod migrate;
mod object;
pub(super) mod payload;
mod rename;
mod scan;
mod sort;
mod ttl;
mod wait;

use super::call::Call;
use super::error::{self, ReplyError};
use super::spec::Command;
use dunlin_storage::DbId;

pub(super) static COMMANDS: &[Command] = &[
    delete::DEL,
    delete::UNLINK,
    delete::EXISTS,
    delete::TOUCH,
    delete::TYPE,
    scan::KEYS,
    scan::SCAN,
    scan::RANDOMKEY,
    scan::DBSIZE,
    rename::RENAME,
    rename::RENAMENX,
    rename::COPY,
    rename::MOVE,
    dump::DUMP,
    dump::RESTORE,
    migrate::MIGRATE,
    expire::EXPIRE,
    expire::PEXPIRE,
    expire::EXPIREAT,
    expire::PEXPIREAT,
    expire::PERSIST,
    ttl::TTL,
    ttl::PTTL,
    ttl::EXPIRETIME,
    ttl::PEXPIRETIME,
    object::OBJECT,
    sort::SORT,
    sort::SORT_RO,
    wait::WAIT,
    wait::WAITAOF,
    flush::SWAPDB,
    flush::FLUSHDB,
    flush::FLUSHALL,
];

/// Argument `at` as the number of a database.
fn database(call: &Call<'_, '_>, at: usize) -> Result<DbId, ReplyError> {
    let index = call.int(at)?;
    if i32::try_from(index).is_err() {
        let (min, max) = (i32::MIN, i32::MAX);
        let text = format!("ERR value is out of range, value must between {min} and {max}");
        return Err(text.into());
    }
    existing_database(call, index).ok_or(error::DB_RANGE)
}

/// An error, with its text, if the server is a node of a cluster.
fn not_in_cluster(call: &Call<'_, '_>, text: &'static str) -> Result<(), ReplyError> {
    match call.server.cluster {
        Some(_) => Err(text.into()),
        None => Ok(()),
    }
}

fn existing_database(call: &Call<'_, '_>, index: i64) -> Option<DbId> {
    u8::try_from(index).ok().filter(|db| *db < call.keyspace().databases()).map(DbId)
}
