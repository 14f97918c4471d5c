//! The maps Dunlin's keyspace is measured against, used as a cache would use them: boxed keys and
//! values, ahash, a replaced value in place where the map can. As in a cache, the bytes to store come
//! in a buffer and are copied from there.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{PoisonError, RwLock};

use ahash::RandomState;
use dashmap::DashMap;

use super::{Engine, Op, Worker};

type Bytes = Box<[u8]>;

/// The value written under a key.
pub(super) fn value(n: u32, size: usize) -> Bytes {
    vec![n as u8; size].into_boxed_slice()
}

#[inline]
fn copy_out(value: &[u8], out: &mut [u8]) {
    out[..value.len()].copy_from_slice(value);
    black_box(out);
}

/// Where a worker's values come from.
struct Source(Bytes);

impl Source {
    fn new(size: usize) -> Self {
        Self(value(0, size))
    }

    /// The value to store under a key.
    #[inline]
    fn value(&mut self, n: u32) -> Bytes {
        self.0.fill(n as u8);
        Bytes::from(&*self.0)
    }
}

/// DashMap.
pub(super) struct Dash {
    map: DashMap<Bytes, Bytes, RandomState>,
    size: usize,
}

impl Dash {
    pub(super) fn new(keys: u64, size: usize) -> Self {
        let map = DashMap::with_hasher(RandomState::new());
        for n in 0..keys as u32 {
            map.insert(Op::new(n, false).bytes().into(), value(n, size));
        }
        Self { map, size }
    }
}

struct DashWorker<'a>(&'a Dash, Source, Vec<u8>);

impl Engine for Dash {
    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(DashWorker(self, Source::new(self.size), vec![0; self.size]))
    }
}

impl Worker for DashWorker<'_> {
    fn batch(&mut self, ops: &[Op]) -> u64 {
        let Self(Dash { map, .. }, source, out) = self;
        let mut found = 0;
        for op in ops {
            let key = op.bytes();
            if op.is_write() {
                let new = source.value(op.key());
                if let Some(mut slot) = map.get_mut(&key[..]) {
                    *slot = new;
                } else {
                    map.insert(key.into(), new);
                }
            } else if let Some(value) = map.get(&key[..]) {
                copy_out(&value, out);
                found += 1;
            }
        }
        found
    }
}

/// papaya; one pin per batch.
pub(super) struct Papaya {
    map: papaya::HashMap<Bytes, Bytes, RandomState>,
    size: usize,
}

impl Papaya {
    pub(super) fn new(keys: u64, size: usize) -> Self {
        let map = papaya::HashMap::with_hasher(RandomState::new());
        for n in 0..keys as u32 {
            map.pin().insert(Op::new(n, false).bytes().into(), value(n, size));
        }
        Self { map, size }
    }
}

struct PapayaWorker<'a>(&'a Papaya, Source, Vec<u8>);

impl Engine for Papaya {
    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(PapayaWorker(self, Source::new(self.size), vec![0; self.size]))
    }
}

impl Worker for PapayaWorker<'_> {
    fn batch(&mut self, ops: &[Op]) -> u64 {
        let Self(Papaya { map, .. }, source, out) = self;
        let map = map.pin();
        let mut found = 0;
        for op in ops {
            let key = op.bytes();
            if op.is_write() {
                map.insert(key.into(), source.value(op.key()));
            } else if let Some(value) = map.get(&key[..]) {
                copy_out(value, out);
                found += 1;
            }
        }
        found
    }
}

/// A cache that gives out clones of its values, with room for more than there is.
pub(super) struct Cloning<C> {
    cache: C,
    size: usize,
}

/// What such a cache holds: clones share the bytes.
type Shared = bytes::Bytes;

/// moka's.
pub(super) type Moka = moka::sync::Cache<Bytes, Shared, RandomState>;
/// quick_cache's.
pub(super) type Quick =
    quick_cache::sync::Cache<Bytes, Shared, quick_cache::UnitWeighter, RandomState>;

