use proptest::prelude::*;

use super::leaf::LEAF_MAX;
use super::node::INNER_MAX;
use super::*;

fn entry(score: f64, id: u32) -> Entry {
    Entry { score, id }
}

/// Everything a reader can ask agrees with the model, and the nodes are sound.
fn check(tree: &Tree, model: &[Entry]) {
    let mut census = Census::default();
    tree.root.check(true, &mut census);
    assert_eq!(tree.census, census, "no node is forgotten");
    assert_eq!(tree.len(), model.len());
    assert!(tree.iter(0..usize::MAX).eq(model.iter().copied()));
    assert!(tree.iter(0..usize::MAX).rev().eq(model.iter().rev().copied()));
}

/// A small generator of pseudo-random numbers.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

#[test]
fn long_histories_agree_with_a_vector() {
    for seed in 1..=6 {
        let mut rng = Rng(seed);
        let (mut tree, mut model) = (Tree::new(), Vec::new());
        let mut id = 0;
        for step in 0..6000 {
            let growing = step / 1500 % 2 == 0;
            let rank = match rng.below(4) {
                0 => 0,
                1 => model.len(),
                _ => rng.below(model.len() + 1),
            };
            if rng.below(10) < if growing { 9 } else { 3 } {
                id += 1;
                tree.insert(rank, entry(rank as f64, id));
                model.insert(rank, entry(rank as f64, id));
            } else {
                let most = if rng.below(20) == 0 { model.len() } else { 3 };
                let end = model.len().min(rank + rng.below(most + 1));
                let mut removed = Vec::new();
                tree.remove(rank..end, &mut |entry| removed.push(entry));
                let expected: Vec<Entry> = model.drain(rank..end).collect();
                assert_eq!(removed, expected);
            }
            if let Some(rank) = rank.checked_sub(1).filter(|rank| *rank < model.len()) {
                let changed = entry(0.5, model[rank].id);
                tree.set(rank, changed);
                model[rank] = changed;
                assert_eq!(tree.iter(rank..rank + 1).next(), Some(changed));
            }
            if step % 50 == 0 {
                check(&tree, &model);
            }
        }
        check(&tree, &model);
    }
}

#[test]
fn partition_finds_the_border() {
    let mut tree = Tree::new();
    for id in 0..10_000_u32 {
        tree.insert(id as usize, entry(f64::from(id / 3), id));
    }
    for border in [0.0, 1.0, 17.5, 3333.0, 5000.0] {
        let rank = tree.partition(|entry| entry.score < border);
        assert_eq!(rank, tree.iter(0..10_000).filter(|entry| entry.score < border).count());
    }
    assert_eq!(Tree::new().partition(|_| true), 0);
}

#[test]
fn entries_that_come_in_order_fill_the_nodes() {
    let count = LEAF_MAX * INNER_MAX * 2;
    for descending in [false, true] {
        let mut tree = Tree::new();
        for id in 0..count {
            tree.insert(if descending { 0 } else { id }, entry(0.0, id as u32));
        }
        assert!(tree.census.leaves <= count / LEAF_MAX + 1, "{:?}", tree.census);
    }
}

#[test]
fn a_range_goes_from_both_ends() {
    let mut tree = Tree::new();
    for id in 0..1000_u32 {
        tree.insert(id as usize, entry(0.0, id));
    }
    let mut iter = tree.iter(100..900);
    assert_eq!(iter.len(), 800);
    let (mut low, mut high) = (100, 900);
    for turn in 0..800 {
        let next = if turn % 3 == 0 { iter.next_back() } else { iter.next() };
        let wanted = if turn % 3 == 0 {
            high -= 1;
            high
        } else {
            low += 1;
            low - 1
        };
        assert_eq!(next.map(|entry| entry.id), Some(wanted));
    }
    assert_eq!(iter.next(), None);
    assert_eq!(iter.next_back(), None);
    assert_eq!(tree.iter(5000..6000).count(), 0);
}

proptest! {
    #[test]
    fn any_range_can_be_removed(len in 0_usize..9000, a in 0_usize..9000, b in 0_usize..9000) {
        let (mut tree, mut model) = (Tree::new(), Vec::new());
        for id in 0..len {
            tree.insert(id, entry(1.0, id as u32));
            model.push(entry(1.0, id as u32));
        }
        let (from, to) = (a.min(b).min(len), a.max(b).min(len));
        tree.remove(from..to, &mut |_| {});
        model.drain(from..to);
        check(&tree, &model);
        // A copy is sound, and can be changed.
        let mut copy = tree.clone();
        copy.insert(0, entry(0.0, 0));
        check(&tree, &model);
        model.insert(0, entry(0.0, 0));
        check(&copy, &model);
    }
}
