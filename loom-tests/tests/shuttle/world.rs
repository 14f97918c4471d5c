//! What tasks share, what they do, and what must be so when they have ended.
//!
//! Every key that tasks work on has a history, which must be explained by some order ([`history`]).
//! At the end the counts and the memory must be those of a walk through what is left; after a flush
//! nothing may be, and when all is dropped no block may be in use (see `explore`).

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dunlin_storage::{
    DbId, Entry, Guard, Handle, Job, Keyspace, Millis, NewValue, Options, Policy, ShardId,
    ShardSet, Touch, Value, Writer, steps,
};
use shuttle::rand::{Rng, thread_rng};

use crate::history::{Event, Item, NEVER, Op, assert_linear};

/// The only database.
pub(crate) const DB: DbId = DbId(0);

/// A keyspace, and what was told of it.
pub(crate) struct World {
    pub(crate) keyspace: Keyspace,
    /// What time the keys are told.
    clock: AtomicI64,
    ticks: AtomicU64,
    /// Works under roles that have begun, and are not done.
    unfinished: AtomicU64,
    stories: Mutex<BTreeMap<Vec<u8>, Story>>,
}

#[derive(Default)]
struct Story {
    first: Item,
    events: Vec<Event>,
}

/// Somebody who works on the keyspace.
pub(crate) struct Task {
    pub(crate) world: Arc<World>,
    pub(crate) handle: Handle,
}

/// What a task does.
pub(crate) type Program = Box<dyn FnOnce(&Task) + Send>;

/// A task's program.
pub(crate) fn program(work: impl FnOnce(&Task) + Send + 'static) -> Program {
    Box::new(work)
}

/// A job made of a closure.
struct Run<F>(F);

impl<F: FnOnce(&mut Writer<'_, '_>) + Send> Job for Run<F> {
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'g, 'g>, _guard: &'g Guard) {
        (self.0)(writer);
    }
}

