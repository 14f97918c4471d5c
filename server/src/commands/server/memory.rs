//! MEMORY.

use super::docs;
use super::info::{MemoryFigures, ratio};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{NOT_INTEGER, ReplyError, SYNTAX};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use dunlin_protocol::{Reply, chunk, number};
use dunlin_storage::DbId;
use dunlin_storage::Value;

/// Pieces that PURGE frees: it must end although others go on removing.
const PURGE_ITEMS: usize = 1 << 20;

pub(super) const MEMORY: Command = Command::new("memory", Arity::at_least(2), help::container)
    .docs(docs("4.0.0", "Depends on subcommand.", "Commands about the memory in use."))
    .subcommands(&[DOCTOR, HELP, MALLOC_STATS, PURGE, STATS, USAGE]);

const USAGE: Command = Command::new("usage", Arity::at_least(3), usage)
    .flags(flag_set!(READONLY))
    .keys(&[KeySpec::one(2).look()])
    .docs(
        docs(
            "4.0.0",
            "O(N) where N is the number of samples.",
            "Answers the bytes that a key and its value take.",
        )
        .args(&[Arg::key("key", 0), Arg::integer("count").token("SAMPLES").optional()]),
    );

fn usage(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut i = 3;
    while i < call.argc() {
        if !call.is(i, "SAMPLES") || i + 1 >= call.argc() {
            return Err(SYNTAX);
        }
        let samples = number::parse_i64(call.arg(i + 1)).ok_or(NOT_INTEGER)?;
        if samples < 0 {
            return Err(SYNTAX);
        }
        i += 2;
    }
    match call.peek(&call.key(2)) {
        Some(entry) => {
            let behind = match entry.value() {
                Value::Large(_) => call.split().0.object(&entry)?.memory_usage(),
                _ => 0,
            };
            let bytes = entry.memory_usage() + behind;
            call.reply.int(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        None => call.reply.null(),
    }
    Ok(Outcome::Done)
}

const STATS: Command = Command::new("stats", Arity::exactly(2), stats)
    .docs(docs("4.0.0", "O(1)", "Breaks the memory in use down."))
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn stats(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let figures = MemoryFigures::read(call.server);
    let keyspace = &call.server.keyspace;
    let dbs: Vec<u8> = (0..keyspace.databases()).filter(|db| keyspace.len(DbId(*db)) > 0).collect();
    let keys: u64 = dbs.iter().map(|db| keyspace.len(DbId(*db))).sum();
    let reply = &mut *call.reply;
    let fields = reply.deferred_map();
    let mut count = 0;
    let mut int = |reply: &mut Reply, name: &str, value: u64| {
        count += 1;
        reply.bulk(name.as_bytes());
        reply.int(i64::try_from(value).unwrap_or(i64::MAX));
    };
    int(reply, "peak.allocated", figures.peak);
    int(reply, "total.allocated", figures.used);
    int(reply, "startup.allocated", 0);
    int(reply, "replication.backlog", 0);
    int(reply, "clients.slaves", 0);
    int(reply, "clients.normal", figures.clients);
    int(reply, "cluster.links", 0);
    int(reply, "aof.buffer", 0);
    int(reply, "lua.caches", call.server.scripts.memory() as u64);
    int(reply, "functions.caches", call.server.libraries.current().memory() as u64);
    int(reply, "overhead.total", figures.overhead());
    int(reply, "keys.count", keys);
    int(reply, "keys.bytes-per-key", figures.used.checked_div(keys).unwrap_or(0));
    int(reply, "dataset.bytes", figures.dataset());
    int(reply, "limbo.bytes", figures.store.limbo);
    int(reply, "allocator.allocated", figures.used);
    int(reply, "allocator.active", figures.active());
    int(reply, "allocator.resident", figures.resident);
    int(reply, "fragmentation.bytes", figures.resident.saturating_sub(figures.used));
    for (name, value) in [
        ("dataset.percentage", percent(figures.dataset(), figures.used)),
        ("peak.percentage", percent(figures.used, figures.peak)),
        ("allocator-fragmentation.ratio", ratio(figures.active(), figures.used)),
        ("allocator-rss.ratio", ratio(figures.resident, figures.active())),
        ("rss-overhead.ratio", 1.0),
        ("fragmentation", figures.fragmentation()),
    ] {
        count += 1;
        reply.bulk(name.as_bytes());
        reply.double(value);
    }
    for db in &dbs {
        reply.bulk(format!("db.{db}").as_bytes());
        reply.map(3);
        // One table serves all databases: their share goes by their number of keys.
        let main = share(figures.store.tables, keyspace.len(DbId(*db)), keys);
        for (name, value) in [("main", main), ("expires", 0), ("slot-to-keys", 0)] {
            reply.bulk(format!("overhead.hashtable.{name}").as_bytes());
            reply.int(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
    reply.finish_deferred(fields, count + dbs.len());
    Ok(Outcome::Done)
}

fn share(whole: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

const DOCTOR: Command = Command::new("doctor", Arity::exactly(2), doctor)
    .docs(docs("4.0.0", "O(1)", "Says what is remarkable about the memory in use."))
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn doctor(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let text = diagnose(&MemoryFigures::read(call.server));
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// Below this many bytes ratios mean nothing.
const SMALL: u64 = 5 << 20;

fn diagnose(figures: &MemoryFigures) -> String {
    if figures.used < SMALL {
        return "The store is nearly empty: there is nothing to say about its memory.\n".into();
    }
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(" * ");
        text.push_str(line);
        text.push('\n');
    };
    if figures.peak > figures.used.saturating_mul(3) / 2 {
        say("Peak: the store once held more than 150 % of what it holds now. The process may \
             keep that memory until it is needed again.");
    }
    if figures.fragmentation() > 1.4 {
        say("Resident memory: the process takes more than 140 % of what the store counts. Many \
             removals of small values leave gaps, which new values of their size fill.");
    }
    if figures.store.limbo > figures.used / 8 {
        say("Limbo: more than an eighth of the memory is removed and not yet freed. A thread \
             may be stopped while it reads, or much was flushed a moment ago.");
    }
    if figures.limit > 0 && figures.used > figures.limit / 100 * 95 {
        say("Limit: the store is at its maxmemory; every new key has to displace others.");
    }
    if figures.clients > figures.used / 2 {
        say("Clients: the buffers of the connections hold more than half of what the data takes. \
             Look at qbuf and omem in CLIENT LIST.");
    }
    if text.is_empty() {
        return "Nothing remarkable about the memory.\n".into();
    }
    format!("Remarkable:\n{text}")
}

const PURGE: Command = Command::new("purge", Arity::exactly(2), purge)
    .docs(docs(
        "4.0.0",
        "Depends on how much memory is allocated, could be slow",
        "Frees what was removed and waits to be freed.",
    ))
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]);

fn purge(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.server.keyspace.flush_limbo(call.guard);
    call.server.keyspace.free_slice(PURGE_ITEMS);
    chunk::release(usize::MAX);
    call.reply.ok();
    Ok(Outcome::Done)
}

const MALLOC_STATS: Command = Command::new("malloc-stats", Arity::exactly(2), malloc_stats)
    .docs(docs(
        "4.0.0",
        "Depends on how much memory is allocated, could be slow",
        "Shows what the store asked of the allocator.",
    ))
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn malloc_stats(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let figures = MemoryFigures::read(call.server);
    let store = figures.store;
    let text = format!(
        "allocator: slab, mimalloc\nresident: {}\nstore: {}\n  entries: {} (on pages of {})\n  \
         tables: {}\n  eviction: {}\n  misses: {}\n  limbo: {} (peak {})\nclients: {}\n\
         free chunks of big values: {}\n",
        figures.resident,
        store.used,
        store.entries,
        store.slab.pages,
        store.tables,
        store.eviction,
        store.misses,
        store.limbo,
        store.limbo_peak,
        figures.clients,
        chunk::free_bytes(),
    );
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("4.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "DOCTOR",
            "    What is remarkable about the memory in use.",
            "MALLOC-STATS",
            "    What the store asked of the allocator.",
            "PURGE",
            "    Free what was removed and waits to be freed.",
            "STATS",
            "    Break the memory in use down.",
            "USAGE <key> [SAMPLES <count>]",
            "    Bytes of a key and its value (exact: nothing is sampled).",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(used: u64, peak: u64, resident: u64) -> MemoryFigures {
        MemoryFigures { used, peak, resident, ..MemoryFigures::default() }
    }

    #[test]
    fn doctor_names_what_is_remarkable() {
        assert!(diagnose(&figures(1, 1 << 40, 1 << 40)).starts_with("The store is nearly empty"));
        let big = 100 << 20;
        assert!(diagnose(&figures(big, big, big)).starts_with("Nothing"));
        assert!(diagnose(&figures(big, 2 * big, big)).contains("Peak"));
        assert!(diagnose(&figures(big, big, 2 * big)).contains("Resident"));
    }

    #[test]
    fn shares_add_up_without_overflow() {
        assert_eq!(share(u64::MAX, 1, 1), u64::MAX);
        assert_eq!(share(100, 1, 4), 25);
        assert_eq!(share(100, 0, 0), 0);
    }
}
