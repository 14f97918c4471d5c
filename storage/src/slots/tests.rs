use super::*;
use crate::entry::Entry;
use crate::value::list::{self, End, List};
use crate::value::object::Object;
use crate::{Key, NewValue, Options, Policy, Walk};
use std::collections::{BTreeSet, HashMap};

/// A few slots all over the place: the first byte says which.
fn slot_of(key: &[u8]) -> u16 {
    u16::from(key.first().copied().unwrap_or(0)) * 61 % SLOTS
}

fn options(shards: usize) -> Options {
    Options { shards, seed: Some([1, 2, 3, 4]), slot_of: Some(slot_of), ..Options::default() }
}

const DB: DbId = DbId(0);

fn writing<R>(
    keyspace: &Keyspace,
    guard: &Guard,
    keys: &[&Key<'_>],
    act: impl FnOnce(&mut Writer<'_, '_>) -> R,
) -> R {
    let shards: ShardSet = keys.iter().map(|key| keyspace.shard_of(key.hash)).collect();
    act(&mut keyspace.try_enter(&shards, guard).expect("nobody else writes"))
}

/// What the counts have to be.
fn counted(keyspace: &Keyspace, guard: &Guard) -> HashMap<u16, u64> {
    let mut counts = HashMap::new();
    let mut count = |entry: Entry<'_>| *counts.entry(slot_of(entry.key())).or_default() += 1;
    let mut walk = keyspace.walk();
    while walk.step(keyspace, guard, &mut |_, entry| count(entry)) {}
    counts
}

fn assert_counted(keyspace: &Keyspace, guard: &Guard) {
    let model = counted(keyspace, guard);
    for slot in 0..SLOTS {
        let wanted = model.get(&slot).copied().unwrap_or(0);
        assert_eq!(keyspace.keys_in_slot(slot), wanted, "slot {slot}");
    }
    assert_eq!(keyspace.keys_in_slots(|_| true), keyspace.len(DB));
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % n
    }

    fn key(&mut self) -> Vec<u8> {
        let (slot, name) = (self.below(40) as u8, self.below(60));
        [&[slot], name.to_string().as_bytes()].concat()
    }
}

/// A list that is too long to be packed.
fn large() -> Object {
    let mut list = List::default();
    let limits = list::Limits::default();
    for i in 0..300 {
        list.push(End::Tail, format!("a rather long element {i:060}").as_bytes(), &limits);
    }
    Object::List(list)
}

/// One change of whatever kind.
fn change(keyspace: &Keyspace, guard: &Guard, random: &mut Random, now: i64) {
    let (a, b) = (random.key(), random.key());
    let (a, b) = (keyspace.key(&a), keyspace.key(&b));
    match random.below(12) {
        0..=3 => {
            let at = (random.below(3) == 0).then(|| now + random.below(5) as i64);
            writing(keyspace, guard, &[&a], |w| w.put(DB, &a, NewValue::Bytes(b"v"), at, now));
        }
        4 => {
            let value = NewValue::Object(Box::new(large()));
            writing(keyspace, guard, &[&a], |w| w.put(DB, &a, value, None, now));
        }
        5 => {
            writing(keyspace, guard, &[&a], |w| w.remove(DB, &a, now));
        }
        6 | 7 if a.bytes != b.bytes => {
            writing(keyspace, guard, &[&a, &b], |w| w.rename((DB, &a), (DB, &b), now));
        }
        8 => {
            let at = (random.below(2) == 0).then_some(now + 2);
            writing(keyspace, guard, &[&a], |w| w.set_expiry(DB, &a, at, now));
        }
        9 => {
            let empty = |object: &mut Object| *object = Object::List(List::default());
            writing(keyspace, guard, &[&a], |w| {
                if w.get(DB, &a, now).is_some_and(|entry| entry.kind() == crate::Kind::List) {
                    w.update(DB, &a, now, empty);
                }
            });
        }
        10 => {
            keyspace.bury(DB, &a, now, guard);
        }
        _ => {
            let shard = keyspace.shard_of(a.hash);
            keyspace.expire_slice(shard, now, 3, guard);
            keyspace.evict_slice(shard, 3, now, guard);
        }
    }
}

