//! Quick figures of the store alone, for tuning: `micro [keys] [shards]`.
//!
//! Zipf 0.99 over the keys, 64-byte values copied out, batches of 16 with prefetching. Prints
//! operations per second of all threads and CPU nanoseconds per operation, then memory per item.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dunlin_storage::{DbId, Guard, Key, Keyspace, NewValue, Options, ShardSet, Str, Touch, Value};

#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DB: DbId = DbId(0);
const BATCH: usize = 16;

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Ranks drawn ahead of time, scattered over the key space.
fn zipf(keys: u64, count: usize, seed: u64) -> Vec<u32> {
    let theta = 0.99f64;
    let mut cumulative = Vec::with_capacity(keys as usize);
    let mut sum = 0.0;
    for rank in 1..=keys {
        sum += 1.0 / (rank as f64).powf(theta);
        cumulative.push(sum);
    }
    let mut rng = Rng(seed | 1);
    (0..count)
        .map(|_| {
            let x = (rng.next() >> 11) as f64 / (1u64 << 53) as f64 * sum;
            let rank = cumulative.partition_point(|&c| c < x) as u64;
            (rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys) as u32
        })
        .collect()
}

fn key_bytes(i: u32) -> [u8; 16] {
    let mut bytes = *b"key:000000000000";
    let mut rest = i;
    for byte in bytes.iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    bytes
}

fn put(ks: &Keyspace, key: &Key<'_>, value: &[u8], guard: &Guard) -> bool {
    match ks.try_enter(&ShardSet::one(ks.shard_of(key.hash)), guard) {
        Some(mut writer) => {
            writer.put(DB, key, NewValue::Bytes(value), None, 0);
            true
        }
        None => false,
    }
}

fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// One batch: hash and prefetch, prefetch again, run.
fn batch(
    ks: &Keyspace,
    guard: &Guard,
    picks: &[u32],
    write: impl Fn(usize) -> bool,
    out: &mut [u8; 64],
) {
    let bytes: [[u8; 16]; BATCH] = std::array::from_fn(|i| key_bytes(picks[i]));
    let keys: [Key<'_>; BATCH] = std::array::from_fn(|i| ks.key(&bytes[i]));
    ks.prefetch(DB, keys.iter().map(|key| key.hash), guard);
    for (i, key) in keys.iter().enumerate() {
        if write(i) {
            while !put(ks, key, &out[..], guard) {
                std::thread::yield_now();
            }
        } else if let Some(entry) = ks.get(DB, key, 0, Touch::Yes, guard)
            && let Value::Str(Str::Inline { bytes, .. }) = entry.value()
        {
            out.copy_from_slice(bytes);
        }
    }
}

fn run(
    ks: &Arc<Keyspace>,
    threads: usize,
    percent: u64,
    hot: bool,
    picks: &Arc<Vec<u32>>,
) -> (f64, f64) {
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|me| {
            let (ks, stop, picks) = (Arc::clone(ks), Arc::clone(&stop), Arc::clone(picks));
            std::thread::spawn(move || {
                let handle = ks.handle();
                let mut rng = Rng(me as u64 * 77 + 5);
                let mut out = [b'v'; 64];
                let mut at = rng.next() as usize % picks.len();
                let (mut ops, start) = (0u64, cpu_ns());
                while !stop.load(Ordering::Relaxed) {
                    let guard = handle.pin();
                    if at + BATCH > picks.len() {
                        at = 0;
                    }
                    let dice: u64 = rng.next();
                    let write = |i: usize| {
                        (dice >> (i * 4) & 15) * 100 < percent * 16
                            && percent > 0
                            && (percent >= 50
                                || (dice.rotate_left(i as u32 * 7) & 255) * 100 < percent * 16 * 16)
                    };
                    if hot {
                        batch(&ks, &guard, &[7; BATCH], |_| false, &mut out);
                    } else {
                        batch(&ks, &guard, &picks[at..at + BATCH], write, &mut out);
                    }
                    at += BATCH;
                    ops += BATCH as u64;
                }
                (ops, cpu_ns() - start)
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(700));
    stop.store(true, Ordering::Relaxed);
    let (mut ops, mut cpu) = (0, 0);
    for worker in workers {
        let (o, c) = worker.join().expect("worker");
        ops += o;
        cpu += c;
    }
    (ops as f64 / begin.elapsed().as_secs_f64() / 1e6, cpu as f64 / ops as f64)
}

fn rss() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|p| p.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0
}

fn memory(keys: u32, size: usize, ttl: bool, shards: usize) {
    let ks = Keyspace::new(Options { shards, ..Options::default() });
    let handle = ks.handle();
    let before = rss();
    let value = vec![b'v'; size];
    let (mut worst, start) = (Duration::ZERO, Instant::now());
    for i in 0..keys {
        let guard = handle.pin();
        let bytes = key_bytes(i);
        let key = ks.key(&bytes);
        let set = ShardSet::one(ks.shard_of(key.hash));
        let each = Instant::now();
        let mut writer = ks.try_enter(&set, &guard).expect("alone");
        let at = ttl.then_some(1_800_000_000_000 + i64::from(i));
        writer.put(DB, &key, NewValue::Bytes(&value), at, 0);
        drop(writer);
        worst = worst.max(each.elapsed());
    }
    let took = start.elapsed();
    ks.flush_limbo(&handle.pin());
    for _ in 0..10 {
        handle.pin().flush();
    }
    let memory = ks.memory();
    println!(
        "memory n={keys} value={size} ttl={ttl}: rss {:.1} B/item, counted {:.1} (table {:.1}); insert {:.0} ns, worst {worst:?}",
        (rss() - before) / f64::from(keys),
        memory.used as f64 / f64::from(keys),
        memory.tables as f64 / f64::from(keys),
        took.as_nanos() as f64 / f64::from(keys),
    );
    if size == 64 && !ttl {
        let mut rng = Rng(99);
        let start = Instant::now();
        for _ in 0..4_000_000 / 64 {
            let guard = handle.pin();
            for _ in 0..64 {
                let bytes = key_bytes((rng.next() % u64::from(keys)) as u32);
                put(&ks, &ks.key(&bytes), &value, &guard);
            }
        }
        let ns = start.elapsed().as_nanos() as f64 / 4e6;
        println!("  4M random overwrites at 64 per pin: {ns:.0} ns each, {:?}", ks.memory());
    }
    std::process::exit(0);
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number =
        |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    if args.get(1).is_some_and(|a| a == "memory") {
        memory(number(2, 2_000_000) as u32, number(3, 64), number(4, 0) == 1, number(5, 64));
    }
    let (keys, shards) = (number(1, 1_000_000), number(2, 16));
    let ks = Arc::new(Keyspace::new(Options { shards, ..Options::default() }));
    let handle = ks.handle();
    for i in 0..keys as u32 {
        put(&ks, &ks.key(&key_bytes(i)), &[b'v'; 64], &handle.pin());
    }
    drop(handle);
    let picks = Arc::new(zipf(keys as u64, 4 << 20, 1));
    for (percent, hot) in [(5, false), (50, false), (0, true)] {
        for threads in [1, 2, 8] {
            let best = (0..3)
                .map(|_| run(&ks, threads, percent, hot, &picks))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap_or_default();
            println!(
                "writes {percent}% hot={hot} threads {threads}: {:.1} Mops/s, {:.0} CPU ns/op",
                best.0, best.1
            );
        }
    }
    println!("{:?}", ks.stats());
}