/// What is asked of one.
pub(super) trait Clones: Sync {
    fn with_room_for(items: u64) -> Self;
    fn get(&self, key: &[u8]) -> Option<Shared>;
    fn put(&self, key: Bytes, value: Shared);
    /// Does what it has put off.
    fn settle(&self) {}
}

impl Clones for Moka {
    fn with_room_for(items: u64) -> Self {
        moka::sync::Cache::builder().max_capacity(items).build_with_hasher(RandomState::new())
    }

    fn get(&self, key: &[u8]) -> Option<Shared> {
        self.get(key)
    }

    fn put(&self, key: Bytes, value: Shared) {
        self.insert(key, value);
    }

    fn settle(&self) {
        self.run_pending_tasks();
    }
}

impl Clones for Quick {
    fn with_room_for(items: u64) -> Self {
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        let hasher = RandomState::new();
        Quick::with(items as usize, items, quick_cache::UnitWeighter, hasher, lifecycle)
    }

    fn get(&self, key: &[u8]) -> Option<Shared> {
        self.get(key)
    }

    fn put(&self, key: Bytes, value: Shared) {
        self.insert(key, value);
    }
}

impl<C: Clones> Cloning<C> {
    pub(super) fn new(keys: u64, size: usize) -> Self {
        let cache = C::with_room_for(keys * 2);
        for n in 0..keys as u32 {
            cache.put(Op::new(n, false).bytes().into(), value(n, size).into());
        }
        cache.settle();
        Self { cache, size }
    }
}

struct CloningWorker<'a, C>(&'a Cloning<C>, Source, Vec<u8>);

impl<C: Clones> Engine for Cloning<C> {
    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(CloningWorker(self, Source::new(self.size), vec![0; self.size]))
    }
}

impl<C: Clones> Worker for CloningWorker<'_, C> {
    fn batch(&mut self, ops: &[Op]) -> u64 {
        let Self(Cloning { cache, .. }, source, out) = self;
        let mut found = 0;
        for op in ops {
            let key = op.bytes();
            if op.is_write() {
                cache.put(key.into(), source.value(op.key()).into());
            } else if let Some(value) = cache.get(&key) {
                copy_out(&value, out);
                found += 1;
            }
        }
        found
    }
}

/// 64 standard maps, each behind a reader-writer lock.
pub(super) struct Locked {
    shards: Vec<RwLock<HashMap<Bytes, Bytes, RandomState>>>,
    size: usize,
}

const LOCKED_SHARDS: usize = 64;

impl Locked {
    pub(super) fn new(keys: u64, size: usize) -> Self {
        let shard = || RwLock::new(HashMap::with_hasher(RandomState::new()));
        let shards = (0..LOCKED_SHARDS).map(|_| shard()).collect();
        let locked = Self { shards, size };
        for n in 0..keys as u32 {
            let key = Op::new(n, false).bytes();
            let mut shard = locked.shard(&key).write().unwrap_or_else(PoisonError::into_inner);
            shard.insert(key.into(), value(n, size));
        }
        locked
    }

    /// The key's own bytes choose the shard: a second keyed hash would only slow the rival down.
    fn shard(&self, key: &[u8; 16]) -> &RwLock<HashMap<Bytes, Bytes, RandomState>> {
        &self.shards[usize::from(key[15]) % LOCKED_SHARDS]
    }
}

struct LockedWorker<'a>(&'a Locked, Source, Vec<u8>);

impl Engine for Locked {
    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(LockedWorker(self, Source::new(self.size), vec![0; self.size]))
    }
}

impl Worker for LockedWorker<'_> {
    fn batch(&mut self, ops: &[Op]) -> u64 {
        let Self(locked, source, out) = self;
        let mut found = 0;
        for op in ops {
            let key = op.bytes();
            let shard = locked.shard(&key);
            if op.is_write() {
                let new = source.value(op.key());
                let mut map = shard.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(slot) = map.get_mut(&key[..]) {
                    *slot = new;
                } else {
                    map.insert(key.into(), new);
                }
            } else if let Some(value) =
                shard.read().unwrap_or_else(PoisonError::into_inner).get(&key[..])
            {
                copy_out(value, out);
                found += 1;
            }
        }
        found
    }
}
