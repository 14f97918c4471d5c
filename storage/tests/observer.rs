//! What an observer is told, against what has changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use dunlin_storage::value::hash::{Hash, Limits, Ttl};
use dunlin_storage::{
    Cause, Change, DbId, Guard, Handle, Job, Key, Keyspace, Kind, Millis, NewValue, Object,
    Options, Policy, ShardId, ShardSet, SlotSet, Touch, Value, Writer,
};

const DATABASES: u8 = 3;
const NAMES: u64 = 40;

/// One thing that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Changed(u8, Vec<u8>, Cause),
    Flushed(u8),
    /// With the names of `NAMES` that were in either database then.
    Swapped(u8, u8, Vec<(u8, Vec<u8>)>),
}

/// Keeps what it is told.
#[derive(Default)]
struct Log {
    told: Mutex<Vec<Told>>,
    keyspace: OnceLock<Arc<Keyspace>>,
    wants_removals: bool,
}

impl Log {
    fn keyspace(options: Options, wants_removals: bool) -> (Arc<Log>, Arc<Keyspace>) {
        let log = Arc::new(Log { wants_removals, ..Log::default() });
        let keyspace = Arc::new(Keyspace::observed(options, Arc::clone(&log) as _));
        assert!(log.keyspace.set(Arc::clone(&keyspace)).is_ok());
        (log, keyspace)
    }

    fn told(&self) -> MutexGuard<'_, Vec<Told>> {
        // Nobody else is ever here: whoever tells holds the role.
        self.told.try_lock().expect("told by two at once")
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.told())
    }
}

impl dunlin_storage::Observer for Log {
    fn changed(&self, change: &Change<'_>) {
        let keyspace = self.keyspace.get().expect("set before the first change");
        assert_eq!(change.key.hash, keyspace.key(change.key.bytes).hash);
        assert_eq!(change.shard, keyspace.shard_of(change.key.hash));
        self.told().push(Told::Changed(change.db.0, change.key.bytes.to_vec(), change.cause));
    }

    fn wants_removals(&self) -> bool {
        self.wants_removals
    }

    fn flushed(&self, db: DbId, _: &SlotSet) {
        self.told().push(Told::Flushed(db.0));
    }

    fn swapped(&self, a: DbId, b: DbId, is_there: &dyn Fn(DbId, &Key<'_>) -> bool) {
        let keyspace = self.keyspace.get().expect("set before the first change");
        let mut there = Vec::new();
        for db in [a, b] {
            for name in (0..NAMES).map(name) {
                if is_there(db, &keyspace.key(&name)) {
                    there.push((db.0, name));
                }
            }
        }
        self.told().push(Told::Swapped(a.0, b.0, there));
    }
}

fn name(number: u64) -> Vec<u8> {
    format!("name:{number}").into_bytes()
}

fn all<'k, 'g>(ks: &'k Keyspace, guard: &'g Guard) -> Writer<'k, 'g> {
    ks.try_enter(&ShardSet::all(ks), guard).expect("one thread")
}

fn observe_all(ks: &Keyspace, wanted: bool, guard: &Guard) {
    let mut writer = all(ks, guard);
    for shard in ShardSet::all(ks).iter() {
        writer.observe(shard, wanted);
    }
}

fn limits() -> Limits {
    Limits { listpack_entries: 4, ..Limits::new(7) }
}

/// What a key holds and when it expires, expired or not: a text that is the same as long as nothing
/// has changed.
type State = BTreeMap<(u8, Vec<u8>), (Millis, String)>;

fn state(ks: &Keyspace, guard: &Guard) -> State {
    let mut state = State::new();
    let writer = all(ks, guard);
    for db in 0..DATABASES {
        let mut cursor = 0;
        loop {
            cursor = ks.scan(DbId(db), cursor, usize::MAX, Millis::MIN, guard, &mut |entry| {
                let value = match entry.value() {
                    Value::Str(text) => format!("{} {:?}", text.len(), text.to_cow().first()),
                    Value::Packed(packed) => format!("{:?}", packed.as_bytes()),
                    _ => format!("{:?}", writer.object(&entry)),
                };
                let expiry = entry.expire_at().unwrap_or(Millis::MAX);
                state.insert((db, entry.key().to_vec()), (expiry, value));
            });
            if cursor == 0 {
                break;
            }
        }
    }
    state
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }
}

/// A keyspace that is changed at random.
struct History {
    log: Arc<Log>,
    ks: Arc<Keyspace>,
    handle: Handle,
    rng: Rng,
    now: Millis,
}

