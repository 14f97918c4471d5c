//! Changes inside of a collection, small or large.

use super::Writer;
use crate::Millis;
use crate::eviction;
use crate::hash::{Key, ShardId};
use crate::keyspace::{DbId, Keyspace};
use crate::observer::Cause;
use crate::table::Table;
use crate::value::Value;
use crate::value::object::Object;
use crate::value::string::NewValue;

/// A large collection that is being changed. If that panics, what it has grown by is accounted for here:
/// when its key goes, all that it takes then is subtracted.
struct Changing<'a> {
    object: &'a mut Object,
    before: usize,
    table: &'a Table,
    keyspace: &'a Keyspace,
    id: ShardId,
}

impl Changing<'_> {
    fn grown(&self) -> i64 {
        self.object.memory_usage() as i64 - self.before as i64
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let grown = self.grown();
        self.table.object_changed(grown);
        self.keyspace.memory_changed(self.id, grown);
    }
}

impl Writer<'_, '_> {
    /// Changes the collection of a live key, small or large, and keeps its expiry; nothing if there
    /// is no such key. A key whose collection is empty afterwards is removed.
    ///
    /// # Panics
    /// If the key holds a string: the caller has looked at its kind.
    pub fn update<R>(
        &mut self,
        db: DbId,
        key: &Key<'_>,
        now: Millis,
        change: impl FnOnce(&mut Object) -> R,
    ) -> Option<R> {
        self.update_for(Cause::Written, db, key, now, |object| (change(object), true))
    }

    /// [`Writer::update`] for a caller that knows whether it has changed anything, and tells whoever
    /// wants to hear of it. The observer is not told of what changes inside a large collection: to find
    /// out whether anything does would cost as much as the change. Of everything else it is, as ever.
    pub fn update_untold<R>(
        &mut self,
        db: DbId,
        key: &Key<'_>,
        now: Millis,
        change: impl FnOnce(&mut Object) -> R,
    ) -> Option<R> {
        self.update_for(Cause::Written, db, key, now, |object| (change(object), false))
    }

    /// [`Writer::update`], for a cause; the change says whether it was one.
    pub(crate) fn update_for<R>(
        &mut self,
        cause: Cause,
        db: DbId,
        key: &Key<'_>,
        now: Millis,
        change: impl FnOnce(&mut Object) -> (R, bool),
    ) -> Option<R> {
        let old = self.get(db, key, now)?;
        let Value::Packed(packed) = old.value() else {
            return self.update_large(cause, db, key, now, change);
        };
        let mut object = packed.to_object();
        let (result, _) = change(&mut object);
        if object.is_gone(now) {
            self.remove_for(cause.with_nothing_left(), db, key, now);
        } else if object.packed() != Some(packed) {
            let value = NewValue::Object(Box::new(object));
            self.put_for(cause, db, key, value, old.expire_at(), now);
        }
        Some(result)
    }

    fn update_large<R>(
        &mut self,
        cause: Cause,
        db: DbId,
        key: &Key<'_>,
        now: Millis,
        change: impl FnOnce(&mut Object) -> (R, bool),
    ) -> Option<R> {
        self.begin();
        let hit = self.find(db, key)?;
        let (keyspace, id) = (self.keyspace, self.keyspace.shard_of(key.hash));
        let table = keyspace.table(keyspace.physical(db), id);
        let ((result, changed), grown, gone, packed) = self.with_object(&hit.entry, |object| {
            let changing = Changing { before: object.memory_usage(), object, table, keyspace, id };
            let result = change(changing.object);
            let (grown, gone) = (changing.grown(), changing.object.is_gone(now));
            let packed = changing.object.packed().map(|_| changing.object.clone());
            std::mem::forget(changing);
            (result, grown, gone, packed)
        });
        table.object_changed(grown);
        table.note_fields(&hit);
        keyspace.memory_changed(id, grown);
        if gone {
            self.remove_for(cause.with_nothing_left(), db, key, now);
            return Some(result);
        }
        if let Some(object) = packed {
            let value = NewValue::Object(Box::new(object));
            self.put_for(cause, db, key, value, hit.entry.expire_at(), now);
            return Some(result);
        }
        match changed {
            true => self.tell(id, db, key, cause),
            false => self.count_changes(id, 1),
        }
        if grown > 0 {
            eviction::after_growth(self, id, grown.unsigned_abs(), now);
        }
        Some(result)
    }

    /// Notes when the fields of a hash expire, if the key is still there.
    pub(crate) fn note_fields(&self, db: usize, key: &Key<'_>) {
        if let Some(hit) = self.find_in(db, key) {
            self.keyspace.table(db, self.keyspace.shard_of(key.hash)).note_fields(&hit);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::keyspace::Options;
    use crate::shard::ShardSet;
    use crate::value::stream::{Group, Stream, StreamId};

    #[test]
    fn a_change_that_panics_is_accounted_for_as_far_as_it_came() {
        let keyspace = Keyspace::new(Options { shards: 1, ..Options::default() });
        let handle = keyspace.handle();
        let (guard, key) = (handle.pin(), keyspace.key(b"x"));
        let set = ShardSet::one(ShardId(0));
        let mut writer = keyspace.try_enter(&set, &guard).expect("a free role");
        let stream = Box::new(Object::Stream(Stream::new()));
        writer.put(DbId(0), &key, NewValue::Object(stream), None, 0);
        let grow = |object: &mut Object| {
            let Object::Stream(stream) = object else { panic!("a stream") };
            assert!(stream.groups.insert(b"group", Group::new(StreamId::MIN, None)));
            assert!(stream.groups.insert(b"group", Group::new(StreamId::MIN, None)), "on purpose");
        };
        let before = keyspace.memory().entries;
        let update = || writer.update(DbId(0), &key, 0, grow);
        assert!(catch_unwind(AssertUnwindSafe(update)).is_err());
        let memory = keyspace.memory();
        assert!(memory.entries > before && memory.used == memory.entries + memory.tables);
        writer.remove(DbId(0), &key, 0);
        let memory = keyspace.memory();
        assert_eq!((memory.entries, memory.used), (0, memory.tables));
    }
}