#[test]
fn keys_are_counted_whatever_happens_to_them() {
    for seed in 0..6 {
        let policy = [Policy::AllKeysLru, Policy::VolatileTtl, Policy::AllKeysRandom][seed % 3];
        let max_memory = if seed < 3 { 0 } else { 400_000 };
        let keyspace = Keyspace::new(Options { policy, max_memory, ..options(1 << seed) });
        let handle = keyspace.handle();
        let mut random = Random(seed as u64);
        for step in 0..6_000 {
            let guard = handle.pin();
            change(&keyspace, &guard, &mut random, step / 40);
            if step % 500 == 0 {
                assert_counted(&keyspace, &guard);
            }
            if step == 4_000 {
                let all = ShardSet::all(&keyspace);
                keyspace.try_enter(&all, &guard).expect("nobody else writes").flush(DB);
                assert_counted(&keyspace, &guard);
            }
        }
        let guard = handle.pin();
        assert_counted(&keyspace, &guard);
        if max_memory == 0 {
            assert!(keyspace.len(DB) > 100, "there is something to count");
        } else {
            assert!(keyspace.stats().evicted_keys > 0);
        }
    }
}

#[test]
fn a_store_without_slots_counts_nothing() {
    let keyspace = Keyspace::new(Options { slot_of: None, ..options(4) });
    assert!(keyspace.slots.is_none());
    assert_eq!((keyspace.keys_in_slot(3), keyspace.databases()), (0, 16));
    assert_eq!(Keyspace::new(options(4)).databases(), 1);
}

fn filled(shards: usize, keys: u64) -> Keyspace {
    let keyspace = Keyspace::new(options(shards));
    fill(&keyspace, keys);
    keyspace
}

/// As many keys in each slot; a quarter of them expire.
fn fill(keyspace: &Keyspace, keys: u64) {
    let handle = keyspace.handle();
    for i in 0..keys {
        let name = [&[(i % 40) as u8], i.to_string().as_bytes()].concat();
        let key = keyspace.key(&name);
        let at = (i / 40 % 4 == 0).then_some(1_000_000);
        let put = |w: &mut Writer<'_, '_>| w.put(DB, &key, NewValue::Bytes(b"v"), at, 0);
        writing(keyspace, &handle.pin(), &[&key], put);
    }
}

/// The names that a walk visits, each once.
fn visited(mut walk: Walk, keyspace: &Keyspace, guard: &Guard) -> BTreeSet<Vec<u8>> {
    let mut names = BTreeSet::new();
    while walk.step(keyspace, guard, &mut |_, entry| {
        assert!(names.insert(entry.key().to_vec()), "visited twice");
    }) {}
    names
}

#[test]
fn a_walk_of_slots_visits_their_keys_and_no_others() {
    for shards in [1, 8, 512] {
        let keyspace = filled(shards, 6_000);
        let handle = keyspace.handle();
        let guard = handle.pin();
        let everything = visited(keyspace.walk(), &keyspace, &guard);
        let wanted: Arc<SlotSet> = Arc::new((0..9_u8).map(|slot| slot_of(&[slot])).collect());
        let mut seen = BTreeSet::new();
        for shard in (0..keyspace.shards()).map(|shard| ShardId(shard as u16)) {
            let walk = keyspace.walk_slots(shard, wanted.clone());
            let names = visited(walk, &keyspace, &guard);
            let here = |name: &Vec<u8>| keyspace.shard_of(keyspace.key(name).hash) == shard;
            assert!(names.iter().all(here), "of one shard");
            seen.extend(names);
        }
        let expected = everything.into_iter().filter(|name| name[0] < 9).collect();
        assert_eq!(seen, expected, "{shards} shards");
    }
}

#[test]
fn cleared_slots_are_empty_and_others_are_not() {
    for shards in [1, 8] {
        let keyspace = filled(shards, 6_000);
        let handle = keyspace.handle();
        let slots: Arc<SlotSet> = Arc::new((0..10_u8).map(|slot| slot_of(&[slot])).collect());
        let (mut clearing, mut removed, mut slices) = (Clearing::new(slots), 0, 0);
        loop {
            let guard = handle.pin();
            let report = clearing.slice(&keyspace, 8, &guard);
            (removed, slices) = (removed + report.removed, slices + 1);
            // Others come meanwhile, so that the tables grow.
            for i in 0..20 {
                let name = [&[20], format!("new {slices} {i}").as_bytes()].concat();
                let key = keyspace.key(&name);
                let put = |w: &mut Writer<'_, '_>| w.put(DB, &key, NewValue::Bytes(b"v"), None, 0);
                writing(&keyspace, &guard, &[&key], put);
            }
            if !report.more {
                break;
            }
        }
        assert_eq!(removed, 1_500, "{shards} shards");
        assert!(slices > 10);
        let guard = handle.pin();
        assert_eq!(keyspace.len(DB), 4_500 + 20 * slices);
        assert!((0..10_u8).all(|slot| keyspace.keys_in_slot(slot_of(&[slot])) == 0));
        assert_counted(&keyspace, &guard);
    }
}

