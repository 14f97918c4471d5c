//! KEYS, SCAN, RANDOMKEY, DBSIZE: what is in a database.
//!
//! A walk visits buckets in the order of the keys' hashes; its cursor is a position in that
//! order. It may see the shards at different instants: a key that is there all the time is found,
//! one that comes or goes meanwhile may be. Walks with SCAN may find a key twice if tables grow.

use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::walk;
use crate::glob;
use dunlin_storage::Entry;

/// SCAN looks at up to this many buckets per requested key, so that a call stays short in a
/// database that has become empty,
const BUCKETS_PER_KEY: usize = 10;
/// but at this many anyway: looking at an empty bucket is cheap, a round trip is not.
const MIN_BUCKETS: usize = 512;
/// Buckets between two looks at the cursor in KEYS.
const STRIDE: usize = 1 << 16;

pub(super) const KEYS: Command = Command::new("keys", Arity::exactly(2), keys)
    .flags(flag_set!(READONLY | ANY_SHARD | WALKS))
    .categories(&["keyspace", "dangerous"])
    .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
    .docs(
        Docs::new(
            Group::Generic,
            "1.0.0",
            "O(N) in the number of keys in the database.",
            "Returns every key that matches a pattern.",
        )
        .args(&[Arg::pattern("pattern")]),
    );

pub(super) const SCAN: Command = Command::new("scan", Arity::at_least(2), scan)
    .flags(flag_set!(READONLY | ANY_SHARD))
    .categories(&["keyspace"])
    .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
    .docs(
        Docs::new(
            Group::Generic,
            "2.8.0",
            "O(1) for each call, O(N) for a walk through all N keys.",
            "Walks through the keys in steps.",
        )
        .args(&[
            Arg::integer("cursor"),
            Arg::pattern("pattern").token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
            Arg::string("type").token("TYPE").since("6.0.0").optional(),
        ])
        .history(&[("6.0.0", "Added the `TYPE` subcommand.")]),
    );

pub(super) const RANDOMKEY: Command = Command::new("randomkey", Arity::exactly(1), randomkey)
    .flags(flag_set!(READONLY | ANY_SHARD))
    .categories(&["keyspace"])
    .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"])
    .docs(Docs::new(Group::Generic, "1.0.0", "O(1)", "Returns some key of the database."));

pub(super) const DBSIZE: Command = Command::new("dbsize", Arity::exactly(1), dbsize)
    .flags(flag_set!(READONLY | FAST | ANY_SHARD))
    .categories(&["keyspace"])
    .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
    .docs(Docs::new(Group::Server, "1.0.0", "O(1)", "Counts the keys of the database."));

fn keys(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let pattern = call.arg(1);
    if let Some(name) = glob::literal(pattern) {
        let found = call.peek(&call.keyspace().key(name)).is_some();
        call.reply.array(usize::from(found));
        if found {
            call.reply.bulk(name);
        }
        return Ok(Outcome::Done);
    }
    let all = walk::is_all(pattern);
    let (keyspace, db, now, guard) = (call.keyspace(), call.db(), call.now, call.guard);
    let array = call.reply.deferred_array();
    let reply = &mut *call.reply;
    let mut total = 0;
    let mut cursor = 0;
    loop {
        cursor = keyspace.scan(db, cursor, STRIDE, now, guard, &mut |entry| {
            let name = entry.key();
            if all || glob::matches(pattern, name) {
                reply.bulk(name);
                total += 1;
            }
        });
        if cursor == 0 {
            break;
        }
    }
    call.reply.finish_deferred(array, total);
    Ok(Outcome::Done)
}

/// Options of SCAN.
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Filter<'a> {
    fn parse(call: &Call<'a, '_>) -> Result<Self, ReplyError> {
        let mut filter = Filter { pattern: None, kind: None, count: walk::DEFAULT_COUNT };
        let mut at = 2;
        while at < call.argc() {
            if at + 1 >= call.argc() {
                return Err(error::SYNTAX);
            }
            if call.is(at, "count") {
                filter.count = walk::count(call, at + 1)?;
            } else if call.is(at, "match") {
                filter.pattern = walk::pattern(call, at + 1);
            } else if call.is(at, "type") {
                filter.kind = Some(call.arg(at + 1));
            } else {
                return Err(error::SYNTAX);
            }
            at += 2;
        }
        Ok(filter)
    }

    fn takes(&self, entry: &Entry<'_>) -> bool {
        let kind = entry.kind().name().as_bytes();
        self.kind.is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind))
            && self.pattern.is_none_or(|pattern| glob::matches(pattern, entry.key()))
    }
}

/// What one call of SCAN has come upon.
#[derive(Default)]
struct Found<'g> {
    names: Vec<&'g [u8]>,
    /// Names of keys whose time is over.
    expired: Vec<&'g [u8]>,
    seen: usize,
}

fn scan(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut cursor = walk::cursor(call, 1)?;
    let filter = Filter::parse(call)?;
    let (keyspace, db, now, guard) = (call.keyspace(), call.db(), call.now, call.guard);
    let mut found = Found::default();
    let mut buckets = filter.count.saturating_mul(BUCKETS_PER_KEY).max(MIN_BUCKETS);
    while buckets > 0 && found.seen < filter.count {
        cursor = keyspace.scan_all(db, cursor, 1, guard, &mut |entry| {
            found.seen += 1;
            if !filter.takes(&entry) {
                return;
            }
            let is_expired = entry.is_expired(now);
            let names = if is_expired { &mut found.expired } else { &mut found.names };
            names.push(entry.key());
        });
        if cursor == 0 {
            break;
        }
        buckets -= 1;
    }
    call.reply.array(2);
    call.reply.bulk(cursor.to_string().as_bytes());
    call.reply.array(found.names.len());
    for name in found.names {
        call.reply.bulk(name);
    }
    for name in found.expired {
        call.bury(&keyspace.key(name));
    }
    Ok(Outcome::Done)
}

fn randomkey(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let random = call.server.random();
    match call.keyspace().random(call.db(), call.now, random, call.guard) {
        Some(entry) => call.reply.bulk(entry.key()),
        None => call.reply.null(),
    }
    Ok(Outcome::Done)
}

fn dbsize(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let total = call.keyspace().len(call.db());
    call.reply.int(i64::try_from(total).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}
