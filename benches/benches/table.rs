//! The keyspace, one thread: single operations, and batches of 16 with and without prefetching.
//!
//! Two sizes: 1,000 keys live in the processor's caches and show instructions, 1,000,000 show
//! memory. Contention and scaling are `dunlin-bench storage`'s.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dunlin_benches::rng::{Rng, key};
use dunlin_storage::{
    DbId, Guard, Handle, Key, Keyspace, NewValue, Options, ShardSet, Str, Touch, Value,
};
use std::hint::black_box;

const DB: DbId = DbId(0);
const NOW: i64 = 1_700_000_000_000;
const BATCH: usize = 16;
const VALUE: [u8; 64] = [b'v'; 64];

fn filled(keys: u64) -> Keyspace {
    let keyspace = Keyspace::new(Options { databases: 1, ..Options::default() });
    let handle = keyspace.handle();
    for n in 0..keys {
        put(&keyspace, &handle, n);
    }
    drop(handle);
    keyspace
}

fn put(keyspace: &Keyspace, handle: &Handle, n: u64) -> bool {
    let bytes = key(n);
    let guard = handle.pin();
    put_pinned(keyspace, &keyspace.key(&bytes), &guard)
}

fn put_pinned(keyspace: &Keyspace, key: &Key<'_>, guard: &Guard) -> bool {
    let shards = ShardSet::one(keyspace.shard_of(key.hash));
    let Some(mut writer) = keyspace.try_enter(&shards, guard) else {
        return false;
    };
    writer.put(DB, key, NewValue::Bytes(&VALUE), None, NOW).existed
}

fn get(keyspace: &Keyspace, key: &Key<'_>, guard: &Guard, out: &mut [u8; 64]) -> bool {
    let Some(entry) = keyspace.get(DB, key, NOW, Touch::Yes, guard) else {
        return false;
    };
    if let Value::Str(Str::Inline { bytes, .. }) = entry.value() {
        out[..bytes.len()].copy_from_slice(bytes);
        black_box(out);
        return true;
    }
    false
}

fn single(c: &mut Criterion) {
    let mut group = c.benchmark_group("table");
    for keys in [1_000u64, 1_000_000] {
        let keyspace = filled(keys);
        let handle = keyspace.handle();
        let mut rng = Rng::new(1);
        let mut out = [0; 64];
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("get-hit", keys), |b| {
            b.iter(|| {
                let bytes = key(rng.below(keys));
                assert!(get(&keyspace, &keyspace.key(&bytes), &handle.pin(), &mut out));
            });
        });
        group.bench_function(BenchmarkId::new("get-miss", keys), |b| {
            b.iter(|| {
                let bytes = key(keys + rng.below(keys));
                assert!(!get(&keyspace, &keyspace.key(&bytes), &handle.pin(), &mut out));
            });
        });
        group.bench_function(BenchmarkId::new("put-overwrite", keys), |b| {
            b.iter(|| assert!(put(&keyspace, &handle, rng.below(keys))));
        });
        group.bench_function(BenchmarkId::new("put-new-remove", keys), |b| {
            b.iter(|| {
                let n = keys + rng.below(keys);
                assert!(!put(&keyspace, &handle, n));
                let bytes = key(n);
                let (guard, key) = (handle.pin(), keyspace.key(&bytes));
                let shards = ShardSet::one(keyspace.shard_of(key.hash));
                let writer = keyspace.try_enter(&shards, &guard);
                assert!(writer.is_some_and(|mut w| w.remove(DB, &key, NOW)));
            });
        });
    }
    group.finish();
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(BATCH as u64));
    for keys in [1_000u64, 1_000_000] {
        let keyspace = filled(keys);
        let handle = keyspace.handle();
        let mut rng = Rng::new(1);
        let mut out = [0; 64];
        for (name, prefetch) in [("get-plain", false), ("get-prefetched", true)] {
            group.bench_function(BenchmarkId::new(name, keys), |b| {
                b.iter(|| {
                    let bytes: [[u8; 16]; BATCH] = std::array::from_fn(|_| key(rng.below(keys)));
                    let guard = handle.pin();
                    let keys = bytes.each_ref().map(|bytes| keyspace.key(bytes));
                    if prefetch {
                        keyspace.prefetch(DB, keys.iter().map(|k| k.hash), &guard);
                    }
                    let found = keys.iter().filter(|k| get(&keyspace, k, &guard, &mut out)).count();
                    assert_eq!(found, BATCH);
                });
            });
        }
        group.bench_function(BenchmarkId::new("put-prefetched", keys), |b| {
            b.iter(|| {
                let bytes: [[u8; 16]; BATCH] = std::array::from_fn(|_| key(rng.below(keys)));
                let guard = handle.pin();
                let keys = bytes.each_ref().map(|bytes| keyspace.key(bytes));
                keyspace.prefetch(DB, keys.iter().map(|k| k.hash), &guard);
                let existed = keys.iter().filter(|k| put_pinned(&keyspace, k, &guard)).count();
                assert_eq!(existed, BATCH);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, single, batches);
criterion_main!(benches);
