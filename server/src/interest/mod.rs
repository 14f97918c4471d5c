//! Who is interested in keys: clients that watch them (WATCH) or wait for them (BLPOP and its like).
//!
//! The store tells of every change, under the writer role of the key's shard (see
//! [`dunlin_storage::Observer`]). [`Interests`] is whom it tells. It holds a table per shard, from
//! keys to those who are interested in them:
//!
//! ```text
//! writer of shard s --- changed(db, key, cause) ---> Interests
//!                                                     |  shard s: watchers  (db, key) -> clients
//!                                                     |- Queues: who waits for a key, what is ready
//!                                                     |- Tracker: who keeps a copy of the value
//!                                                     |- Taps: other nodes that keep copies
//!                                                     `- Notifier: expired, evicted, hexpired
//! ```
//!
//! # What is promised
//!
//! - A table is read and changed only under the role of its shard. So reading a key and becoming
//!   interested in it is one step for everybody who writes it, and no change after that is missed;
//!   the lock around a table is there for the compiler and is never waited for.
//! - While nobody is interested in a shard, its writers do not come here ([`Writer::observe`]).
//!   Who joins switches that on, and who leaves the table empty switches it off.
//! - A client that goes away leaves in slices, each a job for the shard's holder ([`Watched::leave`]);
//!   until then its entries are there, and do nothing to anybody.
//! - What a client's interests take is counted as its own ([`ClientShared::interests`]).
//!
//! [`Writer::observe`]: dunlin_storage::Writer::observe

mod table;
#[cfg(test)]
mod tests;
mod watch;

use crate::Roles;
use crate::blocking::{Queues, Waiter};
use crate::client::ClientShared;
use crate::cluster::stream::taps::Taps;
use crate::notify::{Class, Notifier};
use crate::tracking::Tracker;
use dunlin_storage::{Cause, Change, DbId, Key, Observer, ShardId, SlotSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use table::KeyTable;
use watch::Watcher;

pub(crate) use watch::end_all;
pub use watch::{Watched, is_dirty, unwatch, watch};

/// Bytes of an interest besides the key's name, in both directions: an estimate.
const OVERHEAD: u64 = 192;

/// The interests in the keys of one shard.
#[derive(Debug, Default)]
struct Tables {
    watchers: KeyTable<Watcher>,
}

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<Tables>);

/// The interests of all clients, and what the store tells of changes.
#[derive(Debug)]
pub struct Interests {
    shards: Box<[Shard]>,
    /// Clients that wait for keys.
    pub queues: Queues,
    notifier: Arc<Notifier>,
    tracker: Tracker,
    /// Other nodes that keep copies, if this is one of a cluster.
    taps: OnceLock<Arc<Taps>>,
}

impl Interests {
    /// Nobody is interested in anything yet.
    pub fn new(shards: usize, threads: usize, notifier: Arc<Notifier>) -> Self {
        Interests {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            queues: Queues::new(shards),
            notifier,
            tracker: Tracker::new(shards, threads),
            taps: OnceLock::new(),
        }
    }

    /// The clients that keep copies of values.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// From here on other nodes are told, too. Once.
    pub(crate) fn tap(&self, taps: Arc<Taps>) {
        let is_first = self.taps.set(taps).is_ok();
        debug_assert!(is_first, "the streams of a node are made once");
    }

    /// Sees to it that the writers of a shard come here if somebody wants to hear of it. Under its
    /// role.
    pub(crate) fn observe(&self, writer: &mut Roles<'_>, shard: ShardId) {
        let wanted = !self.tables(shard).watchers.is_empty()
            || self.queues.is_waited_for(shard)
            || self.tracker.wants(shard)
            || self.taps.get().is_some_and(|taps| taps.wants(shard));
        writer.observe(shard, wanted);
    }

    fn tables(&self, shard: ShardId) -> MutexGuard<'_, Tables> {
        self.shards[usize::from(shard.0)].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a table and what its shard's writers are told to do about it.
    fn with_tables<R>(
        &self,
        writer: &mut Roles<'_>,
        shard: ShardId,
        change: impl FnOnce(&mut Tables) -> R,
    ) -> R {
        let result = change(&mut self.tables(shard));
        self.observe(writer, shard);
        result
    }

    /// Puts a client that waits into the queues of its keys, whose roles are held.
    pub(crate) fn wait(&self, writer: &mut Roles<'_>, waiter: &Arc<Waiter>) {
        self.queues.enter(waiter, writer);
        waiter.each_shard(|shard| self.with_tables(writer, shard, |_| {}));
    }