#[test]
fn a_busy_shard_is_not_passed_over() {
    let keyspace = filled(1, 400);
    let handle = keyspace.handle();
    let guard = handle.pin();
    let mut clearing = Clearing::new(Arc::new(SlotSet::all()));
    let writer = keyspace.try_enter(&ShardSet::one(ShardId(0)), &guard).expect("free");
    let report = clearing.slice(&keyspace, 1_000, &guard);
    assert!(report.busy && report.more);
    drop(writer);
    assert_eq!(clearing.slice(&keyspace, 1_000, &guard).removed, 400);
    assert!(!clearing.slice(&keyspace, 1_000, &guard).more);
}

#[test]
fn hidden_slots_are_nothing_to_those_who_look_at_all_keys() {
    let shown = Arc::new(ShownSlots::default());
    let keyspace = Keyspace::new(Options { shown: Some(shown.clone()), ..options(4) });
    fill(&keyspace, 4_000);
    let handle = keyspace.handle();
    let guard = handle.pin();
    assert_eq!((keyspace.len(DB), keyspace.expires(DB)), (4_000, 1_000));
    (0..20_u8).for_each(|slot| shown.show(slot_of(&[slot]), false));
    assert_eq!((keyspace.len(DB), keyspace.hidden_keys()), (2_000, 2_000));
    assert_eq!(keyspace.expires(DB), 500);
    let is_shown = |name: &[u8]| name[0] >= 20;
    let (mut scanned, mut surveyed, mut cursor) = (BTreeSet::new(), BTreeSet::new(), 0);
    loop {
        cursor = keyspace.scan(DB, cursor, 10, 0, &guard, &mut |entry| {
            scanned.insert(entry.key().to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    for shard in (0..4).map(ShardId) {
        let mut place = Some(crate::Place::default());
        while let Some(from) = place {
            place = keyspace.survey(shard, from, 100, 0, &guard, &mut |key| {
                surveyed.insert(key.key.to_vec());
            });
        }
    }
    let walked = visited(keyspace.walk(), &keyspace, &guard);
    for seen in [&scanned, &surveyed, &walked] {
        assert_eq!(seen.len(), 2_000);
        assert!(seen.iter().all(|name| is_shown(name)));
    }
    for random in 0..50 {
        let random = Random(random).below(u64::MAX);
        let entry = keyspace.random(DB, 0, random, &guard).expect("there are some");
        assert!(is_shown(entry.key()));
    }
    // Who asks for a key finds it.
    let hidden = keyspace.key(b"\x00none");
    assert!(keyspace.get(DB, &hidden, 0, crate::Touch::No, &guard).is_none());
    let hidden = keyspace.key(b"\x000");
    assert!(keyspace.get(DB, &hidden, 0, crate::Touch::No, &guard).is_some());
    keyspace.try_enter(&ShardSet::all(&keyspace), &guard).expect("free").flush(DB);
    assert_eq!((keyspace.len(DB), keyspace.hidden_keys()), (0, 2_000));
    assert!(keyspace.random(DB, 0, 7, &guard).is_none());
    (0..20_u8).for_each(|slot| shown.show(slot_of(&[slot]), true));
    assert_eq!(keyspace.len(DB), 2_000);
    assert_counted(&keyspace, &guard);
}

/// Counts what it is told of, and keeps which slots were flushed last.
#[derive(Default)]
struct Told(std::sync::atomic::AtomicUsize, std::sync::Mutex<SlotSet>);

impl crate::Observer for Told {
    fn changed(&self, _: &crate::Change<'_>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn wants_removals(&self) -> bool {
        true
    }

    fn flushed(&self, _: DbId, slots: &SlotSet) {
        *self.1.lock().expect("nobody has panicked") = slots.clone();
    }

    fn swapped(&self, _: DbId, _: DbId, _: &dyn Fn(DbId, &Key<'_>) -> bool) {}
}

#[test]
fn nobody_is_told_what_expires_in_hidden_slots() {
    let (shown, told) = (Arc::new(ShownSlots::default()), Arc::new(Told::default()));
    let options = Options { shown: Some(shown.clone()), ..options(2) };
    let keyspace = Keyspace::observed(options, told.clone());
    fill(&keyspace, 4_000);
    (0..20_u8).for_each(|slot| shown.show(slot_of(&[slot]), false));
    let handle = keyspace.handle();
    let guard = handle.pin();
    for shard in (0..2).map(ShardId) {
        while keyspace.expire_slice(shard, 2_000_000, 100, &guard).more {}
    }
    assert_eq!(keyspace.len(DB) + keyspace.hidden_keys(), 3_000);
    assert_eq!(told.0.load(std::sync::atomic::Ordering::Relaxed), 500);
}

#[test]
fn what_was_evicted_of_hidden_slots_is_known_when_they_are_shown() {
    let shown = Arc::new(ShownSlots::default());
    let policy = Policy::AllKeysRandom;
    let keyspace = Keyspace::new(Options { shown: Some(shown.clone()), policy, ..options(2) });
    fill(&keyspace, 4_000);
    let hidden: SlotSet = (0..20_u8).map(|slot| slot_of(&[slot])).collect();
    hidden.iter().for_each(|slot| shown.show(slot, false));
    let handle = keyspace.handle();
    keyspace.set_max_memory(keyspace.memory().used.saturating_sub(20_000));
    for shard in (0..2).map(ShardId) {
        while keyspace.evict_slice(shard, 10, 0, &handle.pin()).more {}
    }
    let is_thinned = |slot: &u16| keyspace.keys_in_slot(*slot) < 100;
    let mut thinned: SlotSet = hidden.iter().filter(is_thinned).collect();
    assert!(thinned.len() > 1);
    assert!(shown.take_thinned().is_empty(), "nobody sees them");
    let anew = thinned.iter().next().expect("there are some");
    shown.forget_evictions(anew);
    thinned.remove(anew);
    hidden.iter().for_each(|slot| shown.show(slot, true));
    assert_eq!(shown.take_thinned(), thinned);
    assert!(shown.take_thinned().is_empty(), "once");
}

#[test]
fn a_flush_is_told_with_its_slots() {
    let (shown, told) = (Arc::new(ShownSlots::default()), Arc::new(Told::default()));
    let options = Options { shown: Some(shown.clone()), ..options(2) };
    let keyspace = Keyspace::observed(options, told.clone());
    fill(&keyspace, 400);
    let (handle, all) = (keyspace.handle(), ShardSet::all(&keyspace));
    let guard = handle.pin();
    let hidden: SlotSet = (0..20_u8).map(|slot| slot_of(&[slot])).collect();
    hidden.iter().for_each(|slot| shown.show(slot, false));
    let rest: SlotSet = (0..SLOTS).filter(|slot| !hidden.contains(*slot)).collect();
    // Keys one by one, and then, when nothing is hidden, whole tables.
    for flushed in [rest, SlotSet::all()] {
        keyspace.try_enter(&all, &guard).expect("nobody else writes").flush(DB);
        assert_eq!(*told.1.lock().expect("nobody has panicked"), flushed);
        hidden.iter().for_each(|slot| shown.show(slot, true));
    }
    assert_eq!(keyspace.len(DB), 0);
}

#[test]
fn sets_of_slots() {
    let mut set: SlotSet = [0, 63, 64, 255, 256, SLOTS - 1].into_iter().collect();
    assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 255, 256, SLOTS - 1]);
    assert_eq!((set.len(), set.groups()), (6, 1 | 2 | 1 << 63));
    set.remove(256);
    assert!(!set.contains(256) && set.groups() == 1 | 1 << 63 && !set.contains(SLOTS));
    assert!(SlotSet::default().is_empty() && SlotSet::all().len() == usize::from(SLOTS));
}

#[test]
fn who_waits_for_all_hears_when_they_have_passed() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let keyspace = Keyspace::new(options(1));
    let (handle, other) = (keyspace.handle(), keyspace.handle());
    let passed = Arc::new(AtomicBool::new(false));
    let reader = other.pin();
    let note = passed.clone();
    handle.pin().when_all_have_passed(move || note.store(true, Ordering::Release));
    for _ in 0..100 {
        handle.pin().flush();
    }
    assert!(!passed.load(Ordering::Acquire), "somebody is still there");
    drop(reader);
    while !passed.load(Ordering::Acquire) {
        handle.pin().flush();
    }
}
