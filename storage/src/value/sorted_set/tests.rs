//! Random histories against a sorted vector, and what must hold whatever the history.

use std::ops::Bound;

use super::*;
use crate::value::listpack::Listpack;

const LIMITS: Limits = Limits::new(7);
const ALL: Range<usize> = 0..usize::MAX;

struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
        ((self.0 >> 33) as usize) % end.max(1)
    }

    /// One of few or many scores, so that there are ties and differences.
    fn score(&mut self) -> f64 {
        match self.below(10) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => -0.0,
            3 => self.below(1000) as f64 / 7.0,
            _ => self.below(12) as f64,
        }
    }

    fn member(&mut self, different: usize) -> Vec<u8> {
        let n = self.below(different);
        match n % 5 {
            0 => n.to_string().into_bytes(),
            1 => format!("m:{n:08}").into_bytes(),
            _ => vec![n as u8; n % 30].into_iter().chain(n.to_string().into_bytes()).collect(),
        }
    }
}

/// A sorted set as it is explained: pairs in order.
#[derive(Clone, Default)]
struct Model(Vec<(Vec<u8>, f64)>);

impl Model {
    fn score(&self, member: &[u8]) -> Option<f64> {
        self.0.iter().find(|(other, _)| other == member).map(|(_, score)| *score)
    }

    fn put(&mut self, member: &[u8], score: f64) {
        self.0.retain(|(other, _)| other != member);
        self.0.push((member.to_vec(), score));
        self.0.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        let before = self.0.len();
        self.0.retain(|(other, _)| other != member);
        self.0.len() < before
    }
}

fn pairs<'a>(members: impl Iterator<Item = (Element<'a>, f64)>) -> Vec<(Vec<u8>, f64)> {
    members.map(|(member, score)| (member.to_vec(), score)).collect()
}

/// Everything a reader can ask agrees with the model.
fn check(set: &SortedSet, model: &Model) {
    let view = set.view();
    assert_eq!(view.len(), model.0.len());
    assert_eq!(pairs(view.iter()), model.0);
    let mut back = pairs(view.iter().rev());
    back.reverse();
    assert_eq!(back, model.0);
    for (rank, (member, score)) in model.0.iter().enumerate() {
        assert_eq!(view.score(member), Some(*score));
        assert_eq!(view.rank(member), Some((rank, *score)));
    }
    match set {
        SortedSet::Table(table) => table.check(),
        SortedSet::Listpack(list) => {
            assert!(SortedSetRef::validate(list.view().as_bytes()).is_some());
        }
    }
}

fn check_ranges(set: &SortedSet, model: &Model, rng: &mut Rng) {
    let view = set.view();
    let (a, b) = (rng.score(), rng.score());
    let bound = |value, kind| match kind {
        0 => Bound::Included(value),
        1 => Bound::Excluded(value),
        _ => Bound::Unbounded,
    };
    let range = ScoreRange { min: bound(a, rng.below(3)), max: bound(b, rng.below(3)) };
    let wanted: Vec<_> = model
        .0
        .iter()
        .filter(|(_, score)| !range.is_below(*score) && !range.is_above(*score))
        .cloned()
        .collect();
    let ranks = view.window(&Part::Score(range), false);
    assert_eq!(ranks.len(), wanted.len(), "{range:?}");
    assert_eq!(pairs(view.range(ranks)), wanted);

    let start = rng.below(model.0.len() + 2);
    let end = start + rng.below(model.0.len() + 2);
    let wanted = &model.0[start.min(model.0.len())..end.min(model.0.len())];
    assert_eq!(pairs(view.range(start..end)), wanted);
    let mut back = pairs(view.range(start..end).rev());
    back.reverse();
    assert_eq!(back, wanted);
    assert_eq!(view.range(start..end).len(), wanted.len());
}

