//! The keyspace: databases, shards, and everything readers may do.

use arrayvec::ArrayVec;

use crate::compact::Compaction;
use crate::entry::Entry;
use crate::epoch::{Guard, Handle};
use crate::eviction::Policy;
use crate::hash::{Hasher, Key, KeyHash, SHARD_BITS_MAX, ShardId};
use crate::memory::MemoryStats;
use crate::misses::{Miss, Misses};
use crate::observer::Observer;
use crate::reclaim::{Big, Reclaim, retire_table};
use crate::shard::Shard;
use crate::slots::{ShownSlots, SlotCounts, SlotOf};
use crate::stats::{ShardStats, StoreStats};
use crate::sync::{Arc, AtomicI64, AtomicU8, AtomicU64, Collector, Ordering, OwnLine};
use crate::table::bucket::bump;
use crate::table::iter::POSITION_END;
use crate::table::{Home, Table};
use crate::value::object::Object;
use crate::{Millis, hash::POSITION_BITS, slab};

/// A database's number, as clients select it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DbId(pub u8);

/// Whether a read counts as a use of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It does.
    Yes,
    /// It leaves no trace.
    No,
}

/// How a keyspace is built.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shards, rounded up to a power of two.
    pub shards: usize,
    /// Databases, at least one.
    pub databases: u8,
    /// Budget in bytes; 0 = none.
    pub max_memory: u64,
    /// What goes when the budget is used up.
    pub policy: Policy,
    /// Bytes at most for what is known of removed keys ([`Keyspace::why_missing`]); 0 = nothing.
    pub miss_memory: u64,
    /// Seed of the hash function; random if not given.
    pub seed: Option<[u64; 4]>,
    /// The slot of each key, if there are slots ([`crate::slots`]). Then there is one database.
    pub slot_of: Option<SlotOf>,
    /// The slots that are shown to those who look at all keys; all, if not given.
    pub shown: Option<Arc<ShownSlots>>,
}

/// Bytes of a budget for each shard at least, where nobody has asked for a number of shards.
const SHARD_LEAST: u64 = 1 << 20;

impl Options {
    /// How many shards of `wanted` ones (a power of two) a budget is enough for. Insertions evict
    /// from their own shard: one that holds a few dozen keys knows too little of them to choose.
    #[must_use]
    pub fn shards_within(wanted: usize, max_memory: u64) -> usize {
        let enough = |shards: &usize| max_memory == 0 || max_memory >= SHARD_LEAST * *shards as u64;
        std::iter::successors(Some(wanted.max(1)), |shards| Some(shards / 2))
            .find(|shards| *shards == 1 || enough(shards))
            .unwrap_or(1)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: 16,
            databases: 16,
            max_memory: 0,
            policy: Policy::default(),
            miss_memory: 0,
            seed: None,
            slot_of: None,
            shown: None,
        }
    }
}

impl Options {
    /// How many shards a keyspace will have.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.clamp(1, 1 << SHARD_BITS_MAX).next_power_of_two()
    }
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

/// The memory budget, and what counts against it.
pub(crate) struct Budget {
    pub(crate) max: AtomicU64,
    /// What commands hold the store below after `max` was lowered, while the background evicts: what
    /// was used when it last looked; 0 when that is over. Relaxed, like `max`: figures.
    pub(crate) ceiling: AtomicU64,
    pub(crate) policy: AtomicU8,
    /// [`UNTRACKED`], [`TRACKED`] or [`SAMPLED`].
    tracking: AtomicU8,
    /// See [`quantum`].
    quantum: AtomicU64,
    /// Bytes of entries, tables and eviction state.
    pub(crate) used: OwnLine<AtomicI64>,
}

