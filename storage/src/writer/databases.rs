//! Whole databases: emptied, and swapped.

use super::Writer;
use crate::Millis;
use crate::hash::ShardId;
use crate::keyspace::{Database, DbId};
use crate::reclaim;

impl Writer<'_, '_> {
    /// Empties a database at once; `free_slice` gives the memory back. Needs all roles. Hidden keys stay
    /// ([`crate::slots`]); while there are some it takes time for each of the others.
    pub fn flush(&mut self, db: DbId) {
        if self.keyspace.hidden_keys() > 0 {
            return self.flush_slots(&self.keyspace.shown_slots());
        }
        self.begin();
        let keyspace = self.keyspace;
        let physical = keyspace.physical(db);
        for shard in 0..keyspace.shards() {
            let id = ShardId(shard as u16);
            let table = keyspace.table(physical, id);
            self.count_changes(id, table.len());
            if let Some(misses) = &keyspace.misses {
                let grown = misses.make_room(id, table.len() as usize);
                keyspace.memory_changed(id, grown as i64);
            }
            let (detached, bytes) =
                self.with_core(id, |core| table.detach(&mut core.tables[physical]));
            keyspace.slots.iter().for_each(|slots| slots.clear(id));
            if bytes > 0 {
                keyspace.memory_changed(id, -(bytes as i64));
            }
            let detached = detached.remembered_by(keyspace.misses.as_ref(), physical);
            reclaim::retire_table(&keyspace.reclaim, detached, bytes, self.guard);
        }
        self.deferred = true;
        // Those that were hidden had no keys. Whoever hides others waits for this writer.
        self.tell_flushed(db, &keyspace.shown_slots());
    }

    /// Swaps two databases. Needs all roles.
    pub fn swap(&mut self, a: DbId, b: DbId, now: Millis) {
        assert_eq!(self.shards.len(), self.keyspace.shards(), "a swap needs all roles");
        self.begin();
        self.keyspace.swap_databases(a, b);
        self.tell_swapped(a, b, now);
    }

    /// The number that a database has, as long as this writer exists: a swap needs all roles.
    #[must_use]
    pub fn number_of(&self, database: Database) -> DbId {
        self.keyspace.number(database.0)
    }
}
