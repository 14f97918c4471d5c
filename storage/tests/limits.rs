//! What a budget asks of a store: that it is kept where little may go, whichever database that is in, and that
//! nothing is remembered for evicting when the store is near it no more.

use dunlin_storage::{
    DbId, Handle, Keyspace, Millis, NewValue, Options, Policy, ShardId, ShardSet, Touch, Writer,
};

const DB: DbId = DbId(0);
const BUDGET: u64 = 1 << 20;
/// More keys than there is room for.
const KEYS: u64 = 20_000;

/// A store of one shard, and the handle that it is used with.
struct Store {
    keyspace: Keyspace,
    handle: Handle,
}

impl Store {
    fn new(policy: Policy) -> Self {
        let (shards, max_memory, seed) = (1, BUDGET, Some([1, 6, 1, 8]));
        let keyspace =
            Keyspace::new(Options { shards, max_memory, policy, seed, ..Options::default() });
        Self { handle: keyspace.handle(), keyspace }
    }

    fn write(&self, change: impl FnOnce(&mut Writer<'_, '_>)) {
        let guard = self.handle.pin();
        let set = ShardSet::one(ShardId(0));
        let mut writer = self.keyspace.try_enter(&set, &guard).expect("nobody else is here");
        change(&mut writer);
    }

    fn put(&self, db: DbId, key: u64, expire_at: Option<Millis>) {
        let bytes = key.to_be_bytes();
        let key = self.keyspace.key(&bytes);
        self.write(|writer| {
            writer.put(db, &key, NewValue::Bytes(&[7; 100]), expire_at, 0);
        });
    }

    /// As a server does it, which refuses a command for which no space can be made; whether it was stored.
    fn try_put(&self, key: u64, expire_at: Option<Millis>) -> bool {
        let may_run = !self.keyspace.over_limit()
            || self.keyspace.make_space(ShardId(0), 64, 0, &self.handle.pin());
        if may_run {
            self.put(DB, key, expire_at);
        }
        may_run
    }

    fn read(&self, key: u64) {
        let bytes = key.to_be_bytes();
        self.keyspace.get(DB, &self.keyspace.key(&bytes), 0, Touch::Yes, &self.handle.pin());
    }

    fn remove(&self, key: u64) {
        let bytes = key.to_be_bytes();
        let key = self.keyspace.key(&bytes);
        self.write(|writer| {
            writer.remove(DB, &key, 0);
        });
    }

    /// New keys that do not stay.
    fn pass(&self, times: u64) {
        for key in KEYS..KEYS + times {
            self.put(DB, key, None);
            self.remove(key);
        }
    }

    /// New keys until so much is used.
    fn fill(&self, from: u64, bytes: u64) {
        for key in from.. {
            if self.used() >= bytes {
                break;
            }
            self.put(DB, key, None);
        }
    }

    /// Lowers the budget to what is used but for so many bytes, and lets the background evict.
    fn lose(&self, bytes: u64) {
        let budget = self.used() - bytes;
        self.keyspace.set_max_memory(budget);
        for _ in 0..10_000 {
            self.keyspace.evict_slice(ShardId(0), 100, 0, &self.handle.pin());
        }
        let (policy, used) = (self.keyspace.policy(), self.used());
        assert!(used <= budget, "{policy:?}: {used} of {budget}");
    }

    fn used(&self) -> u64 {
        self.keyspace.memory().used
    }

    fn evicted(&self) -> u64 {
        self.keyspace.stats().evicted_keys
    }
}

#[test]
fn nothing_is_left_of_it_when_the_store_is_far_from_its_budget() {
    for policy in [Policy::AllKeysAuto, Policy::AllKeysLru] {
        for budget_meanwhile in [BUDGET, 0, BUDGET * 8] {
            let store = Store::new(policy);
            (0..KEYS).for_each(|key| store.put(DB, key, None));
            let evicted = store.evicted();
            assert!(evicted > 0 && store.keyspace.memory().eviction > 0, "{policy:?}");
            if budget_meanwhile == BUDGET {
                store.write(|writer| writer.flush(DB));
            }
            store.keyspace.set_max_memory(budget_meanwhile);
            store.pass(100_000);
            let memory = store.keyspace.memory();
            assert_eq!(memory.eviction, 0, "{policy:?} {budget_meanwhile} {memory:?}");
            // And near its budget again, it has not grown out of sight either.
            store.write(|writer| writer.flush(DB));
            store.keyspace.set_max_memory(BUDGET);
            store.fill(0, 800_000);
            assert!(store.used() < BUDGET, "{policy:?} {:?}", store.keyspace.memory());
            assert_eq!(store.evicted(), evicted, "{policy:?} {budget_meanwhile}");
        }
    }
}

