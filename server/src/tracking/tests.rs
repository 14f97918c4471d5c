use super::prefixes::{Collision, collision};
use super::table::Table;
use crate::client::ClientShared;
use bytes::Bytes;
use dunlin_storage::{Keyspace, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A small generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn word(&mut self, letters: usize, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| b'a' + self.below(letters) as u8).collect()
    }
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// Every pair, in Redis's order.
fn naive<'a>(old: &'a BTreeSet<Bytes>, new: &[&'a [u8]]) -> Option<Collision<'a>> {
    for (i, prefix) in new.iter().copied().enumerate() {
        if let Some(other) = old.iter().find(|other| overlap(prefix, other)) {
            return Some(Collision::Old(prefix, other));
        }
        if let Some(other) = new[i + 1..].iter().copied().find(|other| overlap(prefix, other)) {
            return Some(Collision::New(prefix, other));
        }
    }
    None
}

#[test]
fn collisions_are_those_of_comparing_all_pairs() {
    let mut dice = Dice(1);
    let (mut none, mut olds, mut news) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut old = BTreeSet::new();
        for _ in 0..dice.below(6) {
            let word = dice.word(3, 5);
            // What a client has does not overlap, but it may have the empty prefix besides.
            let fits =
                word.is_empty() || old.iter().all(|o: &Bytes| o.is_empty() || !overlap(o, &word));
            if fits && (!word.is_empty() || dice.below(8) == 0) {
                old.insert(Bytes::from(word));
            }
        }
        let words: Vec<Vec<u8>> = (0..dice.below(7)).map(|_| dice.word(5, 6)).collect();
        let new: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
        let found = collision(&old, &new);
        assert_eq!(found, naive(&old, &new), "{old:?} {new:?}");
        match found {
            None => none += 1,
            Some(Collision::Old(..)) => olds += 1,
            Some(Collision::New(..)) => news += 1,
        }
    }
    assert!(none > 1000 && olds > 1000 && news > 1000, "{none} {olds} {news}");
}

fn client(id: u64) -> Arc<ClientShared> {
    Arc::new(ClientShared::new(id, "127.0.0.1:1".into(), String::new(), 0, 0, 0))
}

#[test]
fn a_table_does_what_a_map_does() {
    let ks = Keyspace::new(Options::default());
    let mut dice = Dice(2);
    let (mut table, mut model) = (Table::default(), BTreeMap::<Vec<u8>, BTreeSet<u64>>::new());
    let mut clients: Vec<_> = (0..8).map(client).collect();
    let (mut keys, mut items, mut bytes, mut gone) = (0, 0, 0, 0);
    for step in 0..60_000 {
        let name = dice.word(4, 5);
        let key = ks.key(&name);
        match dice.below(200) {
            0 => {
                // A client goes, and another one comes.
                let place = dice.below(clients.len());
                let new = client(1000 + step);
                std::mem::replace(&mut clients[place], new).set_flag(ClientShared::GONE, true);
                gone += 1;
            }
            1 if dice.below(20) == 0 => {
                table.clear();
                model.clear();
            }
            2..150 => {
                let one = &clients[dice.below(clients.len())];
                table.remember(&key, one);
                model.entry(name).or_default().insert(one.id);
            }
            150..155 => {
                let Some(tracked) = table.forget_any() else { continue };
                let known = model.remove(tracked.name()).expect("it was remembered");
                assert!(tracked.clients().iter().all(|one| known.contains(&one.id)));
            }
            155..165 => table.tend(gone, 10),
            _ => {
                let ids = |known: &BTreeSet<u64>| -> Vec<u64> {
                    let there = |id: &u64| clients.iter().any(|one| one.id == *id);
                    known.iter().copied().filter(there).collect()
                };
                let found = table.forget(&key);
                let found = found.map_or_else(Vec::new, |tracked| {
                    let there = |one: &&Arc<ClientShared>| !one.has_flag(ClientShared::GONE);
                    tracked.clients().iter().filter(there).map(|one| one.id).collect()
                });
                assert_eq!(found, model.remove(&name).as_ref().map_or_else(Vec::new, ids));
            }
        }
        let change = table.take_change();
        (keys, items, bytes) = (keys + change.keys, items + change.items, bytes + change.bytes);
    }
    // When all have gone, a walk leaves nothing.
    clients.iter().for_each(|one| one.set_flag(ClientShared::GONE, true));
    let mut slices = 0;
    while table.wants_tending(gone + 1) {
        table.tend(gone + 1, 10);
        slices += 1;
    }
    let change = table.take_change();
    assert!(table.is_empty() && slices > 10);
    assert_eq!((keys + change.keys, items + change.items, bytes + change.bytes), (0, 0, 0));
}
