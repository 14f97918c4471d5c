//! CLIENT TRACKING: clients that keep copies of values are told when these are not true any more.
//!
//! A tracking client is sent `invalidate` messages with names of keys. There are two ways to find out
//! whom a change concerns:
//!
//! ```text
//!  default mode                                   broadcasting (BCAST)
//!
//!  GET k, under the role of k's shard:            a prefix is registered, under all roles:
//!    read + remember (k, client) -- one step        all shards are observed from here on
//!
//!  shard s: [ k -> clients ]  at most             prefixes -> clients
//!             tracking-table-max-keys in all
//!
//!  change of k, under the role:                   change of k, under the role:
//!    forget k, a message to each client             note k in the worker's batch
//!                                                 end of the turn: per prefix one message with
//!                                                   all keys, in their order
//! ```
//!
//! # What is promised
//!
//! - Reading a key and becoming one of those who are told of it is one step for every writer of the
//!   key, so a client that drops what it is told of never keeps a value that was replaced. Nothing
//!   needs a fence: tables are read and changed only under the role of their shard, and the lock
//!   around each is there for the compiler (and for figures).
//! - A message goes into the inbox of its receiver before the command that made the change is
//!   answered. To the client itself it is sent directly after the reply of the command (after
//!   EXEC's, if it is one of a transaction), a batch after the turn.
//! - What a client could not tell from a reply it is not sent, whatever it changes at the same time
//!   ([`inbox::offer`]).
//! - Names are remembered without their database, as in Redis: a change of the name in any of them is
//!   told. Emptying databases is told to all tracking clients with a null, and forgets all names.
//! - A table that has more names than `tracking-table-max-keys` forgets some, which ones is left to
//!   chance, and tells of them as if they had changed.
//! - What clients that are gone have left behind is removed in slices ([`Tracker::tend`]), and where a
//!   list of clients is about to grow.
//!
//! # What it costs
//!
//! Nothing as long as nobody tracks: a client that tracks is a special one for dispatch
//! ([`Client::is_special`]), and a shard of which no key is remembered is not observed.
//!
//! [`Client::is_special`]: crate::client::Client::is_special
//! [`inbox::offer`]: crate::inbox::offer

mod client;
mod message;
mod prefixes;
mod table;
#[cfg(test)]
mod tests;

use crate::Roles;
use crate::client::ClientShared;
use crate::interest::Interests;
use crate::runtime::worker::Worker;
use bytes::Bytes;
use dunlin_storage::{Change, Guard, Job, Key, Keyspace, ShardId, ShardSet};
use message::{Limits, send, send_flush};
use prefixes::{Batch, Prefixes};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use table::Table;

pub use client::{Mode, Options, Tracking};
pub use message::Redirect;
pub use prefixes::{Collision, collision};

/// Names that one command forgets because the table is too large, and that one slice of the
/// background's work forgets, frees or looks at: about 100 us.
const SLICE: usize = 256;

/// The names that are remembered in one shard. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<Table>);

/// What belongs to the commands that a worker runs at the moment. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    /// The client with NOLOOP whose command runs; 0: none.
    running: AtomicU64,
    /// Changed keys that broadcasting clients have to hear of.
    batch: Mutex<Batch>,
}

/// Who is told of which keys.
#[derive(Debug)]
pub struct Tracker {
    shards: Box<[Shard]>,
    slots: Box<[Slot]>,
    /// The clients that track, in either way.
    clients: Mutex<BTreeMap<u64, Arc<ClientShared>>>,
    prefixes: RwLock<Prefixes>,
    /// Number of prefixes.
    broadcasts: AtomicUsize,
    /// Names that are remembered.
    keys: AtomicUsize,
    /// Clients that are remembered, over all names.
    items: AtomicUsize,
    /// Bytes of the tables.
    bytes: AtomicUsize,
    /// `tracking-table-max-keys`; 0: no limit.
    max_keys: AtomicUsize,
    /// Clients that have tracked keys and are gone: how many there have been.
    gone: AtomicU64,
    limits: Limits,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tracker {
    /// Nobody tracks yet.
    pub fn new(shards: usize, threads: usize) -> Self {
        Tracker {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            slots: (0..threads.max(1)).map(|_| Slot::default()).collect(),
            clients: Mutex::default(),
            prefixes: RwLock::default(),
            broadcasts: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_keys: AtomicUsize::new(0),
            gone: AtomicU64::new(0),
            limits: Limits::default(),
        }
    }

    /// Applies `tracking-table-max-keys` and the hard limits of `client-output-buffer-limit`.
    pub fn configure(&self, max_keys: u64, normal: u64, pubsub: u64) {
        self.max_keys.store(usize::try_from(max_keys).unwrap_or(usize::MAX), Ordering::Relaxed);
        self.limits.configure(normal, pubsub);
    }

    fn table(&self, shard: ShardId) -> MutexGuard<'_, Table> {
        locked(&self.shards[usize::from(shard.0)].0)
    }

