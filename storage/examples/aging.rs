//! Expiry and eviction, measured: `aging`.
//!
//! First a million keys with random expiries within a minute of simulated time, a slice per shard
//! every 100 ms of it: CPU per simulated second, and what is left one second late. Then miss ratios
//! of a zipf load with a budget for a tenth of the keys, beside an exact LRU of as many items.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use dunlin_storage::{DbId, Guard, Keyspace, NewValue, Options, Policy, ShardId, ShardSet, Touch};

#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DB: DbId = DbId(0);

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn put(ks: &Keyspace, guard: &Guard, bytes: &[u8], value: &[u8], at: Option<i64>, now: i64) {
    let key = ks.key(bytes);
    let set = ShardSet::one(ks.shard_of(key.hash));
    if let Some(mut writer) = ks.try_enter(&set, guard) {
        writer.put(DB, &key, NewValue::Bytes(value), at, now);
    }
}

fn expiry() {
    let ks = Keyspace::new(Options::default());
    let handle = ks.handle();
    let mut rng = Rng(7);
    let base = 1_700_000_000_000i64;
    let mut due = vec![0u64; 62];
    for i in 0..1_000_000u64 {
        let ttl = (rng.next() % 60_000) as i64;
        due[(ttl / 1000) as usize] += 1;
        let bytes = format!("key:{i:012}");
        put(&ks, &handle.pin(), bytes.as_bytes(), &[1; 64], Some(base + ttl), base);
    }
    let (mut gone, mut worst, mut cpu) = (0, 0.0f64, 0u128);
    let begin = Instant::now();
    for tick in 1..=600i64 {
        let now = base + tick * 100;
        let start = Instant::now();
        for shard in 0..ks.shards() {
            let guard = handle.pin();
            while ks.expire_slice(ShardId(shard as u16), now, 1000, &guard).more {}
        }
        cpu += start.elapsed().as_nanos();
        if tick % 10 == 0 && tick > 10 {
            gone += due[(tick / 10 - 2) as usize];
            let late = (1_000_000 - ks.len(DB)) as f64;
            worst = worst.max(1.0 - (late / gone as f64).min(1.0));
        }
    }
    println!(
        "expiry: {:.2} % of a core, most stale after 1 s {:.3} %, wall {:?}, left {}, {:?}",
        cpu as f64 / 60e9 * 100.0,
        worst * 100.0,
        begin.elapsed(),
        ks.len(DB),
        ks.memory()
    );
}

fn zipf(keys: u64, theta: f64, rng: &mut Rng, cumulative: &mut Vec<f64>) -> u64 {
    if cumulative.is_empty() {
        let mut sum = 0.0;
        for rank in 1..=keys {
            sum += 1.0 / (rank as f64).powf(theta);
            cumulative.push(sum);
        }
    }
    let sum = cumulative[cumulative.len() - 1];
    let x = (rng.next() >> 11) as f64 / (1u64 << 53) as f64 * sum;
    cumulative.partition_point(|&c| c < x) as u64
}

fn eviction(policy: Policy, scan: bool) {
    let keys = 200_000;
    let budget = 2_400_000u64;
    let ks = Keyspace::new(Options { max_memory: budget, policy, ..Options::default() });
    let handle = ks.handle();
    let (mut rng, mut cumulative) = (Rng(11), Vec::new());
    let (mut misses, mut lru_misses, mut peak) = (0, 0, 0);
    let (mut order, mut last): (BTreeMap<u64, u64>, HashMap<u64, u64>) = Default::default();
    let rounds = 3_000_000u64;
    let mut fresh = keys;
    for i in 0..rounds {
        let guard = handle.pin();
        let pick = if scan && i % 4 == 0 {
            fresh += 1;
            fresh
        } else {
            zipf(keys, 0.9, &mut rng, &mut cumulative)
        };
        let bytes = format!("key:{pick:012}");
        if ks.get(DB, &ks.key(bytes.as_bytes()), 0, Touch::Yes, &guard).is_none() {
            misses += u64::from(i > rounds / 2);
            put(&ks, &guard, bytes.as_bytes(), &[1; 64], Some(1 << 40), 0);
        }
        if i % 1000 == 0 {
            peak = peak.max(ks.memory().used);
        }
        // As many items as the store holds just now.
        if let Some(old) = last.insert(pick, i) {
            order.remove(&old);
        } else {
            lru_misses += u64::from(i > rounds / 2);
        }
        order.insert(i, pick);
        while order.len() as u64 > ks.len(DB).max(1000) {
            if let Some((_, old)) = order.pop_first() {
                last.remove(&old);
            }
        }
    }
    println!(
        "{:16} scan={scan}: misses {:.4}, exact LRU {:.4}, items {}, peak {:.3} of the budget, {:?}",
        policy.name(),
        misses as f64 / (rounds / 2) as f64,
        lru_misses as f64 / (rounds / 2) as f64,
        ks.len(DB),
        peak as f64 / budget as f64,
        ks.memory()
    );
}

fn main() {
    expiry();
    for policy in Policy::all().filter(|&policy| policy != Policy::NoEviction) {
        eviction(policy, false);
    }
    eviction(Policy::AllKeysLru, true);
}
