//! The writer: all changes of the keyspace go through one.

use crate::entry::{self, Built, Dead, Entry, EntryPtr};
use crate::epoch::Guard;
use crate::eviction;
use crate::hash::{Key, KeyHash, ShardId};
use crate::keyspace::{DbId, Keyspace};
use crate::misses::Miss;
use crate::observer::{Cause, end_of};
use crate::shard::{Shard, ShardSet};
use crate::table::Table;
use crate::table::probe::{Hit, Item};
use crate::table::resize::Context;
use crate::value::Value;
use crate::value::object::Object;
use crate::value::string::NewValue;
use crate::{Millis, reclaim};
/// What [`Writer::put`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// True if a live key was overwritten.
    pub existed: bool,
}

/// The writer roles of one or more shards. Dropping it ends the turn: sequence words, retirement,
/// queued jobs (bounded), release.
pub struct Writer<'k, 'g> {
    pub(crate) keyspace: &'k Keyspace,
    pub(crate) guard: &'g Guard,
    pub(crate) shards: ShardSet,
    /// The sequence words are odd: something was changed.
    changing: bool,
    /// Readers without a role see all changes or none.
    pub(crate) atomic: bool,
    /// Somebody may want to hear of the changes of this turn: see [`crate::observer`].
    pub(crate) listened: bool,
    released: bool,
    /// Something was handed to the epoch: flush it when the roles are free again.
    deferred: bool,
}

impl<'k, 'g> Writer<'k, 'g> {
    /// The caller holds the roles of `shards` and gives them to the writer.
    #[inline]
    pub(crate) fn new(keyspace: &'k Keyspace, shards: ShardSet, guard: &'g Guard) -> Self {
        let (changing, listened, released, deferred) = (false, false, false, false);
        let atomic = shards.len() > 1;
        Self { keyspace, guard, shards, changing, atomic, listened, released, deferred }
    }

    /// From here on readers without a role see all changes of this writer or none. With several
    /// shards this is so from the beginning; with one it is for those who change several keys, or
    /// one key several times.
    pub fn make_atomic(&mut self) {
        if !self.atomic {
            // What was changed until now is a turn of its own.
            self.end();
            self.atomic = true;
        }
    }

    /// Takes one more role if it is free right now, for a writer that finds out late what it needs.
    /// Never waits: it holds roles out of order, and whoever has this one may want one of them. All
    /// changes of the writer, earlier ones too, are seen together.
    pub fn try_extend(&mut self, shard: ShardId) -> bool {
        if self.holds(shard) {
            return true;
        }
        self.make_atomic();
        if !self.keyspace.take_one(shard) {
            return false;
        }
        if self.changing {
            self.listened |= self.mark_one(shard);
        }
        self.shards = self.shards.iter().chain(std::iter::once(shard)).collect();
        true
    }

    /// True if the writer may change this shard.
    #[inline]
    #[must_use]
    pub fn holds(&self, shard: ShardId) -> bool {
        self.shards.contains(shard)
    }

    /// The shards this writer may change.
    #[must_use]
    pub fn shards(&self) -> &ShardSet {
        &self.shards
    }

