//! The shards, neighbours put together when there are many.

use crate::admin::ranges;
use crate::server::Server;
use dunlin_storage::{ShardId, ShardStats};
use serde::Serialize;

/// A shard (or range of shards); the sum over its shards.
#[derive(Serialize)]
pub(super) struct Range {
    name: String,
    keys: u64,
    bytes: u64,
    /// Since the start: the page shows how fast it grows.
    changes: u64,
    role_taken: u64,
}

pub(super) fn ranges(server: &Server) -> Vec<Range> {
    let keyspace = &server.keyspace;
    let of = |range: std::ops::Range<usize>| {
        let sum = |of: fn(&ShardStats) -> u64| -> u64 {
            let ids = range.clone().filter_map(|shard| u16::try_from(shard).ok());
            ids.map(|id| of(&keyspace.shard_stats(ShardId(id)))).sum()
        };
        Range {
            name: ranges::name(&range),
            keys: sum(|shard| shard.keys),
            bytes: sum(|shard| shard.bytes),
            changes: sum(|shard| shard.changes),
            role_taken: sum(|shard| shard.role_taken),
        }
    };
    ranges::of(keyspace.shards()).map(of).collect()
}