#[test]
fn keys_that_come_and_go_do_not_make_it_grow() {
    for policy in [Policy::AllKeysAuto, Policy::AllKeysLru] {
        // Of eight keys: what is left is above three quarters of the budget, or below.
        for gone in [1, 4] {
            let store = Store::new(policy);
            (0..KEYS).for_each(|key| store.put(DB, key, None));
            (0..KEYS).filter(|key| key % 8 < gone).for_each(|key| store.remove(key));
            let (used, evicted) = (store.used(), store.evicted());
            assert_eq!(used > BUDGET / 4 * 3, gone == 1, "{used}");
            assert!(used > BUDGET / 2, "{used}");
            store.pass(60_000);
            store.fill(KEYS * 10, BUDGET / 10 * 9);
            let memory = store.keyspace.memory();
            assert!(memory.eviction < 150_000 && memory.used < BUDGET, "{policy:?} {memory:?}");
            assert_eq!(store.evicted(), evicted, "{policy:?} {gone}");
        }
    }
}

#[test]
fn a_policy_without_a_ring_leaves_nothing_of_it_below_the_budget() {
    for policy in [Policy::NoEviction, Policy::VolatileLru] {
        let store = Store::new(Policy::AllKeysLru);
        (0..KEYS).for_each(|key| store.put(DB, key, None));
        (0..KEYS).filter(|key| key % 2 == 0).for_each(|key| store.remove(key));
        assert!(store.used() < BUDGET / 4 * 3 && store.keyspace.memory().eviction > 0);
        store.keyspace.set_policy(policy);
        store.pass(1);
        assert_eq!(store.keyspace.memory().eviction, 0, "{policy:?}");
    }
}

#[test]
fn keys_with_an_expiry_go_whichever_database_they_are_in() {
    for policy in [Policy::VolatileRandom, Policy::VolatileTtl] {
        let store = Store::new(Policy::VolatileLru);
        let len = |db| store.keyspace.len(DbId(db));
        (0..2000).for_each(|key| store.put(DB, key, None));
        (0..1000).for_each(|key| store.put(DbId(1), key, Some(1 << 40)));
        (0..1000).for_each(|key| store.put(DbId(2), key, Some(1 << 40)));
        // The hand is somewhere in one of the tables.
        store.lose(1000);
        let (first, second) = (len(1), len(2));
        store.keyspace.set_policy(policy);
        store.lose(60_000);
        assert!(len(1) < first - 100 && len(2) < second - 100, "{policy:?} {} {}", len(1), len(2));
        store.lose(60_000);
        assert_eq!(len(0), 2000, "{policy:?}");
    }
}

#[test]
fn keys_that_are_always_in_use_go_if_no_others_may() {
    for policy in [Policy::VolatileLru, Policy::VolatileLfu, Policy::VolatileRandom] {
        let store = Store::new(policy);
        (0..5).for_each(|key| store.put(DB, key, Some(1 << 40)));
        let mut refused = 0;
        for key in 5..50_000 {
            if key % 4 == 0 {
                (0..5).for_each(|key| store.read(key));
            }
            refused += u64::from(!store.try_put(key, None));
        }
        let used = store.used();
        assert!(refused > 0 && used < BUDGET / 2 * 3, "{policy:?}: {used}, {refused} refused");
        assert_eq!(store.evicted(), 5, "{policy:?}");
    }
}

#[test]
fn what_may_go_is_no_help_if_it_is_not_found_for_long() {
    // One key with an expiry is stored again and again.
    let store = Store::new(Policy::VolatileLru);
    let mut refused = 0;
    for key in 1..40_000 {
        store.put(DB, 0, Some(1 << 40));
        refused += u64::from(!store.try_put(key, None));
    }
    let used = store.used();
    assert!(refused > 0 && store.keyspace.can_evict(), "{refused}");
    assert!(used < BUDGET / 2 * 3, "{used}");
}
