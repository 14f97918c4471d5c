//! Fields of hashes that expire, through the keyspace: what the expiry walk removes.
//!
//! Random histories against standard maps, with the time passed in, small and large hashes, keys
//! that expire themselves, and tables that grow and shrink in between.

use std::collections::BTreeMap;

use dunlin_storage::value::hash::{Hash, HashRef, Limits, Ttl};
use dunlin_storage::{
    DbId, Guard, Keyspace, Kind, Millis, NewValue, Object, Options, Policy, ShardId, ShardSet,
    Touch, Value, Writer,
};

const DB: DbId = DbId(3);
/// Names of hashes in the histories.
const NAMES: u64 = 24;

fn keyspace(shards: usize) -> Keyspace {
    Keyspace::new(Options { shards, seed: Some([1, 2, 3, 4]), ..Options::default() })
}

fn enter<'k, 'g>(ks: &'k Keyspace, guard: &'g Guard) -> Writer<'k, 'g> {
    ks.try_enter(&ShardSet::all(ks), guard).expect("one thread")
}

/// Small hashes have up to eight fields.
fn limits() -> Limits {
    Limits { listpack_entries: 8, ..Limits::new(7) }
}

/// Changes the hash at a key, or a new one; whether it was there.
fn edit(
    ks: &Keyspace,
    writer: &mut Writer<'_, '_>,
    name: &[u8],
    now: Millis,
    change: impl Fn(&mut Hash),
) -> bool {
    let key = ks.key(name);
    let there = writer.update(DB, &key, now, |object| {
        let Object::Hash(hash) = object else { panic!("a hash") };
        change(hash);
    });
    if there.is_none() {
        let mut hash = Hash::new();
        change(&mut hash);
        if !hash.view().is_empty(now) {
            writer.put(DB, &key, NewValue::Object(Box::new(Object::Hash(hash))), None, now);
        }
    }
    there.is_some()
}

/// Runs the walk in steps of `most` until nothing is due; how much it removed.
fn expire(ks: &Keyspace, now: Millis, most: usize, guard: &Guard) -> usize {
    let mut removed = 0;
    for shard in 0..ks.shards() {
        loop {
            let report = ks.expire_slice(ShardId(shard as u16), now, most, guard);
            removed += report.removed;
            if !report.more {
                break;
            }
        }
    }
    removed
}

