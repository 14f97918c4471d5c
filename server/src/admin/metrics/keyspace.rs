//! The data: keys, hits and misses, what expires and what is evicted, shards and their roles.

use super::samples::Samples;
use super::{Family, Scrape};
use crate::admin::ranges;
use dunlin_storage::{DbId, Miss, ShardId, ShardStats};

pub(super) const FAMILIES: &[Family] = &[
    Family::counter("keyspace_hits", "Lookups that found their key.", |scrape, out| {
        out.only(scrape.server.stats.sum(|w| &w.hits));
    }),
    Family::counter("keyspace_misses", "Lookups that did not find their key.", |scrape, out| {
        out.only(scrape.server.stats.sum(|w| &w.misses));
    }),
    Family::counter("missed_keys", "The same, by what became of the key.", |scrape, out| {
        for (why, count) in Miss::ALL.iter().zip(scrape.server.stats.misses_by_cause()) {
            out.of(("cause", why.name()), count);
        }
    }),
    Family::counter("expired_keys", "Keys removed because they had expired.", |scrape, out| {
        out.only(scrape.store.expired_keys);
    }),
    Family::counter("expired_fields", "Fields of hashes removed likewise.", |scrape, out| {
        out.only(scrape.store.expired_fields);
    }),
    Family::counter("evicted_keys", "Keys removed to keep to maxmemory.", |scrape, out| {
        out.only(scrape.store.evicted_keys);
    }),
    Family::gauge("auto_shards", "Shards under allkeys-auto, by rule.", |scrape, out| {
        let [frequency, recency] = scrape.store.auto.shards;
        out.of(("rule", "frequency"), frequency);
        out.of(("rule", "recency"), recency);
    }),
    Family::counter("auto_rule_changes", "Changes of these rules.", |scrape, out| {
        out.only(scrape.store.auto.changes);
    }),
    Family::counter("changes", "Changes of keys that clients have made.", |scrape, out| {
        out.only(scrape.store.changes);
    }),
    Family::gauge("keys", "Keys, by database.", |scrape, out| {
        let keyspace = &scrape.server.keyspace;
        databases(scrape, out, |db| keyspace.len(db));
    }),
    Family::gauge("keys_with_expiry", "Keys that will expire, by database.", |scrape, out| {
        let keyspace = &scrape.server.keyspace;
        databases(scrape, out, |db| keyspace.expires(db));
    }),
    Family::gauge("shard_keys", "Keys, by shard (or range of shards).", |scrape, out| {
        shards(scrape, out, |shard| shard.keys);
    }),
    Family::gauge("shard_memory", "Memory, by shard (or range of shards).", |scrape, out| {
        shards(scrape, out, |shard| shard.bytes);
    })
    .bytes(),
    Family::counter("shard_changes", "Changes, by shard (or range of shards).", |scrape, out| {
        shards(scrape, out, |shard| shard.changes);
    }),
    Family::counter("role_taken", "How often a shard's writer role was taken.", |scrape, out| {
        out.only(scrape.store.role_taken);
    }),
    Family::counter("role_busy", "How often it was found taken.", |scrape, out| {
        out.only(scrape.store.role_busy);
    }),
    Family::counter("handed_over_jobs", "Writes left with who had the role.", |scrape, out| {
        out.only(scrape.store.jobs);
    }),
];

/// The databases that have keys, and the first.
fn databases(scrape: &Scrape, out: &mut Samples<'_>, of: impl Fn(DbId) -> u64) {
    let keyspace = &scrape.server.keyspace;
    for db in (0..keyspace.databases()).filter(|db| *db == 0 || keyspace.len(DbId(*db)) > 0) {
        out.of(("db", &db.to_string()), of(DbId(db)));
    }
}

fn shards(scrape: &Scrape, out: &mut Samples<'_>, of: fn(&ShardStats) -> u64) {
    let keyspace = &scrape.server.keyspace;
    for range in ranges::of(keyspace.shards()) {
        let name = ranges::name(&range);
        let ids = range.filter_map(|shard| u16::try_from(shard).ok());
        let sum: u64 = ids.map(|id| of(&keyspace.shard_stats(ShardId(id)))).sum();
        out.of(("shard", &name), sum);
    }
}
