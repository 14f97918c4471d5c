//! Several threads, what must hold whatever the timing: counters add up, values are whole, a write
//! over several shards is seen whole, a scan misses nothing that stays.
//!
//! Short by default; `DUNLIN_STRESS_SECONDS` makes every test run for so long.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dunlin_storage::{
    DbId, Entry, Guard, Job, Keyspace, NewValue, Options, ShardId, ShardSet, Touch, Value, Writer,
};

const DB: DbId = DbId(0);

fn keyspace(shards: usize) -> Arc<Keyspace> {
    Arc::new(Keyspace::new(Options { shards, ..Options::default() }))
}

/// True until `rounds` are done, or the time of the environment is over if there is one.
fn going_on(start: Instant, round: u64, rounds: u64) -> bool {
    let text = std::env::var("DUNLIN_STRESS_SECONDS").ok();
    match text.and_then(|text| text.parse().ok()) {
        Some(seconds) if seconds > 0 => start.elapsed() < Duration::from_secs(seconds),
        _ => round < if cfg!(miri) { 20 } else { rounds },
    }
}

fn shard(ks: &Keyspace, key: &[u8]) -> ShardId {
    ks.shard_of(ks.key(key).hash)
}

/// A number, padded to a length that depends on it, and a sum at the end.
fn sealed(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().repeat(1 + (number % 40) as usize);
    let sum = bytes.iter().fold(7u8, |sum, byte| sum.rotate_left(1) ^ byte);
    bytes.push(sum);
    bytes
}

/// Checks the seal and returns the number.
fn unseal(entry: Entry<'_>) -> u64 {
    let Value::Str(text) = entry.value() else { unreachable!("only strings so far") };
    let bytes = text.to_cow();
    let number = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    assert!(*bytes == sealed(number), "a torn or freed value");
    number
}

/// Adds to counters, each one key, all in the job's shards.
struct Add {
    ks: Arc<Keyspace>,
    keys: Vec<Vec<u8>>,
    more: u64,
    done: Arc<AtomicU64>,
}

impl Job for Add {
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'g, 'g>, _guard: &'g Guard) {
        for key in &self.keys {
            let key = self.ks.key(key);
            let old = writer.get(DB, &key, 0).map_or(0, unseal);
            writer.put(DB, &key, NewValue::Bytes(&sealed(old + self.more)), None, 0);
        }
        self.done.fetch_add(1, Ordering::AcqRel);
    }
}

fn help(ks: &Keyspace, guard: &Guard) {
    let left: Vec<ShardId> = ks.take_leftovers().collect();
    for shard in left {
        while ks.drain(shard, guard) {}
    }
}

