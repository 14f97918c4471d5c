//! A value that stays, under another key or with another expiry.

use super::Writer;
use crate::Millis;
use crate::entry::{self, Built, Dead};
use crate::hash::Key;
use crate::keyspace::DbId;
use crate::misses::Miss;
use crate::observer::Cause;
use crate::table::probe::Item;

impl Writer<'_, '_> {
    /// Sets or takes away the expiry of a live key; false if there is no such key.
    pub fn set_expiry(
        &mut self,
        db: DbId,
        key: &Key<'_>,
        expire_at: Option<Millis>,
        now: Millis,
    ) -> bool {
        let Some(old) = self.get(db, key, now) else {
            return false;
        };
        if old.expire_at() != expire_at {
            match old.to_new_value() {
                Some(value) => {
                    self.put(db, key, value, expire_at, now);
                }
                None => self.take_over(db, key, db, key, expire_at, now),
            }
        }
        true
    }

    /// Moves the value of a live key to another one, whatever was there; false if there is no such
    /// key. The keys must be different, or in different databases.
    pub fn rename(
        &mut self,
        (from_db, from): (DbId, &Key<'_>),
        (to_db, to): (DbId, &Key<'_>),
        now: Millis,
    ) -> bool {
        let Some(old) = self.get(from_db, from, now) else {
            return false;
        };
        match old.to_new_value() {
            Some(value) => {
                // In Redis's order. What was removed stays readable while the epoch is pinned.
                self.remove(from_db, from, now);
                self.put(to_db, to, value, old.expire_at(), now);
            }
            None => self.take_over(from_db, from, to_db, to, old.expire_at(), now),
        }
        self.count_as_one(self.keyspace.shard_of(to.hash));
        true
    }

    /// Gives the large collection of one key to a new entry of another, or of the same one.
    fn take_over(
        &mut self,
        from_db: DbId,
        from: &Key<'_>,
        to_db: DbId,
        to: &Key<'_>,
        expire_at: Option<Millis>,
        now: Millis,
    ) {
        let (guard, keyspace) = (self.guard, self.keyspace);
        let Some(hit) = self.find(from_db, from) else { return };
        let Built { entry, bytes, due } =
            entry::build_around(to.bytes, &hit.entry, expire_at, |class| guard.block(class));
        self.begin();
        let (db, id) = (keyspace.physical(from_db), keyspace.shard_of(from.hash));
        let table = keyspace.table(db, id);
        let item = Item { entry, bytes, expire_at, due, small: false };
        let was = hit.entry.allocated();
        let same = from_db == to_db && from.bytes == to.bytes;
        let old = if same {
            table.replace(&hit, was, keyspace.hasher.spot(from.hash).tag, item)
        } else {
            keyspace.count_slot(from.hash, -1);
            table.remove(&hit, was, &keyspace.hasher)
        };
        let change = if same { bytes as i64 } else { 0 } - was as i64;
        keyspace.memory_changed(id, change);
        let dead = Dead::without_object(old, &hit.entry);
        let class = dead.class();
        self.deferred |= guard.retire(dead, class);
        if same {
            self.tell(id, to_db, to, Cause::Written);
        } else {
            self.remember(db, id, from.hash, Miss::Deleted);
            self.tell(id, from_db, from, Cause::Removed);
            self.store(Cause::Written, to_db, to, item, now);
        }
    }
}
