//! A store whose values change their sizes gives back the memory of the former ones, and nobody notices.
//!
//! Alone in its program, and one test at a time: the memory of entries is one for the process.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dunlin_storage::{
    DbId, Guard, Handle, Key, Keyspace, Millis, NewValue, Options, ShardId, ShardSet, SlabStats,
    Str, Touch, Value, Writer,
};

const DB: DbId = DbId(0);
/// When a third of the keys expires.
const EXPIRY: Millis = 1_800_000_000_000;
const KEYS: usize = 200_000;
/// Keys, writers and versions of each key of the test with writers.
const CONTENDED: usize = 30_000;
const WRITERS: usize = 2;
const VERSIONS: u64 = 25;
/// Versions after which values change their sizes.
const PHASE: u64 = 5;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn name(i: usize) -> String {
    format!("key:{i:012}")
}

/// A value that tells its key and size.
fn bytes(i: usize, len: usize) -> Vec<u8> {
    i.to_le_bytes().into_iter().cycle().take(len).collect()
}

fn put(keyspace: &Keyspace, guard: &Guard, i: usize, value: NewValue<'_>) {
    let name = name(i);
    let key = keyspace.key(name.as_bytes());
    let expiry = i.is_multiple_of(3).then_some(EXPIRY);
    entered(keyspace, guard, &key).put(DB, &key, value, expiry, 0);
}

fn remove(keyspace: &Keyspace, guard: &Guard, i: usize) -> bool {
    let name = name(i);
    let key = keyspace.key(name.as_bytes());
    entered(keyspace, guard, &key).remove(DB, &key, 0)
}

fn entered<'k, 'g>(keyspace: &'k Keyspace, guard: &'g Guard, key: &Key<'_>) -> Writer<'k, 'g> {
    let shards = ShardSet::one(keyspace.shard_of(key.hash));
    loop {
        if let Some(writer) = keyspace.try_enter(&shards, guard) {
            return writer;
        }
    }
}

fn is_there(keyspace: &Keyspace, guard: &Guard, i: usize, len: usize) -> bool {
    let name = name(i);
    let found = keyspace.get(DB, &keyspace.key(name.as_bytes()), 0, Touch::No, guard);
    let Some(entry) = found else { return false };
    let Value::Str(text) = entry.value() else { panic!("a string") };
    assert!(text.eq_bytes(&bytes(i, len)), "{i}");
    assert_eq!(entry.expire_at(), i.is_multiple_of(3).then_some(EXPIRY), "{i}");
    true
}

/// What a server does now and then.
fn tend(keyspace: &Keyspace, handle: &Handle) {
    for _ in 0..4 {
        keyspace.flush_limbo(&handle.pin());
        while keyspace.free_slice(64) {}
    }
}

fn compact(keyspace: &Keyspace, handle: &Handle) {
    while keyspace.choose_slice() {}
    for shard in (0..keyspace.shards()).map(|shard| ShardId(shard as u16)) {
        while keyspace.compact_slice(shard, 256, &handle.pin()).more {}
    }
    tend(keyspace, handle);
}

fn slab(keyspace: &Keyspace) -> SlabStats {
    keyspace.memory().slab
}

#[test]
fn pages_become_empty_when_sizes_change() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let keyspace = Keyspace::new(Options::default());
    let handle = keyspace.handle();
    for i in 0..KEYS {
        put(&keyspace, &handle.pin(), i, NewValue::Bytes(&bytes(i, 64)));
    }
    tend(&keyspace, &handle);
    let full = slab(&keyspace);
    if full.pages == 0 {
        return; // Every entry is an allocation of its own here.
    }
    assert!(full.slack() * 33 < full.pages, "{full:?}");
    // A big string goes along.
    let big = bytes(KEYS, 100_000);
    put(&keyspace, &handle.pin(), KEYS, NewValue::Bytes(&big));

    let stays = |i: usize| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 < 3;
    (0..KEYS).filter(|i| !stays(*i)).for_each(|i| assert!(remove(&keyspace, &handle.pin(), i)));
    tend(&keyspace, &handle);
    let sparse = slab(&keyspace);
    assert!(sparse.slack() * 2 > sparse.pages, "{sparse:?}");

    // Somebody reads all the time.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (keyspace, over) = (&keyspace, &over);
        scope.spawn(move || {
            let reader = keyspace.handle();
            while !over.load(Ordering::Relaxed) {
                for i in (0..KEYS).filter(|i| stays(*i)).step_by(7) {
                    assert!(is_there(keyspace, &reader.pin(), i, 64), "{i}");
                }
            }
        });
        let used = keyspace.memory();
        for _ in 0..8 {
            compact(keyspace, &handle);
        }
        over.store(true, Ordering::Relaxed);
        let now = keyspace.memory();
        assert_eq!((now.used, now.entries), (used.used, used.entries), "nothing else changes");
        assert!(keyspace.stats().moved_entries > 0);
    });
    // The reader may have kept everything from being freed all the while.
    for _ in 0..8 {
        tend(&keyspace, &handle);
        compact(&keyspace, &handle);
    }
    let packed = slab(&keyspace);
    assert!(packed.slack() * 7 < packed.pages, "{packed:?}");
    assert!(packed.empty <= 16 * 65_536, "{packed:?}");
    assert!((0..KEYS).all(|i| is_there(&keyspace, &handle.pin(), i, 64) == stays(i)));
    assert!(is_there(&keyspace, &handle.pin(), KEYS, 100_000));

    // Nothing to do: it rests.
    for _ in 0..3 {
        compact(&keyspace, &handle);
    }
    let moved = keyspace.stats().moved_entries;
    compact(&keyspace, &handle);
    assert_eq!(keyspace.stats().moved_entries, moved);
    assert!(!keyspace.is_compacting());

    // All of it is given back in the end.
    keyspace.try_enter(&ShardSet::all(&keyspace), &handle.pin()).expect("free").flush(DB);
    tend(&keyspace, &handle);
    let empty = slab(&keyspace);
    assert!(empty.pages < full.pages / 50, "{empty:?}");
}

