//! Goal: a scan visits every key that stays, while the table grows and while removals pull items
//! back from the overflow chain.
//!
//! Method: the scan goes bucket by bucket; the other thread does what moves items: in one model the
//! two steps that move both homes and retire the array, in the other a removal whose pull-back
//! moves a key from the chain into the home that is being visited.
//!
//! Catches: reading the home before the chain; a pull-back that clears first; a move that clears first, of home and of spilled items;
//! freeing the old array without the grace period.

use std::collections::BTreeSet;

use dunlin_storage::{Handle, ShardId, model};
use loom_tests::{DB, Shared, explore};

fn scan(ks: &Shared, handle: &Handle) -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let mut cursor = 0;
    loop {
        let guard = handle.pin();
        cursor = ks.scan(DB, cursor, 1, 0, &guard, &mut |entry| {
            seen.insert(entry.key().to_vec());
        });
        if cursor == 0 {
            return seen;
        }
    }
}

#[test]
fn a_scan_beside_growth_misses_no_stable_key() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = [ks.keys(0, 0, 2, 3), ks.keys(0, 1, 2, 1)].concat();
        let handle = ks.handle();
        for key in keys.iter().map(Vec::as_slice).chain([&b"new"[..]]) {
            ks.put(&handle.pin(), key, key);
        }
        assert_eq!(model::arrays(&ks, DB, ShardId(0), &handle.pin()), 2, "a move has begun");
        let writer = ks.spawn(|ks, handle| {
            ks.put(&handle.pin(), b"new1", b"new");
            ks.put(&handle.pin(), b"new2", b"new");
            let guard = handle.pin();
            assert_eq!(model::arrays(ks, DB, ShardId(0), &guard), 1, "the move is complete");
        });
        let seen = scan(&ks, &handle);
        for key in &keys {
            assert!(seen.contains(key), "a stable key was missed");
        }
        writer.join().expect("writer");
        assert_eq!(scan(&ks, &handle).len(), 7);
    });
}

#[test]
fn a_scan_beside_pull_back_misses_no_stable_key() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = ks.keys(0, 0, 2, 3);
        let handle = ks.handle();
        for key in &keys {
            ks.put(&handle.pin(), key, key);
        }
        let writer = ks.spawn({
            let first = keys[0].clone();
            move |ks, handle| assert!(ks.remove(&handle.pin(), &first))
        });
        let seen = scan(&ks, &handle);
        assert!(seen.contains(&keys[1]) && seen.contains(&keys[2]), "a stable key was missed");
        writer.join().expect("writer");
    });
}
