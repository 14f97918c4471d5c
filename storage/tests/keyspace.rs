//! The keyspace through its public interface, one thread.

use std::collections::{HashMap, HashSet};

use dunlin_storage::{
    DbId, Guard, Job, Keyspace, Millis, NewValue, Options, Policy, ShardId, ShardSet, Touch, Value,
    Writer,
};

const DB: DbId = DbId(0);

fn keyspace(shards: usize) -> Keyspace {
    Keyspace::new(Options { shards, seed: Some([1, 2, 3, 4]), ..Options::default() })
}

fn put(ks: &Keyspace, guard: &Guard, key: &[u8], value: &[u8], at: Option<Millis>, now: Millis) {
    let key = ks.key(key);
    let set = ShardSet::one(ks.shard_of(key.hash));
    let mut writer = ks.try_enter(&set, guard).expect("one thread");
    writer.put(DB, &key, NewValue::Bytes(value), at, now);
}

fn remove(ks: &Keyspace, guard: &Guard, key: &[u8], now: Millis) -> bool {
    let key = ks.key(key);
    let set = ShardSet::one(ks.shard_of(key.hash));
    ks.try_enter(&set, guard).expect("one thread").remove(DB, &key, now)
}

fn get(ks: &Keyspace, guard: &Guard, key: &[u8], now: Millis) -> Option<Vec<u8>> {
    let entry = ks.get(DB, &ks.key(key), now, Touch::Yes, guard)?;
    let Value::Str(text) = entry.value() else { unreachable!() };
    Some(text.to_cow().into_owned())
}

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn a_long_history_agrees_with_a_map() {
    for shards in [1, 4] {
        let ks = keyspace(shards);
        let handle = ks.handle();
        let mut model: HashMap<Vec<u8>, (Vec<u8>, Option<Millis>)> = HashMap::new();
        let mut rng = Rng(0x9e37_79b9 + shards as u64);
        let mut now = 1_000_000;
        for step in 0..120_000u64 {
            let guard = handle.pin();
            // Grows to thousands of keys, then shrinks to few, then grows again.
            let keys = if (step / 30_000) % 2 == 0 { 6000 } else { 40 };
            let key = format!("key:{}", rng.next() % keys).into_bytes();
            now += (rng.next() % 3) as i64;
            match rng.next() % 10 {
                0..5 => {
                    let value = rng.next().to_le_bytes().repeat((rng.next() % 9) as usize);
                    let at = rng.next().is_multiple_of(3).then(|| now + (rng.next() % 4000) as i64);
                    put(&ks, &guard, &key, &value, at, now);
                    model.insert(key, (value, at));
                }
                5..7 if keys == 40 => {
                    let victim = format!("key:{}", rng.next() % 6000).into_bytes();
                    let live =
                        model.remove(&victim).is_some_and(|(_, at)| at.is_none_or(|at| now <= at));
                    assert_eq!(remove(&ks, &guard, &victim, now), live);
                }
                7 => {
                    let live =
                        model.remove(&key).is_some_and(|(_, at)| at.is_none_or(|at| now <= at));
                    assert_eq!(remove(&ks, &guard, &key, now), live);
                }
                8 if step % 50 == 0 => {
                    for shard in 0..shards {
                        ks.expire_slice(ShardId(shard as u16), now, usize::MAX, &guard);
                    }
                    model.retain(|_, (_, at)| at.is_none_or(|at| now <= at));
                    assert_eq!(ks.len(DB), model.len() as u64, "step {step}");
                }
                _ => {
                    let wanted = model
                        .get(&key)
                        .filter(|(_, at)| at.is_none_or(|at| now <= at))
                        .map(|(value, _)| value.clone());
                    assert_eq!(get(&ks, &guard, &key, now), wanted);
                }
            }
        }
        let guard = handle.pin();
        for (key, (value, at)) in &model {
            let live = at.is_none_or(|at| now <= at);
            assert_eq!(get(&ks, &guard, key, now), live.then(|| value.clone()));
        }
        let mut seen = HashSet::new();
        let mut cursor = 0;
        loop {
            cursor = ks.scan(DB, cursor, 3, now, &guard, &mut |entry| {
                assert!(seen.insert(entry.key().to_vec()), "twice");
            });
            if cursor == 0 {
                break;
            }
        }
        let live = model.values().filter(|(_, at)| at.is_none_or(|at| now <= at)).count();
        assert_eq!(seen.len(), live);
    }
}

