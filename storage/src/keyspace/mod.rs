//! The keyspace: databases, shards, and everything readers may do.

mod budget;
mod keys;
mod options;

use arrayvec::ArrayVec;

use self::budget::{Budget, SAMPLED, UNTRACKED};
pub use self::options::Options;
use crate::compact::Compaction;
use crate::entry::Entry;
use crate::epoch::{Guard, Handle};
use crate::hash::{Hasher, Key, KeyHash, ShardId};
use crate::memory::MemoryStats;
use crate::misses::{Miss, Misses};
use crate::observer::Observer;
use crate::reclaim::{Big, Reclaim, retire_table};
use crate::shard::Shard;
use crate::slots::{ShownSlots, SlotCounts};
use crate::stats::{ShardStats, StoreStats};
use crate::sync::{Arc, AtomicU8, AtomicU64, Collector, Ordering};
use crate::table::bucket::bump;
use crate::table::{Home, Table};
use crate::value::object::Object;
use crate::{Millis, slab};

/// A database's number, as clients select it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DbId(pub u8);

/// A database itself, whatever number it has: [`Writer::number_of`](crate::Writer::number_of) tells
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Database(pub(crate) usize);

/// Whether a read counts as a use of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It does.
    Yes,
    /// It leaves no trace.
    No,
}

/// All keys of all databases.
pub struct Keyspace {
    pub(crate) hasher: Hasher,
    shards: Box<[Shard]>,
    /// Table of (physical database, shard).
    tables: Box<[Table]>,
    /// Physical database of each number. Written under all roles (Release), read by all (Acquire).
    index: Box<[AtomicU8]>,
    collector: Collector,
    pub(crate) reclaim: Arc<Reclaim>,
    /// Shards with jobs left behind, one bit each.
    pub(crate) leftovers: Box<[AtomicU64]>,
    pub(crate) budget: Budget,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) misses: Option<Arc<Misses>>,
    pub(crate) slots: Option<SlotCounts>,
    pub(crate) shown: Option<Arc<ShownSlots>>,
    pub(crate) compaction: Compaction,
}

/// Empty pages that one call of [`Keyspace::free_slice`] gives to the system: each takes some
/// microseconds.
const PAGES_PER_SLICE: usize = 4;

/// Keys that one call of [`Keyspace::prefetch`] looks at: more lines than this do not stay near
/// anyway.
pub const PREFETCH_MAX: usize = 64;

