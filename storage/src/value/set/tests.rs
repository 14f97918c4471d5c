//! Random histories of every form against std's sets, and the conversions of Redis 7.2.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::*;
use crate::value::listpack::Element;
use crate::value::sample::tests::rng;

type Model = BTreeSet<Vec<u8>>;
type Visit<'v> = &'v mut dyn FnMut(Element<'_>);

fn text(element: Element<'_>) -> Vec<u8> {
    element.to_vec()
}

fn members(set: SetRef<'_>) -> Model {
    let all: Model = set.iter().map(text).collect();
    assert_eq!(all.len(), set.len(), "no member twice");
    all
}

fn set_of<M: AsRef<[u8]>>(all: impl IntoIterator<Item = M>) -> Set {
    let mut set = Set::new();
    for member in all {
        set.add(member.as_ref(), &Limits::new(1));
    }
    set
}

fn numbers(range: std::ops::Range<i32>) -> Set {
    set_of(range.map(|n| n.to_string()))
}

/// `count` members, the first of them a word of `len` bytes, the others numbered words.
fn words(count: usize, len: usize) -> Set {
    set_of(std::iter::once("x".repeat(len)).chain((1..count).map(|n| format!("w{n}"))))
}

/// The packed bytes read back as the same set.
fn check(set: &Set, model: &Model) {
    assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
    assert_eq!(&members(set.view()), model);
    match set.packed() {
        Some((form, bytes)) => {
            assert_eq!(&members(SetRef::from_packed(form, bytes)), model);
            assert_eq!(&members(Set::from_packed(form, bytes).view()), model);
            assert_eq!(set.memory_usage(), 0);
        }
        None => assert!(set.memory_usage() > 16 * model.len()),
    }
}

/// Members that meet again; `wide` ones have numbers, words and long words.
fn some_member(n: u64, wide: bool) -> Vec<u8> {
    match n % 3 {
        0 if wide => format!("word:{n}").into_bytes(),
        1 if wide && n % 100 == 1 => vec![b'a' + (n % 26) as u8; 70],
        _ => (n as i64 - 300).to_string().into_bytes(),
    }
}

fn history(seed: u64, wide: bool, members: u64, steps: u64) {
    let mut random = rng(seed);
    let limits = Limits::new(random());
    let mut set = Set::new();
    let mut model = Model::new();
    for step in 0..steps {
        let member = some_member(random() % members, wide);
        match random() % 8 {
            0..4 => assert_eq!(set.add(&member, &limits), model.insert(member)),
            4..6 => assert_eq!(set.remove(&member), model.remove(&member)),
            6 => assert_eq!(set.view().contains(&member), model.contains(&member)),
            _ if random().is_multiple_of(10) => {
                let count = random() as usize % (model.len() + 2);
                let before = model.len();
                set.pop_many(count, &limits, &mut random, &mut |popped| {
                    assert!(model.remove(popped));
                });
                assert_eq!(before - model.len(), count.min(before));
            }
            _ => match set.pop(random()) {
                Some(popped) => assert!(model.remove(&popped)),
                None => assert!(model.is_empty()),
            },
        }
        if step % 50 == 0 {
            check(&set, &model);
        }
    }
    check(&set, &model);
}

#[test]
fn histories_agree_with_a_model() {
    for seed in 0..10 {
        history(seed, false, 300, 3_000);
        history(seed, true, 60, 3_000);
        history(seed, true, 3_000, 10_000);
    }
}

#[test]
fn integers_leave_the_intset_when_they_are_too_many() {
    assert_eq!(numbers(0..512).encoding(), "intset");
    assert_eq!(numbers(0..513).encoding(), "hashtable");
    let mut set = numbers(0..513);
    set.remove(b"0");
    assert_eq!(set.encoding(), "hashtable", "forms do not go back");
}

#[test]
fn a_string_makes_a_listpack_of_a_small_intset() {
    for (integers, word, encoding) in [
        (127, "x".repeat(64), "listpack"),
        (128, "x".to_owned(), "hashtable"),
        (10, "x".repeat(65), "hashtable"),
        (0, "x".repeat(65), "hashtable"),
        (0, "x".repeat(64), "listpack"),
    ] {
        let mut set = numbers(0..integers);
        assert!(set.add(word.as_bytes(), &Limits::new(1)));
        assert_eq!(set.encoding(), encoding, "{integers} integers and {word:?}");
        assert_eq!(set.len() as i32, integers + 1);
    }
    // The longest number counts as well.
    let limits = Limits { listpack_value: 3, ..Limits::new(1) };
    for (number, encoding) in [("-99", "listpack"), ("1000", "hashtable"), ("-100", "hashtable")] {
        let mut set = set_of([number, "5"]);
        set.add(b"x", &limits);
        assert_eq!(set.encoding(), encoding, "{number}");
    }
}

#[test]
fn a_listpack_becomes_a_table_when_it_is_full() {
    assert_eq!(words(128, 64).encoding(), "listpack");
    assert_eq!(words(129, 64).encoding(), "hashtable");
    assert_eq!(words(2, 65).encoding(), "hashtable");
    let mut full = words(128, 1);
    assert!(!full.add(b"w5", &Limits::new(1)), "a known member needs no room");
    assert_eq!(full.encoding(), "listpack");
}

#[test]
fn many_members_at_once_start_in_the_form_they_will_need() {
    let prepared = |first: &[u8], count, mut set: Set| {
        set.prepare(first, count, &Limits::new(1));
        set.encoding()
    };
    assert_eq!(prepared(b"1", 512, Set::new()), "intset");
    assert_eq!(prepared(b"1", 513, Set::new()), "hashtable");
    assert_eq!(prepared(b"x", 128, Set::new()), "listpack");
    assert_eq!(prepared(b"x", 129, Set::new()), "hashtable");
    assert_eq!(prepared(b"1", 512, numbers(0..3)), "intset");
    assert_eq!(prepared(b"x", 513, numbers(0..3)), "hashtable");
    assert_eq!(prepared(b"1", 128, words(3, 1)), "listpack");
    assert_eq!(prepared(b"1", 129, words(3, 1)), "hashtable");
    let mut set = words(3, 1);
    set.prepare(b"y", 1_000, &Limits::new(1));
    assert_eq!(members(set.view()), members(words(3, 1).view()));
}

#[test]
fn what_stays_of_a_popped_table_is_small_again() {
    let mut set = words(1_000, 1);
    set.pop_many(100, &Limits::new(1), &mut rng(1), &mut |_| ());
    assert_eq!((set.encoding(), set.len()), ("hashtable", 900));
    set.pop_many(800, &Limits::new(1), &mut rng(1), &mut |_| ());
    assert_eq!((set.encoding(), set.len()), ("listpack", 100));
}

#[test]
fn samples_hold_different_members_of_the_set() {
    let mut random = rng(3);
    for set in [numbers(0..100), words(100, 1), words(1_000, 1)] {
        let all = members(set.view());
        for count in [0, 1, 50, 99, 100, 200, 500, 2_000] {
            let mut sample = Vec::new();
            set.view().sample(count, &mut random, &mut |member| sample.push(text(member)));
            let different: Model = sample.iter().cloned().collect();
            assert_eq!((sample.len(), different.len()), (count.min(all.len()), sample.len()));
            assert!(different.is_subset(&all));
        }
        let picks: Model =
            (0..10_000).filter_map(|_| set.view().random(random())).map(text).collect();
        assert_eq!(picks, all, "every member turns up");
    }
    assert_eq!(Set::new().view().random(7), None);
}

#[test]
fn scans_see_all_members() {
    for set in [numbers(0..300), words(100, 1), words(5_000, 1)] {
        let (mut seen, mut cursor, mut steps) = (Model::new(), 0, 0);
        loop {
            cursor = set.view().scan(cursor, 10, &mut |member| assert!(seen.insert(text(member))));
            steps += 1;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, members(set.view()));
        assert_eq!(steps > 1, set.packed().is_none(), "packed sets come as a whole");
    }
}

#[test]
fn algebra_agrees_with_the_standard_library() {
    let mut random = rng(5);
    for round in 0..300 {
        let count = 1 + random() as usize % 5;
        let sets: Vec<Set> = (0..count)
            .map(|_| {
                let size = random() % if round % 3 == 0 { 600 } else { 40 };
                let wide = random().is_multiple_of(2);
                set_of((0..size).map(|_| some_member(random() % 400, wide)))
            })
            .collect();
        let models: Vec<Model> = sets.iter().map(|set| members(set.view())).collect();
        let views: Vec<SetRef<'_>> = sets.iter().map(Set::view).collect();
        let collect = |run: &mut dyn FnMut(Visit<'_>)| {
            let mut out = Model::new();
            run(&mut |member| assert!(out.insert(text(member)), "handed over twice"));
            out
        };
        let intersection = collect(&mut |visit| {
            let done = intersect(&views, &mut |member| {
                visit(member);
                ControlFlow::Continue(())
            });
            assert!(done.is_continue());
        });
        let common = |member: &&Vec<u8>| models.iter().all(|model| model.contains(*member));
        assert_eq!(intersection, models[0].iter().filter(common).cloned().collect());
        let union = collect(&mut |visit| unite(&views, 1, visit));
        assert_eq!(union, models.iter().flatten().cloned().collect());
        let difference = collect(&mut |visit| subtract(views[0], &views[1..], 1, visit));
        let only = |member: &&Vec<u8>| !models[1..].iter().any(|model| model.contains(*member));
        assert_eq!(difference, models[0].iter().filter(only).cloned().collect());
    }
}

#[test]
fn a_difference_with_many_small_sets_is_the_same() {
    let first = numbers(0..500);
    let small: Vec<Set> = (0..50).map(|n| numbers(n * 7..n * 7 + 2)).collect();
    let others: Vec<SetRef<'_>> = small.iter().map(Set::view).collect();
    let mut left = 0;
    subtract(first.view(), &others, 9, &mut |member| {
        left += 1;
        assert!(!others.iter().any(|set| set.has(member)));
    });
    assert_eq!(left, 400);
}

#[test]
fn an_intersection_stops_when_it_is_told_to() {
    let (a, b) = (numbers(0..100), numbers(50..200));
    let mut seen = 0;
    let stopped = intersect(&[a.view(), b.view()], &mut |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(stopped.is_break() && seen == 3);
    assert!(intersect(&[], &mut |_| ControlFlow::Break(())).is_continue());
}

#[test]
fn a_table_is_freed_in_steps() {
    let mut set = words(5_000, 1);
    let mut steps = 0;
    while set.shed(100) {
        steps += 1;
    }
    assert!(steps >= 10 && set.is_empty(), "{steps}");
    assert!(!words(10, 1).shed(1));
}