#[test]
fn counters_add_up_whoever_runs_the_jobs() {
    let ks = keyspace(2);
    let done = Arc::new(AtomicU64::new(0));
    let keys: Vec<Vec<u8>> = (0..8).map(|i| format!("counter:{i}").into_bytes()).collect();
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let mut sums = vec![0u64; keys.len()];
    std::thread::scope(|scope| {
        let (ks, done, keys, stop) = (&ks, &done, &keys, &stop);
        let reader = scope.spawn(move || {
            let handle = ks.handle();
            let mut last = vec![0; keys.len()];
            while !stop.load(Ordering::Acquire) {
                for (key, last) in keys.iter().zip(&mut last) {
                    let guard = handle.pin();
                    let entry = ks.get(DB, &ks.key(key), 0, Touch::Yes, &guard);
                    let seen = entry.map_or(0, unseal);
                    assert!(seen >= *last, "a counter went back");
                    *last = seen;
                }
            }
        });
        let adders: Vec<_> = (0..4u64)
            .map(|me| {
                scope.spawn(move || {
                    let handle = ks.handle();
                    let mut mine = vec![0u64; keys.len()];
                    let mut round = 0;
                    while going_on(start, round, 4000) {
                        round += 1;
                        let guard = handle.pin();
                        // One counter, or several in both shards.
                        let from = ((round * 7 + me) % 8) as usize;
                        let to = if round % 5 == 0 { keys.len() } else { from + 1 };
                        let more = round % 3 + 1;
                        mine[from..to].iter_mut().for_each(|sum| *sum += more);
                        let keys = keys[from..to].to_vec();
                        let set: ShardSet = keys.iter().map(|key| shard(ks, key)).collect();
                        let job = Add { ks: Arc::clone(ks), keys, more, done: Arc::clone(done) };
                        ks.submit(set, Box::new(job), &guard);
                        if round % 16 == 0 {
                            help(ks, &guard);
                        }
                    }
                    (round, mine)
                })
            })
            .collect();
        let mut submitted = 0;
        for adder in adders {
            let (rounds, mine) = adder.join().expect("adder");
            submitted += rounds;
            sums.iter_mut().zip(mine).for_each(|(sum, more)| *sum += more);
        }
        stop.store(true, Ordering::Release);
        reader.join().expect("reader");
        let handle = ks.handle();
        help(ks, &handle.pin());
        assert_eq!(done.load(Ordering::Acquire), submitted, "every job ran once");
    });
    let handle = ks.handle();
    let guard = handle.pin();
    for (key, sum) in keys.iter().zip(sums) {
        let entry = ks.get(DB, &ks.key(key), 0, Touch::No, &guard).expect("a counter");
        assert_eq!(unseal(entry), sum);
    }
    let all = ks.try_enter(&ShardSet::all(&ks), &guard);
    assert!(all.is_some(), "every role is free in the end");
}

#[test]
fn readers_come_and_go_while_tables_grow_shrink_and_are_flushed() {
    let ks = keyspace(1);
    let stable: Vec<Vec<u8>> = (0..50).map(|i| format!("stable:{i}").into_bytes()).collect();
    {
        let handle = ks.handle();
        let guard = handle.pin();
        let mut writer = ks.try_enter(&ShardSet::all(&ks), &guard).expect("alone");
        for key in &stable {
            writer.put(DB, &ks.key(key), NewValue::Bytes(&sealed(1)), None, 0);
        }
    }
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let (ks, stable, stop) = (&ks, &stable, &stop);
        for scanner in [false, true] {
            scope.spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    // A participant of its own every time: registering races with collecting.
                    let handle = ks.handle();
                    if scanner {
                        assert_eq!(scan(ks, &handle).len(), stable.len(), "a stable key is missed");
                        continue;
                    }
                    let guard = handle.pin();
                    let held: Vec<Entry<'_>> = stable
                        .iter()
                        .map(|key| ks.get(DB, &ks.key(key), 0, Touch::Yes, &guard))
                        .map(|entry| entry.expect("a stable key is missing"))
                        .collect();
                    std::thread::yield_now();
                    for entry in held {
                        unseal(entry);
                    }
                }
            });
        }
        let handle = ks.handle();
        let mut round = 0;
        while going_on(start, round, 60) {
            round += 1;
            churn(ks, &handle, stable, round);
        }
        stop.store(true, Ordering::Release);
    });
}

/// Grows the table and empties it again; replaces the stable keys; flushes another database.
fn churn(ks: &Keyspace, handle: &dunlin_storage::Handle, stable: &[Vec<u8>], round: u64) {
    let items = if cfg!(miri) { 80 } else { 1500 };
    let write = |work: &mut dyn FnMut(&mut Writer<'_, '_>)| {
        let guard = handle.pin();
        let mut writer = ks.try_enter(&ShardSet::all(ks), &guard).expect("the only writer");
        work(&mut writer);
    };
    for i in 0..items {
        let key = format!("churn:{i}").into_bytes();
        write(&mut |writer| {
            writer.put(DB, &ks.key(&key), NewValue::Bytes(&sealed(i)), None, 0);
            writer.put(DbId(1), &ks.key(&key), NewValue::Bytes(&sealed(i)), None, 0);
            let stable = ks.key(&stable[i as usize % stable.len()]);
            writer.put(DB, &stable, NewValue::Bytes(&sealed(round * items + i)), None, 0);
        });
    }
    write(&mut |writer| writer.flush(DbId(1)));
    while ks.free_slice(64) {}
    for i in 0..items {
        let key = format!("churn:{i}").into_bytes();
        write(&mut |writer| assert!(writer.remove(DB, &ks.key(&key), 0)));
    }
}

