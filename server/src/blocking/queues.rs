//! Who waits for which key, and which keys have become ready.
//!
//! Every shard has a table of its own that is changed and read under the shard's writer role, so its
//! lock is never contended; it is there because the compiler cannot see the role. Nobody pays for
//! it who has nothing to do with it: a shard on which nobody waits is told by one word.
//!
//! ```text
//! shard -> key -> db -> queue: ticket 7, 9, 12 ...      ready: keys that changed, oldest first
//!                                                       far: waiters that move to other shards
//! ```

use super::waiter::{WaitedKey, Waiter};
use crate::Roles;
use crate::interest::count;
use ahash::HashMap;
use dunlin_storage::value::stream::StreamId;
use dunlin_storage::{Cause, Change, DbId, Kind, ShardId, ShardSet};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A key that has changed while somebody waits for it.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    /// When, in the order of all.
    stamp: u64,
    pub(super) shard: ShardId,
    pub(super) db: DbId,
    pub(super) key: Box<[u8]>,
    /// It has gone, or everything has changed: not merely the trace of a command that waits on.
    gone: bool,
}

/// What a stream looked like when its readers last tried: where its entry is, and its last
/// identifier. Acknowledgements and the like change neither.
pub(super) type Seen = (usize, StreamId);

/// Those who wait for a key of one database.
#[derive(Debug)]
struct Queue {
    db: DbId,
    /// By ticket: the first is the one who has waited longest.
    waiters: BTreeMap<u64, Arc<Waiter>>,
    /// How many of them want to hear of every change.
    any_change: usize,
    /// It is in the list of ready keys, or being served.
    ready: bool,
    seen: Option<Seen>,
}

#[derive(Debug, Default)]
struct Table {
    queues: HashMap<Box<[u8]>, Vec<Queue>>,
    ready: VecDeque<Ready>,
    /// Waiters of this shard whose destination is in another, by ticket.
    far: BTreeMap<u64, Arc<Waiter>>,
}

impl Table {
    fn queue(&mut self, db: DbId, key: &[u8]) -> Option<&mut Queue> {
        self.queues.get_mut(key)?.iter_mut().find(|queue| queue.db == db)
    }

    fn mark(&mut self, stamp: u64, shard: ShardId, db: DbId, key: &[u8], gone: bool) -> bool {
        let Some(queue) = self.queue(db, key) else { return false };
        if !queue.ready {
            queue.ready = true;
            self.ready.push_back(Ready { stamp, shard, db, key: key.into(), gone });
        } else if gone
            && let Some(ready) = self.ready.iter_mut().find(|r| r.db == db && *r.key == *key)
        {
            ready.gone = true;
        }
        true
    }
}

#[derive(Debug, Default)]
struct Shard {
    /// Places in queues; 0: nobody waits for a key of this shard. Changed under the role.
    standing: AtomicUsize,
    /// Whether there are ready keys, for whoever does not hold the role.
    has_ready: AtomicBool,
    table: Mutex<Table>,
}

impl Shard {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queues of all shards.
#[derive(Debug)]
pub struct Queues {
    shards: Box<[Shard]>,
    tickets: AtomicU64,
    stamps: AtomicU64,
    keys: AtomicUsize,
    any_change_keys: AtomicUsize,
}

impl Queues {
    /// Empty queues.
    pub fn new(shards: usize) -> Queues {
        Queues {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            tickets: AtomicU64::new(1),
            stamps: AtomicU64::new(0),
            keys: AtomicUsize::new(0),
            any_change_keys: AtomicUsize::new(0),
        }
    }

    fn shard(&self, id: ShardId) -> &Shard {
        &self.shards[usize::from(id.0)]
    }

