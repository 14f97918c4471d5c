//! Random histories against a vector, and what must hold whatever the history.

use proptest::prelude::*;

use super::*;
use crate::value::listpack::Listpack;

struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
        ((self.0 >> 33) as usize) % end.max(1)
    }

    fn element(&mut self) -> Vec<u8> {
        match self.below(40) {
            0 => vec![b'L'; 5000 + self.below(10_000)],
            1..=3 => vec![b'm'; self.below(2000)],
            4..=15 => self.below(50).to_string().into_bytes(),
            _ => format!("e{}", self.below(50)).into_bytes(),
        }
    }

    fn end(&mut self) -> End {
        if self.below(2) == 0 { End::Head } else { End::Tail }
    }
}

/// Everything a reader can ask agrees with the model.
fn check(list: &List, model: &[Vec<u8>], rng: &mut Rng) {
    let view = list.view();
    assert_eq!(view.len(), model.len());
    let to_vec = |item: Item<'_>| item.with(<[u8]>::to_vec);
    assert!(view.iter().map(to_vec).eq(model.iter().cloned()));
    assert!(view.iter().rev().map(to_vec).eq(model.iter().rev().cloned()));
    let start = rng.below(model.len() + 2);
    let end = start + rng.below(model.len() + 2);
    let wanted = &model[start.min(model.len())..end.min(model.len())];
    assert!(view.range(start..end).map(to_vec).eq(wanted.iter().cloned()));
    assert!(view.range(start..end).rev().map(to_vec).eq(wanted.iter().rev().cloned()));
    // From both ends at once.
    let mut items = view.range(start..end);
    let mut rest = wanted.iter();
    while rest.len() > 0 {
        assert_eq!(items.len(), rest.len());
        let from_front = rng.below(2) == 0;
        let item = if from_front { items.next() } else { items.next_back() };
        let wanted = if from_front { rest.next() } else { rest.next_back() };
        assert_eq!(item.map(to_vec).as_ref(), wanted);
    }
    assert!(items.next().is_none() && items.next_back().is_none());

    let index = rng.below(model.len() + 1);
    assert_eq!(view.get(index).map(to_vec).as_ref(), model.get(index));
    let element = rng.element();
    let found: Vec<usize> = view.find(&element, start..end, End::Head).collect();
    let range = start.min(model.len())..end.min(model.len());
    let mut wanted: Vec<usize> = range.filter(|index| model[*index] == element).collect();
    assert_eq!(found, wanted);
    wanted.reverse();
    assert_eq!(view.find(&element, start..end, End::Tail).collect::<Vec<_>>(), wanted);
    match list {
        List::Quicklist(list) => list.check(),
        List::Listpack(list) => assert!(Listpack::validate(list.view().as_bytes()).is_some()),
    }
}

/// One random change of both, with the calls around it that handlers make.
fn step(list: &mut List, model: &mut Vec<Vec<u8>>, rng: &mut Rng, limits: &Limits, growing: bool) {
    let element = rng.element();
    let index = rng.below(model.len() + 1);
    match rng.below(if growing { 14 } else { 20 }) {
        0..=6 => {
            let (end, count) = (rng.end(), 1 + rng.below(3));
            list.prepare(count, count * element.len(), limits);
            for _ in 0..count {
                list.push(end, &element, limits);
                model.insert(if end == End::Head { 0 } else { model.len() }, element.clone());
            }
        }
        7..=9 => {
            let side = if rng.below(2) == 0 { Side::Before } else { Side::After };
            list.prepare(1, element.len(), limits);
            assert_eq!(list.insert(index, side, &element, limits), index < model.len());
            if index < model.len() {
                model.insert(index + usize::from(side == Side::After), element);
            }
        }
        10..=12 => {
            list.prepare(1, element.len(), limits);
            assert_eq!(list.set(index, &element, limits), index < model.len());
            if index < model.len() {
                model[index] = element;
            }
            list.settle(limits);
        }
        13 | 14 => {
            let (from, most) = (rng.end(), [1, 2, usize::MAX][rng.below(3)]);
            let mut wanted: Vec<usize> =
                (0..model.len()).filter(|index| model[*index] == element).collect();
            if from == End::Tail {
                wanted.reverse();
            }
            wanted.truncate(most);
            assert_eq!(list.remove_equal(&element, from, most), wanted.len());
            wanted.sort_unstable_by_key(|index| std::cmp::Reverse(*index));
            wanted.into_iter().for_each(|index| drop(model.remove(index)));
            list.settle(limits);
        }
        _ => {
            let most = if rng.below(15) == 0 { model.len() } else { 6 };
            let end = index + rng.below(most + 1);
            list.remove(index..end);
            model.drain(index..end.min(model.len()));
            list.settle(limits);
        }
    }
}