/// Frees everything that is waiting to be freed.
fn settle(ks: &Keyspace) {
    let handle = ks.handle();
    for _ in 0..1000 {
        ks.flush_limbo(&handle.pin());
        while ks.free_slice(100) {}
    }
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A hash of the model: its own expiry, and its fields with theirs.
#[derive(Clone, Default)]
struct Model {
    at: Option<Millis>,
    fields: BTreeMap<Vec<u8>, Option<Millis>>,
}

struct History {
    ks: Keyspace,
    rng: Rng,
    now: Millis,
    model: BTreeMap<Vec<u8>, Model>,
    fillers: u64,
}

impl History {
    fn name(&mut self) -> Vec<u8> {
        format!("hash:{}", self.rng.below(NAMES)).into_bytes()
    }

    fn step(&mut self, guard: &Guard) {
        match self.rng.below(100) {
            0..50 => self.set(guard),
            50..65 => self.set_field_expiry(guard),
            65..72 => self.remove_field(guard),
            72..75 => self.set_key_expiry(guard),
            75..78 => self.rename(guard),
            78..90 => self.fill(guard),
            90 => self.empty(guard),
            _ => self.now += self.rng.below(200) as Millis,
        }
        self.forget();
    }

    /// Drops what is over from the model.
    fn forget(&mut self) {
        let now = self.now;
        for hash in self.model.values_mut() {
            hash.fields.retain(|_, at| at.is_none_or(|at| at >= now));
        }
        self.model.retain(|_, hash| !hash.fields.is_empty() && hash.at.is_none_or(|at| at >= now));
    }

    fn field(&mut self) -> Vec<u8> {
        format!("f{}", self.rng.below(20)).into_bytes()
    }

    fn at(&mut self) -> Millis {
        self.now + self.rng.below(3000) as Millis
    }

    fn set(&mut self, guard: &Guard) {
        let (name, field, at, now) = (self.name(), self.field(), self.at(), self.now);
        let ttl = if self.rng.below(4) == 0 { None } else { Some(at) };
        let mut writer = enter(&self.ks, guard);
        let there = edit(&self.ks, &mut writer, &name, now, |hash| {
            hash.set(&field, b"value", ttl.map_or(Ttl::Clear, Ttl::At), now, &limits());
        });
        // A large hash that is over may still be there; a small one may not.
        assert!(there || !self.model.contains_key(&name));
        if !self.model.contains_key(&name)
            && let Some(entry) = writer.get(DB, &self.ks.key(&name), now)
        {
            // Then the key has kept the expiry of the hash that was over.
            self.model.insert(name.clone(), Model { at: entry.expire_at(), ..Model::default() });
        }
        self.model.entry(name).or_default().fields.insert(field, ttl);
    }

    fn set_field_expiry(&mut self, guard: &Guard) {
        let (name, field, at, now) = (self.name(), self.field(), self.at(), self.now);
        let at = (self.rng.below(3) > 0).then_some(at);
        let Some(hash) = self.model.get_mut(&name) else { return };
        if let Some(old) = hash.fields.get_mut(&field) {
            *old = at;
        }
        let mut writer = enter(&self.ks, guard);
        edit(&self.ks, &mut writer, &name, now, |hash| {
            hash.set_expiry(&field, at, now);
        });
    }

    fn remove_field(&mut self, guard: &Guard) {
        let (name, field, now) = (self.name(), self.field(), self.now);
        if let Some(hash) = self.model.get_mut(&name) {
            hash.fields.remove(&field);
            let mut writer = enter(&self.ks, guard);
            edit(&self.ks, &mut writer, &name, now, |hash| {
                hash.remove(&field, now);
            });
        }
    }

    fn set_key_expiry(&mut self, guard: &Guard) {
        let (name, at, now) = (self.name(), self.at(), self.now);
        let at = (self.rng.below(2) == 0).then_some(at);
        if let Some(hash) = self.model.get_mut(&name) {
            hash.at = at;
            assert!(enter(&self.ks, guard).set_expiry(DB, &self.ks.key(&name), at, now));
        }
    }

    fn rename(&mut self, guard: &Guard) {
        let (from, to) = (self.name(), self.name());
        if from != to
            && let Some(hash) = self.model.remove(&from)
        {
            self.model.insert(to.clone(), hash);
            let (from, to) = (self.ks.key(&from), self.ks.key(&to));
            assert!(enter(&self.ks, guard).rename((DB, &from), (DB, &to), self.now));
        }
    }

    /// Other keys, for the tables to grow.
    fn fill(&mut self, guard: &Guard) {
        let mut writer = enter(&self.ks, guard);
        for _ in 0..self.rng.below(40) {
            let name = format!("filler:{}", self.fillers);
            writer.put(DB, &self.ks.key(name.as_bytes()), NewValue::Bytes(b"x"), None, self.now);
            self.fillers += 1;
        }
    }

    fn empty(&mut self, guard: &Guard) {
        let mut writer = enter(&self.ks, guard);
        for filler in 0..self.fillers {
            let name = format!("filler:{filler}");
            assert!(writer.remove(DB, &self.ks.key(name.as_bytes()), self.now));
        }
        self.fillers = 0;
    }

    /// After the walk: exactly what the model has is there, and no expired field.
    fn check(&self, guard: &Guard) -> (u64, u64) {
        let (mut small, mut large) = (0, 0);
        assert_eq!(self.ks.len(DB), self.model.len() as u64 + self.fillers);
        let writer = enter(&self.ks, guard);
        for (name, wanted) in &self.model {
            let entry = writer.get(DB, &self.ks.key(name), self.now).expect("in the model");
            assert_eq!(entry.expire_at(), wanted.at);
            let hash: HashRef<'_> = match entry.value() {
                Value::Packed(packed) => packed.hash().expect("a hash"),
                _ => writer.object(&entry).and_then(Object::as_hash).expect("a hash").view(),
            };
            if matches!(hash, HashRef::Table(_)) {
                large += 1;
            } else {
                small += 1;
            }
            let fields: BTreeMap<Vec<u8>, Option<Millis>> =
                hash.iter(Millis::MIN).map(|pair| (pair.field.to_vec(), pair.expire_at)).collect();
            assert_eq!(fields, wanted.fields);
        }
        let with_expiry = self.model.values().filter(|hash| hash.at.is_some()).count();
        assert_eq!(self.ks.expires(DB), with_expiry as u64);
        (small, large)
    }
}

