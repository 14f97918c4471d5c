//! `allkeys-auto`: which rule it follows, that it keeps every item within reach, and what it takes.

use dunlin_storage::{
    AutoStats, DbId, Handle, Keyspace, NewValue, Options, Policy, ShardId, ShardSet, Touch,
};

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27) % n
    }
}

/// A store and the handle that it is used with.
struct Cache {
    keyspace: Keyspace,
    handle: Handle,
}

impl Cache {
    fn new(shards: usize, max_memory: u64, policy: Policy) -> Self {
        let seed = Some([3, 1, 4, 1]);
        let keyspace =
            Keyspace::new(Options { shards, max_memory, policy, seed, ..Options::default() });
        Self { handle: keyspace.handle(), keyspace }
    }

    fn put(&self, db: u8, key: u64, size: usize, expire_at: Option<i64>) {
        let guard = self.handle.pin();
        let bytes = key.to_be_bytes();
        let key = self.keyspace.key(&bytes);
        let set = ShardSet::one(self.keyspace.shard_of(key.hash));
        let mut writer = self.keyspace.try_enter(&set, &guard).expect("nobody else is here");
        writer.put(DbId(db), &key, NewValue::Bytes(&vec![7; size]), expire_at, 0);
    }

    fn remove(&self, db: u8, key: u64) {
        let guard = self.handle.pin();
        let bytes = key.to_be_bytes();
        let key = self.keyspace.key(&bytes);
        let set = ShardSet::one(self.keyspace.shard_of(key.hash));
        let mut writer = self.keyspace.try_enter(&set, &guard).expect("nobody else is here");
        writer.remove(DbId(db), &key, 0);
    }

    fn get(&self, db: u8, key: u64) -> bool {
        let guard = self.handle.pin();
        let bytes = key.to_be_bytes();
        let key = self.keyspace.key(&bytes);
        self.keyspace.get(DbId(db), &key, 0, Touch::Yes, &guard).is_some()
    }

    /// Look-aside: how many of the requests have missed.
    fn play(&self, requests: impl Iterator<Item = u64>) -> usize {
        let miss = |&key: &u64| {
            let missed = !self.get(0, key);
            if missed {
                self.put(0, key, 1000, None);
            }
            missed
        };
        requests.filter(miss).count()
    }

    fn auto(&self) -> AutoStats {
        self.keyspace.stats().auto
    }

    fn keys(&self) -> u64 {
        (0..16).map(|db| self.keyspace.len(DbId(db))).sum()
    }

    /// Evicts until nothing is left, or until nothing goes.
    fn evict_all(&self) {
        self.keyspace.set_max_memory(1);
        for _ in 0..10_000 {
            let guard = self.handle.pin();
            for shard in 0..self.keyspace.shards() {
                self.keyspace.evict_slice(ShardId(shard as u16), 100, 0, &guard);
            }
            if self.keys() == 0 {
                break;
            }
        }
    }
}

/// Up and down over so many keys: what was last is next.
fn zigzag(keys: u64, requests: u64) -> impl Iterator<Item = u64> {
    (0..requests).map(move |i| match i / keys % 2 {
        0 => i % keys,
        _ => keys - 1 - i % keys,
    })
}

fn looping(keys: u64, requests: u64) -> impl Iterator<Item = u64> {
    (0..requests).map(move |i| 1_000_000 + i % keys)
}

/// About a thousand items of the size that `play` stores.
const THOUSAND: u64 = 1_100_000;

#[test]
fn the_rule_follows_what_is_asked_for() {
    let cache = Cache::new(1, THOUSAND, Policy::AllKeysAuto);
    cache.play(looping(2000, 12_000));
    assert_eq!((cache.auto().shards, cache.auto().changes), ([1, 0], 0));
    cache.play(zigzag(3000, 45_000));
    let auto = cache.auto();
    assert!(auto.shards == [0, 1] && auto.changes > 0, "{auto:?}");
    assert!(auto.shadow_misses[1] > 0 && auto.shadow > 100, "{auto:?}");
    assert!(auto.ring > 600, "most are on the ring: {auto:?}");
    cache.play(looping(2000, 40_000));
    let auto = cache.auto();
    assert!(auto.shards == [1, 0] && auto.changes > 1, "{auto:?}");
    assert!(auto.ring < 200 && auto.admitted > 0 && auto.rejected > 0, "{auto:?}");
    cache.keyspace.reset_stats();
    let auto = cache.auto();
    assert_eq!((auto.changes, auto.ghost_hits, auto.admitted, auto.rejected), (0, 0, 0, 0));
    assert_eq!(auto.shards, [1, 0], "not a counter");
}