#[test]
fn scans_see_every_stable_key_while_the_table_changes() {
    let ks = keyspace(2);
    let handle = ks.handle();
    let guard = handle.pin();
    for i in 0..500 {
        put(&ks, &guard, format!("stable:{i}").as_bytes(), b"x", None, 0);
    }
    let mut rng = Rng(77);
    for round in 0..30 {
        let mut seen = HashSet::new();
        let mut cursor = 0;
        loop {
            cursor = ks.scan(DB, cursor, 1, 0, &guard, &mut |entry| {
                seen.insert(entry.key().to_vec());
            });
            // Grow in even rounds, shrink in odd ones.
            for _ in 0..20 {
                let key = format!("other:{}", rng.next() % 9000);
                if round % 2 == 0 {
                    put(&ks, &guard, key.as_bytes(), b"y", None, 0);
                } else {
                    for part in 0..3 {
                        let key = format!("other:{}", (rng.next() + part) % 9000);
                        remove(&ks, &guard, key.as_bytes(), 0);
                    }
                }
            }
            if cursor == 0 {
                break;
            }
        }
        for i in 0..500 {
            assert!(seen.contains(format!("stable:{i}").as_bytes()), "round {round} key {i}");
        }
    }
}

#[test]
fn flush_and_swap() {
    let ks = keyspace(4);
    let handle = ks.handle();
    for i in 0..3000 {
        let guard = handle.pin();
        put(&ks, &guard, format!("k{i}").as_bytes(), &[7; 100], None, 0);
    }
    // What growing left behind goes first.
    for _ in 0..10 {
        handle.pin().flush();
    }
    assert_eq!(ks.memory().limbo, 0);
    let guard = handle.pin();
    let all = ShardSet::all(&ks);
    let mut writer = ks.try_enter(&all, &guard).expect("one thread");
    writer.swap(DbId(0), DbId(3), 0);
    drop(writer);
    assert_eq!((ks.len(DbId(0)), ks.len(DbId(3))), (0, 3000));
    assert_eq!(get(&ks, &guard, b"k1", 0), None);
    let used = ks.memory().used;
    let mut writer = ks.try_enter(&all, &guard).expect("one thread");
    writer.flush(DbId(3));
    drop(writer);
    assert_eq!(ks.len(DbId(3)), 0);
    assert_eq!(ks.memory().used, 0);
    assert_eq!(ks.memory().limbo, used);
    drop(guard);
    let mut slices = 0;
    for _ in 0..10_000 {
        handle.pin().flush();
        while ks.free_slice(10) {
            slices += 1;
        }
    }
    assert_eq!(ks.memory().limbo, 0);
    assert!(slices > 10, "a large table goes in many slices");
}