    /// Takes a client out of the queues of the shards whose roles are held.
    pub(crate) fn leave_queues(&self, writer: &mut Roles<'_>, waiter: &Waiter) {
        self.queues.leave(waiter, writer);
        waiter.each_shard(|shard| {
            if writer.holds(shard) {
                self.with_tables(writer, shard, |_| {});
            }
        });
    }

    /// Publishes what the store has done by itself.
    fn publish(&self, change: &Change<'_>) {
        let notify = |class, event| {
            self.notifier.notify(class, event, change.key.bytes, change.db);
        };
        match change.cause {
            Cause::Written | Cause::Removed => {}
            Cause::Expired => notify(Class::EXPIRED, "expired"),
            Cause::Evicted => notify(Class::EVICTED, "evicted"),
            Cause::FieldsExpired { gone } => {
                notify(Class::HASH, "hexpired");
                if gone {
                    notify(Class::GENERIC, "del");
                }
            }
        }
    }
}

impl Observer for Interests {
    fn changed(&self, change: &Change<'_>) {
        self.publish(change);
        self.tell(change);
    }

    fn wants_removals(&self) -> bool {
        self.notifier.wanted().any(Class::REMOVALS)
    }

    fn flushed(&self, db: DbId, slots: &SlotSet) {
        self.each_shard(|tables| tables.tell_of_databases(&[db], &|_, _| false));
        self.queues.all_changed(db);
        self.taps.get().into_iter().for_each(|taps| taps.flushed(slots));
    }

    fn swapped(&self, a: DbId, b: DbId, is_there: &dyn Fn(DbId, &Key<'_>) -> bool) {
        self.each_shard(|tables| tables.tell_of_databases(&[a, b], is_there));
        self.queues.all_changed(a);
        self.queues.all_changed(b);
    }
}

impl Interests {
    /// Tells all who are interested in a key.
    fn tell(&self, change: &Change<'_>) {
        self.tables(change.shard).tell_watchers(change);
        self.queues.changed(change);
        self.tracker.changed(change);
        self.touched(change.shard, &change.key);
    }

    /// What is behind a key may have changed, whether or not anybody is interested in how: for those who
    /// keep copies. Under the role of its shard.
    #[inline]
    pub(crate) fn touched(&self, shard: ShardId, key: &Key<'_>) {
        if let Some(taps) = self.taps.get() {
            taps.changed(shard, key);
        }
    }

    /// A command has written to a key, under the role of its shard. The store tells of most changes
    /// itself; this is for those that it cannot know: what a command has changed in a large collection
    /// ([`Writer::update_untold`]), and a write of what was there before (HSET of the same value), which
    /// is a change to whoever watches the key or keeps a copy.
    ///
    /// [`Writer::update_untold`]: dunlin_storage::Writer::update_untold
    pub(crate) fn written(&self, db: DbId, key: &Key<'_>, shard: ShardId) {
        self.tell(&Change { db, key: *key, shard, cause: Cause::Written });
    }

    /// Keys of which `is_lost` says yes are another server's: nobody hears of their changes any more.
    pub(crate) fn lost(&self, is_lost: impl Fn(&[u8]) -> bool) {
        self.each_shard(|tables| {
            let lost = tables.watchers.groups().filter(|group| is_lost(group.key().bytes));
            lost.flat_map(|group| group.members()).for_each(|watcher| watcher.replaced(true));
        });
        self.tracker.flushed();
    }

    fn each_shard(&self, visit: impl Fn(&Tables)) {
        for shard in &self.shards {
            visit(&shard.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Tables {
    /// All keys of these databases were taken away; `is_there` says which are there now.
    fn tell_of_databases(&self, dbs: &[DbId], is_there: &dyn Fn(DbId, &Key<'_>) -> bool) {
        for group in self.watchers.groups().filter(|group| dbs.contains(&group.db)) {
            let now_there = is_there(group.db, &group.key());
            group.members().for_each(|watcher| watcher.replaced(now_there));
        }
    }
}

/// Counts what an interest in a key takes.
pub(crate) fn count(client: &ClientShared, name: &[u8], more: bool) {
    use std::sync::atomic::Ordering::Relaxed;
    let bytes = OVERHEAD + name.len() as u64;
    match more {
        true => client.interests.fetch_add(bytes, Relaxed),
        false => client.interests.fetch_sub(bytes, Relaxed),
    };
}
