//! Random histories of every form against a std map with a clock, and the conversions of Redis.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::value::sample::tests::rng;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>;

const NOW: Millis = 1_000_000;

/// Fewer fields than Redis's 512, so that short histories make tables.
fn limits() -> Limits {
    Limits { listpack_entries: 128, ..Limits::new(1) }
}

/// `count` short fields without an expiry.
fn plain(count: usize) -> Hash {
    let mut hash = Hash::new();
    for n in 0..count {
        let (field, value) = (format!("f{n}"), format!("{n}"));
        assert!(hash.set(field.as_bytes(), value.as_bytes(), Ttl::Clear, NOW, &limits()));
    }
    hash
}

/// What of the model has not expired.
fn live(model: &Model, now: Millis) -> Model {
    let mut live = model.clone();
    live.retain(|_, (_, at)| at.is_none_or(|at| at >= now));
    live
}

fn fields(hash: HashRef<'_>, now: Millis) -> Model {
    hash.iter(now)
        .map(|pair| (pair.field.to_vec(), (pair.value.to_vec(), pair.expire_at)))
        .collect()
}

fn check(hash: &Hash, model: &Model, now: Millis) {
    let live = live(model, now);
    let view = hash.view();
    assert_eq!(fields(view, now), live);
    assert_eq!((view.len(now), view.is_empty(now)), (live.len(), live.is_empty()));
    // What has expired may still be there, but nothing else is known of it than that it is due.
    let next = live.values().filter_map(|(_, at)| *at).min();
    match view.next_expiry() {
        Some(overdue) if overdue < now => {}
        known => assert_eq!(known, next),
    }
    if let Some(gone) = view.gone_at().filter(|at| *at >= now) {
        assert_eq!(live.values().map(|(_, at)| *at).max(), Some(Some(gone)));
    }
    if let Hash::Table(table) = hash {
        table.check();
    }
    if let Some((form, bytes)) = hash.packed() {
        let again = HashRef::validate(form, bytes, 1).expect("what edits make is valid");
        assert_eq!(fields(again, now), live);
        assert_eq!(fields(Hash::from_packed(form, bytes).view(), now), live);
        assert_eq!(hash.memory_usage(), 0);
    }
}

/// One random step; the model forgets what has expired before it is asked.
fn step(
    hash: &mut Hash,
    model: &mut Model,
    now: Millis,
    names: u64,
    rng: &mut impl FnMut() -> u64,
) {
    model.retain(|_, (_, at)| at.is_none_or(|at| at >= now));
    let field = format!("field:{}", rng() % names).into_bytes();
    let value = match rng() % 3 {
        0 => (rng() % 1_000).to_string(),
        1 => "v".repeat((rng() % 30) as usize),
        _ => format!("value {}", rng()),
    };
    let at = now + (rng() % 500) as i64;
    match rng() % 10 {
        0..4 => {
            let ttl = [Ttl::Clear, Ttl::Keep, Ttl::At(at), Ttl::Clear][(rng() % 4) as usize];
            let old = model.get(&field).and_then(|(_, at)| *at);
            let new = (value.clone().into_bytes(), ttl.resolve(old));
            let is_new = model.insert(field.clone(), new).is_none();
            assert_eq!(hash.set(&field, value.as_bytes(), ttl, now, &limits()), is_new);
        }
        4 => assert_eq!(hash.remove(&field, now), model.remove(&field).is_some()),
        5..7 => {
            let at = Some(at).filter(|_| !rng().is_multiple_of(4));
            let found = model.get_mut(&field).map(|slot| slot.1 = at).is_some();
            assert_eq!(hash.set_expiry(&field, at, now), found);
        }
        7 => {
            let max = (rng() % 5) as usize;
            let removed = hash.expire_fields(now, max);
            let more = hash.view().next_expiry().is_some_and(|at| at < now);
            assert!(removed <= max && (removed == max || !more));
        }
        8 => match hash.view().random(now, rng) {
            Some(pair) => {
                let expected = (pair.value.to_vec(), pair.expire_at);
                assert_eq!(model.get(&pair.field.to_vec()), Some(&expected));
            }
            None => assert!(model.is_empty()),
        },
        _ => {
            let found = hash.view().find(&field, now);
            let found = found.map(|pair| (pair.value.to_vec(), pair.expire_at));
            assert_eq!(found.as_ref(), model.get(&field));
            assert_eq!(hash.view().get(&field, now).map(|value| value.to_vec()), {
                model.get(&field).map(|(value, _)| value.clone())
            });
        }
    }
}

#[test]
fn histories_agree_with_a_model() {
    for (seed, names, steps) in (0..8).flat_map(|seed| [(seed, 40, 3_000), (seed, 2_000, 12_000)]) {
        let mut random = rng(seed);
        let (mut hash, mut model, mut now) = (Hash::new(), Model::new(), NOW);
        for round in 0..steps {
            now += (random() % 3) as i64;
            step(&mut hash, &mut model, now, names, &mut random);
            if round % 100 == 0 {
                check(&hash, &model, now);
            }
        }
        check(&hash, &model, now);
        assert_eq!(hash.packed().is_none(), names > 128, "{}", hash.encoding());
    }
}