impl Keyspace {
    /// An empty keyspace.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::build(options, None)
    }

    /// An empty keyspace whose changes are told to `observer`.
    #[must_use]
    pub fn observed(options: Options, observer: Arc<dyn Observer>) -> Self {
        Self::build(options, Some(observer))
    }

    fn build(options: Options, observer: Option<Arc<dyn Observer>>) -> Self {
        let shards = options.shard_count();
        let databases = match options.slot_of {
            Some(_) => 1,
            None => usize::from(options.databases.max(1)),
        };
        let hasher = Hasher::new(options.seed, shards.trailing_zeros(), options.slot_of);
        Self {
            misses: Misses::new(hasher.clone(), shards, options.miss_memory).map(Arc::new),
            hasher,
            shards: (0..shards).map(|_| Shard::new(databases)).collect(),
            tables: (0..databases * shards).map(|_| Table::new()).collect(),
            index: (0..databases).map(|db| AtomicU8::new(db as u8)).collect(),
            collector: Collector::new(),
            reclaim: Arc::new(Reclaim::new()),
            leftovers: (0..shards.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            budget: Budget::new(&options, shards),
            observer,
            slots: options.slot_of.map(|_| SlotCounts::new(shards)),
            shown: options.shown.filter(|_| options.slot_of.is_some()),
            compaction: Compaction::default(),
        }
    }

    /// Registers the calling thread. Keep the handle for the life of the thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(&self.collector, &self.reclaim)
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// How many databases there are.
    #[must_use]
    pub fn databases(&self) -> u8 {
        self.index.len() as u8
    }

    /// Hashes a key.
    #[inline]
    #[must_use]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.hasher.hash(bytes) }
    }

    /// A keyed hash of something that is no key.
    #[must_use]
    pub fn digest(&self, bytes: &[u8]) -> u64 {
        self.hasher.plain(bytes)
    }

    /// The shard a key lives in, in every database.
    #[inline]
    #[must_use]
    pub fn shard_of(&self, hash: KeyHash) -> ShardId {
        self.hasher.shard(hash)
    }

    /// Asks for the memory that a batch of commands is about to touch: the buckets of up to
    /// [`PREFETCH_MAX`] keys, then their entries. Each bucket is asked for as soon as its key's hash
    /// is known, so it pays to let the iterator make the hashes: it is always driven to its end.
    #[inline]
    pub fn prefetch(&self, db: DbId, keys: impl Iterator<Item = KeyHash>, guard: &Guard) {
        let tables = self.tables_of(self.physical(db));
        let mut homes: ArrayVec<Home<'_>, PREFETCH_MAX> = ArrayVec::new();
        for hash in keys {
            let table = &tables[usize::from(self.shard_of(hash).0)];
            if let Some(home) = table.approach(self.hasher.spot(hash), guard)
                && !homes.is_full()
            {
                homes.push(home);
            }
        }
        let mut spilled = 0u64;
        for (i, home) in homes.iter().enumerate() {
            spilled |= u64::from(!home.prefetch_entry()) << i;
        }
        while spilled != 0 {
            homes[spilled.trailing_zeros() as usize].prefetch_spilled();
            spilled &= spilled - 1;
        }
    }

    /// Reads a key: no lock, no waiting, no retry. An expired key is not there.
    #[inline]
    pub fn get<'g>(
        &self,
        db: DbId,
        key: &Key<'_>,
        now: Millis,
        touch: Touch,
        guard: &'g Guard,
    ) -> Option<Entry<'g>> {
        let id = self.shard_of(key.hash);
        let (table, spot) = (self.table(self.physical(db), id), self.hasher.spot(key.hash));
        let (slot, word, entry) = table.look(spot, key.bytes, guard)?;
        if entry.is_expired(now) {
            guard.note_expired();
            return None;
        }
        if touch == Touch::Yes {
            let tracking = self.budget.tracking.load(Ordering::Relaxed);
            if tracking != UNTRACKED {
                bump(slot, word);
                if tracking == SAMPLED {
                    self.shard(id).sampler.note(spot);
                }
            }
        }
        Some(entry)
    }

    /// Why a key that was just read is not there, as far as that is known: see
    /// [`Options::miss_memory`]. `under_role`: a key whose time is over may still lie there, whether or not
    /// this guard has met it.
    #[must_use]
    pub fn why_missing(
        &self,
        db: DbId,
        key: &Key<'_>,
        now: Millis,
        under_role: bool,
        guard: &Guard,
    ) -> Miss {
        let (physical, id) = (self.physical(db), self.shard_of(key.hash));
        if under_role || guard.has_met_expired() {
            let table = self.table(physical, id);
            let found = table.look(self.hasher.spot(key.hash), key.bytes, guard);
            if found.is_some_and(|(_, _, entry)| entry.is_expired(now)) {
                return Miss::Expired;
            }
        }
        self.misses.as_ref().map_or(Miss::NeverSet, |misses| misses.why(physical, id, key.hash))
    }

    /// Odd while a write of several keys is in progress on this shard. A reader that must not see
    /// half of such a write reads it before and after: even and the same = nothing of the kind.
    #[inline]
    #[must_use]
    pub fn multi_seq(&self, shard: ShardId) -> u64 {
        self.shard(shard).multi_seq()
    }

    /// Changes with every turn that changes something; odd while one is in progress.
    #[inline]
    #[must_use]
    pub fn write_seq(&self, shard: ShardId) -> u64 {
        self.shard(shard).write_seq()
    }

    /// Takes what was in no key, or is not any more, to be freed by [`Keyspace::free_slice`].
    pub fn free_slowly(&self, object: Object) {
        let bytes = object.memory_usage() as u64;
        self.reclaim.add(bytes);
        self.reclaim.push(Big::Object(Box::new(object)), bytes);
    }

    /// Frees up to `max_items` pieces of what was removed as a whole (big strings, flushed
    /// databases) and gives empty pages to the system; true if there is more. Needs no role.
    pub fn free_slice(&self, max_items: usize) -> bool {
        let more = self.reclaim.free(max_items);
        slab::purge(PAGES_PER_SLICE) || more
    }

    /// Hands what the calling thread has removed lately to the epoch, and gives memory that it keeps
    /// for its next writes back: for idle times.
    pub fn flush_limbo(&self, guard: &Guard) {
        guard.clear();
        guard.flush();
    }

    /// [`MemoryStats::used`] alone, without a look at every table.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.shards.iter().map(Shard::bytes).sum()
    }

    /// What the store holds right now.
    #[must_use]
    pub fn memory(&self) -> MemoryStats {
        MemoryStats {
            used: self.used_bytes(),
            tables: self.tables.iter().map(Table::table_bytes).sum(),
            entries: self.tables.iter().map(Table::entry_bytes).sum(),
            eviction: self.shards.iter().map(Shard::eviction_bytes).sum(),
            misses: self.misses.as_ref().map_or(0, |misses| misses.bytes()),
            limbo: self.reclaim.limbo(),
            limbo_peak: self.reclaim.limbo_peak(),
            slab: slab::stats(),
        }
    }

    /// Bytes removed, but maybe still being read, or waiting to be freed in slices.
    #[must_use]
    pub fn limbo(&self) -> u64 {
        self.reclaim.limbo()
    }

    /// Counters since the last reset.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        StoreStats::collect(&self.shards)
    }

    /// Figures of one shard; zeros if there is no such shard.
    #[must_use]
    pub fn shard_stats(&self, id: ShardId) -> ShardStats {
        let index = usize::from(id.0);
        let Some(shard) = self.shards.get(index) else { return ShardStats::default() };
        ShardStats {
            keys: self.tables.iter().skip(index).step_by(self.shards()).map(Table::len).sum(),
            bytes: shard.bytes(),
            changes: shard.words().changes.load(Ordering::Relaxed),
            role_taken: shard.words().taken.load(Ordering::Relaxed),
        }
    }

    /// Sets the counters to zero.
    pub fn reset_stats(&self) {
        StoreStats::reset(&self.shards);
        self.reclaim.reset_peak();
    }

    #[inline]
    pub(crate) fn shard(&self, id: ShardId) -> &Shard {
        &self.shards[usize::from(id.0)]
    }

    #[inline]
    pub(crate) fn table(&self, physical: usize, id: ShardId) -> &Table {
        &self.tables[physical * self.shards.len() + usize::from(id.0)]
    }

    fn tables_of(&self, physical: usize) -> &[Table] {
        &self.tables[physical * self.shards()..(physical + 1) * self.shards()]
    }

    /// Where a database's tables are.
    #[inline]
    pub(crate) fn physical(&self, db: DbId) -> usize {
        usize::from(self.index[usize::from(db.0)].load(Ordering::Acquire))
    }

    /// The database that has a number at this moment.
    #[must_use]
    pub fn database(&self, db: DbId) -> Database {
        Database(self.physical(db))
    }

    /// The number of a physical database. Under a role: swapping needs all of them.
    pub(crate) fn number(&self, physical: usize) -> DbId {
        let number = (0..self.databases()).find(|&db| self.physical(DbId(db)) == physical);
        DbId(number.expect("every physical database has a number"))
    }

    pub(crate) fn swap_databases(&self, a: DbId, b: DbId) {
        let (a, b) = (&self.index[usize::from(a.0)], &self.index[usize::from(b.0)]);
        let (was_a, was_b) = (a.load(Ordering::Relaxed), b.load(Ordering::Relaxed));
        a.store(was_b, Ordering::Release);
        b.store(was_a, Ordering::Release);
    }

    pub(crate) fn tables_in(&self, id: ShardId) -> impl Iterator<Item = &Table> {
        self.tables.iter().skip(usize::from(id.0)).step_by(self.shards.len())
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        // Guards, and the entries they protect, may outlive the keyspace: everything goes through
        // the epoch, and with the last handle at the latest.
        let handle = self.handle();
        let guard = handle.pin();
        for table in &self.tables {
            let (detached, bytes) = table.detach(&mut crate::table::TableCore::default());
            retire_table(&self.reclaim, detached, bytes, &guard);
        }
    }
}
