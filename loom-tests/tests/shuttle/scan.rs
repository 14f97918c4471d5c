//! Goal: a scan sees every key that stays, while its table grows or shrinks and while removals pull
//! items back from the overflow chain; and nothing that was never there.
//!
//! Method: a table of three groups is filled to the last item before it grows, or emptied to the last
//! one before it shrinks. One task inserts or removes, which moves the items sixteen homes at a time;
//! one writes residents anew; one scans, some buckets at a time; one rests.

use std::collections::HashSet;

use crate::explore::explore;
use crate::world::{Program, Task, World, below, number_in, program};

/// 92 % of the slots of three groups: the next insertion begins to grow.
const FULL: usize = 155;
/// 20 % of them: the next removal begins to shrink.
const SPARSE: usize = 34;

/// Scans beside others that remove some keys and store numbers from 1000 on.
fn scanner(stable: &[Vec<u8>]) -> Program {
    let stable: HashSet<Vec<u8>> = stable.iter().cloned().collect();
    program(move |me| {
        let mut seen = HashSet::new();
        me.scan(1 + below(8), &mut |entry| {
            let number = number_in(&entry);
            assert!(number < FULL as u64 || number >= 1000, "nobody has stored {number}");
            seen.insert(entry.key().to_vec());
        });
        assert!(stable.is_subset(&seen), "a key that stays was missed");
    })
}

/// Stores keys anew, and rests.
fn restless(keys: &[Vec<u8>]) -> Program {
    let keys = keys.to_vec();
    program(move |me| {
        (1000..1003).for_each(|number| me.put(&keys[below(keys.len())], number));
        me.rest();
    })
}

fn rest(me: &Task) {
    me.rest();
    me.rest();
}

#[test]
fn a_scan_beside_growth_sees_what_stays() {
    explore(|| {
        let world = World::plain(1);
        let mut residents = world.fill(FULL);
        let removed = world.watch(&residents, [below(FULL)]);
        residents.retain(|key| !removed.contains(key));
        let (restless, scanner) = (restless(&residents), scanner(&residents));
        let growing = program(move |me| {
            me.set(b"new0", 1000, None);
            me.set(b"new1", 1000, None);
            me.remove(&removed[0]);
        });
        world.run(vec![growing, restless, scanner, program(rest)]);
    });
}

#[test]
fn a_scan_beside_shrinking_sees_what_stays() {
    explore(|| {
        let world = World::plain(1);
        let residents = world.fill(FULL);
        let before = world.keyspace.memory().tables;
        let mut removed = world.watch(&residents, SPARSE - 3..FULL);
        {
            let first = world.task();
            removed.drain(3..).for_each(|key| first.remove(&key));
        }
        let stable = &residents[..SPARSE - 3];
        let (restless, scanner) = (restless(stable), scanner(stable));
        let shrinking = program(move |me| removed.iter().for_each(|key| me.remove(key)));
        world.run_and(vec![shrinking, restless, scanner, program(rest)], |last| {
            assert!(last.world.keyspace.memory().tables < before, "it has shrunk");
        });
    });
}
