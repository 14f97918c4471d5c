//! INSIGHT, Dunlin's own: hot keys, big keys and prefixes, as [`crate::insight`] knows them.

use super::docs;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use crate::insight::Prefix;
use dunlin_protocol::Reply;
use dunlin_storage::Miss;

const OPERATOR: Flags = flag_set!(ADMIN | NOSCRIPT | LOADING | STALE);
const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];
const COUNT: &[Arg] = &[Arg::integer("count").token("COUNT").optional()];
/// Keys or prefixes that are answered without COUNT.
const DEFAULT_COUNT: usize = 10;

pub(super) const INSIGHT: Command = Command::new("insight", Arity::at_least(2), help::container)
    .docs(docs("8.6.0", "Depends on subcommand.", "Commands about the use of keys (Dunlin only)."))
    .subcommands(&[BIGKEYS, HELP, HOTKEYS, PREFIXES, RESET]);

/// The options of the subcommands that show something.
fn count_of(call: &Call<'_, '_>) -> Result<usize, ReplyError> {
    match call.argc() {
        2 => Ok(DEFAULT_COUNT),
        4 if call.is(2, "COUNT") => match usize::try_from(call.int(3)?) {
            Ok(count) if count > 0 => Ok(count),
            _ => Err("ERR COUNT must be positive".into()),
        },
        _ => Err(SYNTAX),
    }
}

fn int(reply: &mut Reply, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.int(i64::try_from(value).unwrap_or(i64::MAX));
}

const HOTKEYS: Command = Command::new("hotkeys", Arity::at_least(2), hot_keys)
    .flags(OPERATOR)
    .docs(
        docs("8.6.0", "O(N) where N is the number of sampled keys", "Answers the keys used most.")
            .args(COUNT),
    )
    .tips(TIPS);

fn hot_keys(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let keys = call.server.insight.hot_keys(call.server, count_of(call)?);
    let reply = &mut *call.reply;
    reply.array(keys.len());
    for key in keys {
        reply.map(3);
        reply.bulk(b"key");
        reply.bulk(&key.key);
        int(reply, "db", u64::from(key.db.0));
        reply.bulk(b"per-second");
        reply.double((key.per_second * 1000.0).round() / 1000.0);
    }
    Ok(Outcome::Done)
}

const BIGKEYS: Command = Command::new("bigkeys", Arity::at_least(2), big_keys)
    .flags(OPERATOR)
    .docs(docs("8.6.0", "O(1)", "Answers the keys that take most memory.").args(COUNT))
    .tips(TIPS);

fn big_keys(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let count = count_of(call)?;
    // A walk is not the last word: what has gone since is not shown.
    let mut keys = call.server.insight.big_keys(usize::MAX);
    keys.retain(|key| call.peek_in(key.db, &call.server.keyspace.key(&key.key)).is_some());
    keys.truncate(count);
    let reply = &mut *call.reply;
    reply.array(keys.len());
    for key in keys {
        reply.map(5);
        reply.bulk(b"key");
        reply.bulk(&key.key);
        int(reply, "db", u64::from(key.db.0));
        reply.bulk(b"type");
        reply.bulk(key.kind.name().as_bytes());
        int(reply, "bytes", key.bytes as u64);
        int(reply, "length", key.len as u64);
    }
    Ok(Outcome::Done)
}

const PREFIXES: Command = Command::new("prefixes", Arity::at_least(2), prefixes)
    .flags(OPERATOR)
    .docs(
        docs(
            "8.6.0",
            "O(N) where N is the number of known prefixes",
            "Answers what the prefixes of keys cost and bring.",
        )
        .args(COUNT),
    )
    .tips(TIPS);

fn prefixes(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (prefixes, other) = call.server.insight.prefixes(call.server, count_of(call)?);
    let reply = &mut *call.reply;
    reply.map(2);
    reply.bulk(b"prefixes");
    reply.array(prefixes.len());
    for prefix in &prefixes {
        reply.map(2 + FIGURES);
        reply.bulk(b"prefix");
        reply.bulk(&prefix.name);
        show(reply, prefix);
    }
    reply.bulk(b"other");
    reply.map(1 + FIGURES);
    show(reply, &other);
    Ok(Outcome::Done)
}

/// Figures of a prefix but for `accesses`.
const FIGURES: usize = 6 + Miss::ALL.len();

fn show(reply: &mut Reply, prefix: &Prefix) {
    // Estimates: a count of samples, times what each stands for.
    let mut about = |name: &str, value: f64| int(reply, name, value.round() as u64);
    about("accesses", prefix.used.accesses);
    about("hits", prefix.used.hits);
    about("misses", prefix.used.missed());
    for (why, count) in Miss::ALL.iter().zip(prefix.used.misses) {
        about(&format!("misses-{}", why.name().replace('_', "-")), count);
    }
    about("writes", prefix.used.writes);
    about("net-bytes", prefix.used.net_bytes);
    int(reply, "keys", prefix.size.keys);
    int(reply, "bytes", prefix.size.bytes);
}

const RESET: Command = Command::new("reset", Arity::exactly(2), reset)
    .flags(OPERATOR)
    .docs(docs("8.6.0", "O(1)", "Forgets the samples of hot keys and prefixes."))
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn reset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.server.insight.reset(call.server);
    call.reply.ok();
    Ok(Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("8.6.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "BIGKEYS [COUNT <count>]",
            "    The keys that take most memory, with type, bytes and length (10).",
            "HOTKEYS [COUNT <count>]",
            "    The keys used most of late, in accesses per second (10).",
            "PREFIXES [COUNT <count>]",
            "    Accesses, hits, misses, writes, bytes sent, keys and memory by prefix (10).",
            "RESET",
            "    Forget the samples of hot keys and prefixes.",
        ],
    )
}
