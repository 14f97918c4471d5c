//! DEBUG: what tests of servers need. Off unless `enable-debug-command` allows it.
//!
//! One row without subcommands, as in Redis, so the handler finds the subcommand itself. Switches
//! of machinery that Dunlin does not have (resizing, replicas) do not exist here.

mod protocol;
mod reload;

use super::{docs, is_local};
use crate::commands::call::Call;
use crate::commands::error::{NO_KEY, NOT_INTEGER, ReplyError};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::config::parse_memory;
use crate::glob;
use dunlin_protocol::number;
use dunlin_storage::value::list::Limits;
use dunlin_storage::{DbId, Entry, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NOT_ALLOWED: ReplyError = ReplyError::new(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you \
     can run it from a local connection, otherwise you need to set this option in the \
     configuration file, and then restart the server.",
);

/// The longest sleep in seconds: a sleeping command stops its worker.
const MAX_SLEEP: f64 = 60.0;
/// Buckets of one step of DIGEST's walk.
const SCAN_BUCKETS: usize = 1024;
/// The largest QUICKLIST-PACKED-THRESHOLD.
const PLAIN_FROM_MAX: usize = (1 << 32) - (1 << 20);
const BAD_PLAIN_FROM: ReplyError =
    ReplyError::new("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
/// The longest text that STRINGMATCH-LEN makes.
const MAX_TEXT: i64 = 1 << 20;

pub(super) const DEBUG: Command = Command::new("debug", Arity::at_least(2), debug)
    .flags(flag_set!(ADMIN | NOSCRIPT | LOADING | STALE))
    .docs(docs("1.0.0", "Depends on subcommand.", "Commands for tests of the server.").system());

fn debug(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let settings = call.server.settings();
    if !settings.enable_debug_command.allows(is_local(call.client)) {
        return Err(NOT_ALLOWED);
    }
    let name = call.arg(1).to_ascii_lowercase();
    match (name.as_slice(), call.argc()) {
        (b"help", 2) => show_help(call),
        (b"sleep", 3) => sleep(call),
        (b"object", 3 | 4) => object(call),
        (b"set-active-expire", 3) => set_active_expire(call),
        (b"log", 3) => log(call),
        (b"error", 3) => error(call),
        (b"jmap", 2) => jmap(call),
        (b"stringmatch-len", 4) => stringmatch_len(call),
        (b"digest", 2) => digest(call),
        (b"digest-value", 3..) => digest_value(call),
        (b"sdslen", 3) => sdslen(call),
        (b"protocol", 3) => protocol::run(call),
        (b"reload", _) => reload::run(call),
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
    let entry = call.peek(&call.key(2)).ok_or(NO_KEY)?;
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

fn set_active_expire(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    // As atoi: what is no number is 0.
    let on = number::parse_i64(call.arg(2)).unwrap_or(0) != 0;
    call.server.active_expire.store(on, Ordering::Relaxed);
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
        "entries {}\ntables {}\neviction {}\nlimbo {}\n",
        memory.entries, memory.tables, memory.eviction, memory.limbo
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

/// 20 bytes that differ when contents differ. They are not Redis's: only equality has a meaning.
type Hash = [u8; 20];

/// Mixes a value, and whether it expires, into `hash`.
fn digest_entry(mut hash: Sha256, entry: &Entry<'_>) -> Hash {
    if let Value::Str(string) = entry.value() {
        string.chunks().for_each(|chunk| hash.update(chunk));
    }
    hash.update([u8::from(entry.expire_at().is_some())]);
    let mut digest = Hash::default();
    digest.iter_mut().zip(hash.finalize()).for_each(|(to, byte)| *to = byte);
    digest
}

fn hexadecimal(digest: &Hash) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One digest per key; zeros for no value.
fn digest_value(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.array(call.argc() - 2);
    for i in 2..call.argc() {
        let entry = call.peek(&call.key(i));
        let digest = entry.map(|entry| digest_entry(Sha256::new(), &entry));
        call.reply.simple(&hexadecimal(&digest.unwrap_or_default()));
    }
    Ok(Outcome::Done)
}

/// One digest of all databases, independent of the order of the keys.
fn digest(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let keyspace = call.keyspace();
    let mut sum = Hash::default();
    for db in 0..keyspace.databases() {
        // A scan may show a key twice while a table grows, and two equal digests cancel out.
        let mut seen = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let visit = &mut |entry: Entry<'_>| {
                let hash = Sha256::new().chain_update([db]).chain_update(entry.key());
                seen.insert(entry.key().to_vec(), digest_entry(hash, &entry));
            };
            cursor = keyspace.scan(DbId(db), cursor, SCAN_BUCKETS, call.now, call.guard, visit);
            if cursor == 0 {
                break;
            }
        }
        for digest in seen.values() {
            sum.iter_mut().zip(digest).for_each(|(to, byte)| *to ^= byte);
        }
    }
    call.reply.simple(&hexadecimal(&sum));
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
            "DIGEST",
            "    Digest of all databases: equal for equal contents.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Digests of values: equal for equal values.",
            "ERROR <text>",
            "    Answer an error with this text.",
            "JMAP",
            "    Memory of the store by use.",
            "LOG <text>",
            "    Write the text into the log.",
            "OBJECT <key>",
            "    How the value is stored.",
            "PROTOCOL <type>",
            "    Answer a reply of this type:",
            "    string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    From which size on an element of a list is not packed; 0 is the default.",
            "RELOAD [MERGE] [NOFLUSH]",
            "    Write every value in the format of files and read it again. NOFLUSH without MERGE fails",
            "    if there is a key.",
            "SDSLEN <key>",
            "    Lengths of key and value.",
            "SET-ACTIVE-EXPIRE (0|1)",
            "    Whether expired keys that nobody asks for are removed.",
            "SLEEP <seconds>",
            "    Stop this connection's worker.",
            "STRINGMATCH-LEN <length> <pattern>",
            "    Match a text of as many 'a's with the pattern.",
        ],
    )
}
