//! Dunlin's keyspace, driven as the server drives it.
//!
//! A batch is one connection's pipeline: the epoch is pinned once, keys are hashed and their buckets
//! prefetched, then their entries, then the operations run in order. Consecutive writes to one
//! shard share a turn of its role. If the role is taken, the write is left with its holder, the
//! connection waits, and the thread goes on with its other connections ([`CONNECTIONS`] of them);
//! the rest of the batch runs when the write is done, so no connection passes its own write.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dunlin_storage::{
    DbId, Guard, Handle, Job, Key, KeyHash, Keyspace, NewValue, Options, ShardSet, Str, Touch,
    Value, Writer,
};

use super::{Contention, Engine, Op, Worker, engines::value};

const DB: DbId = DbId(0);
const NOW: i64 = 1_700_000_000_000;
/// Connections of a thread that may have a batch in hand.
const CONNECTIONS: usize = 16;

/// The keyspace under test.
pub struct Dunlin {
    keyspace: Keyspace,
    size: usize,
    prefetches: bool,
}

impl Dunlin {
    /// A keyspace of so many shards that holds `keys` keys.
    #[must_use]
    pub fn new(shards: usize, keys: u64, size: usize) -> Self {
        let keyspace = Keyspace::new(Options { shards, databases: 1, ..Options::default() });
        let dunlin = Self { keyspace, size, prefetches: true };
        let mut worker = DunlinWorker::new(&dunlin);
        let all: Vec<Op> = (0..keys as u32).map(|n| Op::new(n, true)).collect();
        for batch in all.chunks(16) {
            worker.batch(batch);
        }
        worker.finish();
        drop(worker);
        dunlin
    }

    /// The same, which waits for each key's memory when it comes to it.
    pub(super) fn without_prefetch(self) -> Self {
        Self { prefetches: false, ..self }
    }
}

impl Engine for Dunlin {
    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(DunlinWorker::new(self))
    }

    fn reset(&self) {
        self.keyspace.reset_stats();
    }

    fn contention(&self) -> Option<Contention> {
        let stats = self.keyspace.stats();
        Some(Contention {
            taken: stats.role_taken,
            busy: stats.role_busy,
            jobs: stats.jobs,
            batches: stats.batches,
            batch_max: stats.batch_max,
        })
    }
}

/// A batch that is being run, or waits for a write left with another thread.
#[derive(Default)]
struct Connection {
    ops: Vec<Op>,
    next: usize,
    waiting: Option<Arc<AtomicBool>>,
}

struct DunlinWorker<'a> {
    dunlin: &'a Dunlin,
    handle: Handle,
    connections: Vec<Connection>,
    keys: Vec<([u8; 16], KeyHash)>,
    out: Vec<u8>,
    value: Box<[u8]>,
}

/// A write left with the holder of its shard's role.
struct Write {
    key: [u8; 16],
    hash: KeyHash,
    value: Box<[u8]>,
    done: Arc<AtomicBool>,
}

impl Job for Write {
    fn run(self: Box<Self>, writer: &mut Writer<'_, '_>, _guard: &Guard) {
        let key = Key { bytes: &self.key, hash: self.hash };
        writer.put(DB, &key, NewValue::Bytes(&self.value), None, NOW);
        self.done.store(true, Ordering::Release);
    }
}

impl<'a> DunlinWorker<'a> {
    fn new(dunlin: &'a Dunlin) -> Self {
        Self {
            dunlin,
            handle: dunlin.keyspace.handle(),
            connections: (0..CONNECTIONS).map(|_| Connection::default()).collect(),
            keys: Vec::new(),
            out: vec![0; dunlin.size],
            value: value(0, dunlin.size),
        }
    }

