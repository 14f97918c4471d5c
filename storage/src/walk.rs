//! A walk through the whole keyspace beside its users, for those who write it down.
//!
//! # What is promised
//!
//! A walk is made of steps, and everything may change between two of them: no role is taken, nothing
//! is copied, and the epoch has to be pinned for one step only.
//!
//! - A key that is there all the time is visited **exactly once**, with a value that it has at that
//!   moment. A step covers a range of hashes, and the ranges follow each other without gap or
//!   overlap, whatever size the tables have meanwhile; what is seen twice within a step, because it
//!   moves at that moment, is told once.
//! - A key that comes, goes or changes meanwhile is visited with a value that it had at some moment
//!   of the walk, or not at all if it was not there at some moment.
//! - Databases have the numbers that they had at the beginning; one that is swapped meanwhile is
//!   visited once. What is to be read later, under a role, is in [`Walk::database`].
//!
//! So it is no picture of one instant: two keys may be seen at different ones. That would need a
//! version in every bucket and a hand-over of what is about to change before each first write, in front
//! of everybody who writes; a cache gains nothing by it.

use crate::entry::Entry;
use crate::epoch::Guard;
use crate::hash::ShardId;
use crate::keyspace::{Database, DbId, Keyspace};
use crate::slots::SlotSet;
use crate::table::iter::POSITION_END;
use std::ops::Range;
use std::sync::Arc;

/// See the [module documentation](self).
#[derive(Clone, Debug)]
pub struct Walk {
    /// The numbers of the physical databases when the walk began.
    numbers: Vec<DbId>,
    /// The shards that it goes through.
    shards: Range<usize>,
    /// The only slots whose keys are visited.
    slots: Option<Arc<SlotSet>>,
    physical: usize,
    shard: usize,
    position: u64,
}

impl Keyspace {
    /// A walk that has not begun.
    #[must_use]
    pub fn walk(&self) -> Walk {
        let (numbers, shards) = (self.numbers(), 0..self.shards());
        Walk { numbers, shards, slots: None, physical: 0, shard: 0, position: 0 }
    }

    /// The numbers of the physical databases. Without a role two of them may be changing places: then it
    /// looks again.
    fn numbers(&self) -> Vec<DbId> {
        loop {
            let mut numbers = vec![None; usize::from(self.databases())];
            for db in (0..self.databases()).map(DbId) {
                if let Some(number) = numbers.get_mut(self.physical(db)) {
                    *number = Some(db);
                }
            }
            if let Some(numbers) = numbers.into_iter().collect::<Option<Vec<_>>>() {
                return numbers;
            }
        }
    }

    /// A walk that visits the keys of some slots in one shard; of the others it reads little more than
    /// the buckets.
    #[must_use]
    pub fn walk_slots(&self, shard: ShardId, slots: Arc<SlotSet>) -> Walk {
        let first = usize::from(shard.0);
        let (shards, slots) = (first..first + 1, Some(slots));
        Walk { shards, slots, shard: first, ..self.walk() }
    }
}

impl Walk {
    /// Visits the keys of one bucket, those whose time is over included; false at the end. Empty tables
    /// are passed over.
    pub fn step<'g>(
        &mut self,
        keyspace: &Keyspace,
        guard: &'g Guard,
        visit: &mut dyn FnMut(DbId, Entry<'g>),
    ) -> bool {
        let table = loop {
            if self.physical == self.numbers.len() {
                return false;
            }
            let table = keyspace.table(self.physical, ShardId(self.shard as u16));
            if table.len() > 0 {
                break table;
            }
            self.next_table();
        };
        let mut seen: Vec<Entry<'g>> = Vec::new();
        let (hasher, slots) = (&keyspace.hasher, self.slots.as_deref());
        let groups = slots.map_or(u64::MAX, SlotSet::groups);
        self.position = table.visit_groups(self.position, groups, hasher, guard, &mut |entry| {
            let wanted = match slots {
                Some(slots) => slots.contains(hasher.slot(hasher.hash(entry.key()))),
                None => keyspace.shows(entry.key()),
            };
            if !wanted {
                return;
            }
            // Of two values of a key the later one was read later.
            match seen.iter_mut().find(|other| other.key() == entry.key()) {
                Some(other) => *other = entry,
                None => seen.push(entry),
            }
        });
        let db = self.numbers[self.physical];
        if self.position == POSITION_END {
            self.next_table();
        }
        seen.into_iter().for_each(|entry| visit(db, entry));
        true
    }

