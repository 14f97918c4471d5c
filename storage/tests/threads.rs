//! Short runs with several threads: what readers see must be explainable, and no job may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dunlin_storage::{
    DbId, Guard, Job, Keyspace, NewValue, Options, ShardId, ShardSet, Str, Touch, Value, Writer,
};

const DB: DbId = DbId(0);
const WRITERS: u64 = 3;
const STABLE: u64 = 64;

/// Ends the other threads' loops, also when its own thread fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn keyspace(shards: usize, max_memory: u64) -> Arc<Keyspace> {
    Arc::new(Keyspace::new(Options { shards, max_memory, ..Options::default() }))
}

fn number(entry: dunlin_storage::Entry<'_>) -> u64 {
    let Value::Str(Str::Inline { bytes, .. }) = entry.value() else { panic!("small strings only") };
    // The number, repeated: a torn or freed value would not agree with itself.
    let first = &bytes[..8];
    assert!(bytes.chunks(8).all(|part| part == first));
    u64::from_le_bytes(first.try_into().expect("eight bytes"))
}

fn value(number: u64, repeat: usize) -> Vec<u8> {
    number.to_le_bytes().repeat(repeat)
}

/// Stores a number, on whichever thread has the role.
struct Store {
    keyspace: Arc<Keyspace>,
    keys: Vec<Vec<u8>>,
    value: Vec<u8>,
    done: Arc<AtomicU64>,
    /// Counts the jobs of one thread.
    own: Option<Arc<AtomicU64>>,
}

impl Job for Store {
    fn run(self: Box<Self>, writer: &mut Writer<'_, '_>, _guard: &Guard) {
        for key in &self.keys {
            writer.put(DB, &self.keyspace.key(key), NewValue::Bytes(&self.value), None, 0);
        }
        self.done.fetch_add(1, Ordering::Release);
        if let Some(own) = &self.own {
            own.fetch_add(1, Ordering::Release);
        }
    }
}

fn help(keyspace: &Keyspace, guard: &Guard) {
    let left: Vec<ShardId> = keyspace.take_leftovers().collect();
    for shard in left {
        while keyspace.drain(shard, guard) {}
    }
}

#[test]
fn readers_see_stable_keys_and_growing_numbers() {
    let ks = keyspace(2, 0);
    let stop = AtomicBool::new(false);
    {
        let handle = ks.handle();
        let guard = handle.pin();
        for i in 0..STABLE {
            let bytes = format!("stable:{i}");
            let key = ks.key(bytes.as_bytes());
            let set = ShardSet::one(ks.shard_of(key.hash));
            let mut writer = ks.try_enter(&set, &guard).expect("alone");
            writer.put(DB, &key, NewValue::Bytes(&value(0, 3)), None, 0);
        }
    }
    let done = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        let stop_all = Stop(&stop);
        let writers: Vec<_> = (0..WRITERS)
            .map(|me| {
                scope.spawn({
                    let ks = &ks;
                    let done = &done;
                    move || churn(ks, me, done)
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| read(&ks, &stop));
        }
        scope.spawn(|| scan(&ks, &stop));
        let submitted: u64 = writers.into_iter().map(|w| w.join().expect("writer")).sum();
        drop(stop_all);
        let handle = ks.handle();
        help(&ks, &handle.pin());
        assert_eq!(done.load(Ordering::Acquire), submitted, "no job is lost, none runs twice");
    });
    assert!(ks.stats().role_taken > 0);
}

/// Grows and shrinks the tables, and moves the stable keys' numbers forward.
fn churn(ks: &Arc<Keyspace>, me: u64, done: &Arc<AtomicU64>) -> u64 {
    let handle = ks.handle();
    let mut submitted = 0;
    let own = Arc::new(AtomicU64::new(0));
    for round in 1..=6u64 {
        for i in 0..3000u64 {
            let guard = handle.pin();
            let key = if i % 10 == 0 {
                // Each stable key has one writer, so its numbers only grow.
                let mine = (i / 10 % (STABLE / WRITERS)) * WRITERS + me;
                format!("stable:{mine}").into_bytes()
            } else {
                format!("churn:{me}:{i}").into_bytes()
            };
            let hash = ks.key(&key).hash;
            let set = ShardSet::one(ks.shard_of(hash));
            if round % 2 == 0 && i % 10 != 0 {
                if let Some(mut writer) = ks.try_enter(&set, &guard) {
                    writer.remove(DB, &ks.key(&key), 0);
                }
                continue;
            }
            // Jobs that are under way may overtake each other: whoever wants order waits, as a
            // connection does.
            while i % 10 == 0 && own.load(Ordering::Acquire) != submitted {
                help(ks, &handle.pin());
                std::thread::yield_now();
            }
            let number = round * 10_000 + i;
            let job = Store {
                keyspace: Arc::clone(ks),
                keys: vec![key],
                value: value(number, 1 + (i % 5) as usize),
                done: Arc::clone(done),
                own: Some(Arc::clone(&own)),
            };
            ks.submit(set, Box::new(job), &guard);
            submitted += 1;
            if i % 64 == 0 {
                help(ks, &guard);
            }
        }
    }
    submitted
}

fn read(ks: &Keyspace, stop: &AtomicBool) {
    let handle = ks.handle();
    let mut last = vec![0; STABLE as usize];
    while !stop.load(Ordering::Acquire) {
        for i in 0..STABLE {
            let guard = handle.pin();
            let bytes = format!("stable:{i}");
            let entry = ks.get(DB, &ks.key(bytes.as_bytes()), 0, Touch::Yes, &guard);
            let seen = number(entry.expect("a stable key is never missing"));
            assert!(seen >= last[i as usize], "a key's numbers only grow");
            last[i as usize] = seen;
        }
    }
}

