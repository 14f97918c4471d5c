//! Telling somebody outside of every change: the store's own account of what it has done.
//!
//! Whoever caches what is stored, waits for a key, or publishes what happens to it, has to hear of
//! each change once, whichever way it came about: a write, a removal, an expiry that nobody asked
//! for, an eviction, a flush. Handlers of commands would forget some, and know nothing of others;
//! the writer is where all of them pass. A keyspace has one [`Observer`], or none, from its creation
//! on ([`Keyspace::observed`]).
//!
//! # What is promised
//!
//! - Every change of a key is told once, under the writer role of its shard, directly after the
//!   change, so the account of a key is in the order of its changes. What is not changed is not told
//!   of: setting the value that a small collection has, or the expiry that a key has.
//! - A large collection is not compared with what it was: [`Writer::update`] counts as a change of it,
//!   and [`Writer::update_untold`] leaves it to the caller, who knows, to tell.
//! - A write to a key whose time is over is two changes: the key has [expired](Cause::Expired), and
//!   is [written](Cause::Written).
//! - A key that was given another name is removed and written, each under its name.
//! - What the store removes by itself in hidden slots ([`crate::slots`]) is not told; once they are shown
//!   it is known of which of them it has evicted keys ([`crate::ShownSlots::take_thinned`]).
//! - [`Observer::flushed`] and [`Observer::swapped`] stand for all keys of their databases; hidden keys
//!   stay in a database that is flushed.
//!
//! # What it costs
//!
//! ```text
//! shard's role line: | role 4 | observed 4 | write_seq 8 | stack 8 | taken 8 | bytes 8 | ...
//!                                  `- 0: nobody is interested in anything here
//! ```
//!
//! While nobody is interested in a shard, a turn reads one word, on the line that the role has just
//! been taken on, and each of its changes tests a flag of the writer. The word is read and written only under the role, which
//! orders everything: it needs no fence, and no model of its own. Who gets interested says so with
//! [`Writer::observe`], under the role: no change after that passes untold.
//!
//! What the store removes by itself ([`Cause::Expired`], [`Cause::Evicted`]) may be wanted for all
//! shards at once, whoever else is interested: [`Observer::wants_removals`] is asked for each batch
//! of removals, which are no hot path.

use crate::Millis;
use crate::entry::Entry;
use crate::hash::{Key, ShardId};
use crate::keyspace::DbId;
use crate::misses::Miss;
use crate::shard::Shard;
use crate::slots::SlotSet;
use crate::table::probe::Hit;
use crate::writer::Writer;

/// Why a key is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Somebody has stored it, or changed its value or expiry.
    Written,
    /// Somebody has removed it, or taken the last element of its collection.
    Removed,
    /// Its time was over, and it was removed.
    Expired,
    /// The time of some fields of its hash was over, and the expiry walk has removed them.
    FieldsExpired {
        /// No field was left, and the key was removed.
        gone: bool,
    },
    /// It was removed to make room.
    Evicted,
}

impl Cause {
    /// What a change with this cause is if nothing is left of the value.
    pub(crate) fn with_nothing_left(self) -> Self {
        match self {
            Cause::FieldsExpired { .. } => Cause::FieldsExpired { gone: true },
            _ => Cause::Removed,
        }
    }

    /// Whether the store does it by itself.
    #[must_use]
    pub fn is_own(self) -> bool {
        matches!(self, Cause::Expired | Cause::FieldsExpired { .. } | Cause::Evicted)
    }
}

/// One change of one key.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The database.
    pub db: DbId,
    /// The key.
    pub key: Key<'a>,
    /// The shard of the key, whose role is held.
    pub shard: ShardId,
    /// Why.
    pub cause: Cause,
}