impl History {
    fn new(seed: u64) -> Self {
        let options = Options {
            shards: 2,
            databases: DATABASES,
            seed: Some([seed, 2, 3, 4]),
            policy: Policy::AllKeysLru,
            ..Options::default()
        };
        let (log, ks) = Log::keyspace(options, false);
        let handle = ks.handle();
        observe_all(&ks, true, &handle.pin());
        History { log, ks, handle, rng: Rng(seed), now: 1_000_000 }
    }

    /// Does something; what it was.
    fn step(&mut self) -> &'static str {
        let (ks, now) = (Arc::clone(&self.ks), self.now);
        let guard = self.handle.pin();
        let db = DbId(self.rng.below(DATABASES.into()) as u8);
        let other = DbId(self.rng.below(DATABASES.into()) as u8);
        let (name, to) = (name(self.rng.below(NAMES)), name(self.rng.below(NAMES)));
        let (key, to) = (ks.key(&name), ks.key(&to));
        let at = self.rng.below(3).eq(&0).then(|| now + self.rng.below(40) as i64);
        match self.rng.below(26) {
            0..4 => {
                let len = [3, 60, 40_000][self.rng.below(3) as usize];
                let value = vec![self.rng.next() as u8; len];
                all(&ks, &guard).put(db, &key, NewValue::Bytes(&value), at, now);
                "put"
            }
            4..10 => {
                self.change_hash(db, &key, &guard);
                "hash"
            }
            10..12 => {
                all(&ks, &guard).remove(db, &key, now);
                "remove"
            }
            12..15 => {
                if db != other || key.bytes != to.bytes {
                    all(&ks, &guard).rename((db, &key), (other, &to), now);
                }
                "rename"
            }
            15..17 => {
                all(&ks, &guard).set_expiry(db, &key, at, now);
                "set_expiry"
            }
            17..20 => {
                let most = 1 + self.rng.below(20) as usize;
                for shard in 0..ks.shards() {
                    ks.expire_slice(ShardId(shard as u16), now, most, &guard);
                }
                "expire"
            }
            20 => {
                ks.set_max_memory(ks.memory().used.saturating_sub(200).max(1));
                for shard in 0..ks.shards() {
                    ks.evict_slice(ShardId(shard as u16), 3, now, &guard);
                }
                "evict"
            }
            21 | 22 => {
                // Until now insertions had to evict too, now and then.
                ks.set_max_memory(0);
                "wait"
            }
            23 if self.rng.below(8) == 0 => {
                all(&ks, &guard).flush(db);
                "flush"
            }
            24 if self.rng.below(2) == 0 && db != other => {
                all(&ks, &guard).swap(db, other, now);
                "swap"
            }
            _ => {
                self.now += self.rng.below(20) as i64;
                "wait"
            }
        }
    }

    /// Changes a hash, or maybe does not.
    fn change_hash(&mut self, db: DbId, key: &Key<'_>, guard: &Guard) {
        let (ks, now) = (Arc::clone(&self.ks), self.now);
        let mut writer = all(&ks, guard);
        let kind = writer.get(db, key, now).map(|entry| entry.kind());
        if kind.is_some_and(|kind| kind != Kind::Hash) {
            return;
        }
        let what = self.rng.below(8);
        let count = 1 + self.rng.below(7);
        let until = now + self.rng.below(30) as i64;
        let change = |hash: &mut Hash| {
            for field in 0..count {
                let field = [b'f', field as u8];
                match what {
                    0..3 => drop(hash.set(&field, b"value", Ttl::At(until), now, &limits())),
                    3 => drop(hash.set(&field, b"value", Ttl::Keep, now, &limits())),
                    4 => drop(hash.set_expiry(&field, Some(until), now)),
                    5 => {}
                    _ => drop(hash.remove(&field, now)),
                }
            }
        };
        let changed = writer.update(db, key, now, |object| match object {
            Object::Hash(hash) => change(hash),
            _ => unreachable!("the kind was looked at"),
        });
        if changed.is_none() {
            let mut hash = Hash::new();
            change(&mut hash);
            if !hash.view().is_empty(now) {
                let value = NewValue::Object(Box::new(Object::Hash(hash)));
                writer.put(db, key, value, None, now);
            }
        }
    }
}

/// The end of a key.
fn is_end(cause: Cause) -> bool {
    !matches!(cause, Cause::Written | Cause::FieldsExpired { gone: false })
}

