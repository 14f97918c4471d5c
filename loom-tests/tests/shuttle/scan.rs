//! Goal: a scan sees every key that stays, while its table grows or shrinks and while removals pull
//! items back from the overflow chain; and nothing that was never there.
//!
//! Method: a table of three groups is filled to the last item before it grows, or emptied to the last
//! one before it shrinks. One task inserts or removes, which moves the items sixteen homes at a time;
//! one writes residents anew; one scans, some buckets at a time; one rests.

use std::collections::HashSet;

use crate::explore::explore;
use crate::world::{Program, Task, World, below, number_in, program};

/// The table is full at 92 % of the slots of so many groups: the next insertion begins to grow.
const GROUPS: usize = 3;
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
        let crowd = world.crowd(&residents, GROUPS);
        let removed = world.watch(&residents, crowd[..2].iter().copied());
        residents.retain(|key| !removed.contains(key));
        let (restless, scanner) = (restless(&residents), scanner(&residents));
        let growing = program(move |me| {
            me.remove(&removed[0]);
            (0..3).for_each(|new| me.set(format!("new{new}").as_bytes(), 1000, None));
            me.remove(&removed[1]);
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
        {
            let first = world.task();
            residents[SPARSE..].iter().for_each(|key| first.take(key));
        }
        let removed = world.watch(&residents, SPARSE - 3..SPARSE);
        let stable = &residents[..SPARSE - 3];
        let (restless, scanner) = (restless(stable), scanner(stable));
        let shrinking = program(move |me| removed.iter().for_each(|key| me.remove(key)));
        world.run_and(vec![shrinking, restless, scanner, program(rest)], |last| {
            assert!(last.world.keyspace.memory().tables < before, "it has shrunk");
        });
    });
}
