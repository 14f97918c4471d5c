//! Goal: a store that is full stays within its limit while tasks insert, read and take slices of the
//! eviction; what is read is whole, and the counts are right at the end.
//!
//! Method: a budget of some dozen keys, which are there before the tasks begin, so that insertions evict.
//! Keys may go at any time, so they have no histories.

use std::sync::Arc;

use dunlin_storage::{Policy, ShardId, Touch};

use crate::explore::explore;
use crate::world::{DB, Task, World, below, number_in, program};

/// Enough for the tables of two shards and some dozen keys.
const BUDGET: u64 = 8 * 1024;
/// More than that.
const KEYS: usize = 160;

fn get(me: &Task, key: &[u8]) {
    let (keyspace, guard) = (&me.world.keyspace, me.handle.pin());
    if let Some(entry) = keyspace.get(DB, &keyspace.key(key), 0, Touch::Yes, &guard) {
        let number = number_in(&entry);
        let _ = keyspace.get(DB, &keyspace.key(key), 0, Touch::Yes, &guard);
        assert_eq!(number_in(&entry), number, "an entry has changed under its guard");
    }
}

fn evict_under(policy: Policy) {
    explore(move || {
        let world = World::new(2, BUDGET, policy);
        let keys = Arc::new(world.fill(KEYS));
        let before = world.keyspace.stats().evicted_keys;
        let worker = |task| {
            let keys = Arc::clone(&keys);
            program(move |me| {
                for turn in 0..4 {
                    let new = format!("new{task}-{turn}").into_bytes();
                    let key = if below(2) == 0 { &new } else { &keys[below(KEYS)] };
                    me.put(key, below(1000) as u64);
                    get(me, &keys[below(KEYS)]);
                }
                me.rest();
            })
        };
        let slices = program(|me| {
            let keyspace = &me.world.keyspace;
            for shard in [0, 1] {
                keyspace.evict_slice(ShardId(shard), 2, 0, &me.handle.pin());
            }
            keyspace.make_space(ShardId(0), 4, 0, &me.handle.pin());
            me.rest();
        });
        world.run_and(vec![worker(0), worker(1), worker(2), slices], |last| {
            let keyspace = &last.world.keyspace;
            assert!(!keyspace.over_limit(), "more than the limit is used");
            // More than they can be without.
            (0..20).for_each(|i| last.put(format!("last{i}").as_bytes(), i));
            assert!(keyspace.stats().evicted_keys > before, "nothing had to go");
            assert!(!keyspace.over_limit(), "more than the limit is used");
        });
    });
}

#[test]
fn a_full_store_evicts_what_was_not_used() {
    evict_under(Policy::AllKeysLru);
}

#[test]
fn a_full_store_evicts_as_requests_ask_for() {
    evict_under(Policy::AllKeysAuto);
}
