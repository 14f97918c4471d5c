//! Goal: a key is there until its last moment and not longer, whoever removes it when: a read, a write,
//! or a slice of the expiry.
//!
//! Method: one task lets time pass; two work on a few keys, most of which expire soon; one takes slices.

use dunlin_storage::{ShardId, Touch};

use crate::explore::explore;
use crate::world::{DB, World, below, program};

#[test]
fn keys_are_there_until_their_time_is_over() {
    explore(|| {
        let world = World::plain(2);
        let keys: Vec<Vec<u8>> = (0..3).map(|i| format!("key{i}").into_bytes()).collect();
        let mut tasks = Vec::new();
        for task in 1..3 {
            let keys = keys.clone();
            tasks.push(program(move |me| {
                for turn in 0..6 {
                    let key = &keys[below(keys.len())];
                    let until = [Some(100), Some(100), None][below(3)];
                    match below(8) {
                        0..3 => me.set(key, 1000 * (task * 6 + turn), until),
                        3..6 => me.get(key, Touch::Yes),
                        6 => me.add(key),
                        _ => me.remove(key),
                    }
                }
            }));
        }
        tasks.push(program(|me| {
            // The last moment of most keys, and the next one.
            me.world.pass(100);
            me.rest();
            me.world.pass(1);
        }));
        tasks.push(program(move |me| {
            let keyspace = &me.world.keyspace;
            for key in &keys {
                for shard in [0, 1] {
                    keyspace.expire_slice(ShardId(shard), me.world.now(), 10, &me.handle.pin());
                }
                keyspace.bury(DB, &keyspace.key(key), me.world.now(), &me.handle.pin());
            }
            me.rest();
        }));
        world.run(tasks);
    });
}
