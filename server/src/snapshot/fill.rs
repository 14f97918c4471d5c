//! Putting what was read from a file into the keyspace, on several threads.
//!
//! One thread reads and checks; it hands [`Batch`]es over through a short queue to threads of the pool,
//! which make values of them and store them. Batches may be stored in any order: a file names no key
//! twice, except in the parts of one collection, which are put together ([`super::gather`]).

use super::entry::{Entries, Entry, Head, What};
use super::gather::{Gathering, Piece};
use crate::commands::collection::Limits;
use crate::rdb::{self, Refused, object};
use crate::server::Server;
use dunlin_storage::{DbId, Guard, Handle, Key, Millis, NewValue, ShardSet, Writer};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Threads that fill at most.
const MAX_THREADS: usize = 8;
/// Batches that may wait for each of them.
const QUEUE: usize = 2;

/// A key that was read.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) db: DbId,
    pub(super) key: Vec<u8>,
    pub(super) expire_at: Option<Millis>,
    /// Type of the value.
    pub(super) kind: u8,
    /// Its bytes.
    pub(super) body: Vec<u8>,
}

/// What a thread takes at a time.
#[derive(Debug)]
pub(super) enum Batch {
    /// Entries of a snapshot.
    Entries(Vec<u8>),
    /// Keys of an RDB file.
    Items(Vec<Item>),
}

/// What is known when everything is stored.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// Texts of libraries.
    pub(super) libraries: Vec<Vec<u8>>,
    /// Entries of all kinds.
    pub(super) entries: u64,
}

/// What the threads have in common.
struct Shared {
    server: &'static Server,
    limits: Limits,
    batches: Mutex<Receiver<Batch>>,
    failure: OnceLock<String>,
    gathering: Gathering,
    filled: Mutex<Filled>,
    /// The store is full and may not evict: what comes from here on is left out.
    is_full: AtomicBool,
}

/// The threads, as the one who reads sees them.
pub(super) struct Filling {
    shared: Arc<Shared>,
    batches: SyncSender<Batch>,
    /// Disconnected when all threads have ended.
    ended: Receiver<()>,
    threads: usize,
}

impl Filling {
    /// Begins threads.
    pub(super) fn start(server: &'static Server) -> Self {
        let threads = server.workers.clamp(1, MAX_THREADS);
        let (batches, receiver) = sync_channel(threads * QUEUE);
        let shared = Arc::new(Shared {
            server,
            limits: server.limits(),
            batches: Mutex::new(receiver),
            failure: OnceLock::new(),
            gathering: Gathering::default(),
            filled: Mutex::default(),
            is_full: AtomicBool::new(false),
        });
        let (sender, ended) = channel();
        let begun = (0..threads).filter(|_| begin(server, &shared, &sender)).count();
        Filling { shared, batches, ended, threads: begun }
    }

    /// Hands a batch over; why the file is refused, if it is.
    pub(super) fn add(&self, batch: Batch) -> Result<(), String> {
        if self.threads == 0 {
            // There is no thread to be had.
            let handle = self.shared.server.keyspace.handle();
            self.shared.fill(&handle, batch);
        } else if self.batches.send(batch).is_err() {
            return Err("the threads that load have ended".to_owned());
        }
        match self.shared.failure.get() {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    /// Waits until everything is stored.
    pub(super) fn finish(self) -> Result<Filled, String> {
        let Filling { shared, batches, ended, .. } = self;
        drop(batches);
        while ended.recv().is_ok() {}
        if let Some(why) = shared.failure.get() {
            return Err(why.clone());
        }
        if shared.is_full.load(Ordering::Relaxed) {
            tracing::warn!(
                "maxmemory is reached and nothing may be evicted: not all keys are loaded"
            );
        }
        let mut filled = shared.filled.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *filled))
    }
}

fn begin(server: &'static Server, shared: &Arc<Shared>, ended: &Sender<()>) -> bool {
    let Some(place) = server.pool.try_place() else { return false };
    let (shared, ended) = (Arc::clone(shared), ended.clone());
    place.run(move || {
        let handle = shared.server.keyspace.handle();
        loop {
            let batch = shared.batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = batch else { break };
            shared.fill(&handle, batch);
        }
        drop(ended);
    });
    true
}

impl Shared {
    /// Stores a batch. After a failure it is thrown away: the file is refused as a whole.
    fn fill(&self, handle: &Handle, batch: Batch) {
        if self.failure.get().is_some() {
            return;
        }
        // Whoever reads waits for room in the queue: a thread must not go away.
        let filled = catch_unwind(AssertUnwindSafe(|| match batch {
            Batch::Entries(bytes) => self.fill_entries(handle, &bytes),
            Batch::Items(items) => items.iter().try_for_each(|item| self.fill_item(handle, item)),
        }));
        if let Err(why) = filled.unwrap_or_else(|_panic| Err("a defect of the server".to_owned())) {
            // The first reason is as good as any.
            let _ = self.failure.set(why);
        }
    }

    fn fill_item(&self, handle: &Handle, item: &Item) -> Result<(), String> {
        let Item { db, key, expire_at, kind, body } = item;
        let head = Head { what: What::Value, db: *db, key, expire_at: *expire_at };
        self.store(handle, &head, *kind, body)
    }

