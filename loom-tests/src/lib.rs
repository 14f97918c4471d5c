//! Loom models of the concurrency protocols of `dunlin-storage`; empty without `--cfg loom`.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom --cfg crossbeam_loom" LOOM_MAX_PREEMPTIONS=2 \
//!     cargo test -p loom-tests --profile loom --target-dir target/loom
//! ```
//!
//! The models run the real engine (buckets of two slots, groups of two homes, batches of one, see
//! `cfg!(loom)` in `storage/src`) with the real epoch. What the checker watches: every atomic; the
//! role-protected state (two threads in it at once = a race); and a mark in every bucket and entry
//! (`Alive`), which reports a read that is not ordered before its freeing, or comes after it. At the
//! end of every execution nothing may be left.

#![cfg(loom)]

use std::ops::Deref;
use std::sync::Arc;

use dunlin_storage::{
    DbId, Entry, Guard, Handle, Job, Keyspace, Millis, Miss, NewValue, Options, Policy, ShardId,
    ShardSet, Str, Touch, Value, Writer, model,
};

/// The database of the models.
pub const DB: DbId = DbId(0);

/// A keyspace that threads share.
#[derive(Clone)]
pub struct Shared(Arc<Keyspace>);

impl Deref for Shared {
    type Target = Keyspace;
    fn deref(&self) -> &Keyspace {
        &self.0
    }
}

/// Steps of one execution at most. The checker counts them in 16 bits per thread and does not notice when
/// these are over: a thread that waits in a loop for another one without
/// [yielding](loom::thread::yield_now) would then be told of races that there are not.
const MOST_BRANCHES: usize = 60_000;

/// Explores all interleavings of `body` with up to two involuntary switches (or what
/// `LOOM_MAX_PREEMPTIONS` says).
pub fn explore(body: impl Fn() + Send + Sync + 'static) {
    explore_some(usize::MAX, body);
}

/// Explores that many executions at most: three threads explode where two do not.
pub fn explore_some(most: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.max_permutations = Some(most);
    builder.checkpoint_interval = 1000;
    builder.max_branches = MOST_BRANCHES;
    let executions = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    let start = std::time::Instant::now();
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model::begin();
        body();
        assert_eq!(model::live(), 0, "entries or buckets were left over");
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    println!("{executions} executions in {:?}", start.elapsed());
    assert!(executions > 1, "nothing was interleaved");
}

impl Shared {
    /// An empty keyspace with one database.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self::remembering(shards, 0)
    }

    /// The same, with so many bytes for what was removed.
    #[must_use]
    pub fn remembering(shards: usize, miss_memory: u64) -> Self {
        let seed = Some([1, 2, 3, 4]);
        let policy = Policy::AllKeysLru;
        Self(Arc::new(Keyspace::new(Options {
            shards,
            databases: 1,
            max_memory: 0,
            miss_memory,
            policy,
            seed,
            ..Options::default()
        })))
    }

    /// Runs `work` on another thread, which has a handle of its own.
    pub fn spawn(
        &self,
        work: impl FnOnce(&Shared, &Handle) + 'static,
    ) -> loom::thread::JoinHandle<()> {
        let shared = self.clone();
        loom::thread::spawn(move || {
            let handle = shared.handle();
            work(&shared, &handle);
        })
    }

    /// Stores under the role, which must be free.
    pub fn put(&self, guard: &Guard, key: &[u8], value: &[u8]) {
        self.put_until(guard, key, value, None);
    }

    /// Stores with an expiry.
    pub fn put_until(&self, guard: &Guard, key: &[u8], value: &[u8], at: Option<Millis>) {
        let key = self.key(key);
        let mut writer = self.enter(guard, self.shard_of(key.hash));
        writer.put(DB, &key, NewValue::Bytes(value), at, 0);
    }

    /// Removes under the role, which must be free.
    pub fn remove(&self, guard: &Guard, key: &[u8]) -> bool {
        let key = self.key(key);
        self.enter(guard, self.shard_of(key.hash)).remove(DB, &key, 0)
    }

    /// The role of one shard, which must be free.
    pub fn enter<'g>(&self, guard: &'g Guard, shard: ShardId) -> Writer<'_, 'g> {
        self.try_enter(&ShardSet::one(shard), guard).expect("the role is free")
    }

    /// Reads a value.
    #[must_use]
    pub fn read<'g>(&self, guard: &'g Guard, key: &[u8]) -> Option<&'g [u8]> {
        self.read_at(guard, key, 0)
    }

    /// Reads a value at a time.
    #[must_use]
    pub fn read_at<'g>(&self, guard: &'g Guard, key: &[u8], now: Millis) -> Option<&'g [u8]> {
        Some(self.value(self.get(DB, &self.key(key), now, Touch::No, guard)?))
    }

    /// Finds an entry, to read it later.
    #[must_use]
    pub fn entry<'g>(&self, guard: &'g Guard, key: &[u8]) -> Option<Entry<'g>> {
        self.get(DB, &self.key(key), 0, Touch::No, guard)
    }

    /// Finds an entry and marks it as used, which changes its slot word.
    #[must_use]
    pub fn touch<'g>(&self, guard: &'g Guard, key: &[u8]) -> Option<Entry<'g>> {
        self.get(DB, &self.key(key), 0, Touch::Yes, guard)
    }

    /// The value of an entry.
    #[must_use]
    pub fn value<'g>(&self, entry: Entry<'g>) -> &'g [u8] {
        let Value::Str(Str::Inline { bytes, .. }) = entry.value() else {
            unreachable!("models store small strings")
        };
        bytes
    }

    /// The first `count` keys of a shard whose home in a table of so many homes is `home`.
    #[must_use]
    pub fn keys(&self, shard: u16, home: usize, homes: usize, count: usize) -> Vec<Vec<u8>> {
        let fits = |key: &Vec<u8>| {
            let hash = self.key(key).hash;
            self.shard_of(hash) == ShardId(shard) && model::home(self, hash, homes) == home
        };
        (0..).map(|i: u32| format!("k{i}").into_bytes()).filter(fits).take(count).collect()
    }

    /// Why a key is not there.
    #[must_use]
    pub fn why(&self, guard: &Guard, key: &[u8]) -> Miss {
        self.why_missing(DB, &self.key(key), 0, false, guard)
    }

    /// Frees in slices what waits for it. While another thread does, this one waits.
    pub fn free_all(&self) {
        while self.free_slice(1) {
            loom::thread::yield_now();
        }
    }

    /// Works off jobs left behind until there are none.
    pub fn help(&self, guard: &Guard) {
        loop {
            let left: Vec<ShardId> = self.take_leftovers().collect();
            if left.is_empty() {
                return;
            }
            for shard in left {
                while self.drain(shard, guard) {}
            }
        }
    }
}

/// A job made of a closure.
pub struct Run<F>(pub F);

impl<F: FnOnce(&mut Writer<'_, '_>) + Send> Job for Run<F> {
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'g, 'g>, _guard: &'g Guard) {
        (self.0)(writer);
    }
}