#[test]
fn long_histories_agree_with_a_vector() {
    let sizes = [(-2, 1 << 30), (-1, 1 << 30), (1, 1 << 30), (5, 1 << 30), (128, 1 << 30), (-2, 3)];
    for (seed, (listpack_size, plain_from)) in sizes.into_iter().enumerate() {
        let limits = Limits { listpack_size, plain_from };
        let mut rng = Rng(seed as u64);
        let (mut list, mut model) = (List::new(), Vec::new());
        let mut forms = [0; 2];
        for round in 0..5000 {
            step(&mut list, &mut model, &mut rng, &limits, round / 1000 % 2 == 0);
            forms[usize::from(list.packed().is_some())] += 1;
            if let List::Quicklist(list) = &list {
                list.check();
            }
            if round % 50 == 0 {
                check(&list, &model, &mut rng);
            }
        }
        check(&list, &model, &mut rng);
        check(&list.clone(), &model, &mut rng);
        assert!(forms[0] > 100, "{limits:?}: {forms:?}");
        list.remove(0..usize::MAX);
        check(&list, &[], &mut rng);
    }
}

#[test]
fn payloads_have_what_the_list_has() {
    let mut rng = Rng(3);
    for listpack_size in [-2, 3, 128] {
        let limits = Limits { listpack_size, ..Limits::default() };
        let (mut list, mut model) = (List::new(), Vec::new());
        for _ in 0..300 {
            step(&mut list, &mut model, &mut rng, &limits, true);
        }
        let mut nodes: Vec<(bool, Vec<u8>)> = Vec::new();
        list.view().for_each_node(&limits, &mut |node| {
            assert!(node.is_sound());
            nodes.push(match node {
                NodeRef::Packed(bytes) => (true, bytes.to_vec()),
                NodeRef::Plain(bytes) => (false, bytes.to_vec()),
            });
        });
        assert_eq!(nodes.len(), list.view().node_count());
        assert!(nodes.iter().all(|(is_packed, _)| *is_packed), "as Redis 7.2 has them");
        let mut copy = Builder::new(&limits);
        for (is_packed, bytes) in &nodes {
            copy.push(match is_packed {
                true => NodeRef::Packed(bytes),
                false => NodeRef::Plain(bytes),
            });
        }
        let copy = copy.finish();
        check(&copy, &model, &mut rng);
        assert_eq!(copy.encoding(), list.encoding());
    }
    let empty = ListpackBuf::new();
    let limits = Limits::default();
    let mut list = Builder::new(&limits);
    list.push(NodeRef::Packed(empty.view().as_bytes()));
    let list = list.finish();
    assert!(list.is_empty() && list.encoding() == "listpack");
}

fn filled(count: usize, element: &[u8], limits: &Limits) -> List {
    let mut list = List::new();
    for _ in 0..count {
        list.prepare(1, element.len(), limits);
        list.push(End::Tail, element, limits);
    }
    list
}