    fn fill_entries(&self, handle: &Handle, bytes: &[u8]) -> Result<(), String> {
        let mut count = 0;
        for entry in Entries::new(bytes) {
            let entry = entry.map_err(|_malformed| "an entry is malformed".to_owned())?;
            count += 1;
            match entry.head.what {
                What::Value => {
                    let (kind, body) = entry.value.split_first().ok_or("a value has no type")?;
                    self.store(handle, &entry.head, *kind, body)?;
                }
                What::Part | What::Void => self.fill_part(handle, &entry)?,
                What::Library => {
                    let text = entry.value.to_vec();
                    self.with_filled(|filled| filled.libraries.push(text));
                }
            }
        }
        self.with_filled(|filled| filled.entries += count);
        Ok(())
    }

    fn with_filled(&self, change: impl FnOnce(&mut Filled)) {
        change(&mut self.filled.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn database(&self, db: DbId) -> Result<DbId, String> {
        let databases = self.server.keyspace.databases();
        match db.0 < databases {
            true => Ok(db),
            false => Err(format!("it has keys in database {}, and there are {databases}", db.0)),
        }
    }

    /// Takes what an entry says of a collection that comes in parts.
    fn fill_part(&self, handle: &Handle, entry: &Entry<'_>) -> Result<(), String> {
        let (server, Entry { head, value }) = (self.server, *entry);
        let (db, now, skew) = (self.database(head.db)?, server.clock.now(), server.clock.skew());
        let expire_at = head.expire_at.map(|at| skew.from_wall(at));
        let refused = |_: Refused| "a part of a collection is malformed".to_owned();
        let piece = match value.split_first() {
            _ if head.what == What::Void => Piece::Void,
            None => Piece::End(expire_at),
            Some(_) if self.is_full() => Piece::Void,
            // In a file of version 1, of which every part says it.
            Some(_) if expire_at.is_some_and(|at| at <= now) => Piece::End(expire_at),
            Some((kind, body)) => {
                Piece::Members(rdb::read_value(*kind, body).map_err(refused)?, expire_at)
            }
        };
        let (key, guard) = (server.keyspace.key(head.key), handle.pin());
        let mut writer = role_of(server, &key, &guard);
        let (limits, loading) = (&self.limits, &server.snapshots.loading);
        let times = (now, skew);
        self.gathering.take(&mut writer, (db, &key), piece, limits, times, loading).map_err(refused)
    }

    /// Stores the value of an entry, unless its time is over.
    fn store(&self, handle: &Handle, head: &Head<'_>, kind: u8, body: &[u8]) -> Result<(), String> {
        let (server, Head { key, expire_at, .. }) = (self.server, *head);
        let db = self.database(head.db)?;
        let (now, loading) = (server.clock.now(), &server.snapshots.loading);
        let skew = server.clock.skew();
        let expire_at = expire_at.map(|at| skew.from_wall(at));
        if expire_at.is_some_and(|at| at <= now) {
            loading.expired.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if self.is_full() {
            return Ok(());
        }
        let refused = |_: Refused| format!("a value of type {kind} is malformed");
        let value = rdb::read_value(kind, body).map_err(refused)?;
        let key = server.keyspace.key(key);
        let guard = handle.pin();
        let mut writer = role_of(server, &key, &guard);
        let Some(value) = object::load(value, &self.limits, now, skew).map_err(refused)? else {
            loading.expired.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        match value {
            object::Loaded::String(bytes) => {
                writer.put(db, &key, NewValue::Bytes(&bytes), expire_at, now);
            }
            object::Loaded::Object(object) => {
                writer.put(db, &key, NewValue::Object(object), expire_at, now);
            }
        }
        loading.loaded.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn is_full(&self) -> bool {
        if self.is_full.load(Ordering::Relaxed) {
            return true;
        }
        let keyspace = &self.server.keyspace;
        let is_full = keyspace.over_limit() && !keyspace.can_evict();
        if is_full {
            self.is_full.store(true, Ordering::Relaxed);
        }
        is_full
    }
}

/// The role of the shard of a key. Nobody but the threads that load, and a slice of background work now
/// and then, wants it, and there is nothing else to do.
fn role_of<'g>(server: &'g Server, key: &Key<'_>, guard: &'g Guard) -> Writer<'g, 'g> {
    let shards = ShardSet::one(server.keyspace.shard_of(key.hash));
    loop {
        if let Some(writer) = server.keyspace.try_enter(&shards, guard) {
            return writer;
        }
        std::thread::yield_now();
    }
}

/// Empties all databases.
pub(super) fn empty(server: &'static Server) {
    let handle = server.keyspace.handle();
    let guard = handle.pin();
    let all = ShardSet::all(&server.keyspace);
    let mut writer = loop {
        match server.keyspace.try_enter(&all, &guard) {
            Some(writer) => break writer,
            None => std::thread::yield_now(),
        }
    };
    (0..server.keyspace.databases()).for_each(|db| writer.flush(DbId(db)));
}