/// A number from 0 on, drawn anew for every schedule.
pub(crate) fn below(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

/// Numbers from here on have values of eight to a page.
pub(crate) const LARGE: u64 = 1_000_000;

/// The value that stands for a number under a key: of several sizes, and telling of both.
pub(crate) fn value_of(key: &[u8], number: u64) -> Vec<u8> {
    let mut value = [key, format!("={number}").as_bytes()].concat();
    let more = if number < LARGE { number % 5 * 11 } else { 7900 };
    value.resize(value.len() + more as usize, b'.');
    value
}

/// The number that an entry holds, which must be whole.
pub(crate) fn number_in(entry: &Entry<'_>) -> u64 {
    let Value::Str(text) = entry.value() else { unreachable!("models store strings") };
    let text = text.to_cow();
    let mut parts = text.splitn(2, |&byte| byte == b'=');
    let (key, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let digits: Vec<u8> = rest.iter().copied().take_while(u8::is_ascii_digit).collect();
    let number = String::from_utf8_lossy(&digits).parse().expect("a value has a number");
    assert_eq!(key, entry.key(), "a value of another key");
    assert_eq!(*text, value_of(key, number), "a value in parts");
    number
}

impl World {
    pub(crate) fn new(shards: usize, max_memory: u64, policy: Policy) -> Arc<Self> {
        let seed = Some([1, 2, 3, 4]);
        let options =
            Options { shards, databases: 1, max_memory, policy, seed, ..Options::default() };
        Arc::new(Self {
            keyspace: Keyspace::new(options),
            clock: AtomicI64::new(0),
            ticks: AtomicU64::new(0),
            unfinished: AtomicU64::new(0),
            stories: Mutex::default(),
        })
    }

    /// One that takes all.
    pub(crate) fn plain(shards: usize) -> Arc<Self> {
        Self::new(shards, 0, Policy::default())
    }

    /// So many keys that are there before the tasks begin; each holds its place among them.
    pub(crate) fn fill(self: &Arc<Self>, count: usize) -> Vec<Vec<u8>> {
        let keys: Vec<Vec<u8>> = (0..count).map(|i| format!("resident{i}").into_bytes()).collect();
        let first = self.task();
        keys.iter().zip(0..).for_each(|(key, number)| first.put(key, number));
        keys
    }

    /// Some of the keys that are there before the tasks begin, by their places, get histories.
    pub(crate) fn watch(
        &self,
        residents: &[Vec<u8>],
        places: impl IntoIterator<Item = usize>,
    ) -> Vec<Vec<u8>> {
        let watched = |place: usize| {
            self.starts_with(&residents[place], place as u64);
            residents[place].clone()
        };
        places.into_iter().map(watched).collect()
    }

    /// The places of the residents of some home that has spilled, in a table of so many groups.
    pub(crate) fn crowd(&self, residents: &[Vec<u8>], groups: usize) -> Vec<usize> {
        let homes = groups * steps::HOMES;
        let mut crowds = vec![Vec::new(); homes];
        for (place, key) in residents.iter().enumerate() {
            crowds[steps::home(&self.keyspace, key, homes)].push(place);
        }
        crowds.retain(|places| places.len() > steps::SLOTS);
        crowds.swap_remove(below(crowds.len()))
    }

    /// A key has a history, which begins with this number.
    pub(crate) fn starts_with(&self, key: &[u8], number: u64) {
        let story = Story { first: Some((number, NEVER)), events: Vec::new() };
        self.stories().insert(key.to_vec(), story);
    }

    /// The calling thread as a task.
    pub(crate) fn task(self: &Arc<Self>) -> Task {
        Task { world: Arc::clone(self), handle: self.keyspace.handle() }
    }

    /// Lets tasks do this beside each other, and judges what comes of it.
    pub(crate) fn run(self: Arc<Self>, programs: Vec<Program>) {
        self.run_and(programs, |_| {});
    }

    /// The same, with something of its own to be judged first.
    pub(crate) fn run_and(self: Arc<Self>, programs: Vec<Program>, judge: impl FnOnce(&Task)) {
        steps::open();
        let start = |program: Program| {
            let world = Arc::clone(&self);
            shuttle::thread::spawn(move || program(&world.task()))
        };
        let tasks: Vec<_> = programs.into_iter().map(start).collect();
        tasks.into_iter().for_each(|task| task.join().expect("a task has panicked"));
        steps::close();
        let last = self.task();
        last.help();
        judge(&last);
        last.judge();
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn pass(&self, time: Millis) {
        self.clock.fetch_add(time, Ordering::Relaxed);
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    /// A beginning: the tick, and the time of the keys.
    fn begin(&self) -> (u64, Millis) {
        (self.tick(), self.now())
    }

    fn tell(&self, key: &[u8], (start, since): (u64, Millis), op: Op) {
        let event = Event { start, end: self.tick(), now: (since, self.now()), op };
        self.stories().entry(key.to_vec()).or_default().events.push(event);
    }

    fn stories(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Story>> {
        self.stories.lock().expect("nobody panics with it")
    }

    /// Stores a number as part of a write.
    pub(crate) fn put(&self, writer: &mut Writer<'_, '_>, key: &[u8], number: u64) {
        let value = value_of(key, number);
        writer.put(DB, &self.keyspace.key(key), NewValue::Bytes(&value), None, 0);
    }

    pub(crate) fn shard(&self, key: &[u8]) -> ShardId {
        self.keyspace.shard_of(self.keyspace.key(key).hash)
    }
}

impl Task {
    /// Reads a key, looks at what it has got once more after a while, and tells.
    pub(crate) fn get(&self, key: &[u8], touch: Touch) {
        let (begun, guard) = (self.world.begin(), self.handle.pin());
        let keyspace = &self.world.keyspace;
        let entry = keyspace.get(DB, &keyspace.key(key), begun.1, touch, &guard);
        let number = entry.as_ref().map(number_in);
        self.world.tell(key, begun, Op::Get(number));
        if let Some(entry) = entry {
            let _ = keyspace.get(DB, &keyspace.key(key), begun.1, touch, &guard);
            assert_eq!(Some(number_in(&entry)), number, "an entry has changed under its guard");
        }
    }

    /// The number of a key.
    pub(crate) fn number(&self, key: &[u8]) -> Option<u64> {
        let (keyspace, guard) = (&self.world.keyspace, self.handle.pin());
        keyspace.get(DB, &keyspace.key(key), 0, Touch::No, &guard).as_ref().map(number_in)
    }

    /// Stores a number.
    pub(crate) fn set(&self, key: &[u8], number: u64, until: Option<Millis>) {
        let (key, begun) = (key.to_vec(), self.world.begin());
        let world = Arc::clone(&self.world);
        self.write(ShardSet::one(self.world.shard(&key)), move |writer| {
            let (name, value) = (world.keyspace.key(&key), value_of(&key, number));
            writer.put(DB, &name, NewValue::Bytes(&value), until, begun.1);
            world.tell(&key, begun, Op::Set(number, until.unwrap_or(NEVER)));
        });
    }

    /// Stores a number under a key that has no history.
    pub(crate) fn put(&self, key: &[u8], number: u64) {
        let (key, world) = (key.to_vec(), Arc::clone(&self.world));
        self.write(ShardSet::one(self.world.shard(&key)), move |writer| {
            world.put(writer, &key, number);
        });
    }

    /// Removes a key that has no history.
    pub(crate) fn take(&self, key: &[u8]) {
        let (key, world) = (key.to_vec(), Arc::clone(&self.world));
        self.write(ShardSet::one(self.world.shard(&key)), move |writer| {
            writer.remove(DB, &world.keyspace.key(&key), 0);
        });
    }

    /// Adds one to a number.
    pub(crate) fn add(&self, key: &[u8]) {
        let (key, begun) = (key.to_vec(), self.world.begin());
        let world = Arc::clone(&self.world);
        self.write(ShardSet::one(self.world.shard(&key)), move |writer| {
            // Time may have passed in the queue.
            let (name, now) = (world.keyspace.key(&key), world.now());
            let old = writer.get(DB, &name, now);
            let (sum, until) = old.map_or((1, None), |old| (number_in(&old) + 1, old.expire_at()));
            writer.put(DB, &name, NewValue::Bytes(&value_of(&key, sum)), until, now);
            world.tell(&key, begun, Op::Add(sum));
        });
    }

    /// Removes a key.
    pub(crate) fn remove(&self, key: &[u8]) {
        let (key, begun) = (key.to_vec(), self.world.begin());
        let world = Arc::clone(&self.world);
        self.write(ShardSet::one(self.world.shard(&key)), move |writer| {
            let was_there = writer.remove(DB, &world.keyspace.key(&key), world.now());
            world.tell(&key, begun, Op::Remove(was_there));
        });
    }

    /// Removes all of these keys, and everything else.
    pub(crate) fn flush(&self, keys: &[Vec<u8>]) {
        let (keys, begun) = (keys.to_vec(), self.world.begin());
        let world = Arc::clone(&self.world);
        self.write(ShardSet::all(&self.world.keyspace), move |writer| {
            writer.flush(DB);
            keys.iter().for_each(|key| world.tell(key, begun, Op::Clear));
        });
    }

    /// Works under roles, here or wherever they are held: as a writer if they are free, or as a job.
    pub(crate) fn write(
        &self,
        shards: ShardSet,
        work: impl FnOnce(&mut Writer<'_, '_>) + Send + 'static,
    ) {
        let (keyspace, guard) = (&self.world.keyspace, self.handle.pin());
        self.world.unfinished.fetch_add(1, Ordering::Relaxed);
        let world = Arc::clone(&self.world);
        let work = move |writer: &mut Writer<'_, '_>| {
            work(writer);
            world.unfinished.fetch_sub(1, Ordering::Relaxed);
        };
        if below(2) == 0
            && let Some(mut writer) = keyspace.try_enter(&shards, &guard)
        {
            return work(&mut writer);
        }
        keyspace.submit(shards, Box::new(Run(work)), &guard);
    }

    /// Does one of these to one of the keys.
    pub(crate) fn do_something(&self, keys: &[Vec<u8>], number: u64) {
        let key = &keys[below(keys.len())];
        match below(10) {
            0..3 => self.get(key, Touch::Yes),
            3..5 => self.set(key, number, None),
            5..7 => self.add(key),
            7 | 8 => self.remove(key),
            _ => self.rest(),
        }
    }

    /// What a worker does that has nothing to do: often enough for the epoch to advance.
    pub(crate) fn rest(&self) {
        for _ in 0..3 {
            self.world.keyspace.flush_limbo(&self.handle.pin());
        }
        self.world.keyspace.free_slice(4);
    }

    /// Visits all keys, so many buckets at a time.
    pub(crate) fn scan(&self, buckets: usize, visit: &mut dyn FnMut(Entry<'_>)) {
        let mut cursor = 0;
        loop {
            let guard = self.handle.pin();
            cursor = self.world.keyspace.scan_all(DB, cursor, buckets, &guard, visit);
            if cursor == 0 {
                return;
            }
        }
    }

    /// Works off jobs left behind until there are none.
    fn help(&self) {
        let keyspace = &self.world.keyspace;
        loop {
            let left: Vec<ShardId> = keyspace.take_leftovers().collect();
            if left.is_empty() {
                return;
            }
            let guard = self.handle.pin();
            left.into_iter().for_each(|shard| while keyspace.drain(shard, &guard) {});
        }
    }

    /// What must be so when nobody else is there.
    fn judge(&self) {
        let keyspace = &self.world.keyspace;
        assert_eq!(self.world.unfinished.load(Ordering::Relaxed), 0, "work was left behind");
        let keys: Vec<Vec<u8>> = self.world.stories().keys().cloned().collect();
        keys.iter().for_each(|key| self.get(key, Touch::No));
        for (key, story) in self.world.stories().iter() {
            assert_linear(&String::from_utf8_lossy(key), story.first, &story.events);
        }
        let (mut seen, mut bytes) = (HashSet::new(), 0);
        self.scan(8, &mut |entry| {
            assert!(seen.insert(entry.key().to_vec()), "one key twice");
            number_in(&entry);
            bytes += (entry.memory_usage() - steps::SLOT_SHARE) as u64;
        });
        let memory = keyspace.memory();
        assert_eq!((keyspace.len(DB), memory.entries), (seen.len() as u64, bytes), "miscounted");
        assert_eq!(memory.used, memory.entries + memory.tables + memory.eviction, "{memory:?}");
        self.judge_empty();
    }

    fn judge_empty(&self) {
        let keyspace = &self.world.keyspace;
        {
            let guard = self.handle.pin();
            let mut writer =
                keyspace.try_enter(&ShardSet::all(keyspace), &guard).expect("all roles are free");
            writer.flush(DB);
        }
        for _ in 0..8 {
            keyspace.flush_limbo(&self.handle.pin());
            while keyspace.free_slice(100) {}
        }
        let memory = keyspace.memory();
        assert_eq!((keyspace.len(DB), memory.entries, memory.tables), (0, 0, 0), "{memory:?}");
        assert_eq!((memory.used, memory.limbo), (memory.eviction, 0), "{memory:?}");
    }
}
