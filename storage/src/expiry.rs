//! Removing what has expired, keys and fields of hashes, whether or not anybody asks for it.
//!
//! Readers never see an expired key or field, so this is mostly about memory; only a large hash is
//! there for EXISTS and the like, which do not look into it, until it was found here.
//!
//! An entry is *due* at its own expiry or at that of its hash's first field, whichever is earlier. Every bucket knows its earliest
//! due time (64-ms steps), every group of eight buckets that of its buckets; a walk looks at the group
//! words, sixteen to a cache line, then at the due buckets, then at their entries.

use crate::Millis;
use crate::entry::Entry;
use crate::epoch::Guard;
use crate::eviction::SliceReport;
use crate::hash::{Key, ShardId};
use crate::keyspace::{DbId, Keyspace};
use crate::observer::Cause;
use crate::shard::{Shard, ShardSet};
use crate::table::probe::Hit;
use crate::value::object::Object;
use crate::writer::Writer;

/// Group summaries per look: half a microsecond.
const GROUPS_PER_LOOK: usize = 1024;
/// Groups swept in a slice, if it is not for more items: some microseconds each.
const SWEPT_LEAST: usize = 64;

/// What one look of the walk has brought.
pub(crate) struct Look {
    /// Keys and fields that it has removed.
    pub(crate) removed: usize,
    /// Whether a group was due, with or without anything to remove.
    swept: bool,
    /// Whether the walk came to the end of the table.
    complete: bool,
}

/// What is left of a slice.
struct Left {
    items: usize,
    sweeps: usize,
    removed: usize,
}

impl Writer<'_, '_> {
    /// Removes the expired items of the next due group, if there is one among the next `groups`, and
    /// about `max_fields` fields of its hashes.
    pub(crate) fn remove_due(
        &mut self,
        db: usize,
        shard: ShardId,
        groups: usize,
        max_fields: usize,
        now: Millis,
    ) -> Look {
        self.begin_removals();
        let (keyspace, guard) = (self.keyspace, self.guard);
        let table = keyspace.table(db, shard);
        let (next, ripe) = self.with_core(shard, |core| {
            let from = core.tables[db].expire_group;
            let (next, ripe) = table.due(from, groups, now, &keyspace.hasher, guard);
            core.tables[db].expire_group = next;
            (next, ripe)
        });
        let counters = &keyspace.shard(shard).counters;
        let own = |hit: &&Hit<'_>| hit.entry.expire_at().is_some_and(|at| at < now);
        let fields = |hit: &Hit<'_>| hit.entry.hash().map_or(0, |hash| hash.len(Millis::MIN));
        Shard::count(&counters.expired, ripe.gone.iter().filter(own).count() as u64);
        let gone = ripe.gone.iter().filter(|hit| !own(hit)).map(fields).sum::<usize>();
        Shard::count(&counters.expired_fields, gone as u64);
        self.remove_hits(db, shard, &ripe.gone);
        self.tell_of_hits(db, shard, &ripe.gone, now);
        let removed = self.expire_fields(db, &ripe.hashes, max_fields, now);
        Shard::count(&counters.expired_fields, removed as u64);
        if removed >= max_fields {
            // Maybe there are more: the walk goes on here, unless the groups have changed.
            self.with_core(shard, |core| {
                let group = &mut core.tables[db].expire_group;
                *group = if *group == next { next.saturating_sub(1) } else { 0 };
            });
        }
        Look {
            removed: ripe.gone.len() + removed,
            swept: ripe.swept,
            complete: next == 0 && removed < max_fields,
        }
    }

    /// Goes on with the walk through a table; whether it is complete.
    fn walk_on(&mut self, db: usize, shard: ShardId, now: Millis, left: &mut Left) -> bool {
        if !self.keyspace.table(db, shard).may_expire() {
            return true;
        }
        while left.items > 0 && left.sweeps > 0 {
            let look = self.remove_due(db, shard, GROUPS_PER_LOOK, left.items, now);
            left.items = left.items.saturating_sub(look.removed);
            left.sweeps -= usize::from(look.swept);
            left.removed += look.removed;
            if look.complete {
                return true;
            }
        }
        false
    }

    /// Removes about `max` expired fields of hashes; how many. The summaries tell of what is left.
    fn expire_fields(&mut self, db: usize, hashes: &[Entry<'_>], max: usize, now: Millis) -> usize {
        let mut removed = 0;
        for entry in hashes {
            let key = self.keyspace.key(entry.key());
            // Also with nothing left to remove, for the summary.
            let left = max - removed;
            let step = |object: &mut Object| match object {
                Object::Hash(hash) => {
                    let count = hash.expire_fields(now, left);
                    (count, count > 0)
                }
                _ => (0, false),
            };
            let (cause, number) = (Cause::FieldsExpired { gone: false }, self.keyspace.number(db));
            removed += self.update_for(cause, number, &key, now, step).unwrap_or(0);
            self.note_fields(db, &key);
        }
        removed
    }
}

impl Writer<'_, '_> {
    /// Removes a key if its time is over; whether it was there and is gone.
    pub fn bury(&mut self, db: DbId, key: &Key<'_>, now: Millis) -> bool {
        let expired = self.holds_expired(db, key, now);
        if expired {
            self.remove(db, key, now);
        }
        expired
    }
}

impl Keyspace {
    /// [`Writer::bury`] by somebody who holds no role; nothing, if it is taken: then the walk will do it.
    pub fn bury(&self, db: DbId, key: &Key<'_>, now: Millis, guard: &Guard) -> bool {
        let writer = self.try_enter(&ShardSet::one(self.shard_of(key.hash)), guard);
        writer.is_some_and(|mut writer| writer.bury(db, key, now))
    }

    /// Removes about `max_items` expired keys and fields of a shard, in all databases; sweeps as many groups
    /// at most, or a few. Skips a busy shard.
    pub fn expire_slice(
        &self,
        shard: ShardId,
        now: Millis,
        max_items: usize,
        guard: &Guard,
    ) -> SliceReport {
        let databases = usize::from(self.databases());
        if (0..databases).all(|db| !self.table(db, shard).may_expire()) {
            return SliceReport::default();
        }
        let Some(mut writer) = self.try_enter(&ShardSet::one(shard), guard) else {
            return SliceReport { busy: true, more: true, removed: 0 };
        };
        // From where the last slice stopped: one database must not keep it from the others.
        let first = writer.with_core(shard, |core| core.expire_db);
        let left = &mut Left { items: max_items, sweeps: max_items.max(SWEPT_LEAST), removed: 0 };
        let stopped = (first..databases).find(|&db| !writer.walk_on(db, shard, now, left));
        writer.with_core(shard, |core| core.expire_db = stopped.unwrap_or(0));
        SliceReport { removed: left.removed, more: stopped.is_some(), busy: false }
    }
}