    /// A number for who begins to wait now.
    pub(super) fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::Relaxed)
    }

    /// How many keys are waited for.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// How many keys are waited for by somebody who wants to hear of every change.
    pub fn any_change_keys(&self) -> usize {
        self.any_change_keys.load(Ordering::Relaxed)
    }

    /// Whether nobody waits for a key of the shards that `writer` holds.
    #[inline]
    pub(crate) fn are_quiet(&self, writer: &Roles<'_>) -> bool {
        writer.shards().iter().all(|id| self.shard(id).standing.load(Ordering::Relaxed) == 0)
    }

    /// Whether a key of the shard waits to be served.
    pub(crate) fn has_ready(&self, id: ShardId) -> bool {
        self.shard(id).has_ready.load(Ordering::Acquire)
    }

    /// Enters a waiter for all its keys, whose roles are held.
    pub(crate) fn enter(&self, waiter: &Arc<Waiter>, writer: &Roles<'_>) {
        for WaitedKey { shard: id, bytes } in &waiter.keys {
            assert!(writer.holds(*id), "a waiter enters under the roles of its keys");
            let shard = self.shard(*id);
            let table = &mut *shard.table();
            let queues = table.queues.entry(bytes.clone()).or_default();
            let at = queues.iter().position(|queue| queue.db == waiter.db).unwrap_or_else(|| {
                self.keys.fetch_add(1, Ordering::Relaxed);
                queues.push(Queue {
                    db: waiter.db,
                    waiters: BTreeMap::new(),
                    any_change: 0,
                    ready: false,
                    seen: None,
                });
                queues.len() - 1
            });
            let queue = &mut queues[at];
            queue.waiters.insert(waiter.ticket, waiter.clone());
            if waiter.any_change {
                queue.any_change += 1;
                self.any_change_keys
                    .fetch_add(usize::from(queue.any_change == 1), Ordering::Relaxed);
            }
            if waiter.destination.as_ref().is_some_and(|to| to.shard != *id) {
                table.far.insert(waiter.ticket, waiter.clone());
            }
            count(&waiter.client, bytes, true);
            shard.standing.fetch_add(1, Ordering::Relaxed);
            waiter.standing.fetch_add(1, Ordering::Release);
        }
    }

    /// Takes a waiter out of the queues of the shards whose roles are held.
    pub(crate) fn leave(&self, waiter: &Waiter, writer: &Roles<'_>) {
        for WaitedKey { shard: id, bytes } in &waiter.keys {
            if !writer.holds(*id) {
                continue;
            }
            let shard = self.shard(*id);
            let table = &mut *shard.table();
            table.far.remove(&waiter.ticket);
            let Some(queues) = table.queues.get_mut(bytes) else { continue };
            let Some(at) = queues.iter().position(|queue| queue.db == waiter.db) else { continue };
            let queue = &mut queues[at];
            if queue.waiters.remove(&waiter.ticket).is_none() {
                continue;
            }
            if waiter.any_change {
                queue.any_change -= 1;
                self.any_change_keys
                    .fetch_sub(usize::from(queue.any_change == 0), Ordering::Relaxed);
            }
            if queue.waiters.is_empty() {
                queues.swap_remove(at);
                self.keys.fetch_sub(1, Ordering::Relaxed);
                if queues.is_empty() {
                    table.queues.remove(bytes);
                    if table.queues.len() < table.queues.capacity() / 8 {
                        table.queues.shrink_to(table.queues.len() * 2);
                    }
                }
            }
            count(&waiter.client, bytes, false);
            shard.standing.fetch_sub(1, Ordering::Relaxed);
            waiter.standing.fetch_sub(1, Ordering::Release);
        }
    }

    /// Whether somebody waits for a key of the shard.
    pub(crate) fn is_waited_for(&self, id: ShardId) -> bool {
        self.shard(id).standing.load(Ordering::Relaxed) > 0
    }

    /// A key has changed. Under its role, after the change.
    pub(crate) fn changed(&self, change: &Change<'_>) {
        let Change { db, key, shard, cause } = change;
        if !self.is_waited_for(*shard) {
            return;
        }
        match cause {
            Cause::Written | Cause::FieldsExpired { gone: false } => {
                self.mark(*shard, *db, key.bytes, false);
            }
            Cause::Removed
            | Cause::Expired
            | Cause::Evicted
            | Cause::FieldsExpired { gone: true } => {
                self.gone(*shard, *db, key.bytes);
            }
        }
    }

    /// A key has gone, or something has happened to it that everybody has to hear of who wants to
    /// hear of every change. Under its role, after the change.
    pub fn gone(&self, id: ShardId, db: DbId, key: &[u8]) {
        let wanted = self.shard(id).table().queue(db, key).map(|queue| {
            queue.seen = None;
            queue.any_change > 0
        });
        if wanted == Some(true) {
            self.mark(id, db, key, true);
        }
    }

    fn mark(&self, id: ShardId, db: DbId, key: &[u8], gone: bool) {
        let shard = self.shard(id);
        if shard.table().mark(self.stamp(), id, db, key, gone) {
            shard.has_ready.store(true, Ordering::Release);
        }
    }

    /// All keys of a database may have changed. Under all roles.
    pub fn all_changed(&self, db: DbId) {
        for (id, shard) in (0..).map(ShardId).zip(&self.shards) {
            if shard.standing.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut table = shard.table();
            let of_db = |queues: &Vec<Queue>| queues.iter().any(|queue| queue.db == db);
            let keys = table.queues.iter().filter(|(_, queues)| of_db(queues));
            let keys: Vec<Box<[u8]>> = keys.map(|(key, _)| key.clone()).collect();
            for key in keys {
                if let Some(queue) = table.queue(db, &key) {
                    queue.seen = None;
                }
                table.mark(self.stamp(), id, db, &key, true);
                shard.has_ready.store(true, Ordering::Release);
            }
        }
    }

    /// The key that has been ready for longest, of the shards that are held. It does not become ready
    /// again before [`Queues::served`].
    pub(super) fn next_ready(&self, shards: &ShardSet) -> Option<Ready> {
        let ready = |id: &ShardId| self.has_ready(*id);
        let oldest = shards.iter().filter(ready).min_by_key(|id| {
            self.shard(*id).table().ready.front().map_or(u64::MAX, |ready| ready.stamp)
        })?;
        let shard = self.shard(oldest);
        let mut table = shard.table();
        let next = table.ready.pop_front();
        shard.has_ready.store(!table.ready.is_empty(), Ordering::Release);
        next
    }

    /// Everything that could be done about a ready key has been done.
    pub(super) fn served(&self, ready: &Ready, seen: Option<Seen>) {
        if let Some(queue) = self.shard(ready.shard).table().queue(ready.db, &ready.key) {
            queue.ready = false;
            queue.seen = seen;
        }
    }

    /// Somebody who begins to wait for a stream has just seen it like this. If it has changed since those
    /// before him looked, they are still to be served.
    pub(super) fn saw(&self, id: ShardId, db: DbId, key: &[u8], seen: Option<Seen>) {
        if let Some(queue) = self.shard(id).table().queue(db, key)
            && !queue.ready
        {
            queue.seen = seen;
        }
    }

    /// Whether the readers of a stream have seen it like this.
    pub(super) fn have_seen(&self, ready: &Ready, seen: Seen) -> bool {
        let mut table = self.shard(ready.shard).table();
        table.queue(ready.db, &ready.key).is_some_and(|queue| queue.seen == Some(seen))
    }

    /// The next waiter of a ready key behind ticket `after` that a value of this kind (or none)
    /// concerns.
    pub(super) fn next_waiter(
        &self,
        ready: &Ready,
        after: u64,
        kind: Option<Kind>,
    ) -> Option<Arc<Waiter>> {
        let mut table = self.shard(ready.shard).table();
        let queue = table.queue(ready.db, &ready.key)?;
        let concerns = |waiter: &Waiter| waiter.any_change || kind == Some(waiter.kind);
        if kind.is_none() && queue.any_change == 0 {
            return None;
        }
        let mut behind = queue.waiters.range(after + 1..).map(|(_, waiter)| waiter);
        behind.find(|waiter| concerns(waiter)).cloned()
    }

    /// The stamp of what becomes ready from now on.
    pub(super) fn now(&self) -> u64 {
        self.stamps.load(Ordering::Relaxed)
    }

    /// Forgets the keys that were written since `stamp`: a command that takes has left its traces.
    pub(super) fn forget_written(&self, stamp: u64, shards: &ShardSet) {
        for shard in shards.iter().map(|id| self.shard(id)) {
            let table = &mut *shard.table();
            while let Some(last) = table.ready.pop_back_if(|r| r.stamp >= stamp && !r.gone) {
                if let Some(queue) = table.queue(last.db, &last.key) {
                    queue.ready = false;
                }
            }
            shard.has_ready.store(!table.ready.is_empty(), Ordering::Release);
        }
    }

    /// The shards, beside those that `writer` holds, whose roles it may take to serve those for whom a
    /// command makes keys ready: destinations of BLMOVE, and destinations of those who wait for
    /// these. `key`: the only key of the command.
    pub(crate) fn reach(&self, writer: &Roles<'_>, key: Option<(ShardId, &[u8])>) -> Vec<ShardId> {
        let mut missing = Vec::new();
        let far = |id: ShardId| self.shard(id).table().far.values().cloned().collect::<Vec<_>>();
        let Some((id, key)) = key else {
            for waiter in writer.shards().iter().flat_map(far) {
                missing.extend(waiter.destination.as_ref().map(|to| to.shard));
            }
            missing.retain(|id| !writer.holds(*id));
            return missing;
        };
        if writer.shards().iter().all(|id| self.shard(id).table().far.is_empty()) {
            return missing;
        }
        let mut known: HashSet<(DbId, Box<[u8]>)> = HashSet::new();
        let mut movers = self.movers(id, None, key);
        while let Some(waiter) = movers.pop() {
            let Some(WaitedKey { shard, bytes }) = &waiter.destination else { continue };
            if !writer.holds(*shard) {
                missing.push(*shard);
            } else if known.insert((waiter.db, bytes.clone())) {
                movers.extend(self.movers(*shard, Some(waiter.db), bytes));
            }
        }
        missing
    }

    /// Those who wait for a key, in one or any database, to move something to another.
    fn movers(&self, id: ShardId, db: Option<DbId>, key: &[u8]) -> Vec<Arc<Waiter>> {
        let table = self.shard(id).table();
        let queues = table.queues.get(key).into_iter().flatten();
        queues
            .filter(|queue| db.is_none_or(|db| db == queue.db))
            .flat_map(|queue| queue.waiters.values())
            .filter(|waiter| waiter.destination.is_some())
            .cloned()
            .collect()
    }
}
