//! Changes inside of a collection, small or large.

use super::Writer;
use crate::Millis;
use crate::eviction;
use crate::hash::Key;
use crate::keyspace::DbId;
use crate::observer::Cause;
use crate::value::Value;
use crate::value::object::Object;
use crate::value::string::NewValue;

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
        let id = self.keyspace.shard_of(key.hash);
        let ((result, changed), grown, gone, packed) = self.with_object(&hit.entry, |object| {
            let before = object.memory_usage();
            let result = change(object);
            let grown = object.memory_usage() as i64 - before as i64;
            let packed = object.packed().map(|_| object.clone());
            (result, grown, object.is_gone(now), packed)
        });
        let table = self.keyspace.table(self.keyspace.physical(db), id);
        table.object_changed(grown);
        table.note_fields(&hit);
        self.keyspace.memory_changed(id, grown);
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