#[test]
fn it_is_as_good_as_the_better_of_its_rules() {
    let misses = |policy, requests: &dyn Fn() -> Box<dyn Iterator<Item = u64>>| {
        let cache = Cache::new(1, THOUSAND, policy);
        cache.play(requests())
    };
    let up_and_down = || Box::new(zigzag(3000, 60_000)) as Box<dyn Iterator<Item = u64>>;
    let (auto, fixed) =
        (misses(Policy::AllKeysAuto, &up_and_down), misses(Policy::AllKeysLru, &up_and_down));
    assert!(auto * 20 < fixed * 19, "{auto} {fixed}");
    // A third of what an exact LRU holds comes back in time.
    assert!(auto < 60_000 * 72 / 100, "{auto}");
    let around = || Box::new(looping(2000, 60_000)) as Box<dyn Iterator<Item = u64>>;
    let cache = Cache::new(1, THOUSAND, Policy::AllKeysAuto);
    let hits = 60_000 - cache.play(around()) as u64;
    // Of the thirty rounds the first finds nothing. What stays is hit in each of the others.
    let most = cache.keys() * 29;
    assert!(hits * 10 > most * 8, "most of what it holds stays: {hits} {most}");
    let fixed = 60_000 - misses(Policy::AllKeysLru, &around) as u64;
    assert!(hits * 100 > fixed * 98, "{hits} {fixed}");
}

/// Some keys are asked for far more often than others, and always the same ones.
fn skewed(keys: u64, requests: u64) -> impl Iterator<Item = u64> {
    let mut rng = Rng(7);
    (0..requests).map(move |_| {
        let share = rng.below(1 << 32) as f64 / (1u64 << 32) as f64;
        (share.powi(4) * keys as f64) as u64
    })
}

#[test]
fn what_is_the_same_all_the_time_ends_with_the_frequency_rule_whatever_was_before() {
    let flood = || (0..10_000).map(|i| 2_000_000 + i);
    let fixed = Cache::new(1, THOUSAND, Policy::AllKeysLru);
    fixed.play(skewed(3000, 100_000));
    let of_fixed = fixed.play(skewed(3000, 30_000));
    for before in [4000, 60_000] {
        let cache = Cache::new(1, THOUSAND, Policy::AllKeysAuto);
        cache.play(zigzag(3000, before));
        cache.play(flood());
        cache.play(skewed(3000, 100_000));
        let auto = cache.auto();
        assert_eq!(auto.shards, [1, 0], "after {before}: {auto:?}");
        assert!(before == 4000 || auto.changes >= 2, "{auto:?}");
        let misses = cache.play(skewed(3000, 30_000));
        assert!(misses * 100 < of_fixed * 98, "{misses} {of_fixed}");
    }
}

#[test]
fn nothing_of_it_is_there_before_it_is_needed() {
    let cache = Cache::new(4, 8 << 20, Policy::AllKeysAuto);
    (0..3000).for_each(|key| cache.put(0, key, 1000, None));
    (0..3000).for_each(|key| assert!(cache.get(0, key)));
    assert_eq!((cache.keyspace.memory().eviction, cache.auto()), (0, AutoStats::default()));
    (3000..20_000).for_each(|key| cache.put(0, key, 1000, None));
    let memory = cache.keyspace.memory();
    assert!(memory.eviction > 0 && memory.eviction < memory.used / 50, "{memory:?}");
    assert_eq!(cache.auto().shards, [4, 0]);
    // Small items: two bytes of the sketch, one of the ghost, the ring, and little else.
    let cache = Cache::new(4, 8 << 20, Policy::AllKeysAuto);
    (0..200_000).for_each(|key| cache.put(0, key, 16, None));
    let memory = cache.keyspace.memory();
    assert!(memory.eviction < cache.keys() * 8, "{} {memory:?}", cache.keys());
    // Another policy leaves nothing of it.
    cache.keyspace.set_policy(Policy::AllKeysRandom);
    (200_000..210_000).for_each(|key| cache.put(0, key, 16, None));
    assert_eq!((cache.keyspace.memory().eviction, cache.auto().shards), (0, [0, 0]));
}