fn scan(ks: &Keyspace, stop: &AtomicBool) {
    let handle = ks.handle();
    while !stop.load(Ordering::Acquire) {
        let mut seen = std::collections::HashSet::new();
        let mut cursor = 0;
        loop {
            let guard = handle.pin();
            cursor = ks.scan(DB, cursor, 4, 0, &guard, &mut |entry| {
                number(entry);
                if entry.key().starts_with(b"stable:") {
                    seen.insert(entry.key().to_vec());
                }
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len() as u64, STABLE, "a scan misses no stable key");
    }
}

#[test]
fn writes_over_several_shards_are_seen_whole() {
    let ks = keyspace(4, 0);
    let keys: Vec<Vec<u8>> = (0..6).map(|i| format!("part:{i}").into_bytes()).collect();
    let all: ShardSet = keys.iter().map(|key| ks.shard_of(ks.key(key).hash)).collect();
    let stop = AtomicBool::new(false);
    let done = Arc::new(AtomicU64::new(0));
    let write = |me: u64| {
        let handle = ks.handle();
        for i in 0..4000 {
            let guard = handle.pin();
            let job = Store {
                keyspace: Arc::clone(&ks),
                keys: keys.clone(),
                value: value(me * 1_000_000 + i, 2),
                done: Arc::clone(&done),
                own: None,
            };
            ks.submit(all.clone(), Box::new(job), &guard);
            help(&ks, &guard);
        }
    };
    let read = || {
        let handle = ks.handle();
        let mut whole = 0u64;
        while !stop.load(Ordering::Acquire) || whole == 0 {
            let guard = handle.pin();
            let before: Vec<u64> = all.iter().map(|shard| ks.multi_seq(shard)).collect();
            let seen: Vec<Option<u64>> = keys
                .iter()
                .map(|key| ks.get(DB, &ks.key(key), 0, Touch::No, &guard).map(number))
                .collect();
            let after: Vec<u64> = all.iter().map(|shard| ks.multi_seq(shard)).collect();
            if before == after && before.iter().all(|seq| seq % 2 == 0) {
                assert!(seen.iter().all(|number| *number == seen[0]), "{seen:?}");
                whole += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        let stop_all = Stop(&stop);
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
        let writers: Vec<_> = (0..3).map(|me| scope.spawn(move || write(me))).collect();
        for writer in writers {
            writer.join().expect("writer");
        }
        drop(stop_all);
        for reader in readers {
            reader.join().expect("reader");
        }
    });
    let handle = ks.handle();
    help(&ks, &handle.pin());
    assert_eq!(done.load(Ordering::Acquire), 3 * 4000);
}

#[test]
fn eviction_expiry_and_flush_beside_readers() {
    let ks = keyspace(4, 2 << 20);
    let stop = AtomicBool::new(false);
    let clock = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let stop_all = Stop(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                let handle = ks.handle();
                let mut i = 0u64;
                while !stop.load(Ordering::Acquire) {
                    let guard = handle.pin();
                    let now = clock.load(Ordering::Acquire) as i64;
                    for _ in 0..16 {
                        i = i.wrapping_add(7919);
                        let bytes = format!("k{}", i % 30_000);
                        let key = ks.key(bytes.as_bytes());
                        if let Some(entry) = ks.get(DB, &key, now, Touch::Yes, &guard) {
                            assert_eq!(entry.key(), bytes.as_bytes());
                            assert!(entry.expire_at().is_none_or(|at| at >= now));
                            number(entry);
                        }
                    }
                }
            });
        }
        let writers: Vec<_> = (0..2u64)
            .map(|me| {
                let (ks, clock) = (&ks, &clock);
                scope.spawn(move || {
                    let handle = ks.handle();
                    for i in 0..60_000u64 {
                        let guard = handle.pin();
                        let now = clock.fetch_add(1, Ordering::AcqRel) as i64;
                        let bytes = format!("k{}", (i * 31 + me * 17) % 30_000);
                        let key = ks.key(bytes.as_bytes());
                        let shard = ks.shard_of(key.hash);
                        let Some(mut writer) = ks.try_enter(&ShardSet::one(shard), &guard) else {
                            continue;
                        };
                        let at = (i % 3 == 0).then_some(now + 500);
                        writer.put(
                            DB,
                            &key,
                            NewValue::Bytes(&value(i, 1 + (i % 30) as usize)),
                            at,
                            now,
                        );
                        drop(writer);
                        if i % 500 == 0 {
                            ks.expire_slice(shard, now, 1000, &guard);
                            ks.make_space(shard, 1000, now, &guard);
                            ks.free_slice(100);
                        }
                        if i % 20_000 == 19_999 {
                            let all = ShardSet::all(ks);
                            if let Some(mut writer) = ks.try_enter(&all, &guard) {
                                writer.flush(DB);
                            }
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("writer");
        }
        drop(stop_all);
    });
    let memory = ks.memory();
    assert!(memory.used <= (2 << 20) + (2 << 20) / 20, "{memory:?}");
    assert_eq!(memory.used, memory.entries + memory.tables + memory.eviction);
    // Everything that was removed can be freed, to the last byte.
    let handle = ks.handle();
    ks.flush_limbo(&handle.pin());
    for _ in 0..1000 {
        handle.pin().flush();
        while ks.free_slice(1000) {}
    }
    assert_eq!(ks.memory().limbo, 0);
}
