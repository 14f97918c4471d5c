//! Goal: a flush takes all keys at once, in the order of the other writes, and frees them after the
//! last reader.
//!
//! Method: two tasks work on a few keys, among residents; one flushes, once or twice, and frees in
//! slices; one does nothing but free and rest.

use crate::explore::explore;
use crate::world::{World, program};

#[test]
fn a_flush_is_a_write_like_others() {
    explore(|| {
        let world = World::plain(2);
        let keys = world.watch(&world.fill(20), 0..3);
        let mut tasks = Vec::new();
        for task in 1..3 {
            let keys = keys.clone();
            tasks.push(program(move |me| {
                for turn in 0..5 {
                    me.do_something(&keys, 1000 * (task * 5 + turn));
                }
            }));
        }
        tasks.push(program(move |me| {
            me.flush(&keys);
            me.rest();
            me.flush(&keys);
        }));
        tasks.push(program(|me| {
            for _ in 0..3 {
                me.rest();
                me.world.keyspace.free_slice(8);
            }
        }));
        world.run(tasks);
    });
}
