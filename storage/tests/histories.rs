//! Long random histories through the public interface, against a map (one thread).
//!
//! Every history has a seed, printed when it fails; `DUNLIN_SEED` repeats it and
//! `DUNLIN_STRESS_SECONDS` runs new ones for so long. Time is part of the history.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use dunlin_storage::{
    BIG_VALUE, CHUNK, DbId, Entry, Guard, Handle, Keyspace, Millis, NewValue, Options, Policy,
    Rope, ShardId, ShardSet, Touch, Value, Writer,
};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Runs `history` with the seed of the environment, or a fixed one and then new ones while there
/// is time.
fn with_seeds(history: impl Fn(u64)) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("DUNLIN_SEED") {
        return history(seed);
    }
    let end = Instant::now() + Duration::from_secs(number("DUNLIN_STRESS_SECONDS").unwrap_or(0));
    let mut seed = 1;
    loop {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history(seed)));
        if let Err(panic) = outcome {
            eprintln!("DUNLIN_SEED={seed} repeats this");
            std::panic::resume_unwind(panic);
        }
        if Instant::now() >= end {
            return;
        }
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
    }
}

type Held<'g> = Vec<(Entry<'g>, Vec<u8>, Vec<u8>)>;

#[derive(Clone, Debug, PartialEq)]
struct Item {
    value: Vec<u8>,
    at: Option<Millis>,
}

impl Item {
    fn is_live(&self, now: Millis) -> bool {
        self.at.is_none_or(|at| now <= at)
    }
}

/// A scan that goes on between other operations, and the keys that were there all the time.
struct Scan {
    db: usize,
    cursor: u64,
    stable: HashSet<Vec<u8>>,
    seen: HashSet<Vec<u8>>,
}

struct History {
    ks: Keyspace,
    rng: Rng,
    now: Millis,
    model: Vec<BTreeMap<Vec<u8>, Item>>,
    scan: Option<Scan>,
    /// Keys are `k0` to `k<pool>`.
    pool: u64,
    /// Out of eight: how many of put-or-remove are puts.
    growth: u64,
    /// What MEMORY USAGE adds to the entry for its share of the table.
    share: u64,
}

fn bytes_of(entry: &Entry<'_>) -> Vec<u8> {
    let Value::Str(text) = entry.value() else { unreachable!("only strings so far") };
    text.to_cow().into_owned()
}

impl History {
    fn new(seed: u64, databases: u8) -> Self {
        let mut rng = Rng(seed);
        let shards = 1 << rng.below(4);
        let seed = Some([rng.next(), rng.next(), rng.next(), rng.next()]);
        let options = Options { shards, databases, seed, ..Options::default() };
        let ks = Keyspace::new(options);
        let now = 1_700_000_000_000 + rng.below(1 << 30) as i64;
        let model = vec![BTreeMap::new(); usize::from(databases)];
        Self { ks, rng, now, model, scan: None, pool: 1, growth: 4, share: 0 }
    }

    fn db(&mut self) -> DbId {
        // Most of the time the first, so that one table gets large.
        let count = self.model.len() as u64;
        DbId(if self.rng.one_in(4) { self.rng.below(count) as u8 } else { 0 })
    }

    fn any_key(&mut self) -> Vec<u8> {
        let number = self.rng.below(self.pool);
        // Lengths on both sides of the size classes and of the one-byte varint.
        let padding = [0, 0, 0, 12, 30, 120][(number % 6) as usize];
        format!("k{number}{}", "-".repeat(padding)).into_bytes()
    }

    fn any_value(&mut self) -> Vec<u8> {
        let length = match self.rng.below(200) {
            0 => [BIG_VALUE, CHUNK][self.rng.below(2) as usize] as u64 + self.rng.below(3) - 1,
            1 => 3 * CHUNK as u64 + self.rng.below(1000),
            2..20 => self.rng.below(2000),
            _ => self.rng.below(100),
        };
        let first = self.rng.next() as u8;
        (0..length).map(|i| first.wrapping_add(i as u8)).collect()
    }

