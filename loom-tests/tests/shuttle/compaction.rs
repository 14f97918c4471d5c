//! Goal: entries that are moved off sparse pages have one history, and nobody reads the blocks they
//! were in, which are used again.
//!
//! Method: values of eight to a page fill fifty pages, and most are removed, so that the rest is to be
//! moved together. One task does so, two work on keys that may be moved, one rests.

use dunlin_storage::{Keyspace, ShardId};

use crate::explore::explore_one_in;
use crate::world::{LARGE, Task, World, below, program};

/// Pages, and keys of each.
const PAGES: usize = 50;
const KEYS: usize = 8;

/// Goes on with moving; true if it is over.
fn compact(me: &Task, items: usize) -> bool {
    let keyspace = &me.world.keyspace;
    !keyspace.compact_slice(ShardId(0), items, &me.handle.pin()).more
}

fn moved(keyspace: &Keyspace) -> u64 {
    keyspace.stats().moved_entries
}

#[test]
fn keys_have_one_history_while_they_are_moved() {
    // What has to be stored before there is something to be moved takes most of the time.
    explore_one_in(20, || {
        let world = World::plain(1);
        let keys: Vec<Vec<u8>> =
            (0..PAGES * KEYS).map(|i| format!("large{i}").into_bytes()).collect();
        {
            let first = world.task();
            keys.iter().zip(LARGE..).for_each(|(key, number)| first.put(key, number));
            let sparse = |(place, _): &(usize, _)| place % KEYS != 0;
            keys.iter().enumerate().filter(sparse).for_each(|(_, key)| first.take(key));
            first.rest();
            while world.keyspace.choose_slice() {}
        }
        assert!(world.keyspace.is_compacting(), "there is something to be moved");
        let hot = [(); 3].map(|()| below(PAGES) * KEYS).map(|place| {
            world.starts_with(&keys[place], LARGE + place as u64);
            keys[place].clone()
        });
        let worker = |task: u64| {
            let hot = hot.clone();
            program(move |me| {
                (0..4).for_each(|turn| me.do_something(&hot, LARGE * (1 + 2 * task + turn % 2)));
            })
        };
        let moving = program(|me| {
            for _ in 0..3 {
                compact(me, 100);
                me.rest();
            }
        });
        world.run_and(vec![moving, worker(1), worker(2), program(Task::rest)], |last| {
            while !compact(last, 1000) {}
            assert!(moved(&last.world.keyspace) > 0, "nothing was moved");
        });
    });
}