/// One random change of both.
fn step(set: &mut SortedSet, model: &mut Model, rng: &mut Rng, different: usize, limits: &Limits) {
    let member = rng.member(different);
    match rng.below(20) {
        0..=3 => assert_eq!(set.remove(&member), model.remove(&member)),
        4 => {
            let start = rng.below(model.0.len() + 1);
            let end = start + rng.below(8);
            set.remove_ranks(start..end);
            let end = end.min(model.0.len());
            model.0.drain(start.min(end)..end);
        }
        choice => {
            let options = AddOptions {
                nx: choice == 5,
                xx: choice == 6,
                gt: choice == 7,
                lt: choice == 8,
                incr: choice >= 16,
            };
            let score = rng.score();
            let old = model.score(&member);
            let added = set.add(&member, score, options, limits);
            let new = old.filter(|_| options.incr).unwrap_or(0.0) + score;
            let wanted = match old {
                None if options.xx => Added::Refused,
                None => Added::New(score),
                Some(_) if options.nx => Added::Refused,
                Some(_) if new.is_nan() => Added::NotANumber,
                Some(old) if options.gt && new <= old || options.lt && new >= old => Added::Refused,
                Some(old) if old == new => Added::Same(old),
                Some(_) => Added::Changed(new),
            };
            assert_eq!(added, wanted);
            if let Added::New(score) | Added::Changed(score) = added {
                model.put(&member, score);
            }
        }
    }
}

#[test]
fn long_histories_agree_with_a_sorted_vector() {
    for (seed, different, entries) in [(1, 60, 128), (2, 60, 0), (3, 2500, 128), (4, 900, 0)] {
        let limits = Limits { listpack_entries: entries, ..LIMITS };
        let mut rng = Rng(seed);
        let (mut set, mut model) = (SortedSet::new(), Model::default());
        for round in 0..4000 {
            step(&mut set, &mut model, &mut rng, different, &limits);
            if round % 40 == 0 {
                check(&set, &model);
                check_ranges(&set, &model, &mut rng);
            }
        }
        assert_eq!(set.packed().is_some(), entries > 0 && different == 60, "seed {seed}");
        check(&set.clone(), &model);
        set.remove_ranks(ALL);
        check(&set, &Model::default());
    }
}

#[test]
fn both_forms_find_the_same_members() {
    let mut rng = Rng(11);
    for _ in 0..300 {
        let mut forms = [128, 0]
            .map(|entries| (SortedSet::new(), Limits { listpack_entries: entries, ..LIMITS }));
        for _ in 0..rng.below(40) {
            let member = rng.member(80);
            for (set, limits) in &mut forms {
                set.add(&member, 0.0, AddOptions::default(), limits);
            }
        }
        let (a, b) = (rng.member(80), rng.member(80));
        let bound = |bytes, kind| match kind {
            0 => LexBound::Lowest,
            1 => LexBound::Highest,
            2 => LexBound::Excluded(bytes),
            _ => LexBound::Included(bytes),
        };
        let range = LexRange { min: bound(&a, rng.below(7)), max: bound(&b, rng.below(7)) };
        let [packed, table] = forms.map(|(set, _)| set);
        assert!(packed.packed().is_some());
        let inside = |member: &[u8]| !range.is_below(member) && !range.is_above(member);
        let wanted: Vec<_> =
            pairs(packed.view().iter()).into_iter().filter(|(m, _)| inside(m)).collect();
        for view in [packed.view(), table.view()] {
            for reverse in [false, true] {
                let ranks = view.window(&Part::Lex(range), reverse);
                assert_eq!(pairs(view.range(ranks)), wanted, "{range:?}");
            }
        }
    }
}