    fn any_expiry(&mut self) -> Option<Millis> {
        match self.rng.below(8) {
            0..4 => None,
            4 => Some(self.now - 1 + self.rng.below(3) as i64),
            5 => Some(self.now + self.rng.below(100) as i64),
            6 => Some(self.now + self.rng.below(60_000) as i64),
            _ => Some(self.now + self.rng.below(1 << 45) as i64),
        }
    }

    fn write<R>(
        &self,
        guard: &Guard,
        set: &ShardSet,
        work: impl FnOnce(&mut Writer<'_, '_>) -> R,
    ) -> R {
        let mut writer = self.ks.try_enter(set, guard).expect("one thread");
        work(&mut writer)
    }

    fn shard(&self, key: &[u8]) -> ShardSet {
        ShardSet::one(self.ks.shard_of(self.ks.key(key).hash))
    }

    fn unstable(&mut self, db: usize, key: &[u8]) {
        if let Some(scan) = self.scan.as_mut().filter(|scan| scan.db == db) {
            scan.stable.remove(key);
        }
    }

    fn step<'g>(&mut self, guard: &'g Guard, held: &mut Held<'g>) {
        match self.rng.below(100) {
            0..40 => {
                if self.rng.below(8) < self.growth {
                    self.put(guard);
                } else {
                    self.remove(guard);
                }
            }
            40..75 => self.get(guard, held),
            75..82 => self.set_expiry(guard),
            82..88 => self.now += self.rng.below(40) as i64,
            88..94 => self.scan_on(guard),
            94 | 95 => self.random(guard),
            96 if self.rng.one_in(40) => self.flush(guard),
            97 if self.rng.one_in(20) => self.swap(guard),
            98 if self.rng.one_in(20) => self.now += self.rng.below(30_000) as i64,
            99 if self.rng.one_in(10) => self.expire(guard),
            _ => {
                self.ks.free_slice(self.rng.below(50) as usize);
            }
        }
    }

    fn put(&mut self, guard: &Guard) {
        let (db, key, value, at) = (self.db(), self.any_key(), self.any_value(), self.any_expiry());
        let form = self.rng.below(3);
        let put = self.write(guard, &self.shard(&key), |writer| {
            let new = match form {
                0 => NewValue::Bytes(&value),
                1 => NewValue::Raw(&value),
                _ => NewValue::Rope(Rope::from_bytes(&value)),
            };
            writer.put(db, &self.ks.key(&key), new, at, self.now)
        });
        let db = usize::from(db.0);
        let item = Item { value, at };
        if !put.existed || !item.is_live(self.now) {
            self.unstable(db, &key);
        }
        let old = self.model[db].insert(key, item);
        assert_eq!(put.existed, old.is_some_and(|item| item.is_live(self.now)));
    }

    fn remove(&mut self, guard: &Guard) {
        let (db, key) = (self.db(), self.any_key());
        let removed = self.write(guard, &self.shard(&key), |writer| {
            writer.remove(db, &self.ks.key(&key), self.now)
        });
        let db = usize::from(db.0);
        self.unstable(db, &key);
        let old = self.model[db].remove(&key);
        assert_eq!(removed, old.is_some_and(|item| item.is_live(self.now)));
    }

    fn set_expiry(&mut self, guard: &Guard) {
        let (db, key, at) = (self.db(), self.any_key(), self.any_expiry());
        let changed = self.write(guard, &self.shard(&key), |writer| {
            writer.set_expiry(db, &self.ks.key(&key), at, self.now)
        });
        let db = usize::from(db.0);
        let now = self.now;
        let item = self.model[db].get_mut(&key).filter(|item| item.is_live(now));
        assert_eq!(changed, item.is_some());
        if let Some(item) = item {
            item.at = at;
            if !item.is_live(now) {
                self.unstable(db, &key);
            }
        }
    }

    fn get<'g>(&mut self, guard: &'g Guard, held: &mut Held<'g>) {
        let (db, key) = (self.db(), self.any_key());
        let touch = if self.rng.one_in(2) { Touch::Yes } else { Touch::No };
        let entry = self.ks.get(db, &self.ks.key(&key), self.now, touch, guard);
        let wanted = self.model[usize::from(db.0)].get(&key).filter(|i| i.is_live(self.now));
        assert_eq!(entry.is_some(), wanted.is_some(), "{}", String::from_utf8_lossy(&key));
        let (Some(entry), Some(wanted)) = (entry, wanted) else {
            return;
        };
        assert_eq!((entry.key(), entry.expire_at()), (&key[..], wanted.at));
        assert!(bytes_of(&entry) == wanted.value);
        held.push((entry, key, wanted.value.clone()));
    }

    fn random(&mut self, guard: &Guard) {
        let (db, number) = (self.db(), self.rng.next());
        let entry = self.ks.random(db, self.now, number, guard);
        let model = &self.model[usize::from(db.0)];
        if let Some(entry) = entry {
            assert!(model[entry.key()].is_live(self.now));
        } else {
            assert!(!model.values().any(|item| item.is_live(self.now)));
        }
    }

    fn flush(&mut self, guard: &Guard) {
        let db = self.db();
        self.write(guard, &ShardSet::all(&self.ks), |writer| writer.flush(db));
        self.model[usize::from(db.0)].clear();
        if self.scan.as_ref().is_some_and(|scan| scan.db == usize::from(db.0)) {
            self.scan = None;
        }
        assert_eq!((self.ks.len(db), self.ks.expires(db)), (0, 0));
    }

    fn swap(&mut self, guard: &Guard) {
        let (a, b, now) = (self.db(), self.db(), self.now);
        self.write(guard, &ShardSet::all(&self.ks), |writer| writer.swap(a, b, now));
        self.model.swap(usize::from(a.0), usize::from(b.0));
        self.scan = None;
    }

    /// Removes what has expired; then every figure is known exactly.
    fn expire(&mut self, guard: &Guard) {
        let most = 1 + self.rng.below(100) as usize;
        for shard in 0..self.ks.shards() {
            while self.ks.expire_slice(ShardId(shard as u16), self.now, most, guard).more {}
        }
        for (db, model) in self.model.iter_mut().enumerate() {
            model.retain(|_, item| item.is_live(self.now));
            let id = DbId(db as u8);
            let expiries: Vec<Millis> = model.values().filter_map(|item| item.at).collect();
            assert_eq!(self.ks.len(id), model.len() as u64);
            assert_eq!(self.ks.expires(id), expiries.len() as u64);
            if !expiries.is_empty() {
                let sum: i128 = expiries.iter().map(|at| i128::from(*at)).sum();
                let mean = sum / expiries.len() as i128 - i128::from(self.now);
                let told = i128::from(self.ks.avg_ttl(id, self.now));
                assert!((mean - told).abs() <= 1000, "{mean} {told}");
            }
        }
    }

    fn scan_on(&mut self, guard: &Guard) {
        if self.scan.is_none() {
            let db = usize::from(self.db().0);
            let stable = self.model[db].keys().cloned().collect();
            self.scan = Some(Scan { db, cursor: 0, stable, seen: HashSet::new() });
        }
        let buckets = 1 + self.rng.below(8) as usize;
        let Some(mut scan) = self.scan.take() else { return };
        let db = DbId(scan.db as u8);
        scan.cursor = self.ks.scan(db, scan.cursor, buckets, self.now, guard, &mut |entry| {
            let item = &self.model[scan.db][entry.key()];
            assert!(item.is_live(self.now) && bytes_of(&entry) == item.value);
            scan.seen.insert(entry.key().to_vec());
        });
        if scan.cursor != 0 {
            self.scan = Some(scan);
            return;
        }
        for key in &scan.stable {
            let live = self.model[scan.db].get(key).is_some_and(|item| item.is_live(self.now));
            assert!(!live || scan.seen.contains(key), "a scan missed a key that stayed");
        }
    }

    /// Everything, key by key and byte by byte.
    fn check_all(&mut self, guard: &Guard) {
        self.expire(guard);
        let mut entries = 0;
        for (db, model) in self.model.iter().enumerate() {
            let db = DbId(db as u8);
            let mut seen = HashSet::new();
            let mut cursor = 0;
            loop {
                cursor = self.ks.scan(db, cursor, 1, self.now, guard, &mut |entry| {
                    assert!(seen.insert(entry.key().to_vec()), "twice in a table at rest");
                    entries += entry.memory_usage() as u64 - self.share;
                });
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(seen.len(), model.len());
            for (key, item) in model {
                let entry = self.ks.get(db, &self.ks.key(key), self.now, Touch::No, guard);
                let entry = entry.expect("it is in the model");
                assert!(bytes_of(&entry) == item.value && entry.expire_at() == item.at);
            }
        }
        let memory = self.ks.memory();
        assert_eq!(memory.entries, entries, "the count is the sum of what is there");
        assert_eq!(memory.used, memory.entries + memory.tables + memory.eviction + memory.misses);
    }

    /// One entry tells what is added for the table.
    fn learn_share(&mut self, guard: &Guard) {
        let key = b"only one".to_vec();
        self.write(guard, &self.shard(&key), |writer| {
            writer.put(DbId(0), &self.ks.key(&key), NewValue::Bytes(b"x"), None, self.now)
        });
        let entry = self.ks.get(DbId(0), &self.ks.key(&key), self.now, Touch::No, guard);
        self.share = entry.expect("just put").memory_usage() as u64 - self.ks.memory().entries;
        self.write(guard, &self.shard(&key), |writer| {
            writer.remove(DbId(0), &self.ks.key(&key), self.now)
        });
    }

    /// Flushes everything: all memory must come back.
    fn back_to_base(&mut self, handle: &Handle) {
        let guard = handle.pin();
        for db in 0..self.model.len() {
            let db = DbId(db as u8);
            self.write(&guard, &ShardSet::all(&self.ks), |writer| writer.flush(db));
        }
        drop(guard);
        give_back(&self.ks, handle);
        let memory = self.ks.memory();
        assert_eq!((memory.entries, memory.tables, memory.limbo), (0, 0, 0), "{memory:?}");
        assert_eq!(memory.used, memory.eviction);
    }
}