/// Reads leave no trace.
const UNTRACKED: u8 = 0;
/// Reads bump frequencies: the policy wants to know, and there is need.
const TRACKED: u8 = 1;
/// And those of some keys are told to the shard as well.
const SAMPLED: u8 = 2;

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
            budget: Budget {
                max: AtomicU64::new(options.max_memory),
                ceiling: AtomicU64::new(0),
                policy: AtomicU8::new(options.policy.to_u8()),
                tracking: AtomicU8::new(u8::from(options.policy.shows_use())),
                quantum: AtomicU64::new(quantum(options.max_memory, shards)),
                used: OwnLine(AtomicI64::new(0)),
            },
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
    /// [`Options::miss_memory`]. Under the role nothing is noted of a key whose time is over and which
    /// still lies there, so whoever has read with it says so.
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

    /// Visits the live keys of up to `buckets` buckets from `cursor` on (0 = start) and returns the
    /// cursor to go on with (0 = end). A key that is there all the time is visited at least once,
    /// also while tables grow and shrink. Cursors are below 2^52.
    pub fn scan<'g>(
        &self,
        db: DbId,
        cursor: u64,
        buckets: usize,
        now: Millis,
        guard: &'g Guard,
        visit: &mut dyn FnMut(Entry<'g>),
    ) -> u64 {
        self.scan_all(db, cursor, buckets, guard, &mut |entry| {
            if !entry.is_expired(now) {
                visit(entry);
            }
        })
    }

    /// [`Keyspace::scan`] that visits also keys whose time is over and which were not removed yet.
    pub fn scan_all<'g>(
        &self,
        db: DbId,
        cursor: u64,
        buckets: usize,
        guard: &'g Guard,
        visit: &mut dyn FnMut(Entry<'g>),
    ) -> u64 {
        let db = self.physical(db);
        let mut shard = (cursor >> POSITION_BITS) as usize;
        let mut position = cursor & (POSITION_END - 1);
        for _ in 0..buckets.max(1) {
            if shard >= self.shards() {
                return 0;
            }
            let table = &self.tables[db * self.shards() + shard];
            position = table.visit_bucket(position, &self.hasher, guard, &mut |entry| {
                if self.shows(entry.key()) {
                    visit(entry);
                }
            });
            if position == POSITION_END {
                shard += 1;
                position = 0;
            }
        }
        if shard >= self.shards() { 0 } else { (shard as u64) << POSITION_BITS | position }
    }

    /// A live key picked by `random`, if there is one.
    pub fn random<'g>(
        &self,
        db: DbId,
        now: Millis,
        random: u64,
        guard: &'g Guard,
    ) -> Option<Entry<'g>> {
        let physical = self.physical(db);
        if self.is_empty(db) {
            return None;
        }
        let total = self.tables_of(physical).iter().map(Table::len).sum::<u64>().max(1);
        let mut rank = random % total;
        let mut shard = 0;
        for (i, table) in self.tables_of(physical).iter().enumerate() {
            shard = i;
            if rank < table.len() {
                break;
            }
            rank -= table.len();
        }
        // From a random place on, around the whole database at most.
        let start = random.wrapping_mul(0x9e37_79b9_7f4a_7c15) & (POSITION_END - 1);
        let pick = (random >> 32) as usize;
        for step in 0..=self.shards() {
            let table = &self.tables_of(physical)[(shard + step) % self.shards()];
            let mut position = if step == 0 { start } else { 0 };
            while position < POSITION_END {
                let mut live: Vec<Entry<'g>> = Vec::new();
                position = table.visit_bucket(position, &self.hasher, guard, &mut |entry| {
                    if !entry.is_expired(now) && self.shows(entry.key()) {
                        live.push(entry);
                    }
                });
                if !live.is_empty() {
                    return Some(live[pick % live.len()]);
                }
            }
        }
        None
    }

    /// Keys of a database, expired ones that were not removed yet included.
    #[must_use]
    pub fn len(&self, db: DbId) -> u64 {
        let all: u64 = self.tables_of(self.physical(db)).iter().map(Table::len).sum();
        all.saturating_sub(self.hidden_keys())
    }

    /// True if a database has no keys.
    #[must_use]
    pub fn is_empty(&self, db: DbId) -> bool {
        self.len(db) == 0
    }

    /// Keys of a database that have an expiry. While some keys are hidden it is an estimate: their
    /// expiries are not counted apart.
    #[must_use]
    pub fn expires(&self, db: DbId) -> u64 {
        let tables = self.tables_of(self.physical(db));
        let expires = tables.iter().map(Table::expires).sum();
        match self.hidden_keys() {
            0 => expires,
            hidden => {
                let shown = self.len(db);
                let share = u128::from(expires) * u128::from(shown) / u128::from(shown + hidden);
                u64::try_from(share).unwrap_or(expires)
            }
        }
    }

    /// Whether there is a key or a field of a hash, in any database, that can expire.
    #[must_use]
    pub fn may_expire(&self) -> bool {
        self.tables.iter().any(Table::may_expire)
    }

    /// Mean time to live of the keys that have an expiry, in milliseconds.
    #[must_use]
    pub fn avg_ttl(&self, db: DbId, now: Millis) -> i64 {
        let tables = self.tables_of(self.physical(db));
        let count = tables.iter().map(Table::expires).sum::<u64>();
        if count == 0 {
            return 0;
        }
        let sum: i128 = tables.iter().map(|table| i128::from(table.expire_sum())).sum();
        let mean = sum * 1000 / i128::from(count) - i128::from(now);
        i64::try_from(mean).unwrap_or(i64::MAX).max(0)
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

    /// Changes the budget; 0 = none. What is too much goes in slices ([`Keyspace::evict_slice`]);
    /// until then commands only keep the store from growing.
    pub fn set_max_memory(&self, bytes: u64) {
        let is_lowered = bytes != 0 && self.used() > bytes;
        let ceiling = if is_lowered { self.used() } else { 0 };
        self.budget.ceiling.store(ceiling, Ordering::Relaxed);
        self.budget.quantum.store(quantum(bytes, self.shards()), Ordering::Relaxed);
        self.budget.max.store(bytes, Ordering::Relaxed);
        self.track();
    }

    /// Changes the policy.
    pub fn set_policy(&self, policy: Policy) {
        self.budget.policy.store(policy.to_u8(), Ordering::Relaxed);
        self.track();
    }

    /// The policy.
    #[inline]
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::from_u8(self.budget.policy.load(Ordering::Relaxed))
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

    /// Decides whether reads leave a mark: when half of the budget is used (before that nobody will
    /// ask), and always under the policies whose frequencies clients may read.
    fn track(&self) {
        let policy = self.policy();
        let max = self.budget.max.load(Ordering::Relaxed);
        let near = max != 0 && self.used() > max / 2;
        let tracking = match policy {
            Policy::AllKeysAuto if near => SAMPLED,
            _ if policy.shows_use() || near && policy.counts_reads() => TRACKED,
            _ => UNTRACKED,
        };
        if self.budget.tracking.load(Ordering::Relaxed) != tracking {
            self.budget.tracking.store(tracking, Ordering::Relaxed);
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.budget.used.load(Ordering::Relaxed).max(0) as u64
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

    /// Accounts for bytes taken (or given back) by a shard. Only under its role. The common counter
    /// hears of it when enough has come together.
    #[inline]
    pub(crate) fn memory_changed(&self, id: ShardId, bytes: i64) {
        if bytes == 0 {
            return;
        }
        let words = self.shard(id).words();
        let now = words.bytes.load(Ordering::Relaxed) + bytes;
        words.bytes.store(now, Ordering::Relaxed);
        let change = now - words.folded.load(Ordering::Relaxed);
        if change.unsigned_abs() >= self.budget.quantum.load(Ordering::Relaxed) {
            self.fold(id);
        }
    }

    /// Whether the common counter knows less of a shard than it should: the budget was lowered.
    pub(crate) fn lags_behind(&self, id: ShardId) -> bool {
        let words = self.shard(id).words();
        let change = words.bytes.load(Ordering::Relaxed) - words.folded.load(Ordering::Relaxed);
        change.unsigned_abs() >= self.budget.quantum.load(Ordering::Relaxed)
    }

    /// Brings the common counter up to date with a shard. Only under its role.
    pub(crate) fn fold(&self, id: ShardId) {
        let words = self.shard(id).words();
        let now = words.bytes.load(Ordering::Relaxed);
        let change = now - words.folded.load(Ordering::Relaxed);
        words.folded.store(now, Ordering::Relaxed);
        if change != 0 {
            self.budget.used.fetch_add(change, Ordering::Relaxed);
            self.track();
        }
    }
}

/// How many bytes a shard may be ahead of the common counter: all shards together at most a fifth
/// of a percent of the budget.
fn quantum(max_memory: u64, shards: usize) -> u64 {
    match max_memory {
        0 => QUANTUM_MAX,
        max => (max / (512 * shards as u64)).clamp(QUANTUM_MIN, QUANTUM_MAX),
    }
}

const QUANTUM_MIN: u64 = 256;
const QUANTUM_MAX: u64 = 16 * 1024;

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
