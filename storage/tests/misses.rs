//! Why keys are not there, against an account of what was done to each of them.

use std::collections::HashMap;

use dunlin_storage::{
    DbId, Guard, Key, Keyspace, Millis, Miss, NewValue, Options, ShardId, ShardSet, Touch, Writer,
};

const DB: DbId = DbId(0);

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 31) % n
    }
}

/// A key's state, as an account of everything knows it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    There(Option<Millis>),
    Gone(Miss),
}

fn write<R>(
    keyspace: &Keyspace,
    guard: &Guard,
    key: &Key<'_>,
    change: impl FnOnce(&mut Writer<'_, '_>) -> R,
) -> R {
    let shards = ShardSet::one(keyspace.shard_of(key.hash));
    change(&mut keyspace.try_enter(&shards, guard).expect("nobody else is here"))
}

/// Looks a key up as a command does; the cause if it is not there.
fn miss(keyspace: &Keyspace, guard: &Guard, key: &Key<'_>, now: Millis) -> Option<Miss> {
    match keyspace.get(DB, key, now, Touch::Yes, guard) {
        Some(_) => None,
        None => Some(keyspace.why_missing(DB, key, now, false, guard)),
    }
}

#[test]
fn causes_are_those_of_an_exact_account() {
    for seed in 0..4 {
        let options = Options { shards: 4, miss_memory: 1 << 20, ..Options::default() };
        let keyspace = Keyspace::new(Options { seed: Some([seed; 4]), ..options });
        let handle = keyspace.handle();
        let mut rng = Rng(seed);
        let mut account: HashMap<u64, State> = HashMap::new();
        let (mut now, mut looked, mut wrong) = (1_000, 0, 0);
        for _ in 0..60_000 {
            let guard = handle.pin();
            let name = rng.below(3000);
            let bytes = format!("key:{name}");
            let key = keyspace.key(bytes.as_bytes());
            let state = account.get(&name).copied();
            // A key whose time is over is gone for everybody, whether or not it still lies there.
            let state = match state {
                Some(State::There(Some(at))) if at < now => Some(State::Gone(Miss::Expired)),
                other => other,
            };
            match rng.below(12) {
                0..4 => {
                    let expire_at = (rng.below(2) == 0).then(|| now + rng.below(40) as Millis);
                    let value = NewValue::Bytes(b"value");
                    write(&keyspace, &guard, &key, |w| w.put(DB, &key, value, expire_at, now));
                    account.insert(name, State::There(expire_at));
                }
                4..6 => {
                    let removed = write(&keyspace, &guard, &key, |w| w.remove(DB, &key, now));
                    assert_eq!(removed, matches!(state, Some(State::There(_))), "{bytes}");
                    let after = if removed { Some(State::Gone(Miss::Deleted)) } else { state };
                    account.extend(after.map(|state| (name, state)));
                }
                6 => now += rng.below(10) as Millis,
                7 => {
                    let shard = ShardId(rng.below(4) as u16);
                    keyspace.expire_slice(shard, now, 64, &guard);
                }
                8 => drop(keyspace.bury(DB, &key, now, &guard)),
                _ => {
                    looked += 1;
                    let expected = match state {
                        Some(State::There(_)) => None,
                        Some(State::Gone(why)) => Some(why),
                        None => Some(Miss::NeverSet),
                    };
                    wrong += u64::from(miss(&keyspace, &guard, &key, now) != expected);
                }
            }
        }
        // There is room for all: what is wrong are sets that overflow and fingerprints that meet.
        assert!(wrong * 20 < looked, "seed {seed}: {wrong} of {looked} are wrong");
    }
}

#[test]
fn a_flush_is_remembered_as_its_keys_are_freed() {
    let options = Options { shards: 4, miss_memory: 1 << 20, ..Options::default() };
    let keyspace = Keyspace::new(options);
    let handle = keyspace.handle();
    let name = |i: u32| format!("key:{i}").into_bytes();
    for i in 0..5_000 {
        let (guard, name) = (handle.pin(), name(i));
        let key = keyspace.key(&name);
        write(&keyspace, &guard, &key, |w| w.put(DB, &key, NewValue::Bytes(b"v"), None, 0));
    }
    let before = keyspace.memory();
    let guard = handle.pin();
    keyspace.try_enter(&ShardSet::all(&keyspace), &guard).expect("nobody is here").flush(DB);
    drop(guard);
    while keyspace.limbo() > 0 {
        keyspace.flush_limbo(&handle.pin());
        keyspace.free_slice(100);
    }
    let guard = handle.pin();
    let why = |i| {
        let name = name(i);
        miss(&keyspace, &guard, &keyspace.key(&name), 0)
    };
    let deleted = (0..5_000).filter(|&i| why(i) == Some(Miss::Deleted)).count();
    let wrong = (5_000..10_000).filter(|&i| why(i) != Some(Miss::NeverSet)).count();
    assert!(deleted > 4_500 && wrong < 30, "{deleted} known, {wrong} taken for others");
    let memory = keyspace.memory();
    assert_eq!(before.misses, 0, "nothing was removed yet");
    assert!(memory.misses > 2 * 5_000);
    assert_eq!(memory.used, memory.entries + memory.tables + memory.eviction + memory.misses);
}