/// Waits out the grace period (nobody else is pinned) and frees everything.
fn give_back(ks: &Keyspace, handle: &Handle) {
    ks.flush_limbo(&handle.pin());
    for _ in 0..10_000 {
        handle.pin().flush();
        while ks.free_slice(100) {}
        if ks.memory().limbo == 0 {
            return;
        }
    }
}

#[test]
fn histories_agree_with_a_map() {
    with_seeds(|seed| {
        let mut history = History::new(seed, 3);
        let handle = history.ks.handle();
        history.learn_share(&handle.pin());
        // Pools on both sides of several sizes; growing, at rest, shrinking.
        for phase in 0..10 {
            history.pool = [1, 8, 60, 500, 5000, 30_000][history.rng.below(6) as usize];
            history.growth = [7, 4, 1][phase % 3];
            if phase == 0 {
                (history.pool, history.growth) = (30_000, 8);
            }
            for _ in 0..20 {
                let guard = handle.pin();
                let mut held = Vec::new();
                for _ in 0..200 {
                    history.step(&guard, &mut held);
                }
                for (entry, key, value) in held {
                    assert!(entry.key() == key && bytes_of(&entry) == value);
                }
            }
            history.check_all(&handle.pin());
        }
        history.back_to_base(&handle);
    });
}

