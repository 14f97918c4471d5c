//! The data: keys, hits and misses, what expires and what is evicted, shards and their roles.

use super::samples::Samples;
use super::{Family, Scrape};
use dunlin_storage::{DbId, Miss, ShardId, ShardStats};

/// Most values of the label `shard`; with more shards neighbours are put together.
pub(super) const MAX_SHARD_LABELS: usize = 64;

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
    for range in ranges(keyspace.shards()) {
        let sum: u64 = range
            .clone()
            .filter_map(|shard| u16::try_from(shard).ok())
            .map(|shard| of(&keyspace.shard_stats(ShardId(shard))))
            .sum();
        let (first, last) = (range.start, range.end - 1);
        let name = if first == last { first.to_string() } else { format!("{first}-{last}") };
        out.of(("shard", &name), sum);
    }
}

/// At most [`MAX_SHARD_LABELS`] ranges that make up so many shards.
fn ranges(shards: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let width = shards.div_ceil(MAX_SHARD_LABELS).max(1);
    (0..shards).step_by(width).map(move |first| first..(first + width).min(shards))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_put_together_when_there_are_many() {
        for shards in [1, 16, 64, 65, 128, 4096, 65_536] {
            let ranges: Vec<_> = ranges(shards).collect();
            assert!(ranges.len() <= MAX_SHARD_LABELS, "{shards}");
            assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), shards);
            assert!(ranges.is_sorted_by(|a, b| a.end == b.start), "{shards}");
        }
        assert_eq!(ranges(16).count(), 16);
        assert_eq!(ranges(128).next(), Some(0..2));
    }
}