/// Whether one step may tell this of one key: nothing twice, and nothing but a write after its end.
/// One step has several changes if it writes over what had expired, or has to make room.
fn fits(causes: &[Cause]) -> bool {
    let follows = |pair: &[Cause]| pair[0] != pair[1] && (!is_end(pair[0]) || !is_end(pair[1]));
    causes.len() <= 3 && causes.windows(2).all(follows)
}

/// Compares what was told of a step with what it has changed.
fn check(what: &str, before: &State, after: &State, told: &[Told]) {
    let mut before = before.clone();
    let mut causes: BTreeMap<(u8, Vec<u8>), Vec<Cause>> = BTreeMap::new();
    for told in told {
        match told {
            Told::Changed(db, key, cause) => {
                causes.entry((*db, key.clone())).or_default().push(*cause);
            }
            Told::Flushed(flushed) => before.retain(|(db, _), _| db != flushed),
            Told::Swapped(a, b, _) => {
                let other = |db| {
                    if db == *a {
                        *b
                    } else if db == *b {
                        *a
                    } else {
                        db
                    }
                };
                before = before.into_iter().map(|((db, key), v)| ((other(db), key), v)).collect();
            }
        }
    }
    let keys: Vec<_> = before.keys().chain(after.keys()).chain(causes.keys()).cloned().collect();
    for key in keys {
        let (old, new) = (before.get(&key), after.get(&key));
        let told = causes.get(&key).map_or(&[][..], Vec::as_slice);
        assert!(told.is_empty() || fits(told), "{what}: {key:?} {told:?}");
        assert!(old == new || !told.is_empty(), "{what}: nothing was told of {key:?}");
        let Some(last) = told.last() else { continue };
        assert_eq!(is_end(*last), new.is_none(), "{what}: {key:?} {told:?}");
        let first_is_end = is_end(told[0]);
        assert!(!first_is_end || old.is_some(), "{what}: {key:?} was not there: {told:?}");
    }
}

#[test]
fn every_change_is_told_once() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 1..12 {
        let mut history = History::new(seed);
        let mut before = State::new();
        for _ in 0..6_000 {
            let what = history.step();
            let told = history.log.take();
            let after = state(&history.ks, &history.handle.pin());
            check(what, &before, &after, &told);
            for told in &told {
                let Told::Changed(_, _, cause) = told else { continue };
                *seen.entry(format!("{what} {cause:?}")).or_default() += 1;
            }
            before = after;
        }
    }
    // The histories were worth something: all of this has happened.
    for wanted in [
        "put Written",
        "put Expired",
        "put FieldsExpired { gone: true }",
        "put Evicted",
        "hash Written",
        "hash Removed",
        "remove Removed",
        "remove Expired",
        "remove FieldsExpired { gone: true }",
        "rename Removed",
        "rename Written",
        "rename Expired",
        "set_expiry Written",
        "expire Expired",
        "expire FieldsExpired { gone: false }",
        "expire FieldsExpired { gone: true }",
        "evict Evicted",
        "evict Expired",
    ] {
        assert!(seen.contains_key(wanted), "{wanted} never came: {seen:#?}");
    }
}

#[test]
fn flush_and_swap_are_told_as_such() {
    let (log, ks) = Log::keyspace(Options { shards: 4, databases: 3, ..Options::default() }, false);
    let handle = ks.handle();
    let guard = handle.pin();
    let mut writer = all(&ks, &guard);
    let (live, dead) = (name(1), name(2));
    writer.put(DbId(0), &ks.key(&live), NewValue::Bytes(b"v"), None, 10);
    writer.put(DbId(0), &ks.key(&dead), NewValue::Bytes(b"v"), Some(11), 10);
    assert_eq!(log.take(), []);
    writer.swap(DbId(0), DbId(2), 20);
    assert_eq!(log.take(), [Told::Swapped(0, 2, vec![(2, live)])]);
    writer.flush(DbId(2));
    assert_eq!(log.take(), [Told::Flushed(2)]);
}