#[test]
fn a_tiny_store_has_no_sample_and_evicts_all_the_same() {
    let cache = Cache::new(1, 12_000, Policy::AllKeysAuto);
    cache.play((0..2000).map(|i| i % 30));
    let auto = cache.auto();
    assert!(auto.shadow == 0 && auto.shards == [1, 0], "{auto:?}");
    assert!((6..12).contains(&cache.keys()), "{}", cache.keys());
}

#[test]
fn every_item_stays_within_reach_whatever_has_happened() {
    const POLICIES: [Policy; 5] = [
        Policy::AllKeysAuto,
        Policy::AllKeysLru,
        Policy::AllKeysAuto,
        Policy::NoEviction,
        Policy::VolatileLru,
    ];
    for seed in 0..12 {
        let mut rng = Rng(seed);
        let cache = Cache::new(1 + seed as usize % 2, 200_000, Policy::AllKeysAuto);
        for step in 0..3000 {
            let (db, key) = (rng.below(2) as u8 * 3, rng.below(2000));
            match rng.below(12) {
                0 => cache.remove(db, key),
                1..5 => drop(cache.get(db, key)),
                5 if step % 4 == 0 => {
                    cache.keyspace.set_policy(POLICIES[rng.below(5) as usize]);
                }
                6 if step % 16 == 0 => cache.keyspace.set_max_memory(50_000 + rng.below(400_000)),
                _ if cache.keyspace.over_limit() => {
                    let guard = cache.handle.pin();
                    cache.keyspace.make_space(ShardId(0), 1000, 0, &guard);
                    if cache.keyspace.policy() == Policy::NoEviction {
                        cache.keyspace.set_policy(Policy::AllKeysAuto);
                    }
                }
                _ => {
                    let expiry = (rng.below(3) == 0).then_some(1_000_000);
                    cache.put(db, key, rng.below(300) as usize, expiry);
                }
            }
        }
        cache.keyspace.set_policy(Policy::AllKeysAuto);
        cache.keyspace.set_max_memory(100_000);
        (0..500).for_each(|key| cache.put(0, 10_000 + key, 100, None));
        cache.evict_all();
        assert_eq!(cache.keys(), 0, "seed {seed}");
    }
}

#[test]
fn the_sample_is_chosen_anew_when_the_store_becomes_another() {
    let cache = Cache::new(1, 4 << 20, Policy::AllKeysAuto);
    cache.play((0..20_000).map(|i| i % 6000));
    let large = cache.auto().shadow;
    assert!((500..2000).contains(&large), "{large}");
    cache.keyspace.set_max_memory(200_000);
    for _ in 0..100 {
        cache.keyspace.evict_slice(ShardId(0), 1000, 0, &cache.handle.pin());
    }
    cache.play((0..20_000).map(|i| i % 6000));
    let small = cache.auto().shadow;
    assert!((10..120).contains(&small), "{small}");
    assert!(cache.keyspace.memory().eviction < 200_000 / 25, "{:?}", cache.keyspace.memory());
}

#[test]
fn readers_on_other_threads_are_heard() {
    let cache = Cache::new(1, THOUSAND, Policy::AllKeysAuto);
    let keyspace = &cache.keyspace;
    cache.play(zigzag(3000, 30_000));
    let before = cache.auto();
    std::thread::scope(|scope| {
        for reader in 0..2 {
            scope.spawn(move || {
                let handle = keyspace.handle();
                for key in (0..50_000u64).map(|i| (i * 7 + reader) % 3000) {
                    let (guard, bytes) = (handle.pin(), key.to_be_bytes());
                    let found = keyspace.get(DbId(0), &keyspace.key(&bytes), 0, Touch::Yes, &guard);
                    assert!(found.is_none_or(|entry| entry.key() == bytes));
                }
            });
        }
        cache.play(zigzag(3000, 30_000));
    });
    let after = cache.auto();
    assert!(after.shadow_misses[0] > before.shadow_misses[0], "{before:?} {after:?}");
    cache.evict_all();
    assert_eq!(cache.keys(), 0);
}