fn scan(ks: &Keyspace, handle: &dunlin_storage::Handle) -> HashSet<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut cursor = 0;
    loop {
        let guard = handle.pin();
        cursor = ks.scan(DB, cursor, 3, 0, &guard, &mut |entry| {
            unseal(entry);
            if entry.key().starts_with(b"stable:") {
                seen.insert(entry.key().to_vec());
            }
        });
        if cursor == 0 {
            return seen;
        }
    }
}

#[test]
fn money_moves_between_shards_and_stays() {
    const TOTAL: u64 = 4_000_000;
    let ks = keyspace(4);
    let accounts: Vec<Vec<u8>> = (0..4).map(|i| format!("account:{i}").into_bytes()).collect();
    let all: ShardSet = accounts.iter().map(|key| shard(&ks, key)).collect();
    {
        let handle = ks.handle();
        let guard = handle.pin();
        let mut writer = ks.try_enter(&all, &guard).expect("alone");
        for key in &accounts {
            let value = sealed(TOTAL / accounts.len() as u64);
            writer.put(DB, &ks.key(key), NewValue::Bytes(&value), None, 0);
        }
    }
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let (ks, accounts, all, stop) = (&ks, &accounts, &all, &stop);
        let reader = scope.spawn(move || {
            let handle = ks.handle();
            let mut validated = 0u64;
            while !stop.load(Ordering::Acquire) || validated == 0 {
                let guard = handle.pin();
                let words = || all.iter().map(|id| ks.write_seq(id)).collect::<Vec<_>>();
                let before = words();
                let read = |key: &Vec<u8>| ks.get(DB, &ks.key(key), 0, Touch::No, &guard);
                let sum: u64 = accounts.iter().filter_map(read).map(unseal).sum();
                if before == words() && before.iter().all(|word| word % 2 == 0) {
                    assert_eq!(sum, TOTAL, "half of a transfer was seen");
                    validated += 1;
                }
            }
        });
        let movers: Vec<_> = (0..2usize)
            .map(|me| {
                scope.spawn(move || {
                    let handle = ks.handle();
                    let mut round = 0;
                    while going_on(start, round, 4000) {
                        round += 1;
                        let guard = handle.pin();
                        let from = (round as usize + me) % accounts.len();
                        let to = (from + 1 + round as usize % 3) % accounts.len();
                        transfer(ks, &accounts[from], &accounts[to], round % 7, &guard);
                    }
                })
            })
            .collect();
        for mover in movers {
            mover.join().expect("mover");
        }
        stop.store(true, Ordering::Release);
        reader.join().expect("reader");
    });
}

/// Moves money under the roles of the two shards, if they are free.
fn transfer(ks: &Keyspace, from: &[u8], to: &[u8], amount: u64, guard: &Guard) {
    let set: ShardSet = [shard(ks, from), shard(ks, to)].into_iter().collect();
    let Some(mut writer) = ks.try_enter(&set, guard) else {
        return help(ks, guard);
    };
    let (from, to) = (ks.key(from), ks.key(to));
    let balance = |writer: &Writer<'_, '_>, key| writer.get(DB, key, 0).map_or(0, unseal);
    let (have, has) = (balance(&writer, &from), balance(&writer, &to));
    writer.put(DB, &from, NewValue::Bytes(&sealed(have - amount.min(have))), None, 0);
    writer.put(DB, &to, NewValue::Bytes(&sealed(has + amount.min(have))), None, 0);
}