#[test]
fn long_or_many_fields_make_a_table() {
    assert_eq!(plain(128).encoding(), "listpack");
    assert_eq!(plain(129).encoding(), "hashtable");
    for (field, value, encoding) in
        [(64, 64, "listpack"), (65, 1, "hashtable"), (1, 65, "hashtable")]
    {
        let mut hash = Hash::new();
        let (field, value) = ("f".repeat(field), "v".repeat(value));
        hash.set(field.as_bytes(), value.as_bytes(), Ttl::Keep, NOW, &limits());
        assert_eq!(hash.encoding(), encoding);
    }
    let mut full = plain(128);
    assert!(!full.set(b"f5", b"again", Ttl::Clear, NOW, &limits()));
    assert_eq!(full.encoding(), "listpack", "a known field needs no room");
}

#[test]
fn preparing_makes_a_table_of_what_will_be_one() {
    for (count, longest, encoding) in
        [(128, 64, "listpack"), (129, 1, "hashtable"), (1, 65, "hashtable")]
    {
        let mut hash = plain(3);
        hash.prepare(count, longest, &limits());
        assert_eq!(hash.encoding(), encoding);
        assert_eq!(fields(hash.view(), NOW), fields(plain(3).view(), NOW));
    }
}

#[test]
fn an_expiry_makes_a_listpackex_and_a_table_keeps_it() {
    let mut hash = plain(3);
    assert!(hash.set_expiry(b"f1", None, NOW));
    assert_eq!(hash.encoding(), "listpack", "there was none to take away");
    assert!(!hash.set_expiry(b"absent", Some(NOW + 5), NOW));
    assert_eq!(hash.encoding(), "listpack");
    assert!(hash.set_expiry(b"f1", Some(NOW + 5), NOW));
    assert_eq!(hash.encoding(), "listpackex");
    assert!(hash.set_expiry(b"f1", None, NOW));
    assert_eq!(hash.encoding(), "listpackex", "forms do not go back");
    hash.set_expiry(b"f2", Some(NOW + 7), NOW);
    hash.prepare(1_000, 1, &limits());
    assert_eq!(hash.encoding(), "hashtable");
    assert_eq!(hash.view().find(b"f2", NOW).and_then(|pair| pair.expire_at), Some(NOW + 7));
    let mut fresh = Hash::new();
    fresh.set(b"f", b"v", Ttl::At(NOW + 1), NOW, &limits());
    assert_eq!(fresh.encoding(), "listpackex");
}

#[test]
fn a_listpackex_is_sorted_by_expiry() {
    let mut hash = plain(5);
    for (field, at) in [("f3", 30), ("f0", 10), ("f4", 30), ("f1", 20)] {
        hash.set_expiry(field.as_bytes(), Some(NOW + at), NOW);
    }
    let order = |hash: &Hash| -> Vec<Vec<u8>> {
        hash.view().iter(NOW).map(|pair| pair.field.to_vec()).collect()
    };
    assert_eq!(order(&hash), [b"f0", b"f1", b"f3", b"f4", b"f2"]);
    hash.set(b"f1", b"x", Ttl::Keep, NOW, &limits());
    assert_eq!(order(&hash), [b"f0", b"f1", b"f3", b"f4", b"f2"]);
    hash.set(b"f0", b"x", Ttl::Clear, NOW, &limits());
    assert_eq!(order(&hash), [b"f1", b"f3", b"f4", b"f2", b"f0"]);
}

#[test]
fn fields_are_there_up_to_their_expiry_and_not_after_it() {
    for count in [3, 300] {
        let mut hash = plain(count);
        hash.set_expiry(b"f1", Some(NOW + 10), NOW);
        assert!(hash.view().find(b"f1", NOW + 10).is_some());
        let later = NOW + 11;
        let view = hash.view();
        assert_eq!((view.get(b"f1", later), view.len(later)), (None, count - 1));
        assert!(view.iter(later).all(|pair| !pair.field.eq_bytes(b"f1")));
        let mut changed = hash.clone();
        assert!(!changed.remove(b"f1", later), "it is not there to be removed");
        let mut changed = hash.clone();
        assert!(changed.set(b"f1", b"new", Ttl::Keep, later, &limits()));
        let pair = changed.view().find(b"f1", later).expect("just set");
        assert_eq!(pair.expire_at, None, "an expiry that has passed is not kept");
        assert!(!hash.set_expiry(b"f1", Some(later + 5), later));
        assert_eq!(hash.expire_fields(later, 10), usize::from(count > 128));
    }
}