struct Append(Vec<u8>, &'static [u8]);
impl Job for Append {
    fn run(self: Box<Self>, writer: &mut Writer<'_, '_>, _guard: &Guard) {
        let key = KEY.with(|ks| ks.get().expect("set").key(&self.0));
        let old = writer.get(DB, &key, 0).map(|entry| match entry.value() {
            Value::Str(text) => text.to_cow().into_owned(),
            _ => unreachable!(),
        });
        let mut new = old.unwrap_or_default();
        new.extend_from_slice(self.1);
        writer.put(DB, &key, NewValue::Raw(&new), None, 0);
    }
}
thread_local! { static KEY: std::cell::OnceCell<&'static Keyspace> = const { std::cell::OnceCell::new() }; }

#[test]
fn jobs_wait_for_the_role_in_order_and_leftovers_are_reported() {
    let ks: &'static Keyspace = Box::leak(Box::new(keyspace(4)));
    KEY.with(|cell| cell.set(ks).ok());
    let handle = ks.handle();
    let guard = handle.pin();
    let key = ks.key(b"log");
    let set = ShardSet::one(ks.shard_of(key.hash));
    let writer = ks.try_enter(&set, &guard).expect("one thread");
    assert!(ks.try_enter(&ShardSet::all(ks), &guard).is_none());
    for letter in [&b"a"[..], b"b", b"c"] {
        ks.submit(set.clone(), Box::new(Append(b"log".to_vec(), letter)), &guard);
    }
    ks.submit(ShardSet::all(ks), Box::new(Append(b"log".to_vec(), b"d")), &guard);
    for _ in 0..100 {
        ks.submit(set.clone(), Box::new(Append(b"log".to_vec(), b".")), &guard);
    }
    assert_eq!(get(ks, &guard, b"log", 0), None);
    drop(writer);
    let some = get(ks, &guard, b"log", 0).expect("the release ran the jobs");
    assert!(some.starts_with(b"abcd."), "{:?}", String::from_utf8_lossy(&some));
    assert!(some.len() < 104, "a turn is bounded");
    let left: Vec<ShardId> = ks.take_leftovers().collect();
    assert_eq!(left, [ks.shard_of(key.hash)]);
    assert_eq!(ks.take_leftovers().count(), 0);
    while ks.drain(left[0], &guard) {}
    assert_eq!(get(ks, &guard, b"log", 0).map(|log| log.len()), Some(104));
    assert!(ks.try_enter(&ShardSet::all(ks), &guard).is_some());
}

#[test]
fn sequence_words_tell_of_writes() {
    let ks = keyspace(4);
    let handle = ks.handle();
    let guard = handle.pin();
    let key = ks.key(b"k");
    let id = ks.shard_of(key.hash);
    let (write, multi) = (ks.write_seq(id), ks.multi_seq(id));
    let mut writer = ks.try_enter(&ShardSet::one(id), &guard).expect("one thread");
    assert_eq!(ks.write_seq(id), write, "nothing changed yet");
    writer.put(DB, &key, NewValue::Bytes(b"v"), None, 0);
    assert_eq!((ks.write_seq(id), ks.multi_seq(id)), (write + 1, multi));
    drop(writer);
    assert_eq!((ks.write_seq(id), ks.multi_seq(id)), (write + 2, multi));
    let mut writer = ks.try_enter(&ShardSet::all(&ks), &guard).expect("one thread");
    writer.put(DB, &key, NewValue::Bytes(b"w"), None, 0);
    for shard in 0..4 {
        assert_eq!(ks.multi_seq(ShardId(shard)) % 2, 1);
    }
    drop(writer);
    assert_eq!(ks.multi_seq(id), multi + 2);
}

#[test]
fn changes_of_one_shard_can_be_made_atomic() {
    let ks = keyspace(4);
    let handle = ks.handle();
    let guard = handle.pin();
    let key = ks.key(b"k");
    let id = ks.shard_of(key.hash);
    let (write, multi) = (ks.write_seq(id), ks.multi_seq(id));
    let mut writer = ks.try_enter(&ShardSet::one(id), &guard).expect("one thread");
    writer.put(DB, &key, NewValue::Bytes(b"before"), None, 0);
    // What was changed before is whole, and seen.
    writer.make_atomic();
    assert_eq!((ks.write_seq(id), ks.multi_seq(id)), (write + 2, multi));
    for value in [b"half".as_slice(), b"whole"] {
        writer.put(DB, &key, NewValue::Bytes(value), None, 0);
        assert_eq!((ks.write_seq(id), ks.multi_seq(id)), (write + 3, multi + 1));
        writer.make_atomic();
    }
    drop(writer);
    assert_eq!((ks.write_seq(id), ks.multi_seq(id)), (write + 4, multi + 2));
}

/// Extends its roles, and writes with all of them.
struct Spread(Vec<ShardId>);

impl Job for Spread {
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'g, 'g>, _guard: &'g Guard) {
        assert!(self.0.iter().all(|shard| writer.try_extend(*shard)));
    }
}

#[test]
fn a_writer_takes_more_roles_if_they_are_free() {
    let ks = keyspace(4);
    let handle = ks.handle();
    let guard = handle.pin();
    let key = |shard: u16| {
        let names = (0..).map(|i| format!("k{i}"));
        let mut there = names.filter(|n| ks.shard_of(ks.key(n.as_bytes()).hash) == ShardId(shard));
        there.next().expect("every shard has keys")
    };
    let (one, two) = (key(2), key(1));
    let put = |writer: &mut Writer<'_, '_>, name: &str| {
        writer.put(DB, &ks.key(name.as_bytes()), NewValue::Bytes(b"v"), None, 0);
    };
    let before: Vec<u64> = (0..4).map(|id| ks.multi_seq(ShardId(id))).collect();
    let mut writer = ks.try_enter(&ShardSet::one(ShardId(2)), &guard).expect("one thread");
    let other = ks.try_enter(&ShardSet::one(ShardId(0)), &guard).expect("one thread");
    writer.make_atomic();
    put(&mut writer, &one);
    assert!(writer.try_extend(ShardId(1)) && writer.try_extend(ShardId(2)));
    assert!(!writer.try_extend(ShardId(0)), "it is taken");
    put(&mut writer, &two);
    assert_eq!(writer.shards().iter().collect::<Vec<_>>(), [ShardId(1), ShardId(2)]);
    let odd = |id: u16| ks.multi_seq(ShardId(id)) % 2 == 1;
    assert_eq!([0, 1, 2, 3].map(odd), [false, true, true, false]);
    assert!(ks.try_enter(&ShardSet::one(ShardId(1)), &guard).is_none());
    drop(writer);
    for (id, times) in [(0, 0), (1, 2), (2, 2), (3, 0)] {
        assert_eq!(ks.multi_seq(ShardId(id)), before[usize::from(id)] + times);
    }
    drop(other);
    // With no role to begin with, and in a job: all are given back.
    let none: ShardSet = std::iter::empty().collect();
    let mut writer = ks.try_enter(&none, &guard).expect("there is nothing to take");
    assert!(writer.try_extend(ShardId(3)));
    drop(writer);
    let all: Vec<ShardId> = ShardSet::all(&ks).iter().collect();
    ks.submit(ShardSet::one(ShardId(1)), Box::new(Spread(all)), &guard);
    assert!(ks.try_enter(&ShardSet::all(&ks), &guard).is_some());
}

#[test]
fn big_values_are_shared_and_freed_in_slices() {
    let ks = keyspace(1);
    let handle = ks.handle();
    let big = vec![5u8; 10 << 20];
    {
        let guard = handle.pin();
        put(&ks, &guard, b"big", &big, None, 0);
        assert!(get(&ks, &guard, b"big", 0).expect("stored") == big);
        assert!(ks.memory().used > 10 << 20);
        assert!(remove(&ks, &guard, b"big", 0));
        assert!(ks.memory().used < 1 << 20);
        ks.flush_limbo(&guard);
    }
    let mut slices = 0;
    for _ in 0..1000 {
        handle.pin().flush();
        while ks.free_slice(16) {
            slices += 1;
        }
    }
    assert!(slices >= 19, "{slices}");
    assert_eq!(ks.memory().limbo, 0);
}

#[test]
fn a_budget_is_kept_by_evicting() {
    for policy in Policy::all() {
        let ks = Keyspace::new(Options {
            shards: 4,
            max_memory: 1 << 20,
            policy,
            seed: Some([1, 2, 3, 4]),
            ..Options::default()
        });
        let handle = ks.handle();
        let mut refused = 0;
        for i in 0..40_000 {
            let guard = handle.pin();
            for shard in 0..4 {
                if ks.over_limit() {
                    ks.evict_slice(ShardId(shard), 100, 0, &guard);
                }
            }
            if ks.over_limit() {
                refused += 1;
                continue;
            }
            put(&ks, &guard, format!("k{i}").as_bytes(), &[7; 100], Some(1_000_000), 0);
            assert!(ks.memory().used <= (1 << 20) + (1 << 20) / 20, "{policy:?}");
        }
        if policy == Policy::NoEviction {
            assert!(refused > 0 && ks.stats().evicted_keys == 0);
        } else {
            assert_eq!(refused, 0, "{policy:?}");
            assert!(ks.stats().evicted_keys > 10_000);
        }
    }
}

#[test]
fn small_victims_are_taken_from_their_own_home_only() {
    // Overflow chains hold items of a whole group: many items in few homes, all in the small ring.
    let ks = Keyspace::new(Options {
        shards: 1,
        max_memory: 600_000,
        seed: Some([4, 3, 2, 1]),
        ..Options::default()
    });
    let handle = ks.handle();
    let mut rng = Rng(5);
    for i in 0..60_000u64 {
        let guard = handle.pin();
        let size = (rng.next() % 200) as usize;
        put(&ks, &guard, format!("k{}", rng.next() % 20_000).as_bytes(), &vec![1; size], None, 0);
        if i % 7 == 0 {
            remove(&ks, &guard, format!("k{}", rng.next() % 20_000).as_bytes(), 0);
        }
    }
    let mut seen = 0;
    let guard = handle.pin();
    let mut cursor = ks.scan(DB, 0, 8, 0, &guard, &mut |_| seen += 1);
    while cursor != 0 {
        cursor = ks.scan(DB, cursor, 8, 0, &guard, &mut |_| seen += 1);
    }
    assert_eq!(seen, ks.len(DB));
    assert!(ks.stats().evicted_keys > 1000);
}

#[test]
fn what_a_guard_protects_outlives_the_keyspace() {
    let ks = keyspace(1);
    let handle = ks.handle();
    let guard = handle.pin();
    put(&ks, &guard, b"replaced", b"old", None, 0);
    put(&ks, &guard, b"kept", &[7; 100_000], None, 0);
    let replaced = ks.get(DB, &ks.key(b"replaced"), 0, Touch::No, &guard).expect("just put");
    put(&ks, &guard, b"replaced", b"new", None, 0);
    let kept = ks.get(DB, &ks.key(b"kept"), 0, Touch::No, &guard).expect("just put");
    drop(ks);
    assert_eq!((replaced.key(), kept.key()), (&b"replaced"[..], &b"kept"[..]));
    let Value::Str(text) = kept.value() else { unreachable!() };
    assert!(text.eq_bytes(&[7; 100_000]));
}

#[test]
fn eviction_state_stays_small_whatever_the_policy() {
    for policy in [Policy::VolatileLru, Policy::AllKeysLru, Policy::VolatileTtl] {
        let ks = Keyspace::new(Options {
            shards: 2,
            max_memory: 1 << 20,
            policy,
            seed: Some([9, 8, 7, 6]),
            ..Options::default()
        });
        let handle = ks.handle();
        // Four fifths full, then new keys come and go without any eviction.
        for i in 0..5800 {
            put(&ks, &handle.pin(), format!("base:{i}").as_bytes(), &[1; 100], Some(1 << 40), 0);
        }
        for i in 0..60_000 {
            let guard = handle.pin();
            let key = format!("passing:{i}");
            put(&ks, &guard, key.as_bytes(), &[1; 100], Some(1 << 40), 0);
            remove(&ks, &guard, key.as_bytes(), 0);
        }
        let memory = ks.memory();
        assert!(memory.eviction < 60_000, "{policy:?} {memory:?}");
        // And when it is full, what is left is still most of the budget.
        for i in 0..20_000 {
            put(&ks, &handle.pin(), format!("more:{i}").as_bytes(), &[1; 100], Some(1 << 40), 0);
        }
        let memory = ks.memory();
        assert!(memory.entries > 700_000, "{policy:?} {memory:?}");
    }
}

#[test]
fn what_eviction_remembers_shrinks_with_the_budget() {
    let ks = Keyspace::new(Options {
        shards: 2,
        max_memory: 16 << 20,
        policy: Policy::AllKeysLru,
        seed: Some([6, 7, 8, 9]),
        ..Options::default()
    });
    let handle = ks.handle();
    let fill = |from: u32, to: u32| {
        for i in from..to {
            put(&ks, &handle.pin(), &i.to_be_bytes(), &[1; 16], None, 0);
        }
    };
    fill(0, 400_000);
    assert!(ks.memory().eviction > 300_000, "{:?}", ks.memory());
    ks.set_max_memory(400_000);
    while ks.memory().used > 400_000 {
        assert!(ks.can_evict(), "{:?}", ks.memory());
        ks.make_space(ShardId(0), 100, 0, &handle.pin());
    }
    fill(400_000, 410_000);
    let memory = ks.memory();
    assert!(memory.entries > 200_000 && memory.eviction < 60_000, "{memory:?}");
}

#[test]
fn a_budget_that_is_lowered_is_reached_beside_the_commands() {
    for policy in [Policy::AllKeysLru, Policy::VolatileRandom, Policy::NoEviction] {
        let (shards, seed) = (2, Some([2, 7, 1, 8]));
        let ks = Keyspace::new(Options { shards, policy, seed, ..Options::default() });
        let handle = ks.handle();
        let value = [1; 100];
        (0..20_000_u32).for_each(|i| {
            put(&ks, &handle.pin(), &i.to_be_bytes(), &value, None, 0);
        });
        let before = ks.memory().used;
        ks.set_max_memory(before / 4);
        // Nothing may go: refused at once.
        assert_eq!(ks.over_limit(), policy != Policy::AllKeysLru, "{policy:?}");
        if policy != Policy::AllKeysLru {
            continue;
        }
        // Writers keep it from growing, and no more.
        (20_000..22_000_u32).for_each(|i| {
            put(&ks, &handle.pin(), &i.to_be_bytes(), &value, None, 0);
            assert!(!ks.over_limit());
        });
        let beside = ks.memory().used;
        assert!((before * 9 / 10..before * 51 / 50).contains(&beside), "{beside} {before}");
        // The background brings it down, and the ceiling with it.
        let evict = |times| {
            for _ in 0..times {
                for shard in 0..2 {
                    ks.evict_slice(ShardId(shard), 100, 0, &handle.pin());
                }
            }
        };
        evict(30);
        let lower = ks.memory().used;
        assert!(lower < before * 4 / 5, "{lower} {before}");
        (22_000..30_000_u32).for_each(|i| {
            put(&ks, &handle.pin(), &i.to_be_bytes(), &value, None, 0);
            assert!(!ks.over_limit());
        });
        assert!(ks.memory().used < lower * 51 / 50, "{} {lower}", ks.memory().used);
        evict(1000);
        assert!(ks.memory().used <= before / 4, "{} {before}", ks.memory().used);
    }
}

#[test]
fn a_tiny_budget_has_a_hard_limit_near_it() {
    let max = 100_000;
    let (shards, policy) = (4, Policy::VolatileLru);
    let ks = Keyspace::new(Options { shards, max_memory: max, policy, ..Options::default() });
    let handle = ks.handle();
    let refused = (0..10_000u32).find(|n| {
        let guard = handle.pin();
        if ks.over_limit() {
            return true;
        }
        // No expiry, so the policy finds nothing to evict.
        put(&ks, &guard, &n.to_be_bytes(), &[0; 64], None, 1);
        false
    });
    assert!(refused.is_some_and(|n| n > 500), "{refused:?}");
    assert!(ks.memory().used < max * 3 / 2, "{:?}", ks.memory());
}

#[test]
fn a_budget_without_room_for_one_key_is_exceeded_from_the_start() {
    let ks =
        Keyspace::new(Options { max_memory: 1, policy: Policy::NoEviction, ..Options::default() });
    assert!(ks.over_limit());
    ks.set_max_memory(100_000);
    assert!(!ks.over_limit());
    ks.set_max_memory(0);
    assert!(!ks.over_limit());
}

#[test]
fn a_reader_finds_out_that_it_has_met_a_key_whose_time_is_over() {
    let ks = keyspace(4);
    let handle = ks.handle();
    let guard = handle.pin();
    put(&ks, &guard, b"gone", b"v", Some(10), 0);
    put(&ks, &guard, b"kept", b"v", Some(1000), 0);
    assert!(get(&ks, &guard, b"kept", 20).is_some() && get(&ks, &guard, b"none", 20).is_none());
    assert!(!guard.take_expired(), "one is there, and one has never been");
    assert!(get(&ks, &guard, b"gone", 20).is_none());
    assert!(guard.take_expired() && !guard.take_expired(), "asked once");

    let shard = ShardSet::one(ks.shard_of(ks.key(b"gone").hash));
    let holder = ks.try_enter(&shard, &guard).expect("its role is free");
    assert!(holder.get(DB, &ks.key(b"gone"), 20).is_none() && guard.take_expired());
    assert!(!ks.bury(DB, &ks.key(b"gone"), 20, &guard) && ks.len(DB) == 2, "its role is taken");
    drop(holder);
    assert!(!ks.bury(DB, &ks.key(b"kept"), 20, &guard), "it is alive");
    assert!(ks.bury(DB, &ks.key(b"gone"), 20, &guard) && ks.len(DB) == 1);
    assert!(!ks.bury(DB, &ks.key(b"gone"), 20, &guard), "once");
    assert_eq!(ks.stats().expired_keys, 1);
}

#[test]
fn changes_are_counted_and_expiry_is_none() {
    let ks = keyspace(4);
    let handle = ks.handle();
    let guard = handle.pin();
    let changes = |act: &dyn Fn()| {
        let before = ks.stats().changes;
        act();
        ks.stats().changes - before
    };
    assert_eq!(changes(&|| put(&ks, &guard, b"a", b"v", Some(10), 0)), 1);
    assert_eq!(changes(&|| put(&ks, &guard, b"b", b"v", None, 0)), 1);
    assert_eq!(changes(&|| put(&ks, &guard, b"b", b"v", None, 0)), 1);
    assert_eq!(changes(&|| assert!(!remove(&ks, &guard, b"a", 20))), 0);
    assert_eq!(changes(&|| assert!(remove(&ks, &guard, b"b", 20))), 1);
    put(&ks, &guard, b"a", b"v", None, 0);
    put(&ks, &guard, b"b", b"v", None, 0);
    let all = ShardSet::all(&ks);
    assert_eq!(changes(&|| ks.try_enter(&all, &guard).expect("free").flush(DB)), 2);
    ks.reset_stats();
    assert_eq!(changes(&|| ()), 0);
    assert_eq!(ks.stats().changes, 8, "not reset");
}

#[test]
fn a_budget_below_the_tables_is_reached_by_making_them_smaller() {
    let ks = Keyspace::new(Options {
        shards: 2,
        policy: Policy::AllKeysRandom,
        seed: Some([3, 1, 4, 1]),
        ..Options::default()
    });
    let handle = ks.handle();
    for i in 0..200_000_u32 {
        put(&ks, &handle.pin(), &i.to_be_bytes(), &[1; 8], None, 0);
    }
    // Nothing is written meanwhile that would make the tables move.
    let tables = ks.memory().tables;
    ks.set_max_memory(tables / 20);
    let mut calls = 0;
    while ks.memory().used > tables / 20 {
        assert!(ks.can_evict(), "{:?}", ks.memory());
        ks.make_space(ShardId(0), 64, 0, &handle.pin());
        calls += 1;
    }
    let memory = ks.memory();
    assert!(memory.tables < tables / 20 && calls > 100, "{calls} {memory:?}");
    // A budget that holds nothing at all refuses, and ends.
    ks.set_max_memory(1);
    while ks.can_evict() {
        ks.make_space(ShardId(0), 64, 0, &handle.pin());
    }
    assert!(ks.over_limit() && ks.len(DB) == 0);
}

#[test]
fn a_small_budget_is_not_spread_over_many_shards() {
    let within = Options::shards_within;
    assert_eq!((within(16, 0), within(16, 1 << 40)), (16, 16));
    assert_eq!((within(16, 16 << 20), within(64, 16 << 20)), (16, 16));
    assert_eq!((within(16, (16 << 20) - 1), within(16, 3 << 20)), (8, 2));
    assert_eq!((within(16, 1), within(1, 1), within(0, 0)), (1, 1, 1));
}
