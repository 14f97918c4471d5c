//! Goal: while a table grows (items move to a second array, the first is retired) a reader finds
//! every key that stays, sees a removed or replaced one in the right order, and never touches a
//! freed array.
//!
//! Method: four keys fill the first array (two homes of two slots). Growth/read: the writer inserts
//! two more, which moves both homes and retires the array; the reader looks for a key of each home.
//! Growth/remove: the move has begun; the writer removes one key (which moves the rest) while the
//! reader looks for it and for its neighbours, one of which comes from the overflow chain.
//!
//! Catches: clearing before copying; not following `next`; leaving out the second look at the home;
//! freeing the old array without the grace period; publishing the new one with Relaxed.

use dunlin_storage::{ShardId, model};
use loom_tests::{DB, Shared, explore};

/// A keyspace whose only table grows with the next insertion.
fn full(ks: &Shared, homes: [usize; 2]) -> Vec<Vec<u8>> {
    let mut keys = ks.keys(0, 0, 2, homes[0]);
    keys.extend(ks.keys(0, 1, 2, homes[1]));
    let handle = ks.handle();
    for key in &keys {
        ks.put(&handle.pin(), key, key);
    }
    keys
}

#[test]
fn keys_are_found_while_the_table_grows() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = full(&ks, [2, 2]);
        let handle = ks.handle();
        let writer = ks.spawn(|ks, handle| {
            // The first begins, each of the others moves a home, the last retires the array.
            for key in [&b"new1"[..], b"new2", b"new3"] {
                ks.put(&handle.pin(), key, key);
            }
            let guard = handle.pin();
            assert_eq!(model::arrays(ks, DB, ShardId(0), &guard), 1, "it has grown");
        });
        {
            let guard = handle.pin();
            for key in [&keys[3], &keys[0]] {
                assert_eq!(ks.read(&guard, key), Some(&key[..]), "it was there all the time");
            }
        }
        writer.join().expect("writer");
        let guard = handle.pin();
        for key in keys.iter().map(Vec::as_slice).chain([&b"new1"[..], b"new2", b"new3"]) {
            assert_eq!(ks.read(&guard, key), Some(key));
        }
        assert_eq!(ks.len(DB), 7);
    });
}

#[test]
fn keys_are_found_while_they_are_removed_and_move() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = full(&ks, [3, 1]);
        let handle = ks.handle();
        ks.put(&handle.pin(), b"new", b"new");
        assert_eq!(model::arrays(&ks, DB, ShardId(0), &handle.pin()), 2, "a move has begun");
        let writer = ks.spawn({
            let keys = keys.clone();
            move |ks, handle| {
                // Pulls the third back, then moves the home with it.
                assert!(ks.remove(&handle.pin(), &keys[0]));
                // Removes from the new array, and moves the last home.
                assert!(ks.remove(&handle.pin(), &keys[1]));
            }
        });
        {
            let guard = handle.pin();
            assert_eq!(ks.read(&guard, &keys[2]), Some(&keys[2][..]), "it was there all the time");
            let first = ks.read(&guard, &keys[0]);
            assert!(first.is_none_or(|value| value == keys[0]));
            if first.is_none() {
                assert_eq!(ks.read(&guard, &keys[0]), None, "removed is removed");
            }
            assert_eq!(ks.read(&guard, &keys[3]), Some(&keys[3][..]), "it was there all the time");
        }
        writer.join().expect("writer");
        let guard = handle.pin();
        assert_eq!(model::arrays(&ks, DB, ShardId(0), &guard), 1, "the move is complete");
        assert_eq!(ks.len(DB), 3);
    });
}

#[test]
fn a_replacement_during_growth_is_never_undone() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = full(&ks, [2, 2]);
        let handle = ks.handle();
        ks.put(&handle.pin(), b"new", b"new");
        let writer = ks.spawn({
            let key = keys[2].clone();
            move |ks, handle| {
                // In the old array; then the home moves; then in the new one.
                ks.put(&handle.pin(), &key, b"x1");
                ks.put(&handle.pin(), b"new1", b"new");
                ks.put(&handle.pin(), b"new2", b"new");
                ks.put(&handle.pin(), &key, b"x2");
            }
        });
        {
            let guard = handle.pin();
            let first = ks.read(&guard, &keys[2]).expect("never removed");
            let second = ks.read(&guard, &keys[2]).expect("never removed");
            // "k.." < "x1" < "x2".
            assert!(first <= second, "a replaced value came back");
        }
        writer.join().expect("writer");
        assert_eq!(ks.read(&handle.pin(), &keys[2]), Some(&b"x2"[..]));
    });
}

#[test]
fn a_key_of_the_new_array_is_seen_whole() {
    explore(|| {
        let ks = Shared::new(1);
        full(&ks, [2, 2]);
        // Begins the move: the new array is published with nothing cleared yet.
        let writer = ks.spawn(|ks, handle| ks.put(&handle.pin(), b"new1", b"new"));
        {
            let handle = ks.handle();
            assert!(ks.read(&handle.pin(), b"new1").is_none_or(|value| value == b"new"));
        }
        writer.join().expect("writer");
    });
}