    /// Runs the rest of connection `i`'s batch; the number of reads that found their key.
    fn run(&mut self, i: usize) -> u64 {
        let keyspace = &self.dunlin.keyspace;
        let guard = self.handle.pin();
        let connection = &mut self.connections[i];
        let ops = &connection.ops[connection.next..];
        self.keys.clear();
        // Each bucket is asked for as soon as its hash is made, as in the server.
        let hashes = ops.iter().map(|op| {
            let bytes = op.bytes();
            let hash = keyspace.key(&bytes).hash;
            self.keys.push((bytes, hash));
            hash
        });
        match self.dunlin.prefetches {
            true => keyspace.prefetch(DB, hashes, &guard),
            false => hashes.for_each(drop),
        }
        let mut found = 0;
        let held: &mut Option<Writer<'_, '_>> = &mut None;
        for (op, (bytes, hash)) in ops.iter().zip(&self.keys) {
            connection.next += 1;
            let key = Key { bytes, hash: *hash };
            if !op.is_write() {
                *held = None;
                found += u64::from(read(keyspace, &key, &guard, &mut self.out));
                continue;
            }
            self.value.fill(op.key() as u8);
            let shard = keyspace.shard_of(*hash);
            if held.as_ref().is_none_or(|writer| !writer.holds(shard)) {
                // The old role goes back before the new one is asked for.
                *held = None;
                *held = keyspace.try_enter(&ShardSet::one(shard), &guard);
            }
            if let Some(writer) = held {
                writer.put(DB, &key, NewValue::Bytes(&self.value), None, NOW);
                continue;
            }
            let done = Arc::new(AtomicBool::new(false));
            connection.waiting = Some(Arc::clone(&done));
            let job = Write { key: *bytes, hash: *hash, value: self.value.clone(), done };
            keyspace.submit(ShardSet::one(shard), Box::new(job), &guard);
            break;
        }
        *held = None;
        for shard in keyspace.take_leftovers() {
            keyspace.drain(shard, &guard);
        }
        found
    }

    /// Goes on with connections whose write is done; the reads found, and one that is free.
    fn resume(&mut self) -> (u64, Option<usize>) {
        let (mut found, mut free) = (0, None);
        for i in 0..CONNECTIONS {
            if let Some(done) = &self.connections[i].waiting {
                if !done.load(Ordering::Acquire) {
                    continue;
                }
                self.connections[i].waiting = None;
                found += self.run(i);
            }
            if self.connections[i].waiting.is_none() {
                free = Some(i);
            }
        }
        (found, free)
    }

    /// Lets others run, and runs what a capped turn of theirs left behind.
    fn idle(&mut self) {
        let guard = self.handle.pin();
        for shard in self.dunlin.keyspace.take_leftovers() {
            self.dunlin.keyspace.drain(shard, &guard);
        }
        drop(guard);
        std::thread::yield_now();
    }
}

impl Worker for DunlinWorker<'_> {
    fn batch(&mut self, ops: &[Op]) -> u64 {
        // The first connection is free but for moments of contention.
        let mut found = 0;
        let mut free = self.connections[0].waiting.is_none().then_some(0);
        while free.is_none() {
            let (more, at) = self.resume();
            found += more;
            free = at;
            if free.is_none() {
                self.idle();
            }
        }
        let i = free.unwrap_or(0);
        let connection = &mut self.connections[i];
        connection.ops.clear();
        connection.ops.extend_from_slice(ops);
        connection.next = 0;
        found + self.run(i)
    }

    fn finish(&mut self) -> u64 {
        let mut found = 0;
        while self.connections.iter().any(|c| c.waiting.is_some()) {
            found += self.resume().0;
            self.idle();
        }
        found
    }
}

#[inline]
fn read(keyspace: &Keyspace, key: &Key<'_>, guard: &Guard, out: &mut [u8]) -> bool {
    let Some(entry) = keyspace.get(DB, key, NOW, Touch::Yes, guard) else {
        return false;
    };
    match entry.value() {
        Value::Str(Str::Inline { bytes, .. }) => out[..bytes.len()].copy_from_slice(bytes),
        _ => return false,
    }
    black_box(out);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn no_operation_is_lost_between_threads() {
        let dunlin = Dunlin::new(1, 100, 8);
        let ops: Vec<Op> = (0..20_000).map(|n| Op::new(n % 100, n % 3 == 0)).collect();
        let reads = ops.iter().filter(|op| !op.is_write()).count() as u64;
        let run = || {
            let mut worker = DunlinWorker::new(&dunlin);
            let found: u64 = ops.chunks(16).map(|batch| worker.batch(batch)).sum();
            found + worker.finish()
        };
        let found: Vec<u64> = thread::scope(|scope| {
            let handles: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
            handles.into_iter().map(|h| h.join().unwrap_or(0)).collect()
        });
        assert_eq!(found, [reads; 3]);
        let stats = dunlin.keyspace.stats();
        assert_eq!(dunlin.keyspace.len(DB), 100);
        assert!(stats.jobs <= stats.role_busy, "{stats:?}");
    }
}