    /// The database that had this number when the walk began.
    #[must_use]
    pub fn database(&self, number: DbId) -> Database {
        let physical = self.numbers.iter().position(|db| *db == number);
        Database(physical.expect("every database had a number"))
    }

    fn next_table(&mut self) {
        (self.shard, self.position) = (self.shard + 1, 0);
        if self.shard == self.shards.end {
            (self.physical, self.shard) = (self.physical + 1, self.shards.start);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{NewValue, Options, ShardSet, Value};
    use std::collections::HashMap;

    fn put(keyspace: &Keyspace, guard: &Guard, db: DbId, name: &str, value: &str) {
        let key = keyspace.key(name.as_bytes());
        let shards = ShardSet::one(keyspace.shard_of(key.hash));
        let mut writer = keyspace.try_enter(&shards, guard).expect("nobody else writes");
        writer.put(db, &key, NewValue::Bytes(value.as_bytes()), None, 0);
    }

    fn remove(keyspace: &Keyspace, guard: &Guard, db: DbId, name: &str) {
        let key = keyspace.key(name.as_bytes());
        let shards = ShardSet::one(keyspace.shard_of(key.hash));
        let mut writer = keyspace.try_enter(&shards, guard).expect("nobody else writes");
        writer.remove(db, &key, 0);
    }

    fn small() -> Keyspace {
        Keyspace::new(Options { shards: 4, seed: Some([1, 2, 3, 4]), ..Options::default() })
    }

    #[test]
    fn nothing_is_there_to_walk_through() {
        let keyspace = small();
        let handle = keyspace.handle();
        assert!(!keyspace.walk().step(&keyspace, &handle.pin(), &mut |_, _| unreachable!()));
    }

    #[test]
    fn every_key_is_visited_once_while_tables_grow_and_shrink() {
        let keyspace = small();
        let handle = keyspace.handle();
        let stays = |i: usize| (DbId((i % 3) as u8), format!("stays:{i}"));
        for i in 0..3_000 {
            let (db, name) = stays(i);
            put(&keyspace, &handle.pin(), db, &name, "v");
        }
        let mut seen: HashMap<(u8, Vec<u8>), usize> = HashMap::new();
        let (mut walk, mut step) = (keyspace.walk(), 0);
        loop {
            let guard = handle.pin();
            let more = walk.step(&keyspace, &guard, &mut |db, entry| {
                *seen.entry((db.0, entry.key().to_vec())).or_default() += 1;
            });
            if !more {
                break;
            }
            // Others come and go in numbers that make the tables grow several times.
            for other in 0..20 {
                let name = format!("other:{step}:{other}");
                put(&keyspace, &guard, DbId(0), &name, "v");
                if step % 2 == 1 {
                    remove(&keyspace, &guard, DbId(0), &name);
                }
            }
            step += 1;
        }
        for i in 0..3_000 {
            let (db, name) = stays(i);
            assert_eq!(seen.get(&(db.0, name.into_bytes())), Some(&1), "key {i}");
        }
        assert!(seen.values().all(|times| *times == 1), "nothing is visited twice");
    }

    #[test]
    fn databases_keep_their_numbers() {
        let keyspace = small();
        let handle = keyspace.handle();
        let guard = handle.pin();
        for db in 0..3 {
            put(&keyspace, &guard, DbId(db), "key", &db.to_string());
        }
        let mut walk = keyspace.walk();
        let all = ShardSet::all(&keyspace);
        let mut writer = keyspace.try_enter(&all, &guard).expect("free");
        writer.swap(DbId(0), DbId(2), 0);
        let now = [0, 1, 2].map(|db| writer.number_of(walk.database(DbId(db))));
        assert_eq!(now, [DbId(2), DbId(1), DbId(0)]);
        drop(writer);
        let mut seen = Vec::new();
        while walk.step(&keyspace, &guard, &mut |db, entry| {
            let Value::Str(text) = entry.value() else { unreachable!() };
            seen.push((db.0, text.to_cow().into_owned()));
        }) {}
        seen.sort();
        assert_eq!(seen, [(0, b"0".to_vec()), (1, b"1".to_vec()), (2, b"2".to_vec())]);
    }
}