    fn slot(&self) -> &Slot {
        &self.slots[Worker::current() % self.slots.len()]
    }

    fn prefixes(&self) -> RwLockReadGuard<'_, Prefixes> {
        self.prefixes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn prefixes_mut(&self) -> RwLockWriteGuard<'_, Prefixes> {
        self.prefixes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether changes in a shard have to be told. Under its role.
    pub(crate) fn wants(&self, shard: ShardId) -> bool {
        self.broadcasts.load(Ordering::Acquire) > 0 || !self.table(shard).is_empty()
    }

    /// A key has changed. Under the role of its shard, after the change.
    pub(crate) fn changed(&self, change: &Change<'_>) {
        // What the store does by itself nobody has caused.
        let slot = self.slot();
        let origin = match change.cause.is_own() {
            true => 0,
            false => slot.running.load(Ordering::Relaxed),
        };
        if self.broadcasts.load(Ordering::Acquire) > 0 {
            locked(&slot.batch).note(&self.prefixes(), change.key.bytes, origin);
        }
        let mut table = self.table(change.shard);
        if let Some(forgotten) = table.forget(&change.key) {
            self.count(&mut table);
            drop(table);
            self.tell(&forgotten, origin);
        }
    }

    /// Tells all who have read a key, but the one who has changed it, if that is not to be told.
    fn tell(&self, forgotten: &table::Tracked, origin: u64) {
        let name = message::keys(&[forgotten.name()]);
        for client in forgotten.clients() {
            let wanted = client.has_flag(ClientShared::TRACKING)
                && !client.has_flag(ClientShared::BROADCAST)
                && client.id != origin;
            if wanted {
                send(client, &name, &self.limits);
            }
        }
    }

    /// Remembers that a client has read a key, in the default mode. Under the role of its shard.
    pub(crate) fn remember(
        &self,
        writer: &mut Roles<'_>,
        shard: ShardId,
        key: &Key<'_>,
        client: &Arc<ClientShared>,
    ) {
        let mut table = self.table(shard);
        table.remember(key, client);
        self.count(&mut table);
        table.set_observed(true);
        writer.observe(shard, true);
        self.forget_surplus(table);
    }

    /// Forgets names of a shard as long as all shards together have too many.
    fn forget_surplus(&self, mut table: MutexGuard<'_, Table>) {
        let mut forgotten = Vec::new();
        while self.surplus() > 0
            && forgotten.len() < SLICE
            && let Some(tracked) = table.forget_any()
        {
            self.count(&mut table);
            forgotten.push(tracked);
        }
        drop(table);
        forgotten.iter().for_each(|tracked| self.tell(tracked, 0));
    }

    /// How many names are remembered beyond the limit.
    fn surplus(&self) -> usize {
        match self.max_keys.load(Ordering::Relaxed) {
            0 => 0,
            max => self.keys().saturating_sub(max),
        }
    }

    /// Adds what has changed in a table to the figures.
    fn count(&self, table: &mut Table) {
        let change = table.take_change();
        for (figure, change) in
            [(&self.keys, change.keys), (&self.items, change.items), (&self.bytes, change.bytes)]
        {
            // Figures only, and what is subtracted was added before, under the same role.
            figure.fetch_add(change.cast_unsigned(), Ordering::Relaxed);
        }
    }

    /// Databases were emptied. Under all roles, once per command.
    pub(crate) fn flushed(&self) {
        for shard in &self.shards {
            let mut table = locked(&shard.0);
            table.clear();
            self.count(&mut table);
        }
        for client in locked(&self.clients).values() {
            send_flush(client, &self.limits);
        }
    }

    /// Begins to track. `writer` holds all roles if prefixes are registered.
    pub(crate) fn start(
        &self,
        client: &Arc<ClientShared>,
        prefixes: &[Bytes],
        interests: &Interests,
        writer: Option<&mut Roles<'_>>,
    ) {
        locked(&self.clients).insert(client.id, Arc::clone(client));
        if prefixes.is_empty() {
            return;
        }
        let mut all = self.prefixes_mut();
        prefixes.iter().for_each(|prefix| all.join(prefix, client));
        self.broadcasts.store(all.len(), Ordering::Release);
        drop(all);
        if let Some(writer) = writer {
            for shard in (0..self.shards.len()).map(shard_id) {
                self.table(shard).set_observed(true);
                interests.observe(writer, shard);
            }
        }
    }