#[test]
fn forms_change_where_redis_changes_them() {
    let add = |set: &mut SortedSet, member: &[u8]| {
        set.add(member, 1.0, AddOptions::default(), &LIMITS);
    };
    let mut set = SortedSet::new();
    for n in 0..128 {
        add(&mut set, format!("{n}").as_bytes());
        assert_eq!(set.encoding(), "listpack");
    }
    add(&mut set, b"0");
    assert_eq!(set.encoding(), "listpack");
    add(&mut set, b"more");
    assert_eq!((set.encoding(), set.len()), ("skiplist", 129));
    set.remove_ranks(5..129);
    assert_eq!((set.encoding(), set.len()), ("skiplist", 5));

    let mut set = SortedSet::new();
    add(&mut set, &[b'x'; 64]);
    assert_eq!(set.encoding(), "listpack");
    add(&mut set, &[b'x'; 65]);
    assert_eq!(set.encoding(), "skiplist");

    let mut set = SortedSet::new();
    set.prepare(b"a", 128, &LIMITS);
    set.prepare(&[b'x'; 64], 1, &LIMITS);
    assert_eq!(set.encoding(), "listpack");
    add(&mut set, b"a");
    set.prepare(&[b'x'; 65], 1, &LIMITS);
    assert_eq!(set.encoding(), "listpack");
    set.prepare(b"a", 129, &LIMITS);
    assert_eq!(set.encoding(), "skiplist");
    let mut set = SortedSet::new();
    set.prepare(&[b'x'; 65], 1, &LIMITS);
    assert_eq!(set.encoding(), "skiplist");
}

#[test]
fn listpacks_hold_scores_as_redis_does() {
    let mut set = SortedSet::new();
    for (member, score) in [("a", 1.5), ("2", -0.0), ("c", f64::INFINITY), ("d", 1e20)] {
        set.add(member.as_bytes(), score, AddOptions::default(), &LIMITS);
    }
    let bytes = set.packed().unwrap();
    let texts: Vec<Element<'_>> = Listpack::new(bytes).iter().collect();
    let text = |text: &'static str| Element::Bytes(text.as_bytes());
    let wanted = [
        [Element::Int(2), Element::Int(0)],
        [text("a"), text("1.5")],
        [text("d"), text("1e+20")],
        [text("c"), text("inf")],
    ];
    assert_eq!(texts, wanted.concat());
}

#[test]
fn payloads_must_be_sound() {
    let list = |elements: &[&str]| {
        let mut list = ListpackBuf::new();
        elements.iter().for_each(|element| list.push(element.as_bytes()));
        list.into_bytes()
    };
    let is_sound = |elements: &[&str]| SortedSetRef::validate(&list(elements)).is_some();
    assert!(is_sound(&["a", "1", "b", "1", "7", "2.5", "9", "inf"]));
    assert!(!is_sound(&["a", "1", "b"]), "no score");
    assert!(!is_sound(&["a", "x"]), "not a number");
    assert!(!is_sound(&["a", "nan"]), "not a number");
    assert!(!is_sound(&["b", "1", "a", "1"]), "out of order");
    assert!(!is_sound(&["b", "2", "a", "1"]), "out of order");
    assert!(!is_sound(&["b", "1", "b", "2"]), "twice");
    assert!(!is_sound(&["b", "1", "b", "1"]), "twice");
}

#[test]
fn a_scan_sees_everything_that_stays() {
    let mut rng = Rng(5);
    let mut set = SortedSet::new();
    let mut add = |set: &mut SortedSet, n: usize| {
        set.add(format!("n{n}").as_bytes(), rng.below(9) as f64, AddOptions::default(), &LIMITS);
    };
    (0..5000).for_each(|n| add(&mut set, n));
    let mut seen = std::collections::HashMap::new();
    let mut cursor = 0;
    for round in 0.. {
        cursor = set.view().scan(cursor, 10, &mut |member, score| {
            *seen.entry(member.to_vec()).or_insert(0) += 1;
            assert!(score < 9.0);
        });
        // Some go, others come.
        set.remove(format!("n{}", 4000 + round % 1000).as_bytes());
        add(&mut set, 5000 + round);
        if cursor == 0 {
            break;
        }
    }
    for n in 0..4000 {
        assert_eq!(seen.get(format!("n{n}").as_bytes()), Some(&1), "n{n}");
    }
}

#[test]
fn shedding_frees_in_bounded_steps() {
    let mut set = SortedSet::new();
    for n in 0..30_000 {
        set.add(format!("n{n}").as_bytes(), n as f64, AddOptions::default(), &LIMITS);
    }
    let full = set.memory_usage();
    let mut steps = 1;
    while set.shed(500) {
        steps += 1;
    }
    assert!(steps >= 20, "{steps}");
    assert!(set.memory_usage() < full / 10, "{} of {full}", set.memory_usage());
}
