//! Collections through the keyspace: small ones packed in entries, large ones behind them.
//!
//! Random histories against standard maps, with the forms changing under way, keys renamed,
//! expiries set, databases flushed; the store's count of memory must come out at zero in the end.

use std::collections::{BTreeMap, BTreeSet};

use dunlin_storage::value::hash::{self, Hash, Ttl};
use dunlin_storage::value::set::{self, Set};
use dunlin_storage::value::stream::{Group, Stream, StreamId};
use dunlin_storage::{
    DbId, Guard, Key, Keyspace, Kind, Millis, NewValue, Object, Options, ShardSet, Touch, Value,
    Writer,
};

const DB: DbId = DbId(0);
const SEED: u64 = 7;

fn keyspace() -> Keyspace {
    Keyspace::new(Options { shards: 4, seed: Some([1, 2, 3, 4]), ..Options::default() })
}

fn enter<'k, 'g>(ks: &'k Keyspace, guard: &'g Guard) -> Writer<'k, 'g> {
    ks.try_enter(&ShardSet::all(ks), guard).expect("one thread")
}

/// Changes the set at a key, or a new one.
fn edit_set<R>(
    ks: &Keyspace,
    writer: &mut Writer<'_, '_>,
    key: &Key<'_>,
    change: impl FnOnce(&mut Set, &set::Limits) -> R,
) -> R {
    let limits = set::Limits::new(SEED);
    if writer.get(DB, key, 0).is_none() {
        let mut set = Set::new();
        let result = change(&mut set, &limits);
        if !set.is_empty() {
            writer.put(DB, key, NewValue::Object(Box::new(Object::Set(set))), None, 0);
        }
        return result;
    }
    let result = writer.update(DB, key, 0, |object| {
        let Object::Set(set) = object else { panic!("{} is no set", ks.shards()) };
        change(set, &limits)
    });
    result.expect("the key is there")
}

