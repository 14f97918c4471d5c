//! Goal: while a table of five groups grows to six (sixteen homes move with a write, three writes of
//! them; the old array is retired) every resident key has one history, and none is lost.
//!
//! Method: the table is filled to the last item before it grows. One task inserts new keys, which
//! begins the growth and carries it on; the others read, write and remove residents, most of them of one
//! home that has spilled, so that items are pulled back, and rest, so that the old array is freed while
//! they read.

use std::collections::HashSet;

use crate::explore::explore;
use crate::world::{World, below, program};

/// The table is full at 92 % of the slots of so many groups: the next insertion begins to grow.
const GROUPS: usize = 5;
const FULL: usize = 258;

#[test]
fn keys_have_one_history_while_the_table_grows() {
    explore(|| {
        let world = World::plain(1);
        let residents = world.fill(FULL);
        let before = world.keyspace.memory().tables;
        let mut places = world.crowd(&residents, GROUPS);
        places.extend([(); 2].map(|()| below(FULL)));
        let hot = world.watch(&residents, places);
        let mut tasks = vec![program(|me| {
            for new in 0..5 {
                me.set(format!("new{new}").as_bytes(), 1, None);
            }
            me.rest();
        })];
        for task in 1..4 {
            let hot = hot.clone();
            tasks.push(program(move |me| {
                for turn in 0..4 {
                    me.do_something(&hot, 1000 * (task * 4 + turn));
                }
            }));
        }
        world.run_and(tasks, move |judge| {
            assert!(judge.world.keyspace.memory().tables > before, "it has grown");
            let mut residents: HashSet<_> = residents.into_iter().collect();
            judge.scan(8, &mut |entry| {
                residents.remove(entry.key());
            });
            assert!(residents.iter().all(|key| hot.contains(key)), "a key was lost");
        });
    });
}