    /// Reads a key.
    #[must_use]
    pub fn get(&self, db: DbId, key: &Key<'_>, now: Millis) -> Option<Entry<'g>> {
        let hit = self.find(db, key)?;
        (!hit.entry.is_expired(now)).then_some(hit.entry)
    }

    /// Whether a key is there only because nobody has removed it since its time was over.
    pub(crate) fn holds_expired(&self, db: DbId, key: &Key<'_>, now: Millis) -> bool {
        self.find(db, key).is_some_and(|hit| hit.entry.is_expired(now))
    }

    /// Stores a value, whatever was there. Keeps what is known about the use of the key.
    pub fn put(
        &mut self,
        db: DbId,
        key: &Key<'_>,
        value: NewValue<'_>,
        expire_at: Option<Millis>,
        now: Millis,
    ) -> Put {
        let guard = self.guard;
        let Built { entry, bytes, due } =
            entry::build(key.bytes, value, expire_at, |class| guard.block(class));
        let item = Item { entry, bytes, expire_at, due, small: false };
        self.begin();
        let id = self.keyspace.shard_of(key.hash);
        let spot = self.keyspace.hasher.spot(key.hash);
        let table = self.keyspace.table(self.keyspace.physical(db), id);
        assert!(self.holds(id), "a writer touched a shard it does not hold");
        // The usual, without a call.
        match table.find_home(spot, key.bytes, self.guard) {
            Some(hit) => self.overwrite(hit, table, (id, db, key), item, now, Cause::Written),
            None => self.store(Cause::Written, db, key, item, now),
        }
    }

    /// [`Writer::put`], for a cause.
    fn put_for(
        &mut self,
        cause: Cause,
        db: DbId,
        key: &Key<'_>,
        value: NewValue<'_>,
        expire_at: Option<Millis>,
        now: Millis,
    ) -> Put {
        let guard = self.guard;
        let Built { entry, bytes, due } =
            entry::build_any(key.bytes, value, expire_at, |class| guard.block(class));
        let item = Item { entry, bytes, expire_at, due, small: false };
        self.store(cause, db, key, item, now)
    }

    #[inline(never)]
    fn store(&mut self, cause: Cause, db: DbId, key: &Key<'_>, item: Item, now: Millis) -> Put {
        self.begin();
        if let Some(hit) = self.find(db, key) {
            let id = self.keyspace.shard_of(key.hash);
            let table = self.keyspace.table(self.keyspace.physical(db), id);
            return self.overwrite(hit, table, (id, db, key), item, now, cause);
        }
        self.insert(db, key, item);
        let id = self.keyspace.shard_of(key.hash);
        self.tell(id, db, key, cause);
        eviction::after_growth(self, id, item.bytes as u64, now);
        Put { existed: false }
    }

    /// Puts an item in the place of one that was found under the same key.
    #[inline(always)]
    fn overwrite(
        &mut self,
        hit: Hit<'_>,
        table: &Table,
        (id, db, key): (ShardId, DbId, &Key<'_>),
        item: Item,
        now: Millis,
        cause: Cause,
    ) -> Put {
        let existed = !hit.entry.is_expired(now);
        let was = hit.entry.allocated();
        let old = table.replace(&hit, was, self.keyspace.hasher.spot(key.hash).tag, item);
        self.retire(old, &hit.entry, was);
        self.keyspace.memory_changed(id, item.bytes as i64 - was as i64);
        if !existed {
            self.tell_expired(id, db, key, hit.entry, now);
        }
        self.tell(id, db, key, cause);
        Put { existed }
    }

    fn insert(&mut self, db: DbId, key: &Key<'_>, item: Item) {
        let keyspace = self.keyspace;
        let db = keyspace.physical(db);
        let (id, spot) = (keyspace.shard_of(key.hash), keyspace.hasher.spot(key.hash));
        let table = keyspace.table(db, id);
        let before = table.table_bytes();
        let cx = self.context(id);
        self.with_core(id, |core| {
            let small = core.eviction.admit(db, spot);
            table.insert(&mut core.tables[db], spot, Item { small, ..item }, &cx);
        });
        keyspace.count_slot(key.hash, 1);
        let grown = table.table_bytes() as i64 - before as i64;
        keyspace.memory_changed(id, item.bytes as i64 + grown);
    }

    /// Removes a key; true if it was live.
    pub fn remove(&mut self, db: DbId, key: &Key<'_>, now: Millis) -> bool {
        self.remove_for(Cause::Removed, db, key, now)
    }

    /// [`Writer::remove`], for a cause.
    fn remove_for(&mut self, cause: Cause, number: DbId, key: &Key<'_>, now: Millis) -> bool {
        let db = self.keyspace.physical(number);
        let Some(hit) = self.find_in(db, key) else {
            return false;
        };
        let live = !hit.entry.is_expired(now);
        let id = self.keyspace.shard_of(key.hash);
        self.remove_hits(db, id, &[hit]);
        let why = match live && cause == Cause::Removed {
            true => Miss::Deleted,
            false => Miss::Expired,
        };
        self.remember(db, id, key.hash, why);
        if live {
            self.tell(id, number, key, cause);
        } else {
            self.tell_expired(id, number, key, hit.entry, now);
        }
        live
    }

    /// Remembers why a key is not there any more.
    #[inline]
    pub(crate) fn remember(&self, physical: usize, id: ShardId, hash: KeyHash, why: Miss) {
        let Some(misses) = &self.keyspace.misses else { return };
        let live = || self.keyspace.items_of(id);
        let grown = misses.note((physical, id, hash), why, live);
        if grown > 0 {
            self.keyspace.memory_changed(id, grown as i64);
        }
    }

    /// A write has come upon a key whose time was over, and taken it away.
    #[cold]
    fn tell_expired(&self, id: ShardId, db: DbId, key: &Key<'_>, entry: Entry<'_>, now: Millis) {
        Shard::count(&self.keyspace.shard(id).counters.expired, 1);
        self.tell_if_wanted(id, db, key, end_of(&entry, now).unwrap_or(Cause::Expired));
    }

    /// Takes found items out of a table and retires them. Nothing else may have changed the table
    /// since they were found: a resize goes on only after the last of them.
    pub(crate) fn remove_hits(&mut self, db: usize, id: ShardId, hits: &[Hit<'g>]) {
        if hits.is_empty() {
            return;
        }
        self.begin();
        let keyspace = self.keyspace;
        let table = keyspace.table(db, id);
        let mut change = -(table.table_bytes() as i64);
        for hit in hits {
            let bytes = hit.entry.allocated();
            if keyspace.slots.is_some() {
                keyspace.count_slot(keyspace.key(hit.entry.key()).hash, -1);
            }
            let old = table.remove(hit, bytes, &keyspace.hasher);
            self.retire(old, &hit.entry, bytes);
            change -= bytes as i64;
        }
        let cx = self.context(id);
        self.with_core(id, |core| table.tidy(&mut core.tables[db], &cx));
        keyspace.memory_changed(id, change + table.table_bytes() as i64);
    }

    /// Makes the shard's empty tables smaller, a piece at a time; whether there was anything to do.
    pub(crate) fn shrink_empty_tables(&mut self, id: ShardId) -> bool {
        self.begin();
        let (keyspace, cx) = (self.keyspace, self.context(id));
        let mut moved = false;
        for (db, table) in keyspace.tables_in(id).enumerate().filter(|(_, t)| t.is_oversized()) {
            let before = table.table_bytes() as i64;
            moved |= self.with_core(id, |core| table.shrink_empty(&mut core.tables[db], &cx));
            keyspace.memory_changed(id, table.table_bytes() as i64 - before);
        }
        moved
    }

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
        self.tell_flushed(db);
    }

    /// Swaps two databases. Needs all roles.
    pub fn swap(&mut self, a: DbId, b: DbId, now: Millis) {
        assert_eq!(self.shards.len(), self.keyspace.shards(), "a swap needs all roles");
        self.begin();
        self.keyspace.swap_databases(a, b);
        self.tell_swapped(a, b, now);
    }

    #[inline]
    fn find(&self, db: DbId, key: &Key<'_>) -> Option<Hit<'g>> {
        self.find_in(self.keyspace.physical(db), key)
    }

    #[inline]
    fn find_in(&self, db: usize, key: &Key<'_>) -> Option<Hit<'g>> {
        let id = self.keyspace.shard_of(key.hash);
        assert!(self.holds(id), "a writer touched a shard it does not hold");
        let spot = self.keyspace.hasher.spot(key.hash);
        self.keyspace.table(db, id).find(spot, key.bytes, self.guard)
    }

    pub(crate) fn context(&self, id: ShardId) -> Context<'k>
    where
        'g: 'k,
    {
        Context {
            hasher: &self.keyspace.hasher,
            guard: self.guard,
            reclaim: &self.keyspace.reclaim,
            phase: usize::from(id.0) * 256 / self.keyspace.shards(),
        }
    }

    /// Something went to the epoch.
    pub(crate) fn has_deferred(&mut self, deferred: bool) {
        self.deferred |= deferred;
    }

    #[inline(always)]
    fn retire(&mut self, entry: EntryPtr, old: &Entry<'_>, bytes: usize) {
        self.deferred |= self.guard.retire(Dead::new(entry, old, bytes), bytes);
    }

    /// Before the first change of a turn.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if !self.changing {
            self.changing = true;
            self.listened |= self.mark();
        }
    }

    #[inline]
    fn end(&mut self) {
        if self.changing {
            self.changing = false;
            self.mark();
        }
    }

    /// Ends the turn; the roles stay with the caller. Whether the guard should be flushed, and which
    /// roles these are.
    pub(crate) fn end_without_release(mut self) -> (bool, ShardSet) {
        self.end();
        self.released = true;
        let any = ShardSet::one(ShardId(0));
        (self.deferred, std::mem::replace(&mut self.shards, any))
    }
}

impl Drop for Writer<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if !self.released {
            self.end();
            self.keyspace.release(self.shards.as_slice(), self.guard);
            if self.deferred {
                // Collecting may free a lot: not while others wait for the role.
                self.guard.flush();
            }
        }
    }
}
