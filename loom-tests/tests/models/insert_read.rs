//! Goal: a reader sees an inserted key whole or not at all, and does not lose it again.
//!
//! Method: one thread inserts two keys of one home, the first into an empty shard (so the first
//! array is published too); another reads the second, then the first.
//!
//! Catches: publishing the slot word, or the first array, with a Relaxed store.

use loom_tests::{Shared, explore};

#[test]
fn an_insert_is_seen_whole_and_in_order() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = ks.keys(0, 0, 2, 2);
        let (first, second) = (keys[0].clone(), keys[1].clone());
        let writer = ks.spawn(move |ks, handle| {
            let guard = handle.pin();
            ks.put(&guard, &keys[0], b"one");
            ks.put(&guard, &keys[1], b"two");
        });
        {
            let handle = ks.handle();
            let guard = handle.pin();
            let second = ks.read(&guard, &second);
            let first = ks.read(&guard, &first);
            assert!(second.is_none_or(|value| value == b"two"));
            assert!(first.is_none_or(|value| value == b"one"));
            assert!(second.is_none() || first.is_some(), "the first was inserted before");
        }
        writer.join().expect("writer");
    });
}
