//! DEBUG: what tests of servers need. Off unless `enable-debug-command` allows it.
//!
//! One row without subcommands, as in Redis, so the handler finds the subcommand itself. Switches
//! of machinery that Dunlin does not have do not exist here, or do nothing.

mod digest;
mod inspect;
mod placing;
mod populate;
mod protocol;
mod reload;
mod slots;

use super::docs;
use crate::commands::call::Call;
use crate::commands::error::{NO_KEY, NOT_INTEGER, ReplyError};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::config::parse_memory;
use crate::glob;
use crate::rdb;
use dunlin_protocol::number;
use dunlin_storage::value::list::Limits;
use dunlin_storage::{Entry, Millis, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest sleep in seconds: a sleeping command stops its worker.
const MAX_SLEEP: f64 = 60.0;
/// The largest QUICKLIST-PACKED-THRESHOLD.
const PLAIN_FROM_MAX: usize = (1 << 32) - (1 << 20);
const BAD_PLAIN_FROM: ReplyError =
    ReplyError::new("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
/// The longest text that STRINGMATCH-LEN makes.
const MAX_TEXT: i64 = 1 << 20;

pub(super) const DEBUG: Command = Command::new("debug", Arity::at_least(2), debug)
    .flags(flag_set!(ADMIN | NOSCRIPT | LOADING | STALE | ANY_SHARD | PROTECTED))
    .docs(docs("1.0.0", "Depends on subcommand.", "Commands for tests of the server.").system());

fn debug(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let name = call.arg(1).to_ascii_lowercase();
    match (name.as_slice(), call.argc()) {
        (b"help", 2) => show_help(call),
        (b"sleep", 3) => sleep(call),
        (b"object", 3 | 4) => object(call),
        (b"set-active-expire", 3) => switch(call, &call.server.active_expire),
        (b"set-disable-deny-scripts", 3) => switch(call, &call.server.debug_in_scripts),
        (b"log", 3) => log(call),
        (b"error", 3) => error(call),
        (b"jmap", 2) => jmap(call),
        (b"move-client", 4) => placing::move_client(call),
        (b"stringmatch-len", 4) => stringmatch_len(call),
        (b"digest", 2) => digest::of_everything(call),
        (b"digest-value", _) => digest::of_values(call),
        (b"listpack", 3) => inspect::listpack(call),
        (b"quicklist", 3 | 4) => inspect::quicklist(call),
        (b"htstats-key", 3..) => inspect::hash_table(call),
        (b"populate", 3..=5) => populate::run(call),
        (b"change-repl-id", 2) => accepted(call),
        (b"dict-resizing" | b"pause-cron", 3) | (b"replybuffer", 4) => accepted(call),
        (b"set-skip-checksum-validation", 3) => set_skip_checksums(call),
        (b"htstats", 3..) => inspect::database(call),
        (b"sdslen", 3) => sdslen(call),
        (b"protocol", 3) => protocol::run(call),
        (b"reload", _) => reload::run(call),
        (b"slots", 4..=7) => slots::run(call),
        (b"quicklist-packed-threshold", 3) => quicklist_packed_threshold(call),
        _ => Err(help::wrong_subcommand(call)),
    }
}

/// Stops the worker, as a slow command would: that is what tests want to see.
fn sleep(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    // As strtod: what is no number sleeps for no time.
    let seconds = number::parse_f64(call.arg(2)).unwrap_or(0.0).clamp(0.0, MAX_SLEEP);
    std::thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    call.reply.ok();
    Ok(Outcome::Done)
}

fn object(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entry = peek_expired(call).ok_or(NO_KEY)?;
    let encoding = call.encoding_of(&entry)?;
    let len = match entry.value() {
        Value::Str(string) => string.len(),
        Value::Packed(packed) => packed.as_bytes().len(),
        _ => call.split().0.object(&entry)?.memory_usage(),
    };
    // There is neither an address to show nor a clock of last accesses.
    call.reply.simple(&format!(
        "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{} lru:0 \
         lru_seconds_idle:0",
        len + 1
    ));
    Ok(Outcome::Done)
}

/// The entry of the key, which may have expired: here one sees what is still there.
fn peek_expired<'g>(call: &mut Call<'_, 'g>) -> Option<Entry<'g>> {
    let now = std::mem::replace(&mut call.now, Millis::MIN);
    let entry = call.peek(&call.key(2));
    call.now = now;
    entry
}

fn switch(call: &mut Call<'_, '_>, switch: &AtomicBool) -> Result<Outcome, ReplyError> {
    // As atoi: what is no number is 0.
    let on = number::parse_i64(call.arg(2)).unwrap_or(0) != 0;
    switch.store(on, Ordering::Relaxed);
    call.reply.ok();
    Ok(Outcome::Done)
}

fn set_skip_checksums(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    rdb::skip_checksums(number::parse_i64(call.arg(2)).unwrap_or(0) != 0);
    call.reply.ok();
    Ok(Outcome::Done)
}

fn quicklist_packed_threshold(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let size = parse_memory(call.arg(2)).and_then(|size| usize::try_from(size).ok());
    let size = match size.filter(|size| *size <= PLAIN_FROM_MAX).ok_or(BAD_PLAIN_FROM)? {
        0 => Limits::default().plain_from,
        size => size,
    };
    call.server.list_plain_from.store(size, Ordering::Relaxed);
    call.reply.ok();
    Ok(Outcome::Done)
}

/// Switches of machinery that is not here: replicas, tables that are resized as a whole, a cron.
fn accepted(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.ok();
    Ok(Outcome::Done)
}

fn log(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    tracing::warn!(message = %String::from_utf8_lossy(call.arg(2)), "DEBUG LOG");
    call.reply.ok();
    Ok(Outcome::Done)
}

fn error(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.error(call.arg(2));
    Ok(Outcome::Done)
}

/// Memory of the store by use, one line each.
fn jmap(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let memory = call.server.keyspace.memory();
    let text = format!(
        "entries {}\ntables {}\neviction {}\nmisses {}\nlimbo {}\n",
        memory.entries, memory.tables, memory.eviction, memory.misses, memory.limbo
    );
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn stringmatch_len(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let len = number::parse_i64(call.arg(2)).ok_or(NOT_INTEGER)?.clamp(0, MAX_TEXT);
    let text = vec![b'a'; usize::try_from(len).unwrap_or(0)];
    call.reply.int(i64::from(glob::matches(call.arg(3), &text)));
    Ok(Outcome::Done)
}

fn sdslen(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entry = call.peek(&call.key(2)).ok_or(NO_KEY)?;
    let value = match entry.value() {
        Value::Str(string) => string.len(),
        _ => return Err("ERR Not an sds encoded string.".into()),
    };
    let (key, bytes) = (entry.key().len(), entry.memory_usage());
    call.reply.simple(&format!(
        "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {bytes}, val_sds_len:{value}, \
         val_sds_avail:0, val_zmalloc: 0"
    ));
    Ok(Outcome::Done)
}

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "CHANGE-REPL-ID | DICT-RESIZING (0|1) | PAUSE-CRON (0|1) | REPLYBUFFER <what> <value>",
            "    Accepted: there is nothing that they could change.",
            "DIGEST",
            "    Digest of all databases: equal for equal contents.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Digests of values: equal for equal values.",
            "ERROR <text>",
            "    Answer an error with this text.",
            "HTSTATS <dbid> | HTSTATS-KEY <key>",
            "    Figures of the hash table of a database, or of a large collection.",
            "JMAP",
            "    Memory of the store by use.",
            "LISTPACK <key> | QUICKLIST <key> [<0|1>]",
            "    Write figures of a value in this encoding into the log.",
            "LOG <text>",
            "    Write the text into the log.",
            "MOVE-CLIENT <id> <worker>",
            "    Ask a connection to go to another worker.",
            "OBJECT <key>",
            "    How the value is stored.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Add strings named <prefix>:<number> where there are none.",
            "PROTOCOL <type>",
            "    Answer a reply of this type:",
            "    string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    From which size on an element of a list is not packed; 0 is the default.",
            "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
            "    Write a snapshot, remove all keys and read them from the file again; or only some of it.",
            "    NOFLUSH without MERGE fails if there is a key.",
            "SDSLEN <key>",
            "    Lengths of key and value.",
            "SET-ACTIVE-EXPIRE (0|1)",
            "    Whether expired keys that nobody asks for are removed.",
            "SET-DISABLE-DENY-SCRIPTS (0|1)",
            "    Whether scripts may call DEBUG; other commands that they may not call stay denied.",
            "SET-SKIP-CHECKSUM-VALIDATION (0|1)",
            "    Whether RESTORE takes payloads with a wrong checksum.",
            "SLEEP <seconds>",
            "    Stop this connection's worker.",
            "SLOTS (GIVE|TAKE|NOBODY|FENCE|UNFENCE) <first> <last> [<ip> <port>] | SLOTS LEASE <ms>",
            "    Do to this node what a new map of the cluster would.",
            "STRINGMATCH-LEN <length> <pattern>",
            "    Match a text of as many 'a's with the pattern.",
        ],
    )
}