#[test]
fn evicting_histories_keep_the_budget_and_the_promise_of_the_policy() {
    let policies = [
        Policy::NoEviction,
        Policy::AllKeysLru,
        Policy::AllKeysLfu,
        Policy::AllKeysRandom,
        Policy::VolatileLru,
        Policy::VolatileLfu,
        Policy::VolatileRandom,
        Policy::VolatileTtl,
    ];
    with_seeds(|seed| policies.iter().for_each(|&policy| evicting_history(seed, policy)));
}

fn evicting_history(seed: u64, policy: Policy) {
    let mut rng = Rng(seed);
    let budget = 200_000 + rng.below(400_000);
    let options = Options {
        shards: 1 << rng.below(4),
        databases: 2,
        max_memory: budget,
        policy,
        miss_memory: (seed & 1) * 16_384,
        seed: Some([seed; 4]),
        slot_of: None,
        shown: None,
    };
    let ks = Keyspace::new(options);
    let handle = ks.handle();
    let mut model: HashMap<(u8, u64), (u64, Option<Millis>)> = HashMap::new();
    let mut now: Millis = 1_000_000;
    let volatile = [Policy::VolatileLru, Policy::VolatileLfu, Policy::VolatileRandom]
        .contains(&policy)
        || policy == Policy::VolatileTtl;
    let (mut kept, mut refused) = (0u64, 0u64);
    for step in 0..5000u64 {
        let guard = handle.pin();
        now += rng.below(3) as i64;
        let (db, number) = (rng.below(2) as u8, rng.below(6000));
        let bytes = number.to_string().into_bytes();
        let key = ks.key(&bytes);
        let id = ks.shard_of(key.hash);
        if rng.one_in(3) {
            if let Some(entry) = ks.get(DbId(db), &key, now, Touch::Yes, &guard) {
                let (value, at) = model[&(db, number)];
                assert_eq!(entry.expire_at(), at);
                assert_eq!(bytes_of(&entry)[..8], value.to_le_bytes());
            }
            continue;
        }
        // What a server does before a command that needs memory.
        if ks.over_limit() && !ks.make_space(id, 4, now, &guard) {
            refused += 1;
            assert!(policy == Policy::NoEviction || volatile, "all keys may go");
            continue;
        }
        let value = rng.next();
        let at = rng.one_in(2).then(|| now + rng.below(20_000) as i64);
        let body = value.to_le_bytes().repeat(1 + rng.below(60) as usize);
        let mut writer = ks.try_enter(&ShardSet::one(id), &guard).expect("one thread");
        writer.put(DbId(db), &key, NewValue::Bytes(&body), at, now);
        drop(writer);
        model.insert((db, number), (value, at));
        let memory = ks.memory();
        assert_eq!(memory.used, memory.entries + memory.tables + memory.eviction + memory.misses);
        if policy != Policy::NoEviction && !volatile {
            assert!(memory.used < budget + 160 * 1024, "step {step}: {memory:?}");
        }
    }
    let guard = handle.pin();
    for (&(db, number), &(value, at)) in &model {
        let bytes = number.to_string().into_bytes();
        let entry = ks.get(DbId(db), &ks.key(&bytes), now, Touch::No, &guard);
        let live = at.is_none_or(|at| now <= at);
        if let Some(entry) = entry {
            assert!(live && bytes_of(&entry)[..8] == value.to_le_bytes());
            kept += 1;
        } else {
            let may_go = match policy {
                Policy::NoEviction => false,
                _ => !volatile || at.is_some(),
            };
            assert!(!live || may_go, "{policy:?} removed a key it must keep");
        }
    }
    assert!(kept > 100, "{policy:?} kept {kept}");
    assert_eq!(ks.stats().evicted_keys > 0, policy != Policy::NoEviction, "{policy:?}");
    assert!(policy != Policy::NoEviction || refused > 0);
    drop(guard);
    // Down to next to nothing, in slices.
    ks.set_max_memory(1);
    ks.set_policy(Policy::AllKeysRandom);
    let guard = handle.pin();
    for round in 0.. {
        let more = (0..ks.shards())
            .map(|shard| ks.evict_slice(ShardId(shard as u16), 50, now, &guard).more)
            .fold(false, |any, more| any | more);
        if !more {
            break;
        }
        assert!(round < 100_000, "eviction makes no progress");
    }
    assert_eq!(ks.len(DbId(0)) + ks.len(DbId(1)), 0, "{policy:?}: nothing is kept");
    drop(guard);
    give_back(&ks, &handle);
    let memory = ks.memory();
    assert_eq!((memory.entries, memory.limbo), (0, 0), "{memory:?}");
}