#[test]
fn a_hash_is_gone_when_its_last_field_expires() {
    for count in [5, 500] {
        let mut hash = plain(count);
        for n in 1..count {
            hash.set_expiry(format!("f{n}").as_bytes(), Some(NOW + n as i64), NOW);
        }
        assert_eq!((hash.view().next_expiry(), hash.view().gone_at()), (Some(NOW + 1), None));
        hash.set_expiry(b"f0", Some(NOW), NOW);
        let end = NOW + count as i64;
        assert_eq!((hash.view().next_expiry(), hash.view().gone_at()), (Some(NOW), Some(end - 1)));
        assert!(!hash.view().is_empty(end - 1) && hash.view().is_empty(end));
        assert_eq!(hash.view().random(end, &mut rng(1)), None);
        assert_eq!(hash.expire_fields(end, 3), 3);
        assert_eq!(hash.view().next_expiry(), Some(NOW + 3));
        assert_eq!(hash.expire_fields(end, usize::MAX), count - 3);
        assert_eq!((hash.view().next_expiry(), hash.view().gone_at()), (None, None));
    }
}

#[test]
fn samples_hold_different_live_fields() {
    let mut random = rng(3);
    for (count, expired) in [(100, 0), (100, 90), (1_000, 0), (1_000, 5), (1_000, 990)] {
        let mut hash = plain(count);
        for n in 0..expired {
            hash.set_expiry(format!("f{n}").as_bytes(), Some(NOW), NOW);
        }
        let now = NOW + 1;
        let all = fields(hash.view(), now);
        assert_eq!(all.len(), count - expired);
        for wanted in [0, 1, 5, 50, 500, 2_000] {
            let mut sample = Vec::new();
            let visit = &mut |pair: Pair<'_>| sample.push(pair.field.to_vec());
            hash.view().sample(wanted, now, &mut random, visit);
            let different: BTreeSet<_> = sample.iter().cloned().collect();
            assert_eq!((sample.len(), different.len()), (wanted.min(all.len()), sample.len()));
            assert!(different.iter().all(|field| all.contains_key(field)));
        }
        let picks: BTreeSet<_> = (0..20_000)
            .filter_map(|_| hash.view().random(now, &mut random))
            .map(|pair| pair.field.to_vec())
            .collect();
        assert!(picks.iter().eq(all.keys()), "every live field turns up and no other");
    }
}

#[test]
fn scans_see_all_live_fields() {
    for count in [100, 3_000] {
        let mut hash = plain(count);
        hash.set_expiry(b"f7", Some(NOW), NOW);
        let (mut seen, mut cursor) = (BTreeSet::new(), 0);
        loop {
            cursor = hash.view().scan(cursor, 10, NOW + 1, &mut |pair| {
                assert!(seen.insert(pair.field.to_vec()));
            });
            if cursor == 0 {
                break;
            }
        }
        assert!(seen.iter().eq(fields(hash.view(), NOW + 1).keys()));
    }
}

#[test]
fn payloads_are_looked_through() {
    let list = |elements: &[&str]| {
        let mut list = ListpackBuf::new();
        elements.iter().for_each(|element| list.push(element.as_bytes()));
        list.into_bytes()
    };
    let valid = |form, elements: &[&str]| HashRef::validate(form, &list(elements), 1).is_some();
    assert!(valid(Packed::Listpack, &["a", "1", "b", "2"]));
    assert!(!valid(Packed::Listpack, &["a", "1", "b"]), "a field without a value");
    assert!(!valid(Packed::Listpack, &["a", "1", "a", "2"]), "a field twice");
    assert!(valid(Packed::Listpackex, &["a", "1", "5", "b", "2", "7", "c", "3", "0"]));
    assert!(!valid(Packed::Listpackex, &["a", "1", "5", "b", "2"]));
    assert!(!valid(Packed::Listpackex, &["a", "1", "7", "b", "2", "5"]), "not sorted");
    assert!(!valid(Packed::Listpackex, &["a", "1", "0", "b", "2", "5"]), "none is last");
    assert!(!valid(Packed::Listpackex, &["a", "1", "x"]), "no number");
    assert!(!valid(Packed::Listpackex, &["a", "1", "-5"]), "before 1970");
    assert!(HashRef::validate(Packed::Listpack, b"nonsense", 1).is_none());
}

#[test]
fn a_table_knows_its_memory_and_is_freed_in_steps() {
    let mut hash = plain(5_000);
    for n in 0..2_000 {
        hash.set_expiry(format!("f{n}").as_bytes(), Some(NOW + n), NOW);
    }
    let full = hash.memory_usage();
    assert!(full > 5_000 * 16, "{full}");
    let mut steps = 0;
    while hash.shed(100) {
        steps += 1;
    }
    assert!(steps >= 10 && hash.memory_usage() < full / 20, "{steps}");
    let mut emptied = plain(5_000);
    for n in 0..5_000 {
        emptied.remove(format!("f{n}").as_bytes(), NOW);
    }
    assert!(emptied.memory_usage() < full / 20);
}