/// Who is told of changes. It must be quick and must not write to the keyspace: roles are held.
pub trait Observer: Send + Sync {
    /// A key was changed. Of the shards of [`Writer::observe`], and what [`Observer::wants_removals`]
    /// is about.
    fn changed(&self, change: &Change<'_>);

    /// Whether it wants to hear of what the store removes by itself, keys and fields, in any shard.
    fn wants_removals(&self) -> bool;

    /// A database was emptied. Under all roles. `slots`: those whose keys are gone, all if there are no
    /// slots; who is told must not ask later which slots are hidden.
    fn flushed(&self, db: DbId, slots: &SlotSet);

    /// Two databases have changed places. Under all roles. `is_there` says of a database and a key
    /// whether the key is in it now.
    fn swapped(&self, a: DbId, b: DbId, is_there: &dyn Fn(DbId, &Key<'_>) -> bool);
}

impl Writer<'_, '_> {
    /// Says whether anybody is interested in changes of a shard. Nobody is at first.
    ///
    /// # Panics
    /// If the writer does not hold the shard.
    pub fn observe(&mut self, shard: ShardId, wanted: bool) {
        assert!(self.holds(shard), "an interest in a shard whose role is not held");
        self.keyspace.shard(shard).words().set_observed(wanted);
        self.listened |= wanted;
    }

    /// Whether anybody is interested in changes of one of the shards.
    #[inline]
    #[must_use]
    pub fn is_any_observed(&self) -> bool {
        let observed = |shard| self.keyspace.shard(shard).words().is_observed();
        self.shards.iter().any(observed)
    }

    /// Whether anybody is interested in changes of a shard that the writer holds.
    #[inline]
    #[must_use]
    pub fn is_observed(&self, shard: ShardId) -> bool {
        self.holds(shard) && self.keyspace.shard(shard).words().is_observed()
    }

    /// After a change of `key`.
    #[inline]
    pub(crate) fn tell(&self, shard: ShardId, db: DbId, key: &Key<'_>, cause: Cause) {
        if !cause.is_own() {
            self.count_changes(shard, 1);
        }
        if self.listened {
            self.tell_if_wanted(shard, db, key, cause);
        }
    }

    /// Two changes that were just made, one of them of a key in this shard, are one for
    /// [`crate::StoreStats::changes`]: something has moved.
    pub fn count_as_one(&self, shard: ShardId) {
        self.count_changes(shard, u64::MAX);
    }

    /// After changes that [`crate::StoreStats::changes`] is about.
    #[inline]
    pub(crate) fn count_changes(&self, shard: ShardId, changes: u64) {
        Shard::count(&self.keyspace.shard(shard).words().changes, changes);
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn tell_if_wanted(&self, shard: ShardId, db: DbId, key: &Key<'_>, cause: Cause) {
        if cause.is_own() && !self.keyspace.shows(key.bytes) {
            return;
        }
        if let Some(observer) = self.listener(shard, cause) {
            observer.changed(&Change { db, key: *key, shard, cause });
        }
    }

    /// Before the store removes something by itself: that may be wanted although nobody is
    /// interested in the shard.
    pub(crate) fn begin_removals(&mut self) {
        self.listened |= self.keyspace.observer.is_some();
    }

    /// After the store has removed items of a physical database by itself: those whose time is over
    /// have expired, and the others were evicted. Misses remember it, and who listens is told.
    pub(crate) fn tell_of_hits(
        &self,
        physical: usize,
        shard: ShardId,
        hits: &[Hit<'_>],
        now: Millis,
    ) {
        for hit in hits {
            let why = match end_of(&hit.entry, now) {
                Some(_) => Miss::Expired,
                None => Miss::Evicted,
            };
            let hash = self.keyspace.key(hit.entry.key()).hash;
            self.remember(physical, shard, hash, why);
            if let (Miss::Evicted, Some(slots)) = (why, &self.keyspace.shown) {
                slots.note_eviction(self.keyspace.slot_of(hash));
            }
        }
        if hits.is_empty() {
            return;
        }
        let Some(observer) = self.listener(shard, Cause::Evicted) else { return };
        let db = self.keyspace.number(physical);
        for hit in hits.iter().filter(|hit| self.keyspace.shows(hit.entry.key())) {
            let key = self.keyspace.key(hit.entry.key());
            let cause = end_of(&hit.entry, now).unwrap_or(Cause::Evicted);
            observer.changed(&Change { db, key, shard, cause });
        }
    }

    /// Who wants to hear of a change in a shard with this cause.
    fn listener(&self, shard: ShardId, cause: Cause) -> Option<&dyn Observer> {
        let observer = self.keyspace.observer.as_deref()?;
        let observed = self.keyspace.shard(shard).words().is_observed();
        (observed || cause.is_own() && observer.wants_removals()).then_some(observer)
    }

    /// After two databases have changed places.
    pub(crate) fn tell_swapped(&self, a: DbId, b: DbId, now: Millis) {
        if let Some(observer) = &self.keyspace.observer {
            observer.swapped(a, b, &|db, key| self.get(db, key, now).is_some());
        }
    }

    /// After a database was emptied, as far as these slots go.
    pub(crate) fn tell_flushed(&self, db: DbId, slots: &SlotSet) {
        if let Some(observer) = &self.keyspace.observer {
            observer.flushed(db, slots);
        }
    }
}

/// How the time of an entry has ended, if it has. Only under the role.
pub(crate) fn end_of(entry: &Entry<'_>, now: Millis) -> Option<Cause> {
    if entry.expire_at().is_some_and(|at| at < now) {
        return Some(Cause::Expired);
    }
    entry.is_gone(now).then_some(Cause::FieldsExpired { gone: true })
}
