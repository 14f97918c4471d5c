//! The writer: all changes of the keyspace go through one.

mod databases;
mod rename;
mod update;

use crate::Millis;
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
use crate::value::rope::CHUNK;
use crate::value::string::{NewValue, Str};

/// From here on it is worth a look what of a replaced value is in the new one.
const LARGE: usize = 2 * CHUNK;

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
        if hit.entry.is_expired(now) {
            self.guard.note_expired();
            return None;
        }
        Some(hit.entry)
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
        match was < LARGE {
            true => self.retire(old, &hit.entry, was),
            false => self.retire_large(old, hit, was),
        }
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

    /// [`Writer::retire`] of what something else has replaced. A big string that was made of the old one has
    /// most of its chunks.
    #[cold]
    #[inline(never)]
    fn retire_large(&mut self, entry: EntryPtr, hit: Hit<'_>, bytes: usize) {
        let mut dead = Dead::new(entry, &hit.entry, bytes);
        let (old, new) = (hit.entry.value(), hit.successor().map(|entry| entry.value()));
        if let (Value::Str(Str::Rope(old)), Some(Value::Str(Str::Rope(new)))) = (old, new) {
            dead.share(old.shared_with(new));
        }
        let own = bytes.saturating_sub(dead.shared());
        self.deferred |= self.guard.retire(dead, own);
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