#[test]
fn only_observed_shards_tell_but_of_removals_if_they_are_wanted() {
    for wants_removals in [false, true] {
        let options = Options { shards: 2, databases: 2, ..Options::default() };
        let (log, ks) = Log::keyspace(options, wants_removals);
        let handle = ks.handle();
        let guard = handle.pin();
        let of = |shard: u16| {
            let mut names = (0..NAMES).map(name);
            names.find(|name| ks.shard_of(ks.key(name).hash).0 == shard).expect("one of forty")
        };
        let names = [of(0), of(1)];
        all(&ks, &guard).observe(ShardId(1), true);
        for name in &names {
            let (mut writer, key) = (all(&ks, &guard), ks.key(name));
            writer.put(DbId(1), &key, NewValue::Bytes(b"v"), Some(1), 0);
            writer.put(DbId(1), &key, NewValue::Bytes(b"v"), None, 2);
        }
        let told = |shard: usize, cause| Told::Changed(1, names[shard].clone(), cause);
        let of_the_other = wants_removals.then(|| told(0, Cause::Expired));
        let own = [Cause::Written, Cause::Expired, Cause::Written].map(|cause| told(1, cause));
        let wanted: Vec<Told> = of_the_other.into_iter().chain(own).collect();
        assert_eq!(log.take(), wanted);
        all(&ks, &guard).observe(ShardId(1), false);
        all(&ks, &guard).remove(DbId(1), &ks.key(&names[1]), 2);
        assert_eq!(log.take(), []);
    }
}

/// Adds one to a number under a key.
struct Add {
    ks: Arc<Keyspace>,
    name: Vec<u8>,
}

impl Job for Add {
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'g, 'g>, _guard: &'g Guard) {
        let key = self.ks.key(&self.name);
        let old = writer.get(DbId(0), &key, 0).map_or(0, |entry| number(&entry.value()));
        writer.put(DbId(0), &key, NewValue::Bytes(&(old + 1).to_le_bytes()), None, 0);
    }
}

fn number(value: &Value<'_>) -> u64 {
    let Value::Str(text) = value else { panic!("a string") };
    u64::from_le_bytes(text.to_cow()[..8].try_into().expect("eight bytes"))
}

/// Reads each key as it is told, and keeps the numbers.
#[derive(Default)]
struct Reader {
    keyspace: OnceLock<Arc<Keyspace>>,
    /// By shard; nobody else is ever there.
    seen: Vec<Mutex<BTreeMap<Vec<u8>, Vec<u64>>>>,
}

impl dunlin_storage::Observer for Reader {
    fn changed(&self, change: &Change<'_>) {
        let keyspace = self.keyspace.get().expect("set before the first change");
        let handle = keyspace.handle();
        let guard = handle.pin();
        let entry = keyspace.get(change.db, &change.key, 0, Touch::No, &guard);
        let value = number(&entry.expect("it was just written").value());
        let seen = &self.seen[usize::from(change.shard.0)];
        let mut seen = seen.try_lock().expect("told without the role");
        seen.entry(change.key.bytes.to_vec()).or_default().push(value);
    }

    fn wants_removals(&self) -> bool {
        false
    }

    fn flushed(&self, _: DbId, _: &SlotSet) {}

    fn swapped(&self, _: DbId, _: DbId, _: &dyn Fn(DbId, &Key<'_>) -> bool) {}
}

#[test]
fn threads_tell_of_a_key_in_the_order_of_its_changes() {
    const SHARDS: usize = 2;
    const THREADS: u64 = 3;
    let each = if cfg!(miri) { 30 } else { 3_000 };
    let seen = (0..SHARDS).map(|_| Mutex::default()).collect();
    let reader = Arc::new(Reader { seen, ..Reader::default() });
    let options = Options { shards: SHARDS, ..Options::default() };
    let ks = Arc::new(Keyspace::observed(options, Arc::clone(&reader) as _));
    assert!(reader.keyspace.set(Arc::clone(&ks)).is_ok());
    observe_all(&ks, true, &ks.handle().pin());
    let names = 8;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ks = Arc::clone(&ks);
            scope.spawn(move || {
                let handle = ks.handle();
                for i in 0..each {
                    let name = name((i + thread) % names);
                    let shards = ShardSet::one(ks.shard_of(ks.key(&name).hash));
                    let guard = handle.pin();
                    ks.submit(shards, Box::new(Add { ks: Arc::clone(&ks), name }), &guard);
                    for shard in ks.take_leftovers().collect::<Vec<_>>() {
                        while ks.drain(shard, &guard) {}
                    }
                }
            });
        }
    });
    for shard in ShardSet::all(&ks).iter() {
        while ks.drain(shard, &ks.handle().pin()) {}
    }
    let mut told = 0;
    for shard in &reader.seen {
        for numbers in shard.lock().expect("no thread has panicked").values() {
            let wanted: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(*numbers, wanted);
            told += numbers.len() as u64;
        }
    }
    assert_eq!(told, THREADS * each);
}
