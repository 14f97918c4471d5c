//! Random histories against std's maps, and what must hold whatever the history.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::segment::FULL;
use super::*;
use crate::memory::usable;
use crate::value::sample::tests::rng;

thread_local! {
    /// How often an element was asked for its key: moving one asks at least once.
    static KEYS_READ: Cell<usize> = const { Cell::new(0) };
}

#[derive(Clone, Debug, PartialEq)]
struct Word {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Slot for Word {
    fn key(&self) -> &[u8] {
        KEYS_READ.set(KEYS_READ.get() + 1);
        &self.key
    }

    fn heap_bytes(&self) -> usize {
        usable(self.key.capacity()) + usable(self.value.capacity())
    }
}

fn word(n: u64, value: u64) -> Word {
    let value = vec![b'v'; value as usize];
    Word { key: key(n), value }
}

fn key(n: u64) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

/// The structure is sound, and its memory is what a recount gives.
fn check(dict: &Dict<Word>) {
    dict.root.check(0);
    assert_eq!(dict.memory_usage(), dict.root.heap_bytes(&dict.keyed));
}

fn filled(seed: u64, count: u64) -> Dict<Word> {
    let mut dict = Dict::new(seed);
    for n in 0..count {
        assert!(dict.insert_new(&key(n), || word(n, 0)));
    }
    dict
}

/// A scan under way, and what it must have seen in the end.
struct Scan {
    cursor: u64,
    there_all_the_time: HashSet<Vec<u8>>,
    seen: HashSet<Vec<u8>>,
}

impl Scan {
    fn start(model: &HashMap<Vec<u8>, Word>) -> Self {
        let there_all_the_time = model.keys().cloned().collect();
        Scan { cursor: 0, there_all_the_time, seen: HashSet::new() }
    }

    /// Whether the scan has come to its end.
    fn step(&mut self, dict: &Dict<Word>, count: usize) -> bool {
        self.cursor = dict.scan(self.cursor, count, &mut |slot| {
            assert!(self.seen.insert(slot.key.clone()), "seen twice");
        });
        if self.cursor == 0 {
            let missed = self.there_all_the_time.difference(&self.seen).next();
            assert_eq!(missed, None, "an element that stayed was not seen");
        }
        self.cursor == 0
    }
}

/// Adds and removes elements in waves, so that the table grows and shrinks under running scans.
fn history(seed: u64) {
    let mut random = rng(seed);
    let mut dict = Dict::new(random());
    let mut model: HashMap<Vec<u8>, Word> = HashMap::new();
    let mut scan = Scan::start(&model);
    let mut ended = 0;
    for step in 0..40_000 {
        let grows = step / 8_000 % 2 == 0;
        let n = random() % 9_000;
        match random() % 10 {
            0 => assert_eq!(dict.get(&key(n)), model.get(&key(n))),
            1 => {
                let value = word(n, random() % 200);
                if let Some(mut slot) = dict.get_mut(&key(n)) {
                    slot.value.clone_from(&value.value);
                    model.insert(key(n), value);
                }
            }
            2 => {
                let count = (random() % 30) as usize;
                if scan.step(&dict, count) {
                    scan = Scan::start(&model);
                    ended += 1;
                }
            }
            way if (way < 8) == grows => {
                let value = word(n, random() % 20);
                assert_eq!(dict.insert(value.clone()), model.insert(key(n), value));
            }
            _ => {
                let removed = dict.remove(&key(n));
                assert_eq!(removed, model.remove(&key(n)));
                if removed.is_some() {
                    scan.there_all_the_time.remove(&key(n));
                }
            }
        }
        assert_eq!(dict.len(), model.len());
        if step % 1_000 == 0 {
            check(&dict);
        }
    }
    check(&dict);
    assert!(ended > 2, "{ended} scans");
    let all: HashMap<_, _> = dict.iter().map(|slot| (slot.key.clone(), slot.clone())).collect();
    assert_eq!((dict.iter().len(), all), (model.len(), model));
}

#[test]
fn histories_agree_with_a_map() {
    for seed in 1..=4 {
        history(seed);
    }
}

#[test]
fn no_operation_moves_more_than_a_segment() {
    // A split asks every element of one segment for its key twice; a shrinking or growing table
    // once. Beside that there is only the search for the key itself.
    const MOST: usize = 2 * FULL + 64;
    let mut dict = Dict::new(7);
    let mut most = 0;
    let mut ask = |work: &mut dyn FnMut()| {
        KEYS_READ.set(0);
        work();
        most = most.max(KEYS_READ.get());
    };
    for n in 0..100_000 {
        ask(&mut || {
            dict.insert(word(n, 0));
        });
    }
    for n in 0..100_000 {
        ask(&mut || {
            dict.remove(&key(n));
        });
    }
    assert!((FULL..MOST).contains(&most), "{most}");
    assert!(dict.is_empty());
    check(&dict);
    assert!(dict.memory_usage() < 1024, "{}", dict.memory_usage());
}

#[test]
fn a_scan_of_a_table_at_rest_sees_all_once_in_steps_of_the_size_asked_for() {
    let dict = filled(3, 20_000);
    for count in [1, 10, 100, 1_000, 100_000] {
        let mut seen = BTreeSet::new();
        let (mut cursor, mut steps) = (0, 0);
        loop {
            let mut visited = 0;
            cursor = dict.scan(cursor, count, &mut |slot| {
                visited += 1;
                assert!(seen.insert(slot.key.clone()), "seen twice");
            });
            steps += 1;
            // Two of 20,000 hashes hardly ever begin with the same 48 bits.
            assert!(visited <= count + 1, "{visited} for {count}");
            assert!(visited >= count || cursor == 0, "{visited} for {count}");
            assert!(cursor < CELL_END);
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), dict.len());
        assert!(steps <= dict.len().div_ceil(count) + 1, "{steps} steps of {count}");
    }
}