#[test]
fn forms_change_where_redis_changes_them() {
    let limits = Limits::default();
    // 8 bytes each: 1023 of them and the 7 of an empty listpack are 8191 bytes.
    let mut list = filled(1023, b"sixsix", &limits);
    assert_eq!(list.encoding(), "listpack");
    list.prepare(1, 1, &limits);
    assert_eq!(list.encoding(), "listpack");
    list.prepare(1, 2, &limits);
    assert_eq!((list.encoding(), list.len()), ("quicklist", 1023));
    list.remove(512..1023);
    list.settle(&limits);
    assert_eq!(list.encoding(), "quicklist");
    list.remove(0..1);
    list.settle(&limits);
    assert_eq!((list.encoding(), list.len()), ("listpack", 511));

    let limits = Limits { listpack_size: 10, ..limits };
    let mut list = filled(10, b"a", &limits);
    assert_eq!(list.encoding(), "listpack");
    list.prepare(1, 1, &limits);
    list.push(End::Tail, b"a", &limits);
    assert_eq!((list.encoding(), list.view().node_count()), ("quicklist", 2));
    list.remove(0..5);
    list.settle(&limits);
    assert_eq!(list.encoding(), "quicklist");
    list.remove(0..5);
    list.settle(&limits);
    assert_eq!((list.encoding(), list.len()), ("listpack", 1));
}

#[test]
fn a_large_element_comes_and_goes() {
    let limits = Limits::default();
    let large = vec![b'x'; 10_000];
    let mut list = filled(3, b"a", &limits);
    list.prepare(1, large.len(), &limits);
    assert!(list.set(1, &large, &limits));
    list.settle(&limits);
    assert_eq!((list.encoding(), list.view().node_count()), ("quicklist", 3));
    assert!(matches!(list.view().get(1), Some(Item::Plain(_))));
    // When it goes, its neighbours come together, and the list is small again.
    assert!(list.set(1, b"b", &limits));
    list.settle(&limits);
    assert_eq!((list.encoding(), list.len()), ("listpack", 3));
}

#[test]
fn nodes_are_split_and_joined_as_in_redis() {
    let limits = Limits { listpack_size: 4, ..Limits::default() };
    let lens = |list: &List| match list {
        List::Quicklist(list) => list.nodes().map(Node::len).collect::<Vec<_>>(),
        List::Listpack(list) => vec![list.view().len()],
    };
    let mut list = filled(12, b"a", &limits);
    assert_eq!(lens(&list), [4, 4, 4]);
    // In the middle of a full node: split, and the smaller half with what fits beside it.
    assert!(list.insert(5, Side::After, b"x", &limits));
    assert_eq!(lens(&list), [4, 2, 3, 4]);
    // At the edge of a full node: into the neighbour with room.
    assert!(list.insert(3, Side::After, b"y", &limits));
    assert_eq!(lens(&list), [4, 3, 3, 4]);
    // At the edge of a full node without such a neighbour: a node of its own.
    assert!(list.insert(0, Side::Before, b"z", &limits));
    assert_eq!(lens(&list), [1, 4, 3, 3, 4]);
}

#[test]
fn shedding_frees_in_bounded_steps() {
    let limits = Limits::default();
    let mut list = filled(200_000, b"0123456789", &limits);
    let mut steps = 1;
    while list.shed(10) {
        steps += 1;
    }
    assert!(steps > 20, "{steps}");
    assert!(list.is_empty());
}

proptest! {
    #[test]
    fn nodes_hold_no_more_than_permitted(
        size in prop_oneof![Just(-1_i64), Just(-2), Just(3), Just(40)],
        pushes in proptest::collection::vec((any::<bool>(), 0_usize..300), 0..400),
    ) {
        let limits = Limits { listpack_size: size, ..Limits::default() };
        let mut list = List::new();
        for (head, len) in pushes {
            list.prepare(1, len, &limits);
            list.push(if head { End::Head } else { End::Tail }, &vec![b'x'; len], &limits);
        }
        list.view().for_each_node(&limits, &mut |node| {
            let NodeRef::Packed(bytes) = node else { unreachable!("nothing is that large") };
            // A single listpack is looked at before its last element comes, and the element's own
            // length is what counts.
            let overhead = 8;
            assert!(!limits.exceeds(bytes.len().saturating_sub(overhead), Listpack::new(bytes).len()));
        });
    }
}
