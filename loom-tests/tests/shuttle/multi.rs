//! Goal: a write of keys in two shards is seen as a whole by readers that look at the sequence words,
//! and by everybody who has both roles.
//!
//! Method: two tasks write both keys, the same number to each; one reads both without a role, one under
//! both; one writes to one of the shards, so that jobs wait with the role of the other.

use std::sync::Arc;

use dunlin_storage::{ShardSet, Touch};

use crate::explore::explore;
use crate::world::{DB, Program, Task, World, number_in, program};

/// A key of each shard.
type Pair = [Vec<u8>; 2];

fn pair(world: &World) -> Pair {
    let of = |shard| {
        let mut names = (0..).map(|i: u32| format!("pair{i}").into_bytes());
        names.find(|key| world.shard(key).0 == shard).expect("there is no end of them")
    };
    [of(0), of(1)]
}

fn write_both(me: &Task, keys: &Pair, number: u64) {
    let (world, keys) = (Arc::clone(&me.world), keys.clone());
    me.write(ShardSet::all(&me.world.keyspace), move |writer| {
        keys.iter().for_each(|key| world.put(writer, key, number));
    });
}

fn read_both(me: &Task, keys: &Pair) {
    let (keyspace, guard) = (&me.world.keyspace, me.handle.pin());
    let words = || keys.each_ref().map(|key| keyspace.multi_seq(me.world.shard(key)));
    let before = words();
    let numbers = keys.each_ref().map(|key| {
        let entry = keyspace.get(DB, &keyspace.key(key), 0, Touch::No, &guard);
        entry.as_ref().map(number_in)
    });
    if before.iter().all(|word| word % 2 == 0) && before == words() {
        assert_eq!(numbers[0], numbers[1], "half of a write");
    }
}

fn read_under_roles(me: &Task, keys: &Pair) {
    let (world, keys) = (Arc::clone(&me.world), keys.clone());
    me.write(ShardSet::all(&me.world.keyspace), move |writer| {
        let numbers = keys.each_ref().map(|key| {
            let entry = writer.get(DB, &world.keyspace.key(key), 0);
            entry.as_ref().map(number_in)
        });
        assert_eq!(numbers[0], numbers[1], "half of a write");
    });
}

#[test]
fn a_write_of_two_shards_is_seen_as_a_whole() {
    explore(|| {
        let world = World::plain(2);
        let keys = pair(&world);
        let with = |work: fn(&Task, &Pair, u64)| -> Program {
            let keys = keys.clone();
            program(move |me| (1..4).for_each(|turn| work(me, &keys, turn)))
        };
        world.run(vec![
            with(write_both),
            with(|me, keys, turn| write_both(me, keys, 100 + turn)),
            with(|me, keys, _| read_both(me, keys)),
            with(|me, keys, _| read_under_roles(me, keys)),
            with(|me, keys, turn| me.set(&[&keys[1][..], b"beside"].concat(), turn, None)),
        ]);
    });
}