#[test]
fn cursors_that_no_scan_gave_are_harmless() {
    let dict = filled(3, 2_000);
    for cursor in [1, CELL_END - 1, CELL_END, u64::MAX] {
        let next = dict.scan(cursor, 10, &mut |_| ());
        assert!(next == 0 || next > cursor);
    }
    assert_eq!(Dict::<Word>::new(1).scan(0, 10, &mut |_| unreachable!()), 0);
}

#[test]
fn every_element_is_as_likely_as_any_other() {
    let mut dict = filled(11, 3_000);
    for n in 0..2_000 {
        dict.remove(&key(n));
    }
    // Ranks are a bijection, so equal shares of the random numbers make equal shares of elements.
    let ranks: HashSet<_> = (0..dict.len()).map(|rank| dict.nth(rank).map(Slot::key)).collect();
    assert_eq!((ranks.len(), ranks.contains(&None)), (1_000, false));
    assert_eq!(dict.nth(1_000), None);
    let mut counts: HashMap<&[u8], u32> = HashMap::new();
    let draws = 100_000;
    for i in 0..draws {
        let random = (u64::MAX / draws) * i;
        *counts.entry(dict.random(random).map_or(b"", Slot::key)).or_default() += 1;
    }
    assert!(counts.len() == 1_000 && counts.values().all(|count| (99..=101).contains(count)));
    assert_eq!(Dict::<Word>::new(1).random(5), None);
}

#[test]
fn elements_are_found_by_hash() {
    let mut dict = filled(5, 1_000);
    let hash = dict.hash_of(&key(7));
    assert_eq!(dict.remove_hashed(hash, &|slot| slot.value == b"x"), None);
    assert_eq!(dict.remove_hashed(hash, &|slot| slot.key == key(7)), Some(word(7, 0)));
    assert!(!dict.contains(&key(7)) && dict.len() == 999);
    check(&dict);
}

#[test]
fn shedding_frees_in_bounded_steps() {
    let mut dict = filled(9, 50_000);
    let copy = dict.clone();
    let mut left = dict.len();
    while dict.shed(100) {
        let freed = left - dict.len();
        assert!((100..100 + FULL).contains(&freed), "{freed}");
        left = dict.len();
        check(&dict);
        // Whatever is left stays usable.
        assert_eq!(dict.iter().count(), left);
    }
    assert!(dict.is_empty() && !dict.shed(1));
    assert_eq!((copy.len(), copy.memory_usage()), (50_000, copy.root.heap_bytes(&copy.keyed)));
    assert!(dict.insert_new(b"x", || Word { key: b"x".to_vec(), value: Vec::new() }));
    check(&dict);
}