    fn leave_prefix(&self, client: &ClientShared, prefix: &[u8]) {
        let mut all = self.prefixes_mut();
        all.leave(prefix, client.id);
        self.broadcasts.store(all.len(), Ordering::Release);
    }

    fn stop(&self, client: &ClientShared) {
        locked(&self.clients).remove(&client.id);
    }

    /// A connection has ended. What it has read is forgotten in slices.
    pub(crate) fn gone(&self, client: &ClientShared) {
        if client.has_flag(ClientShared::TRACKED) {
            self.stop(client);
            self.gone.fetch_add(1, Ordering::Release);
        }
    }

    /// While this is there, what the worker changes was caused by `client`, if it is one that does
    /// not want to hear of that (NOLOOP).
    pub(crate) fn running(&self, client: &ClientShared) -> Running<'_> {
        let slot = self.slot();
        let id = if client.has_flag(ClientShared::NO_LOOP) { client.id } else { 0 };
        Running { slot, before: slot.running.swap(id, Ordering::Relaxed) }
    }

    /// Sends what the worker has changed to broadcasting clients: at the end of each turn.
    #[inline]
    pub(crate) fn broadcast(&self) {
        if self.broadcasts.load(Ordering::Relaxed) > 0 {
            self.send_batch();
        }
    }

    #[cold]
    fn send_batch(&self) {
        let batch = std::mem::take(&mut *locked(&self.slot().batch));
        if batch.is_empty() {
            return;
        }
        // Receivers are copied, so that nobody who registers a prefix waits for the delivery.
        let messages = batch.messages(&self.prefixes());
        for (client, keys) in messages {
            send(&client, &keys, &self.limits);
        }
    }

    /// Whether the background has something to do in a shard.
    pub(crate) fn wants_tending(&self, shard: ShardId) -> bool {
        let gone = self.gone.load(Ordering::Acquire);
        let surplus = self.surplus() > 0;
        let table = self.table(shard);
        table.wants_tending(gone)
            || surplus && !table.is_empty()
            || self.broadcasts.load(Ordering::Acquire) == 0 && table.is_deserted()
    }

    /// One slice of it. Under the role of the shard.
    fn tend(&self, shard: ShardId) {
        let mut table = self.table(shard);
        table.tend(self.gone.load(Ordering::Acquire), SLICE);
        let wanted = !table.is_empty() || self.broadcasts.load(Ordering::Acquire) > 0;
        table.set_observed(wanted);
        self.count(&mut table);
        self.forget_surplus(table);
    }

    /// After a lower limit: forgets what is too much at once, one slice of each shard whose role is free.
    /// The background does the rest.
    pub(crate) fn shrink(&self, keyspace: &Keyspace, interests: &Interests, guard: &Guard) {
        for shard in (0..self.shards.len()).map(shard_id) {
            if self.surplus() == 0 {
                return;
            }
            if let Some(mut writer) = keyspace.try_enter(&ShardSet::one(shard), guard) {
                self.tend(shard);
                interests.observe(&mut writer, shard);
            }
        }
    }

    /// Number of clients that track.
    pub fn clients(&self) -> usize {
        locked(&self.clients).len()
    }

    /// Number of names that are remembered.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Number of clients that are remembered, over all names.
    pub fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// Number of prefixes.
    pub fn prefix_count(&self) -> usize {
        self.broadcasts.load(Ordering::Relaxed)
    }

    /// Bytes of the tables.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed) as u64
    }
}

fn shard_id(index: usize) -> ShardId {
    ShardId(u16::try_from(index).unwrap_or(u16::MAX))
}

/// See [`Tracker::running`].
pub(crate) struct Running<'a> {
    slot: &'a Slot,
    before: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.slot.running.store(self.before, Ordering::Relaxed);
    }
}

/// A slice of the background's work in the table of a shard.
pub(crate) struct Tend {
    pub(crate) interests: Arc<Interests>,
    pub(crate) shard: ShardId,
}

impl Job for Tend {
    fn run<'g>(self: Box<Self>, writer: &mut Roles<'g>, _guard: &'g Guard) {
        self.interests.tracker().tend(self.shard);
        self.interests.observe(writer, self.shard);
    }
}