/// What version `version` of key `i` is: so many bytes, or nothing.
fn length(i: usize, version: u64) -> Option<usize> {
    let mixed = (i as u64 ^ version << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let more = mixed as usize / 8;
    let len = match version / PHASE % 4 {
        0 => 16 + more % 32,
        1 => 300 + more % 200,
        2 => 64,
        // Some are too long for a block.
        _ => {
            if more.is_multiple_of(64) {
                3000 + more % 7000
            } else {
                100 + more % 50
            }
        }
    };
    (version > 0 && !mixed.is_multiple_of(8)).then_some(len)
}

fn contents(i: usize, version: u64) -> Option<Vec<u8>> {
    let text = [(i as u64).to_le_bytes(), version.to_le_bytes()].concat();
    Some(text.into_iter().cycle().take(length(i, version)?).collect())
}

/// The version of a key that is there, if any. All of its bytes must be of that version.
fn version(keyspace: &Keyspace, guard: &Guard, i: usize) -> Option<u64> {
    let name = name(i);
    let entry = keyspace.get(DB, &keyspace.key(name.as_bytes()), 0, Touch::Yes, guard)?;
    let Value::Str(text) = entry.value() else { panic!("a string") };
    let bytes = match text {
        Str::Inline { bytes, .. } => bytes.to_vec(),
        Str::Rope(rope) => rope.to_vec(),
    };
    let version = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
    assert_eq!(Some(bytes), contents(i, version), "key {i}");
    assert_eq!(entry.expire_at(), i.is_multiple_of(3).then_some(EXPIRY), "key {i}");
    Some(version)
}

fn write(keyspace: &Keyspace, handle: &Handle, keys: Range<usize>, published: &[AtomicU64]) {
    for (version, i) in (1..=VERSIONS).flat_map(|version| keys.clone().map(move |i| (version, i))) {
        let guard = handle.pin();
        match contents(i, version) {
            Some(bytes) => put(keyspace, &guard, i, NewValue::Bytes(&bytes)),
            None => drop(remove(keyspace, &guard, i)),
        }
        published[i].store(version, Ordering::Release);
    }
}

/// Reads keys until it is over; how many. Each must be what it was at some moment of the read.
fn read(keyspace: &Keyspace, published: &[AtomicU64], over: &AtomicBool) -> usize {
    let handle = keyspace.handle();
    let (mut i, mut count) = (0, 0);
    while !over.load(Ordering::Acquire) {
        i = (i + 7919) % CONTENDED;
        let first = published[i].load(Ordering::Acquire);
        let found = version(keyspace, &handle.pin(), i);
        // The next version may be there before it is published.
        let possible = first..=published[i].load(Ordering::Acquire) + 1;
        match found {
            Some(version) => assert!(possible.contains(&version), "key {i}: {version}"),
            None => assert!(possible.into_iter().any(|v| length(i, v).is_none()), "key {i}"),
        }
        count += 1;
    }
    count
}

#[test]
fn entries_that_are_moved_are_read_and_written_all_the_time() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let keyspace = &Keyspace::new(Options { shards: 4, ..Options::default() });
    let published: &[AtomicU64] = &(0..CONTENDED).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let (written, over) = (&AtomicU64::new(0), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let share = CONTENDED / WRITERS;
            scope.spawn(move || {
                let _written = Count(written);
                let keys = writer * share..(writer + 1) * share;
                write(keyspace, &keyspace.handle(), keys, published);
            });
        }
        let reader = scope.spawn(move || read(keyspace, published, over));
        scope.spawn(move || {
            let _over = Stop(over);
            let handle = keyspace.handle();
            while written.load(Ordering::Acquire) < WRITERS as u64 {
                compact(keyspace, &handle);
            }
        });
        assert!(reader.join().expect("every read was right") > 0);
    });
    let handle = keyspace.handle();
    for i in 0..CONTENDED {
        let last = length(i, VERSIONS).map(|_| VERSIONS);
        assert_eq!(version(keyspace, &handle.pin(), i), last, "key {i}");
    }
    if slab(keyspace).pages > 0 {
        assert!(keyspace.stats().moved_entries > 0);
    }
}

/// Counts a thread that has ended, also if it has failed.
struct Count<'a>(&'a AtomicU64);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Ends the other threads' loops, also when its own thread fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
