//! Tables that no writes come to: what they have begun goes on, and those that are mostly empty become smaller.
//!
//! Each write moves some homes of a table that grows or shrinks, and each removal may begin to shrink it
//! ([`crate::table::resize`]). When the last keys of a table have expired and nothing is stored, all that would
//! stand still, and every walk go through the empty buckets.

use crate::epoch::Guard;
use crate::eviction::SliceReport;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::shard::ShardSet;
use crate::writer::Writer;

impl Writer<'_, '_> {
    /// Goes a piece on with the shard's tables that are not as they should be; whether there was anything
    /// to do.
    pub(crate) fn tidy_tables(&mut self, id: ShardId) -> bool {
        self.begin();
        let (keyspace, guard, cx) = (self.keyspace, self.guard, self.context(id));
        let mut moved = false;
        for (db, table) in keyspace.tables_in(id).enumerate() {
            if table.is_untidy(guard) {
                let before = table.table_bytes() as i64;
                moved |= self.with_core(id, |core| table.tidy_on(&mut core.tables[db], &cx));
                keyspace.memory_changed(id, table.table_bytes() as i64 - before);
            }
        }
        moved
    }
}

impl Keyspace {
    /// Goes on with the resizes of a shard's tables, which writes do otherwise. Skips a busy shard.
    pub fn tidy_slice(&self, shard: ShardId, guard: &Guard) -> SliceReport {
        let is_untidy = || self.tables_in(shard).any(|table| table.is_untidy(guard));
        if !is_untidy() {
            return SliceReport::default();
        }
        let Some(mut writer) = self.try_enter(&ShardSet::one(shard), guard) else {
            return SliceReport { busy: true, more: true, removed: 0 };
        };
        let more = writer.tidy_tables(shard) && is_untidy();
        SliceReport { removed: 0, more, busy: false }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Millis;
    use crate::keyspace::{DbId, Options, Touch};
    use crate::value::string::NewValue;

    const DB: DbId = DbId(0);
    const ID: ShardId = ShardId(0);

    fn store() -> Keyspace {
        Keyspace::new(Options { shards: 1, ..Options::default() })
    }

    fn put(keyspace: &Keyspace, guard: &Guard, n: u32, expire_at: Option<Millis>) {
        let bytes = n.to_be_bytes();
        let mut writer = keyspace.try_enter(&ShardSet::one(ID), guard).expect("a free role");
        writer.put(DB, &keyspace.key(&bytes), NewValue::Bytes(b"v"), expire_at, 0);
    }

    #[test]
    fn tables_become_small_when_all_has_expired() {
        let keyspace = store();
        let handle = keyspace.handle();
        let guard = handle.pin();
        (0..50_000).for_each(|n| put(&keyspace, &guard, n, Some(10)));
        while keyspace.expire_slice(ID, 20, 1000, &guard).more {}
        assert_eq!(keyspace.len(DB), 0);
        while keyspace.tidy_slice(ID, &guard).more {}
        let memory = keyspace.memory();
        assert!(memory.tables < 20_000 && memory.used == memory.tables, "{memory:?}");
        assert_eq!(keyspace.tidy_slice(ID, &guard), SliceReport::default());
    }

    #[test]
    fn a_move_comes_to_its_end_without_writes() {
        let keyspace = store();
        let handle = keyspace.handle();
        let guard = handle.pin();
        let table = keyspace.table(0, ID);
        let is_moving = || table.head(&guard).is_some_and(|head| head.next().is_some());
        let mut count = 0;
        while count < 20_000 || !is_moving() {
            put(&keyspace, &guard, count, None);
            count += 1;
        }
        while keyspace.tidy_slice(ID, &guard).more {}
        assert!(!is_moving());
        for n in 0..count {
            let bytes = n.to_be_bytes();
            let found = keyspace.get(DB, &keyspace.key(&bytes), 0, Touch::No, &guard);
            assert!(found.is_some(), "{n}");
        }
        let memory = keyspace.memory();
        assert_eq!(memory.used, memory.tables + memory.entries);
    }
}