#[test]
fn the_walk_leaves_what_the_model_has() {
    let (mut small, mut large) = (0, 0);
    for seed in 1..=8 {
        let mut history = History {
            ks: keyspace(2),
            rng: Rng(seed * 0x9e37_79b9),
            now: 1_700_000_000_000,
            model: BTreeMap::new(),
            fillers: 0,
        };
        let handle = history.ks.handle();
        for step in 0..6000 {
            let guard = handle.pin();
            history.step(&guard);
            if step % 25 == 0 {
                let most = 1 + history.rng.below(20) as usize;
                expire(&history.ks, history.now, most, &guard);
                let seen = history.check(&guard);
                small += seen.0;
                large += seen.1;
            }
        }
        let guard = handle.pin();
        history.empty(&guard);
        for name in history.model.keys() {
            let key = history.ks.key(name);
            assert!(enter(&history.ks, &guard).remove(DB, &key, history.now));
        }
        expire(&history.ks, history.now, usize::MAX, &guard);
        assert_eq!(history.ks.len(DB), 0);
        drop(guard);
        settle(&history.ks);
        let memory = history.ks.memory();
        assert_eq!((memory.entries, memory.limbo), (0, 0), "{memory:?}");
    }
    assert!(small > 1000 && large > 1000, "{small} small, {large} large");
}

/// A hash of `count` fields of which each expires a millisecond after the one before.
fn staggered(ks: &Keyspace, guard: &Guard, name: &[u8], count: usize) {
    let mut writer = enter(ks, guard);
    for n in 0..count {
        edit(ks, &mut writer, name, 0, |hash| {
            let ttl = Ttl::At(1000 + n as Millis);
            hash.set(format!("f{n}").as_bytes(), b"v", ttl, 0, &limits());
        });
    }
}

#[test]
fn large_hashes_lose_their_fields_in_bounded_steps() {
    let ks = keyspace(1);
    let handle = ks.handle();
    let guard = handle.pin();
    staggered(&ks, &guard, b"h", 1000);
    assert_eq!(ks.expires(DB), 0);
    let before = ks.memory().entries;
    for round in 1..=9 {
        let report = ks.expire_slice(ShardId(0), 1900, 100, &guard);
        assert_eq!((report.removed, report.more), (100, true), "in round {round}");
    }
    assert_eq!(ks.expire_slice(ShardId(0), 1900, 100, &guard).removed, 0);
    let entry = ks.get(DB, &ks.key(b"h"), 1900, Touch::No, &guard).expect("a tenth is left");
    assert!(matches!(entry.value(), Value::Large(Kind::Hash)));
    assert!(ks.memory().entries < before);
    // The others are over together, and so is the key.
    assert_eq!(expire(&ks, 5000, 10, &guard), 1);
    assert_eq!((ks.len(DB), ks.memory().entries), (0, 0));
    let stats = ks.stats();
    assert_eq!((stats.expired_fields, stats.expired_keys), (1000, 0));
}

#[test]
fn fields_in_reach_of_a_growing_table_are_found() {
    let ks = keyspace(1);
    let handle = ks.handle();
    let guard = handle.pin();
    for n in 0..2000 {
        let count = if n % 2 == 0 { 3 } else { 12 };
        staggered(&ks, &guard, format!("h{n}").as_bytes(), count);
        // At every stage of growth.
        if n % 50 == 0 {
            expire(&ks, 2000, 7, &guard);
            assert_eq!((ks.len(DB), ks.memory().entries), (0, 0), "after {n}");
        }
    }
    expire(&ks, 2000, 100, &guard);
    assert_eq!((ks.len(DB), ks.memory().entries), (0, 0));
}

#[test]
fn volatile_policies_leave_fields_alone() {
    let ks = keyspace(1);
    let handle = ks.handle();
    let guard = handle.pin();
    ks.set_policy(Policy::VolatileTtl);
    ks.set_max_memory(1);
    for n in 0..50 {
        staggered(&ks, &guard, format!("h{n}").as_bytes(), 3);
    }
    let mut writer = enter(&ks, &guard);
    for n in 0..50 {
        let name = format!("s{n}");
        writer.put(DB, &ks.key(name.as_bytes()), NewValue::Bytes(b"x"), Some(1 << 40), 0);
    }
    drop(writer);
    for _ in 0..100 {
        ks.evict_slice(ShardId(0), 10, 0, &guard);
    }
    assert_eq!((ks.len(DB), ks.expires(DB)), (50, 0));
    // What eviction has looked at, the walk still finds.
    expire(&ks, 5000, 100, &guard);
    assert_eq!(ks.len(DB), 0);
}