fn members(writer: &Writer<'_, '_>, key: &Key<'_>) -> Option<BTreeSet<Vec<u8>>> {
    let entry = writer.get(DB, key, 0)?;
    let set = match entry.value() {
        Value::Packed(packed) => packed.set()?,
        Value::Large(Kind::Set) => writer.object(&entry)?.as_set()?.view(),
        other => panic!("{other:?}"),
    };
    Some(set.iter().map(|member| member.to_vec()).collect())
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

#[test]
fn sets_of_all_forms_agree_with_a_model() {
    let ks = keyspace();
    let handle = ks.handle();
    let mut model: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut rng = Rng(99);
    let (mut packed, mut large) = (0, 0);
    for step in 0..60_000u32 {
        let guard = handle.pin();
        let mut writer = enter(&ks, &guard);
        let name = format!("set:{}", rng.below(12)).into_bytes();
        let key = ks.key(&name);
        let text = rng.below(3) > 0;
        let number = rng.below(400);
        let member = if text { format!("m{number}") } else { number.to_string() }.into_bytes();
        match rng.below(100) {
            0..60 => {
                let added =
                    edit_set(&ks, &mut writer, &key, |set, limits| set.add(&member, limits));
                assert_eq!(added, model.entry(name.clone()).or_default().insert(member));
            }
            60..97 => {
                let wanted = model.get_mut(&name).is_some_and(|set| set.remove(&member));
                let removed = edit_set(&ks, &mut writer, &key, |set, _| set.remove(&member));
                assert_eq!(removed, wanted);
                model.retain(|_, set| !set.is_empty());
            }
            97 => {
                let other = format!("set:{}", rng.below(12)).into_bytes();
                if other != name && writer.rename((DB, &key), (DB, &ks.key(&other)), 0) {
                    let set = model.remove(&name).expect("the store had it");
                    model.insert(other, set);
                }
            }
            98 => assert_eq!(
                writer.set_expiry(DB, &key, Some(i64::from(step)), 0),
                model.contains_key(&name)
            ),
            _ => assert_eq!(writer.remove(DB, &key, 0), model.remove(&name).is_some()),
        }
        assert_eq!(members(&writer, &key), model.get(&name).cloned());
        match writer.get(DB, &key, 0).map(|entry| entry.value()) {
            Some(Value::Packed(_)) => packed += 1,
            Some(Value::Large(_)) => large += 1,
            _ => {}
        }
    }
    assert!(packed > 1000 && large > 1000, "{packed} packed, {large} large");
    let guard = handle.pin();
    let mut writer = enter(&ks, &guard);
    for name in model.keys().take(5) {
        assert!(writer.remove(DB, &ks.key(name), 0));
    }
    writer.flush(DB);
    drop(writer);
    drop(guard);
    settle(&ks);
    let memory = ks.memory();
    assert_eq!((memory.entries, memory.used, memory.limbo), (0, 0, 0), "{memory:?}");
}

#[test]
fn memory_follows_a_large_object_that_changes_in_place() {
    let ks = keyspace();
    let handle = ks.handle();
    let guard = handle.pin();
    let key = ks.key(b"big");
    let mut writer = enter(&ks, &guard);
    let mut last = 0;
    for i in 0..5_000u32 {
        edit_set(&ks, &mut writer, &key, |set, limits| set.add(&i.to_be_bytes().repeat(4), limits));
        if i % 1000 == 999 {
            let entry = writer.get(DB, &key, 0).expect("stored");
            let object = writer.object(&entry).expect("large by now").memory_usage() as u64;
            let entries = ks.memory().entries;
            assert!(entries >= object && entries <= object + 128, "{entries} against {object}");
            assert!(entries > last);
            last = entries;
        }
    }
    // Without the role nobody looks into it.
    drop(writer);
    let entry = ks.get(DB, &key, 0, Touch::No, &guard).expect("stored");
    assert!(matches!(entry.value(), Value::Large(Kind::Set)));
    assert!(entry.to_new_value().is_none());
}

#[test]
fn a_large_object_is_told_from_all_before_it() {
    let ks = keyspace();
    let handle = ks.handle();
    let (key, other) = (ks.key(b"key"), ks.key(b"other"));
    let id =
        |writer: &Writer<'_, '_>, key: &Key<'_>| writer.get(DB, key, 0).expect("stored").large_id();
    let mut seen = BTreeSet::new();
    for _ in 0..30 {
        let guard = handle.pin();
        let mut writer = enter(&ks, &guard);
        let stream = Box::new(Object::Stream(Stream::new()));
        writer.put(DB, &key, NewValue::Object(stream), None, 0);
        let made = id(&writer, &key);
        assert!(made.is_some() && seen.insert(made), "{made:?} in {seen:?}");
        // Nothing of this makes another one of it.
        assert!(writer.set_expiry(DB, &key, Some(100), 0));
        assert!(writer.rename((DB, &key), (DB, &other), 0));
        assert_eq!(writer.update(DB, &other, 0, |_| ()), Some(()));
        assert_eq!(id(&writer, &other), made);
        assert!(writer.remove(DB, &other, 0));
        drop(writer);
        drop(guard);
        // Its memory is used again.
        settle(&ks);
    }
    let guard = handle.pin();
    let mut writer = enter(&ks, &guard);
    writer.put(DB, &key, NewValue::Bytes(b"v"), None, 0);
    assert_eq!(id(&writer, &key), None);
}

#[test]
fn a_small_hash_is_gone_with_its_last_field() {
    let ks = keyspace();
    let handle = ks.handle();
    let guard = handle.pin();
    let key = ks.key(b"h");
    let mut writer = enter(&ks, &guard);
    let limits = hash::Limits::new(SEED);
    let mut hash = Hash::new();
    hash.set(b"f", b"v", Ttl::At(100), 0, &limits);
    writer.put(DB, &key, NewValue::Object(Box::new(Object::Hash(hash))), None, 0);
    let len = |writer: &Writer<'_, '_>, now: Millis| {
        let entry = writer.get(DB, &key, now)?;
        let Value::Packed(packed) = entry.value() else { panic!("small") };
        packed.hash().map(|hash| hash.len(now))
    };
    assert_eq!((len(&writer, 100), len(&writer, 101)), (Some(1), None));
    assert_eq!(writer.update(DB, &key, 101, |_| ()), None);
    drop(writer);
    assert!(ks.get(DB, &key, 101, Touch::No, &guard).is_none());
}

#[test]
fn a_group_that_was_taken_out_of_its_stream_is_freed_in_steps() {
    const PENDING: u64 = 20_000;
    let ks = keyspace();
    let handle = ks.handle();
    let guard = handle.pin();
    let key = ks.key(b"x");
    let mut writer = enter(&ks, &guard);
    let mut stream = Stream::new();
    stream.groups.insert(b"g", Group::new(StreamId::MIN, None));
    stream.groups.edit(b"g", |group| {
        group.create_consumer(b"c", 0);
        for ms in 1..=PENDING {
            assert!(group.restore_pending(StreamId::new(ms, 0), b"c", 0, 1));
        }
    });
    writer.put(DB, &key, NewValue::Object(Box::new(Object::Stream(stream))), None, 0);
    let before = ks.memory();
    let group = writer.update(DB, &key, 0, |object| match object {
        Object::Stream(stream) => stream.groups.remove(b"g"),
        _ => None,
    });
    let group = group.flatten().expect("it was there");
    ks.free_slowly(Object::Stream(Stream::of_group(group)));
    drop(writer);
    let after = ks.memory();
    let moved = before.entries - after.entries;
    assert!(moved > PENDING * 40, "the key does not count it any more: {moved}");
    assert!(after.limbo >= before.limbo + moved, "it is counted as not freed yet");
    let mut steps = 0;
    while ks.free_slice(16) {
        steps += 1;
    }
    assert!(steps > 50, "{steps} steps");
    assert_eq!(ks.memory().limbo, before.limbo);
}
